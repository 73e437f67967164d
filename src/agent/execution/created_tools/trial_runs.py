"""Runs a proposed tool before a human is asked: its tests with the answers that they give, and once with the real data.

In a test a host call gets the test's answer, which must be one that the database could give. In the real run every query that
only reads is carried out and logged, and the run ends at the first call that would do anything else.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from agent.errors import AgentError, InvalidArguments, OperatorError
from agent.execution.assessed_read import run_read
from agent.execution.controls import controls
from agent.execution.created_tools.answer_shapes import check_answer, shape_of
from agent.execution.created_tools.host_functions import QUERIES, answer_of
from agent.execution.created_tools.parameters import bound
from agent.execution.created_tools.store import ToolContent
from agent.execution.log import record
from agent.execution.tools.arguments import BUILT_IN, ExecuteSql, ToolTest
from agent.execution.tools.query_data import select_statement
from agent.learning.named_relations import BuiltStatement
from agent.runtime import Runtime
from agent.sandbox.sandbox import CALL, Finished, HostCall, Program, Run, sandbox_of
from agent.statements.assessment import assess_statement
from agent.statements.parser import Statement, parse
from agent.text.faults import faults
from agent.types import Assessment, ToolResult

_CLOCK = datetime(2026, 1, 1, tzinfo=UTC)
_SHOWN = 300
_READ = ("read",)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Query:
    """A host call that is one statement, and its assessment."""

    arguments: Mapping[str, Any]
    statement: Statement
    assessment: Assessment
    note: str = ""


async def run_test(number: int, test: ToolTest, content: ToolContent, runtime: Runtime) -> str:
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
        problem, value = await _tested(run, program, test, runtime)
    if test.code is None and not problem and _canonical(value) != _canonical(test.expected):
        problem = f"run returned {shortened(value)}, not {shortened(test.expected)}"
    if problem:
        raise InvalidArguments(
            f"Test {number} of {content.name} fails: {problem}. Correct the code or the test, and propose it again."
        )
    if test.code is not None:
        return f"{test.code.strip()[:_SHOWN]}: holds"
    return f"{_call_of(test.arguments)} is {shortened(value)}"


async def _tested(run: Run, program: Program, test: ToolTest, runtime: Runtime) -> tuple[str, Any]:
    """Return the problem of a test's run, or '', and its result. Calls of host functions get the test's answers."""
    answers = list(test.answers)
    event = await run.start(program)
    while isinstance(event, HostCall):
        if not answers or answers[0].function != event.function:
            expected = f"the test answers {answers[0].function} next" if answers else "the test has no answer left"
            return f"the code called {event.function}, but {expected}", None
        answer = answers.pop(0)
        if answer.error is not None:
            event = await run.answer({"error": answer.error})
            continue
        if event.function in QUERIES and (problem := await _impossible(event, answer.value, runtime)):
            return problem, None
        event = await run.answer({"value": answer.value})
    if isinstance(event, Finished):
        return (f"the code never called {answers[0].function}, which the test answers" if answers else ""), event.value
    return event.text, None


async def _impossible(call: HostCall, value: Any, runtime: Runtime) -> str:
    """Return why the database cannot give a test's answer to a query, or ''."""
    try:
        query = await _query_of(call, runtime)
        if query.assessment.verdict == "refuse":
            return f"{call.function} is refused: {query.assessment.sentence}"
        reads = query.statement.kind == "SelectStmt" and query.assessment.reasons == _READ
        check_answer(call.function, value, await shape_of(query.statement, runtime=runtime) if reads else None)
    except OperatorError:
        raise
    except AgentError as error:
        return f"the database would not give the answer of {call.function}: {str(error).rstrip('.')}"
    return ""


async def run_on_real_data(content: ToolContent, tests: list[ToolTest], runtime: Runtime) -> str:
    """Run a tool once with its first test's arguments and real reads; return the outcome as a line, '' if it reads nothing.

    Raises `InvalidArguments` where the code fails.
    """
    first = next((test.arguments for test in tests if test.code is None), None)
    if not QUERIES & {*content.capabilities}:
        return ""
    if first is None and content.parameters.get("required"):
        return "not on the real data: no test gives arguments"
    arguments = first or {}
    program = Program(
        code=content.code, arguments=arguments, functions=content.capabilities, clock=datetime.now(UTC), seed="trial"
    )
    await controls.check(writing=False, runtime=runtime)
    async with sandbox_of(runtime).run(f"{runtime.tenant_id}/trial {content.hash}") as run:
        return await _on_real_data(run, program, runtime)


async def _on_real_data(run: Run, program: Program, runtime: Runtime) -> str:
    shown, failed = f"{_call_of(program.arguments)} on the real data", ""
    event = await run.start(program)
    while isinstance(event, HostCall):
        result = await _real_result(event, runtime)
        if result is None:
            return f"{shown}, up to {event.function}({shortened(event.arguments)}), which was not carried out{failed}"
        answer = answer_of(event.function, result, most=sandbox_of(runtime).limits.text)
        failed = f"; {event.function} failed: {answer['error']}"[:_SHOWN] if "error" in answer else failed
        event = await run.answer(answer)
    if isinstance(event, Finished):
        return f"{shown} is {shortened(event.value)}{failed}"
    raise InvalidArguments(
        f"{_call_of(program.arguments)} fails on the real database: {event.text}. Correct the code, or give the first test "
        "arguments that exist there, and propose it again."
    )


async def _real_result(call: HostCall, runtime: Runtime) -> ToolResult | None:
    """Return the real result of a query that only reads; None for every other call, which is not carried out."""
    started = time.monotonic()
    if call.function not in QUERIES:
        return None
    try:
        query = await _query_of(call, runtime)
        if query.assessment.reasons != _READ and query.assessment.verdict != "refuse":
            return None
        result = await run_read(query.statement, query.assessment, note=query.note, runtime=runtime)
    except OperatorError:
        raise
    except AgentError as error:
        return ToolResult(success=False, status="failed", error=str(error))
    await record(
        call.function, query.arguments, assessment=query.assessment, result=result, actor=None, call=None,
        duration_ms=(time.monotonic() - started) * 1000, runtime=runtime,
    )  # fmt: skip
    return result


async def _query_of(call: HostCall, runtime: Runtime) -> _Query:
    """Return the statement that a host call makes. Raises `InvalidArguments` or an error of the database about it."""
    arguments = bound(call.function, call.arguments)
    try:
        checked: Any = BUILT_IN[call.function].model_validate(dict(arguments), strict=True)
    except ValidationError as error:
        raise InvalidArguments(f"{call.function} cannot take {shortened(arguments)}: {faults(error)}") from error
    given = isinstance(checked, ExecuteSql)
    built = BuiltStatement(sql=checked.sql) if given else await select_statement(checked, runtime)
    statement = parse(built.sql)
    show = given and checked.show_secrets
    assessment = await assess_statement(statement, show_secrets=show, runtime=runtime)
    return _Query(arguments=arguments, statement=statement, assessment=assessment, note=built.note)


def _call_of(arguments: Mapping[str, Any]) -> str:
    return f"run({', '.join(f'{name}={shortened(given)}' for name, given in arguments.items())})"


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def shortened(value: Any) -> str:
    """Return a value as JSON of a few hundred characters at most."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
