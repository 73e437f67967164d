"""Answers a question about rows: reads it, lets the data place its values, runs the SQL and words the result.

First round: a look-up of the values whose column the question does not name, if there are any. Second round: the query. Third:
the answer. What cannot be read in exactly one way is not answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent.providers.offline_model.answers import answer_text, asks_which, failure_message, nowhere
from agent.providers.offline_model.definitions import with_definitions
from agent.providers.offline_model.followups import understand
from agent.providers.offline_model.query import Query, Unclear
from agent.providers.offline_model.sql_writer import CannotJoin, render
from agent.providers.offline_model.turn_view import Answer, Call, Outcome, Refusal, Step, Turn
from agent.providers.offline_model.values import (
    LookUp,
    Place,
    all_conditions,
    contradicts,
    look_up,
    placed,
    places_found,
    sought,
)

_FINAL = ("waiting", "rejected", "expired", "refused")


def ask(turn: Turn) -> Step | None:
    """Return the next call for the question, or its answer. Words that a fact defines have the meaning that it gives them."""
    names = with_definitions(turn.names, turn.graph, turn.memories)
    readings = understand((*turn.earlier, turn.question), names, turn.graph)
    if isinstance(readings, Unclear):
        return _look_up_schema(readings, turn)
    found = found_places(turn, look_up(readings))
    if not isinstance(found, Mapping):
        return found
    queries = list(dict.fromkeys(one for query in readings for one in placed(query, found)))
    if not queries:
        return Answer(text=nowhere(*sought(readings)))
    possible = [query for query in queries if not contradicts(tuple(all_conditions(query)))]
    if not possible:
        return Refusal(reason="its conditions exclude each other for one row; please ask for each by itself")
    return _run(possible, turn)


def found_places(turn: Turn, search: LookUp | None) -> Mapping[Place, bool] | Step:
    """Return where the data holds the values that are searched, or the call that finds it out."""
    if search is None:
        return {}
    if search.too_many:
        return Refusal(reason="its value may stand in too many columns; please name the column")
    outcome = turn.outcome("execute_sql", sql=search.sql)
    if outcome is None:
        return _call(turn, search.sql)
    return places_found(search, outcome.result) if outcome.success else Answer(text=failure_message(outcome.result))


def _run(queries: Sequence[Query], turn: Turn) -> Step:
    """Return the call of the one statement that `queries` come to, or its answer; ask when they come to several."""
    statements: dict[str, Query] = {}
    problem = ""
    for query in queries:
        try:
            statements.setdefault(render(query, turn.graph), query)
        except CannotJoin as error:
            problem = str(error)
    if not statements:
        return Refusal(reason=problem)
    present = {sql: query for sql, query in statements.items() if not query.absent} or statements
    if len(present) > 1:
        return Answer(text=asks_which(list(present.values())))
    sql, query = next(iter(present.items()))
    outcome = turn.outcome("execute_sql", sql=sql)
    if outcome is None:
        return _call(turn, sql)
    return Answer(text=answer_text(query, outcome.result)) if outcome.success else _after_failure(query, outcome, turn)


def _call(turn: Turn, sql: str) -> Step:
    if "execute_sql" not in turn.tools:
        return Refusal(reason="I have no tool for queries here")
    return Call(tool="execute_sql", arguments={"sql": sql})


def _look_up_schema(unclear: Unclear, turn: Turn) -> Step:
    """Return a call for the schema of a missing table or its columns, once; else the reason why the question is unclear."""
    if "describe_schema" in turn.tools:
        if unclear.need and not turn.has_described(_name(unclear.need.schema, unclear.need.name)):
            return Call(tool="describe_schema", arguments={"name": _name(unclear.need.schema, unclear.need.name)})
        if unclear.no_relation and not turn.has_described():
            return Call(tool="describe_schema", arguments={})
    if unclear.no_relation and not turn.names.relations:
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
