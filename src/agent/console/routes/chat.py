"""`/console/chat`: conversations with their steps, sources and open requests; results as tables, and statements run again as reads."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response, StreamingResponse
from markupsafe import Markup
from pydantic import BaseModel, Field
from sse_starlette import EventSourceResponse
from sse_starlette.event import ServerSentEvent

from agent.api.events import document_of
from agent.api.turn_streams import TurnStream, TurnStreams
from agent.approval.human_approval import human_approval_queue
from agent.chat import chat
from agent.console.answers import AnswerPart, Suggestion, answer_parts
from agent.console.rendering import ConsoleRoute, done, page, segment
from agent.console.request_views import RequestView, request_view
from agent.console.result_tables import ResultTable, csv_of, plot_of, table_of
from agent.console.routes.approvals import execution_of
from agent.console.visits import ROOT, Form, Visit, Visitor, needs
from agent.errors import AgentError, AlreadyDecided, InvalidInput, NotFound
from agent.operations import approvals, executions, feedback, suggestions
from agent.runtime import Runtime
from agent.text.visible import clean
from agent.threads import threads
from agent.threads.records import StoredCall, TurnRecord
from agent.types import CallKey, ToolResult

router = APIRouter(prefix=f"{ROOT}/chat", route_class=ConsoleRoute)
_THREADS, _TURNS, _ROWS, _PER_PAGE = 30, 12, 10, 100
_FIRST_EVENT_SECONDS = 3.0
ThreadId = Annotated[str, Path(min_length=1, max_length=200)]
Number = Annotated[int, Path(ge=0, le=2**31 - 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A tool call of a turn. `what` is its statement, or the tool with its arguments."""

    key: CallKey
    what: str
    outcome: str
    good: bool
    table: ResultTable | None


class Shown(BaseModel):
    """Which rows of a result a page shows: sorted by a column, from a row on."""

    sort: int | None = Field(None, ge=0, le=2_000)
    down: bool = False
    first: int = Field(0, ge=0, le=10**7)


@dataclass(frozen=True, slots=True, kw_only=True)
class SuggestionView:
    """A suggested statement with what was decided about it (None while nothing was), and what came of that."""

    suggestion: Suggestion
    outcome: str
    decided: suggestions.Decided | None
    request: RequestView | None
    table: ResultTable | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnView:
    """A turn as a page shows it. `shown` is the step whose rows belong under the answer, `requests` what waits or was decided.

    `parts` are the answer with the statements that each part suggests; `judged` is what the reader said of the answer.
    """

    turn: TurnRecord
    parts: tuple[tuple[AnswerPart, tuple[SuggestionView, ...]], ...]
    judged: feedback.Feedback | None
    steps: tuple[Step, ...]
    shown: Step | None
    plot: Markup | None
    requests: tuple[RequestView, ...]

    @property
    def has_table(self) -> bool:
        """Return whether the answer itself shows a table."""
        return any("<table>" in part.html for part, _ in self.parts)


@router.get("", dependencies=needs("viewer"))
async def begin(request: Request, visit: Visitor) -> Response:
    """Show the conversations, and where to begin one."""
    return await page(
        request, visit, "chat.html", threads=await threads.recent(limit=_THREADS, runtime=visit.runtime), thread_id="", turns=(),
        earlier=0, stream="", running=False, few_rows=_ROWS, names=(),
    )  # fmt: skip


@router.post("/ask", dependencies=needs("operator"))
async def ask(request: Request, visit: Visitor, form: Form) -> Response:
    """Ask, and go to the conversation as soon as the turn has begun. The turn goes on whoever looks."""
    thread_id = form.get("thread_id") or chat.new_thread()
    streams: TurnStreams = request.app.state.streams
    question = form.get("question", "")
    stream = streams.start(
        _owner(visit.runtime), thread_id, lambda: chat.ask(question, thread_id=thread_id, runtime=visit.runtime)
    )
    async for _ in stream.read(pause=_FIRST_EVENT_SECONDS):  # raises what is wrong with the question
        break
    return done(request, form, to=f"{ROOT}/chat/{segment(thread_id)}")


