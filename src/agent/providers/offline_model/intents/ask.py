"""Answers a question about rows: parses it into a query, runs its SQL and words the result."""

from __future__ import annotations

from agent.providers.offline_model.answers import answer_text, failure_message
from agent.providers.offline_model.followups import understand
from agent.providers.offline_model.query import Query, Unclear
from agent.providers.offline_model.sql_writer import CannotJoin, render
from agent.providers.offline_model.turn_view import Answer, Call, Outcome, Refusal, Step, Turn

_FINAL = ("waiting", "rejected", "expired", "refused")


def ask(turn: Turn) -> Step | None:
    """Return the call with the question's SQL, or the answer when it has run."""
    query = understand((*turn.earlier, turn.question), turn.lexicon)
    if isinstance(query, Unclear):
        return _look_up(query, turn)
    try:
        sql = render(query, turn.graph)
    except CannotJoin as problem:
        return Refusal(reason=str(problem))
    outcome = turn.outcome("execute_sql", sql=sql)
    if outcome is None:
        if "execute_sql" not in turn.tools:
            return Refusal(reason="I have no tool for queries here")
        return Call(tool="execute_sql", arguments={"sql": sql})
    if outcome.success:
        return Answer(text=answer_text(query, outcome.result))
    return _after_failure(query, outcome, turn)


def _look_up(unclear: Unclear, turn: Turn) -> Step:
    """Return a call for the schema of a missing table or its columns, once; else the reason why the question is unclear."""
    if "describe_schema" in turn.tools:
        if unclear.need and not turn.has_described(_name(unclear.need.schema, unclear.need.name)):
            return Call(tool="describe_schema", arguments={"name": _name(unclear.need.schema, unclear.need.name)})
        if unclear.no_relation and not turn.has_described():
            return Call(tool="describe_schema", arguments={})
    if unclear.no_relation and not turn.lexicon.relations:
        return Refusal(reason="the database has no tables that I can see")
    return Refusal(reason=unclear.reason)


def _after_failure(query: Query, failed: Outcome, turn: Turn) -> Step:
    """Return a call that describes the table again, in case it has changed. The same SQL is not run twice."""
    name = _name(query.main.schema, query.main.name)
    if failed.result.get("status") in _FINAL or turn.has_described(name) or "describe_schema" not in turn.tools:
        return Answer(text=failure_message(failed.result))
    return Call(tool="describe_schema", arguments={"name": name})


def _name(schema: str, name: str) -> str:
    return f"{schema}.{name}"
