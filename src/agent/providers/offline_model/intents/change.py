"""Changes one field of one row by its key: "Set the status of client Quartz Health to paused".

The new value is taken exactly as it is written, to the end of the sentence or in quotes. A row that is named is looked up first, and
the change goes by its key. What is not exact is asked back, never proposed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from agent.providers.offline_model.answers import change_message, failure_message, meaning, nowhere
from agent.providers.offline_model.conditions import reference
from agent.providers.offline_model.intents.ask import found_places
from agent.providers.offline_model.join_graph import display_field
from agent.providers.offline_model.new_values import NewValue, new_value
from agent.providers.offline_model.query import Comparison, Field, Query, Wanted
from agent.providers.offline_model.reader import Place, Reader
from agent.providers.offline_model.schema_parser import Column, Relation
from agent.providers.offline_model.sql_writer import identifier, literal, render, table
from agent.providers.offline_model.tokenizer import sentence_of, words_of
from agent.providers.offline_model.turn_view import Answer, Call, Refusal, Step, Turn
from agent.providers.offline_model.values import look_up, placed, sought

_OPENING = re.compile(r"^\W*(?:please |can you |could you )*(?:set|change|update|mark|make|rename|correct)\b", re.I)
_VERBS = "set|change|update|mark|make|rename|correct"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The field to be changed: `column` (None: the one that has the value as its label) of the row that `row` picks."""

    row: Query
    column: Column | None

    @property
    def relation(self) -> Relation:
        return self.row.main


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A target, and the text of its new value."""

    target: Target
    text: str
    quoted: bool


def change(turn: Turn) -> Step | None:
    """Return the call that looks the row up or makes the change, or its outcome; None when nothing is to be changed."""
    if not _OPENING.match(turn.question):
        return None
    r = Reader(sentence_of(turn.question), turn.names, turn.graph)
    proposals = list(dict.fromkeys(_proposals(r)))
    if not proposals:
        return Refusal(
            reason="I can set one field of one row, as in: Set the <column> of <table> <key or name> to <value>"
            + (f" ({r.notes[0]})" if r.notes else "")
        )
    proposals = [one for one in proposals if one.target.column] or proposals
    proposals = [one for one in proposals if isinstance(one.target.row.conditions[0], Comparison)] or proposals
    if len(proposals) > 1:
        return Answer(text=f"I cannot tell where the new value begins; please put it in quotes. {_NOTHING}")
    proposal = proposals[0]
    value = new_value(proposal.target.relation, proposal.target.column, proposal.text, quoted=proposal.quoted)
    if isinstance(value, str):
        return Answer(text=f"{value} {_NOTHING}")
    return _by_key(proposal.target, value, turn)


_NOTHING = "Nothing was changed."


def _proposals(r: Reader) -> Iterator[Proposal]:
    """Yield each way to split the sentence into a field of a row and its new value."""
    at = r.skip(0, "please|can|could|you")
    verb = r.word(at, _VERBS)
    if verb is None:
        return
    for to in range(verb + 1, len(r.s.tokens)):
        begin = r.word(to, "to|=|as", "into") or (to if r.word(at, "mark|make") else None)
        if begin is None or begin >= len(r.s.tokens) or (begin == to and begin != len(r.s.tokens) - 1):
            continue
        for target, end in _targets(r, verb, renames=bool(r.word(at, "rename"))):
            if end == to:
                first = r.s.tokens[begin]
                whole = r.s.text[first.start :].strip()
                quoted = first.kind == "quoted" and re.fullmatch(r"[.!]?", r.s.text[first.end :].strip()) is not None
                yield Proposal(target=target, text=first.text if quoted else whole, quoted=quoted)


def _targets(r: Reader, at: Place, *, renames: bool) -> Iterator[tuple[Target, Place]]:
    at = r.skip(at, "the")
    for main in r.names.relations:
        for _, place, end in r.columns(at, main):
            of = r.word(end, "of|for|in the?")
            if of and place.relation.id == main.id and place.second is None:
                yield from _rows_of(r, of, main, place.column)
    for name, end in r.relations(at):
        for query, after in _row(r, end, name.relation):
            named = display_field(name.relation) if renames else None
            if not renames or (named and named.second is None):
                yield Target(row=query, column=named.column if named else None), after
            for column_name, place, last in r.columns(r.skip(after, "'s"), name.relation):
                if place.relation.id == name.relation.id and not column_name.negated and place.second is None:
                    yield Target(row=query, column=place.column), last


def _rows_of(r: Reader, at: Place, main: Relation, column: Column) -> Iterator[tuple[Target, Place]]:
    for name, end in r.relations(at):
        if name.relation.id == main.id:
            yield from ((Target(row=query, column=column), after) for query, after in _row(r, end, main))


def _row(r: Reader, at: Place, main: Relation) -> Iterator[tuple[Query, Place]]:
    for found, end in reference(r, main, at, named=True):
        yield Query(main=main, conditions=(found,)), end


def _by_key(target: Target, value: NewValue, turn: Turn) -> Step:
    """Return the change of the row whose key is given, or is looked up by the row's name."""
    condition = target.row.conditions[0]
    if isinstance(condition, Comparison) and condition.value:
        return _write(target, value, (condition.value.text,), turn)
    found = found_places(turn, look_up([target.row]))
    if not isinstance(found, dict):
        return found  # type: ignore[return-value]  # a step
    queries = placed(target.row, found)
    if not queries:
        return Answer(text=f"{nowhere(*sought([target.row]))} {_NOTHING}")
    if len(queries) > 1:
        named = "; ".join(meaning(query) for query in queries)
        return Answer(text=f"Several columns have that value ({named}); please give the key. {_NOTHING}")
    return _by_looked_up_key(target, value, queries[0], turn)