@router.get("/streams/{stream_id}", dependencies=needs("operator"))
async def follow(request: Request, stream_id: str, visit: Visitor) -> Response:
    """Send the events of a turn as they happen, from its beginning: whoever reconnects loses nothing."""
    streams: TurnStreams = request.app.state.streams
    stream = streams.get(stream_id, owner=_owner(visit.runtime))
    if stream is None:
        return Response(status_code=204)  # ends the reader's attempts; the page then shows what is stored
    return EventSourceResponse(_events(stream), send_timeout=30, ping=15)


@router.get("/{thread_id}", dependencies=needs("viewer"))
async def show(request: Request, thread_id: ThreadId, visit: Visitor, *, every: Annotated[bool, Query(alias="all")] = False) -> Response:  # fmt: skip
    """Show a conversation: the newest turns, or all of them."""
    runtime = visit.runtime
    streams: TurnStreams = request.app.state.streams
    stream = streams.running(thread_id, owner=_owner(runtime))
    try:
        stored = await threads.turns(thread_id, runtime=runtime)
    except NotFound:
        if stream is None:
            raise
        stored = []
    kept = stored if every else stored[-_TURNS:]
    said = _Said(
        judged=await feedback.own(thread_id, runtime=runtime) if stored else {},
        decided=await suggestions.decided(thread_id, runtime=runtime) if stored else {},
    )
    turns = [await _turn_view(thread_id, turn, said, runtime) for turn in kept]
    return await page(
        request, visit, "chat.html", threads=await threads.recent(limit=_THREADS, runtime=runtime), thread_id=thread_id, turns=turns,
        earlier=len(stored) - len(kept), stream=stream.id if stream else "", few_rows=_ROWS, names=(),
        running=bool(kept and kept[-1]["status"] == "running"),
    )  # fmt: skip


@router.post("/{thread_id}/stop", dependencies=needs("operator"))
async def stop(request: Request, thread_id: ThreadId, visit: Visitor, form: Form) -> Response:
    """Stop the turn that runs."""
    streams: TurnStreams = request.app.state.streams
    stream = streams.running(thread_id, owner=_owner(visit.runtime))
    if stream is None:
        return done(request, form, "Nothing of yours runs here any more.")
    await streams.cancel(stream)
    return done(request, form, "Stopped. What was approved before stays approved.")


@router.post("/{thread_id}/delete", dependencies=needs("operator"))
async def delete(request: Request, thread_id: ThreadId, visit: Visitor, form: Form) -> Response:
    """Delete a conversation."""
    await threads.delete(thread_id, runtime=visit.runtime)
    return done(request, form, "The conversation is deleted.", to=f"{ROOT}/chat")


@router.post("/{thread_id}/{turn}/feedback", dependencies=needs("operator"))
async def judge(request: Request, thread_id: ThreadId, turn: Number, visit: Visitor, form: Form) -> Response:
    """Say that an answer is right, or wrong and what is right instead."""
    if form.get("right") not in {"yes", "no"}:
        raise InvalidInput("Say whether the answer is right.")
    said = await feedback.give(
        thread_id, turn, right=form["right"] == "yes", reason=form.get("reason", ""), via="console", runtime=visit.runtime
    )  # fmt: skip
    return done(request, form, said or "Noted.")


@router.post("/{thread_id}/{turn}/suggestions/{place}", dependencies=needs("operator"))
async def decide(request: Request, thread_id: ThreadId, turn: Number, *, place: Number, visit: Visitor, form: Form) -> Response:  # fmt: skip
    """Accept a statement that an answer suggests, exactly as it was seen, or reject it."""
    runtime = visit.runtime
    answers = [one["answer"] or "" for one in await threads.turns(thread_id, runtime=runtime) if one["turn"] == turn]
    offered = [one for answer in answers for part in answer_parts(answer) for one in part.suggestions]
    found = next((one for one in offered if one.place == place and one.digest == form.get("digest")), None)
    if found is None:
        raise NotFound("This answer does not suggest that statement: load the page again.")
    try:
        if form.get("decision") == "accept":
            said = await suggestions.accept(thread_id, turn, place, found.sql, runtime=runtime)
        elif form.get("decision") == "reject":
            said = await suggestions.reject(thread_id, turn, place, form.get("reason", ""), runtime=runtime)
        else:
            raise InvalidInput("Accept the statement or reject it.")
    except AlreadyDecided as error:
        said = str(error)
    return done(request, form, said)


