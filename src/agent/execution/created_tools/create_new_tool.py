"""The tool create_new_tool: it checks and tests a tool that a model proposes, and stores the tool once a human approves it.

The model gets errors as text, to correct them. A tool without errors is shown as a difference from the version in use, with
the functions that it may call, the results of its tests, and what one run with real data gave. A human is always asked: only they give the agent a new power.
"""

from __future__ import annotations

import ast
import difflib
import json
import keyword
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import replace

from agent.approval.human_approval import Approval
from agent.approval.preview import ToolPreview
from agent.errors import ActionRefused, InvalidArguments
from agent.execution.created_tools.host_functions import is_harmless, offered, stubs
from agent.execution.created_tools.http_get import Place
from agent.execution.created_tools.signing import sign
from agent.execution.created_tools.store import CreatedTool, ToolContent, content_from, created_tools
from agent.execution.created_tools.trial_runs import run_on_real_data, run_test, shortened
from agent.execution.outside_effects import Happened, OutsideTool, Proposal
from agent.execution.tools.arguments import CreateNewTool, is_built_in
from agent.execution.tools.json_schema import ArgumentSchema
from agent.runtime import Runtime
from agent.sandbox.sandbox import Failure, sandbox_of
from agent.settings import Settings
from agent.types import Assessment, CallKey, ToolResult

_MODULES = "json, re, math, datetime, decimal, collections, itertools, functools, random, csv, hashlib, base64, bisect, unicodedata"
# Control characters, formatting, lone surrogates, private use, unassigned, and separators of lines and paragraphs.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def limits_for_model(settings: Settings) -> str:
    """Return in words what the code of a tool may import and use."""
    return (
        f"It can import only {_MODULES}. At most {settings.tool_seconds:g} s, {settings.tool_memory_mb} MB and {settings.tool_calls} calls "
        f"of host functions; a read of more than {settings.max_rows} rows raises: aggregate in SQL."
    )


async def propose(arguments: CreateNewTool, *, call: CallKey | None, runtime: Runtime) -> Proposal:
    """Return a tool for a human to judge. Raises `InvalidArguments` with what the model must correct, or `SandboxUnavailable`."""
    earlier = await created_tools.known(arguments.name, runtime=runtime)
    content = _content(arguments, version=earlier[0].content.version + 1 if earlier else 1)
    sign("created tool", content.hash, runtime=runtime)  # fails now rather than after a human has approved
    await _check_code(content, runtime)
    results = [await run_test(number, test, content, runtime) for number, test in enumerate(arguments.tests, 1)]
    outcome = await run_on_real_data(content, arguments.tests, runtime)
    active = next((tool for tool in earlier if tool.status == "active"), None)
    sentence = _sentence(content, active)
    preview = ToolPreview(
        sentence=sentence, masked_sentence=sentence, text=_text(content, active, results, outcome), version=content.version,
        content_hash=content.hash, capabilities=tuple(content.capabilities), hosts=tuple(content.hosts), tests=tuple(results),
    )  # fmt: skip
    assessment = assessed(sentence, capabilities=content.capabilities, hosts=content.hosts)
    return Proposal(assessment=assessment, preview=preview)


def assessed(sentence: str, *, capabilities: Iterable[str] = (), hosts: Iterable[str] = ()) -> Assessment:
    """Return the assessment of a new tool with these capabilities, whose code reaches these hosts."""
    reasons = (
        "tool:create",
        *(f"capability:{name}" for name in capabilities),
        *(f"host:{host}" for host in hosts),
    )
    return Assessment(verdict="ask", risk="CRITICAL", reasons=reasons, sentence=sentence)


async def carry_out(approval: Approval, *, key: str, runtime: Runtime) -> ToolResult:
    """Store an approved tool and put it into use. Raises `ActionRefused` if it is not the tool in the preview; nothing is stored then."""
    preview = approval.preview
    assert isinstance(preview, ToolPreview)  # noqa: S101  # only what `propose` previewed is carried out
    content = content_from(approval.arguments, preview.version or 0)
    if content.hash != preview.content_hash:
        raise ActionRefused(f"{content.name} is not what was shown to the approver: propose it again.")
    return await created_tools.store(content, approval, runtime=runtime)


async def look(approval: Approval, *, key: str, runtime: Runtime) -> Happened:
    """Return whether the approved version was stored, which our own database knows."""
    return "done" if await created_tools.is_stored(approval.id, runtime=runtime) else "not-done"


OUTSIDE = OutsideTool(propose=propose, carry_out=carry_out, look=look)


def _content(arguments: CreateNewTool, version: int) -> ToolContent:
    content = content_from(arguments.model_dump(), version)
    if is_built_in(content.name) or keyword.iskeyword(content.name):
        raise InvalidArguments(f"{content.name!r} is taken: choose another name.")
    for text in (content.code, content.description, *(test.code or "" for test in arguments.tests)):
        _check_visible(text)
    unknown = sorted(set(content.capabilities) - set(offered()))
    if unknown:
        raise InvalidArguments(f"There is no capability {', '.join(unknown)}; there are: {', '.join(offered())}.")
    for host in content.hosts:
        Place.parse(host)
    if bool(content.hosts) != ("http_get" in content.capabilities):
        raise InvalidArguments("The capability http_get and its hosts belong together: give both or neither.")
    _sample_calls(content)
    schema = ArgumentSchema.of(content.parameters)
    for number, test in enumerate(arguments.tests, 1):
        if test.code is None:
            schema.check(f"Test {number} of {content.name}", test.arguments)
        elif test.arguments or test.expected is not None:
            raise InvalidArguments(f"Test {number} has both code and arguments: give one of them.")
    return content


