"""Which triggers run with a statement: those of what it does, on what it changes and on what foreign keys change with it. Pure.

Where it is not plain what is changed (a view, a rule) every table that the statement reaches counts as changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from agent.statements.parser import Message, Statement
from agent.statements.resolver import Relation, Resolution

# Bits of pg_trigger.tgtype.
INSERT, DELETE, UPDATE, TRUNCATE = 4, 8, 16, 32
_ANY = INSERT | DELETE | UPDATE | TRUNCATE
_COMMANDS = {"CMD_INSERT": INSERT, "CMD_DELETE": DELETE, "CMD_UPDATE": UPDATE}
_CASCADES = {"c": DELETE, "n": UPDATE, "d": UPDATE}


def fired_by(statement: Statement, resolution: Resolution) -> Mapping[int, frozenset[str]]:
    """The names of the triggers that run, by the number of their relation."""
    return {
        number: frozenset(name for name, _, kind in resolution.relations[number].triggers if kind & events)
        for number, events in changed_by(statement, resolution).items()
    }


def changed_by(statement: Statement, resolution: Resolution) -> dict[int, int]:
    """What may be done to each relation, as bits; that of what is only read is none of them."""
    own = dict(_own(statement))
    relations = resolution.relations
    if any(inner.what == "rule" for inner in resolution.inner):
        return dict.fromkeys(relations, _ANY)
    found = {number: own[one.name.name] for number, one in relations.items() if one.name.name in own}
    if not found or any(relations[number].kind == "v" for number in found):
        every = 0
        for events in own.values():
            every |= events
        found = dict.fromkeys(relations, every or _ANY)
    pending = list(found)
    while pending:
        number = pending.pop()
        for other, events in _passed_on(number, found[number], relations):
            if other in relations and events & ~found.get(other, 0):
                found[other] = found.get(other, 0) | events
                pending.append(other)
    return found


def _own(statement: Statement) -> Iterator[tuple[str, int]]:
    """What the statement itself does to the tables that it names as what it changes."""
    found: dict[str, int] = {}
    for kind, message in statement.parts:
        events = _events(kind, message)
        if events:
            name = str(message.relation.relname)
            found[name] = found.get(name, 0) | events
    return iter(found.items())


def _events(kind: str, message: Message) -> int:
    if kind == "InsertStmt":
        action = message.on_conflict_clause
        name = action.DESCRIPTOR.fields_by_name["action"].enum_type.values_by_number[action.action].name
        return INSERT | (UPDATE if name == "ONCONFLICT_UPDATE" else 0)
    if kind == "MergeStmt":
        events = 0
        for part in message.merge_when_clauses:
            clause = part.merge_when_clause
            numbers = clause.DESCRIPTOR.fields_by_name["command_type"].enum_type.values_by_number
            events |= _COMMANDS.get(numbers[clause.command_type].name, 0)
        return events
    return {"UpdateStmt": UPDATE, "DeleteStmt": DELETE}.get(kind, 0)


def _passed_on(number: int, events: int, relations: Mapping[int, Relation]) -> Iterator[tuple[int, int]]:
    """What a change of one relation does to others: to its partitions and children, and by foreign keys."""
    relation = relations[number]
    kinds = {relation.kind, *(kind for _, kind in relation.kin)}
    if "p" in kinds and events & UPDATE:  # a row may go from one partition to another
        events |= INSERT | DELETE
    family = {name for name, _ in relation.kin} | {relation.name}
    yield from ((other, events) for other, one in relations.items() if one.name in family)
    for other, deleted, updated in relation.written:
        if events & DELETE:
            yield other, _CASCADES.get(deleted, 0)
        if events & UPDATE and updated in _CASCADES:
            yield other, UPDATE
