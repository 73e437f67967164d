"""The tool create_new_tool: it checks and tests a tool that a model proposes, and stores the tool once a human approves it.

The model gets errors as text, to correct them. A tool without errors is shown as a difference from the version in use, with
the functions that it may call and the results of its tests. A human is always asked: only they give the agent a new power.
"""

from __future__ import annotations

import difflib
import json
import keyword
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from agent.approval.human_approval import Approval
from agent.approval.preview import ToolPreview
from agent.errors import ActionRefused, InvalidArguments
from agent.execution.created_tools.host_functions import is_harmless, offered, stubs
from agent.execution.created_tools.http_get import Place
from agent.execution.created_tools.signing import sign
from agent.execution.created_tools.store import CreatedTool, ToolContent, content_from, created_tools
from agent.execution.outside_effects import Happened, OutsideTool, Proposal
from agent.execution.tools.arguments import CreateNewTool, ToolTest, is_built_in
from agent.execution.tools.json_schema import ArgumentSchema
from agent.runtime import Runtime
from agent.sandbox.sandbox import CALL, Failure, Finished, HostCall, Program, Run, sandbox_of
from agent.types import Assessment, CallKey, ToolResult

_CLOCK = datetime(2026, 1, 1, tzinfo=UTC)
_SHOWN_TEST = 300
# Control characters, formatting, lone surrogates, private use, unassigned, and separators of lines and paragraphs.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


async def propose(arguments: CreateNewTool, *, call: CallKey | None, runtime: Runtime) -> Proposal:
    """Return a tool for a human to judge. Raises `InvalidArguments` with what the model must correct, or `SandboxUnavailable`."""
    earlier = await created_tools.known(arguments.name, runtime=runtime)
    content = _content(arguments, version=earlier[0].content.version + 1 if earlier else 1)
    sign("created tool", content.hash, runtime=runtime)  # fails now rather than after a human has approved
    await _check_code(content, runtime)
    results = [await _run_test(number, test, content, runtime) for number, test in enumerate(arguments.tests, 1)]
    active = next((tool for tool in earlier if tool.status == "active"), None)
    sentence = _sentence(content, active)
    preview = ToolPreview(
        sentence=sentence, masked_sentence=sentence, text=_text(content, active, results), version=content.version,
        content_hash=content.hash, capabilities=tuple(content.capabilities), hosts=tuple(content.hosts), tests=tuple(results),
    )  # fmt: skip
    reasons = (
        "tool:create",
        *(f"capability:{name}" for name in content.capabilities),
        *(f"host:{host}" for host in content.hosts),
    )
    return Proposal(
        assessment=Assessment(verdict="ask", risk="CRITICAL", reasons=reasons, sentence=sentence), preview=preview
    )


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


async def _run_test(number: int, test: ToolTest, content: ToolContent, runtime: Runtime) -> str:
    """Run a test and return its result as a line for the approver. Raises `InvalidArguments` if the test fails."""
    then = CALL if test.code is None else f"{test.code}\n_agent_text(None)"
    program = Program(
        code=content.code,
        arguments=test.arguments,
        functions=content.capabilities,
        clock=_CLOCK,
        seed="test",
        then=then,
    )
    async with sandbox_of(runtime).run(f"{runtime.tenant_id}/test {content.hash}") as run:
        problem, value = await _outcome(run, program, test)
    if test.code is None and not problem and _canonical(value) != _canonical(test.expected):
        problem = f"run returned {_shortened(value)}, not {_shortened(test.expected)}"
    if problem:
        raise InvalidArguments(
            f"Test {number} of {content.name} fails: {problem}. Correct the code or the test, and propose it again."
        )
    if test.code is not None:
        return f"{test.code.strip()[:_SHOWN_TEST]}: holds"
    return f"run({', '.join(f'{name}={_shortened(given)}' for name, given in test.arguments.items())}) is {_shortened(value)}"


async def _outcome(run: Run, program: Program, test: ToolTest) -> tuple[str, Any]:
    """Return the problem of a test's run, or '', and its result. Calls of host functions get the test's answers."""
    answers = list(test.answers)
    event = await run.start(program)
    while isinstance(event, HostCall):
        if not answers or answers[0].function != event.function:
            expected = f"the test answers {answers[0].function} next" if answers else "the test has no answer left"
            return f"the code called {event.function}, but {expected}", None
        answer = answers.pop(0)
        event = await run.answer({"error": answer.error} if answer.error is not None else {"value": answer.value})
    if isinstance(event, Finished):
        return (f"the code never called {answers[0].function}, which the test answers" if answers else ""), event.value
    return event.text, None


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


def _text(content: ToolContent, active: CreatedTool | None, results: Sequence[str]) -> str:
    lines = [*_labelled("says", content.description), "", f"takes     {json.dumps(content.parameters)}"]
    lines += [f"may call  {', '.join(content.capabilities) or 'nothing'}"]
    lines += [f"hosts     {', '.join(content.hosts)}"] if content.hosts else []
    lines += ["", *(line for result in results for line in _labelled("tested", result)), ""]
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
        f"changed   {name}: {_shortened(getattr(old, name))} -> {_shortened(getattr(content, name))}"
        for name in ("description", "parameters", "capabilities", "hosts")
        if getattr(old, name) != getattr(content, name)
    ]
    before = active.content.code.splitlines()
    versions = (f"version {active.content.version}", f"version {content.version}")
    difference = difflib.unified_diff(before, after, *versions, lineterm="", n=len(before) + len(after))
    return [*changed, *difference] if before != after else [*changed, "The code is the same.", *after]


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _shortened(value: Any) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= _SHOWN_TEST else f"{text[:_SHOWN_TEST]}…"