@router.get("/{thread_id}/{turn}/suggestions/{place}", dependencies=needs("viewer"))
async def suggested(
    request: Request, visit: Visitor, thread_id: ThreadId, turn: Number, place: Number, *, shown: Annotated[Shown, Depends()]
) -> Response:  # fmt: skip
    """Show the rows of a suggested statement that ran."""
    return await _rows_page(
        request, visit, await _suggested_step(thread_id, turn, place, visit.runtime), thread_id, shown
    )


@router.get("/{thread_id}/{turn}/suggestions/{place}/rows.csv", dependencies=needs("viewer"))
async def suggested_rows(thread_id: ThreadId, turn: Number, place: Number, visit: Visitor) -> Response:
    """Send the rows of a suggested statement as CSV."""
    return _csv(await _suggested_step(thread_id, turn, place, visit.runtime), f"rows-{turn}-{place}")


@router.get("/{thread_id}/{turn}/{round_}/{ordinal}", dependencies=needs("viewer"))
async def result(
    request: Request, visit: Visitor, thread_id: ThreadId, turn: Number, round_: Number, *, ordinal: Number, shown: Annotated[Shown, Depends()]
) -> Response:  # fmt: skip
    """Show the rows of one step, sorted and paged, with its statement to run again."""
    step = await _step(CallKey(thread_id=thread_id, turn=turn, round=round_, ordinal=ordinal), visit.runtime)
    return await _rows_page(request, visit, step, thread_id, shown)


@router.get("/{thread_id}/{turn}/{round_}/{ordinal}/rows.csv", dependencies=needs("viewer"))
async def rows(thread_id: ThreadId, turn: Number, round_: Number, ordinal: Number, visit: Visitor) -> Response:
    """Send the rows of one step as CSV."""
    step = await _step(CallKey(thread_id=thread_id, turn=turn, round=round_, ordinal=ordinal), visit.runtime)
    return _csv(step, f"rows-{turn}-{round_}-{ordinal}")


@router.post("/read", dependencies=needs("operator"))
async def read(request: Request, visit: Visitor, form: Form) -> Response:
    """Run a statement as a read, and show its rows. It changes nothing and asks nobody."""
    sql = form.get("text", "")
    try:
        found = await executions.read(sql, runtime=visit.runtime)
    except AgentError as error:  # shown beside the statement, which is to be corrected
        found = ToolResult(success=False, error=str(error))
    table = table_of(found)
    what = Step(
        key=CallKey(thread_id="", turn=0, round=0, ordinal=0), what=sql, outcome=_outcome(found), good=bool(found.get("success")),
        table=table,
    )  # fmt: skip
    return await page(
        request, visit, "result.html", step=what, table=table.page(0, 1_000) if table else None, per_page=1_000, sort=None, down=False,
        plot=plot_of(table) if table else None, sql=sql, thread_id=form.get("thread_id", ""), again=True,
    )  # fmt: skip


def _owner(runtime: Runtime) -> str:
    return f"{runtime.tenant_id}/{runtime.user}"


