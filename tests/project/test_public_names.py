"""What `from agent import ...` offers: each public name, and none before it is used."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

import agent
from agent import chat, open_runtime
from agent.chat import chat as conversations
from agent.errors import ConfigurationError
from agent.settings import Settings
from agent.testing.openai_server import OpenAIServer, text

# The public surface: a change of it is a decision.
NAMES = [
    "Always", "Approval", "KnowledgeMiddleware", "Runtime", "SafeExecutionMiddleware", "Settings", "agent_memory", "all_langchain_tools", "approvals",
    "auto_discovery", "chat", "current_runtime", "errors", "human_approval_queue", "langchain_tools", "open_runtime", "people",
    "safe_executor", "semantic_search", "use_runtime",
]  # fmt: skip


def test_the_public_names_are_these_and_each_can_be_imported() -> None:
    assert sorted(agent.__all__) == NAMES
    assert set(NAMES) <= set(dir(agent))
    for name in NAMES:
        assert getattr(agent, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        agent.nothing  # noqa: B018
    assert chat.answer == conversations.answer


def test_importing_the_package_imports_nothing_else_of_it_and_no_library() -> None:
    code = (
        "import sys; before = set(sys.modules); import agent, json; new = {name.split('.')[0] for name in set(sys.modules) - before};"
        "ours = [name for name in sys.modules if name.startswith('agent.')];"
        "print(json.dumps([ours, sorted(new & {'langchain_core', 'langgraph', 'psycopg', 'pydantic', 'sqlglot'})]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[], []]


async def test_a_runtime_takes_any_chat_model_of_langchain(demo_settings: Settings) -> None:
    async with OpenAIServer([text("Nineteen, I think.")]) as server:
        model = ChatOpenAI(model="own", base_url=server.url, api_key=SecretStr("not-in-errors"))
        runtime = await open_runtime(demo_settings, model=model)
        try:
            answer = await chat.answer("How many?", runtime=runtime)
        finally:
            await runtime.close()
    assert (answer.status, answer.text) == ("done", "Nineteen, I think.")
    assert (runtime.chat_client().name, runtime.chat_client().secrets) == ("openai:own", ("not-in-errors",))


async def test_what_is_no_chat_model_is_refused_before_anything_opens(demo_settings: Settings) -> None:
    wrong: Any = "openai:gpt-5"
    with pytest.raises(ConfigurationError, match="AGENT_MODEL takes a name"):
        await open_runtime(demo_settings, model=wrong)
