"""A question about rows: read it into a query, run its SQL, say what came out."""

from __future__ import annotations

from agent.providers.offline_model.answers import answer, trouble
from agent.providers.offline_model.followups import understand
from agent.providers.offline_model.query import Query, Unclear
from agent.providers.offline_model.sql_writer import CannotJoin, render
from agent.providers.offline_model.turn_view import Call, Cannot, Outcome, Say, Step, Turn

_FINAL = ("waiting", "rejected", "expired", "refused")


def ask(turn: Turn) -> Step | None:
    """The SQL of the question, or the answer when it has run."""
    query = understand((*turn.earlier, turn.question), turn.lexicon)
    if isinstance(query, Unclear):
        return _look_up(query, turn)
    try:
        sql = render(query, turn.graph)
    except CannotJoin as problem:
        return Cannot(reason=str(problem))
    done = turn.outcome("execute_sql", sql=sql)
    if done is None:
        if "execute_sql" not in turn.tools:
            return Cannot(reason="I have no tool for queries here")
        return Call(tool="execute_sql", arguments={"sql": sql})
    if done.success:
        return Say(text=answer(query, done.result))
    return _after_failure(query, done, turn)


def _look_up(unclear: Unclear, turn: Turn) -> Step:
    """Ask for the schema when a table or its columns are missing, once; else say what is not understood."""
    if "describe_schema" in turn.tools:
        if unclear.need and not turn.described(_name(unclear.need.schema, unclear.need.name)):
            return Call(tool="describe_schema", arguments={"name": _name(unclear.need.schema, unclear.need.name)})
        if unclear.no_relation and not turn.described():
            return Call(tool="describe_schema", arguments={})
    if unclear.no_relation and not turn.lexicon.relations:
        return Cannot(reason="the database has no tables that I can see")
    return Cannot(reason=unclear.reason)


def _after_failure(query: Query, failed: Outcome, turn: Turn) -> Step:
    """Look the table up again, in case it has changed since it was described; the same SQL is not tried twice."""
    name = _name(query.main.schema, query.main.name)
    if failed.result.get("status") in _FINAL or turn.described(name) or "describe_schema" not in turn.tools:
        return Say(text=trouble(failed.result))
    return Call(tool="describe_schema", arguments={"name": name})


def _name(schema: str, name: str) -> str:
    return f"{schema}.{name}"