def _by_looked_up_key(target: Target, value: NewValue, row: Query, turn: Turn) -> Step:
    keys = tuple(Field(relation=row.main, column=c) for c in row.main.columns if c.name in row.main.key)
    if not keys:
        return Refusal(reason=f"{row.main.display_name} has no key by which I could change one row")
    sql = render(Query(main=row.main, fields=keys, conditions=row.conditions, limit=2), turn.graph)
    outcome = turn.outcome("execute_sql", sql=sql)
    if outcome is None:
        return Call(tool="execute_sql", arguments={"sql": sql}) if "execute_sql" in turn.tools else _no_tool()
    if not outcome.success:
        return Answer(text=failure_message(outcome.result))
    rows: Sequence[Sequence[Any]] = outcome.result.get("rows") or []
    if len(rows) != 1:
        count = "No row fits" if not rows else "Several rows fit"
        return Answer(text=f"{count} {meaning(row)}; please give the key. {_NOTHING}")
    return _write(target, value, tuple(str(cell) for cell in rows[0][-len(keys) :]), turn)


def _write(target: Target, value: NewValue, key: tuple[str, ...], turn: Turn) -> Step:
    tool, arguments = _call(target.relation, value, key, turn)
    outcome = turn.outcome(tool, **arguments)
    if outcome:
        condition = target.row.conditions[0]
        named = f"{condition.text!r}, key " if isinstance(condition, Wanted) else ""
        text = f"{value.column.name} of {target.relation.display_name} {named}{', '.join(key)} set to {value.text!r}"
        return Answer(text=change_message(outcome.result, text) if outcome.success else failure_message(outcome.result))
    return Call(tool=tool, arguments=arguments) if tool in turn.tools else _no_tool()


def _no_tool() -> Refusal:
    return Refusal(reason="I have no tool for changes here")


def _call(relation: Relation, value: NewValue, key: tuple[str, ...], turn: Turn) -> tuple[str, dict[str, object]]:
    """Return the tool and its arguments: the narrow tool for a client's status where it fits, else SQL."""
    is_client = words_of(relation.name) in (("client",), ("customer",)) and relation.id == relation.unqualified_target
    if "update_client_status" in turn.tools and is_client and value.column.name == "status" and len(key) == 1:
        number = re.fullmatch(r"\d+", key[0])
        return "update_client_status", {"client_id": int(key[0]) if number else key[0], "status": value.text}
    keys = [column for column in relation.columns if column.name in relation.key]
    where = " AND ".join(
        f"{identifier(c.name)} = {k if c.numeric and re.fullmatch(r'-?[0-9]+', k) else literal(k)}"
        for c, k in zip(keys, key, strict=True)
    )
    return "execute_sql", {
        "sql": f"UPDATE {table(relation)} SET {identifier(value.column.name)} = {value.sql} WHERE {where}"
    }