async def _turn_view(thread_id: str, turn: TurnRecord, said: _Said, runtime: Runtime) -> TurnView:
    steps = [_step_view(call) for call in await threads.calls(thread_id, turn["turn"], runtime=runtime)]
    about = turn["sources"].get("rows_of") or {}
    place = (about.get("round"), about.get("ordinal"))
    shown = next((step for step in steps if (step.key.round, step.key.ordinal) == place and step.table), None)
    asked = await human_approval_queue.for_turn(thread_id, turn["turn"], runtime=runtime)
    views = await approvals.views_of(asked, runtime=runtime) if asked else ()
    parts = answer_parts(turn["answer"] or "", ran=[step.what for step in steps])
    return TurnView(
        turn=turn,
        parts=tuple([
            (part, tuple([await _suggestion_view(turn["turn"], one, said, runtime) for one in part.suggestions])) for part in parts
        ]),
        judged=said.judged.get(turn["turn"]),
        steps=tuple(steps),
        shown=shown,
        plot=plot_of(shown.table) if shown and shown.table else None,
        requests=tuple([request_view(view, await execution_of(view, runtime)) for view in views]),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """What people said of the answers of a conversation, and of the statements in them."""

    judged: Mapping[int, feedback.Feedback]
    decided: Mapping[tuple[int, int], suggestions.Decided]


async def _suggestion_view(turn: int, one: Suggestion, said: _Said, runtime: Runtime) -> SuggestionView:
    decided = said.decided.get((turn, one.place))
    request = None
    result = decided.result if decided and decided.result else ToolResult()
    if number := result.get("approval_id"):
        view = await approvals.view(number, runtime=runtime)
        request = request_view(view, await execution_of(view, runtime))
    return SuggestionView(
        suggestion=one, decided=decided, request=request, table=table_of(result), outcome=_outcome(result) if result else "",
    )  # fmt: skip


def _step_view(call: StoredCall) -> Step:
    sql = call.arguments.get("sql")
    given = json.dumps(call.arguments, ensure_ascii=False, default=str) if call.arguments else ""
    return Step(
        key=call.key,
        what=sql if isinstance(sql, str) else f"{call.tool} {given}",
        outcome="waits for a decision"
        if call.status == "waiting"
        else _outcome(call.result)
        if call.result
        else "runs",
        good=bool(call.result and call.result.get("success")) or call.status != "done",
        table=table_of(call.result),
    )


def _outcome(result: Any) -> str:
    if not result.get("success"):
        return str(result.get("error") or result.get("message") or result.get("status") or "failed")
    rows = result.get("row_count")
    if rows is None or result.get("approval_id"):
        return str(result.get("message") or "done")
    return f"{rows:,} {'row' if rows == 1 else 'rows'}{' (not all of them)' if result.get('truncated') else ''}"


async def _suggested_step(thread_id: str, turn: int, place: int, runtime: Runtime) -> Step:
    decided = (await suggestions.decided(thread_id, runtime=runtime)).get((turn, place))
    answers = [one["answer"] or "" for one in await threads.turns(thread_id, runtime=runtime) if one["turn"] == turn]
    offered = [
        one.sql for answer in answers for part in answer_parts(answer) for one in part.suggestions if one.place == place
    ]
    if decided is None or decided.result is None or not offered:
        raise NotFound("Nothing ran there.")
    return Step(
        key=CallKey(thread_id=thread_id, turn=turn, round=0, ordinal=place), what=offered[0], outcome=_outcome(decided.result),
        good=bool(decided.result.get("success")), table=table_of(decided.result),
    )  # fmt: skip


async def _rows_page(request: Request, visit: Visit, step: Step, thread_id: str, shown: Shown) -> Response:
    table = step.table.sorted_by(shown.sort, descending=shown.down) if step.table else None
    return await page(
        request, visit, "result.html", step=step, table=table.page(shown.first, _PER_PAGE) if table else None, per_page=_PER_PAGE,
        plot=plot_of(step.table) if step.table else None, sort=shown.sort, down=shown.down, sql=step.what, thread_id=thread_id, again=False,
    )  # fmt: skip


def _csv(step: Step, name: str) -> Response:
    if step.table is None:
        raise NotFound("This step has no rows.")
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return StreamingResponse(csv_of(step.table), media_type="text/csv; charset=utf-8", headers=headers)


async def _step(key: CallKey, runtime: Runtime) -> Step:
    calls = await threads.calls(key.thread_id, key.turn, runtime=runtime)
    found = next((call for call in calls if call.key == key), None)
    if found is None:
        raise NotFound("There is no such step in this conversation.")
    return _step_view(found)


async def _events(stream: TurnStream) -> AsyncIterator[ServerSentEvent]:
    """Yield what a page shows of a turn: texts and statements, no results. At the end the page reads what is stored."""
    try:
        async for number, event in stream.read():
            if event is None:
                continue
            name, document = document_of(event)
            kept: dict[str, Any] = {}
            if name == "token":
                kept = {"text": clean(document["text"])}
            elif name == "tool":
                arguments = document.get("arguments") or {}
                kept = {
                    "state": document["state"],
                    "tool": clean(document["tool"]),
                    "sql": clean(arguments.get("sql") or "")[:2_000],
                }
            yield ServerSentEvent(data=json.dumps(kept), event=name, id=f"{stream.id}:{number}")
    except AgentError as error:
        yield ServerSentEvent(data=json.dumps({"detail": str(error)}), event="failed")
        return
    yield ServerSentEvent(data="{}", event="done")