def _check_visible(text: str) -> None:
    """Raise `InvalidArguments` if a text has characters that hide, reorder text or move the cursor: a human approves what they see."""
    for character in text:
        if character not in "\n\t" and unicodedata.category(character) in _INVISIBLE:
            raise InvalidArguments(
                f"The character U+{ord(character):04X} cannot be seen: write it as an escape, or leave it out."
            )


async def _check_code(content: ToolContent, runtime: Runtime) -> None:
    async with sandbox_of(runtime).run(f"{runtime.tenant_id}/check {content.hash}") as run:
        event = await run.check(content.code, stubs(content.capabilities), _sample_calls(content))
    if isinstance(event, Failure):
        raise InvalidArguments(f"The code of {content.name} is not accepted: {event.text}")


def _sample_calls(content: ToolContent) -> str:
    """Return code for the type checker that calls `run` with all parameters of the schema, and with the required ones only."""
    required = content.parameters.get("required", [])
    named = list(content.parameters.get("properties", {}))
    if invalid := [name for name in named if not name.isidentifier() or keyword.iskeyword(name)]:
        raise InvalidArguments(f"{invalid[0]!r} cannot be a parameter of `run`: choose another name.")
    lines = ["def _agent_calls(given: Any) -> None:"]
    lines += [f"    run({', '.join(f'{name}=given' for name in names)})" for names in (named, required)]
    return "from typing import Any\n" + "\n".join(lines)


def _sentence(content: ToolContent, active: CreatedTool | None) -> str:
    place = f" in place of version {active.content.version}" if active else ""
    calls = f"may call {', '.join(content.capabilities)}" if content.capabilities else "calls nothing"
    hosts = f" at {', '.join(content.hosts)}" if content.hosts else ""
    kind = (
        "reads only"
        if is_harmless(content.capabilities)
        else "what it changes or sends is asked about each time, as ever"
    )
    return f"Creates the tool {content.name}, version {content.version}{place}. Its code {calls}{hosts}; {kind}."


def _text(content: ToolContent, active: CreatedTool | None, results: Sequence[str], outcome: str = "") -> str:
    lines = [*_labelled("says", content.description), "", f"takes     {json.dumps(content.parameters)}"]
    lines += [f"may call  {', '.join(content.capabilities) or 'nothing'}"]
    lines += [f"hosts     {', '.join(content.hosts)}"] if content.hosts else []
    lines += ["", *(line for result in results for line in _labelled("tested", result))]
    lines += _labelled("ran", outcome) if outcome else []
    lines += [
        f"attention line {line} joins values into SQL as text: params would keep them apart"
        for line in _joined_sql(content.code)
    ]
    lines += [""]
    return "\n".join([*lines, *_difference(content, active)])


def _labelled(label: str, text: str) -> list[str]:
    """Return text of a model as lines that are indented under a label, so that none looks like a line of ours."""
    first, *others = text.splitlines() or [""]
    return [f"{label:<10}{first}", *(f"{'':<10}{line}" for line in others)]


def _difference(content: ToolContent, active: CreatedTool | None) -> list[str]:
    """Return the code, as a difference from the active version if there is one, after the other changes."""
    after = content.code.splitlines()
    if active is None:
        return after
    old = replace(active.content, version=content.version, code=content.code, tests=content.tests)
    changed = [
        f"changed   {name}: {shortened(getattr(old, name))} -> {shortened(getattr(content, name))}"
        for name in ("description", "parameters", "capabilities", "hosts")
        if getattr(old, name) != getattr(content, name)
    ]
    before = active.content.code.splitlines()
    versions = (f"version {active.content.version}", f"version {content.version}")
    difference = difflib.unified_diff(before, after, *versions, lineterm="", n=len(before) + len(after))
    return [*changed, *difference] if before != after else [*changed, "The code is the same.", *after]


def _joined_sql(code: str) -> list[int]:
    """Return the lines on which code gives execute_sql a statement that it puts together from values."""
    tree = ast.parse(code)
    texts = {
        target.id: node.value
        for node in ast.walk(tree) if isinstance(node, ast.Assign)
        for target in node.targets if isinstance(target, ast.Name)
    }  # fmt: skip
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    given = [(call.lineno, keyword.value) for call in calls for keyword in call.keywords if keyword.arg == "sql"]
    return [
        line for line, text in given if _is_joined(texts.get(text.id, text) if isinstance(text, ast.Name) else text)
    ]


def _is_joined(text: ast.expr) -> bool:
    parts = list(ast.walk(text))
    operators = any(isinstance(part, ast.BinOp) and not isinstance(part.right, ast.Constant) for part in parts)
    return operators or any(isinstance(part, (ast.FormattedValue, ast.Call)) for part in parts)
