"""Finds the triggers that run with a statement: on the tables that it changes, and on those that foreign keys change. Pure.

If it is not certain which tables are changed (because of a view or a rule), every table that the statement reaches counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from agent.statements.parser import Message, Statement
from agent.statements.resolver import Relation, Resolution

# Events, as the bits of pg_trigger.tgtype.
INSERT, DELETE, UPDATE, TRUNCATE = 4, 8, 16, 32
_ANY = INSERT | DELETE | UPDATE | TRUNCATE
_COMMANDS = {"CMD_INSERT": INSERT, "CMD_DELETE": DELETE, "CMD_UPDATE": UPDATE}
_CASCADES = {"c": DELETE, "n": UPDATE, "d": UPDATE}


def fired_by(statement: Statement, resolution: Resolution) -> Mapping[int, frozenset[str]]:
    """Return the names of the triggers that run, by the number of their relation."""
    return {
        number: frozenset(name for name, _, kind in resolution.relations[number].triggers if kind & events)
        for number, events in changed_by(statement, resolution).items()
    }


def changed_by(statement: Statement, resolution: Resolution) -> dict[int, int]:
    """Return the events that may happen on each relation, as bits. A relation that is only read is left out."""
    targets = _target_events(statement)
    relations = resolution.relations
    if any(inner.kind == "rule" for inner in resolution.inner):
        return dict.fromkeys(relations, _ANY)
    changed = {
        number: targets[relation.name.name] for number, relation in relations.items() if relation.name.name in targets
    }
    if not changed or any(relations[number].kind == "v" for number in changed):
        every = 0
        for events in targets.values():
            every |= events
        changed = dict.fromkeys(relations, every or _ANY)
    pending = list(changed)
    while pending:
        number = pending.pop()
        for other, events in _events_caused(number, changed[number], relations):
            if other in relations and events & ~changed.get(other, 0):
                changed[other] = changed.get(other, 0) | events
                pending.append(other)
    return changed


def _target_events(statement: Statement) -> dict[str, int]:
    """Return the events on the tables that the statement names as its targets, by their names."""
    targets: dict[str, int] = {}
    for kind, message in statement.parts:
        events = _events(kind, message)
        if events:
            name = str(message.relation.relname)
            targets[name] = targets.get(name, 0) | events
    return targets


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


def _events_caused(number: int, events: int, relations: Mapping[int, Relation]) -> Iterator[tuple[int, int]]:
    """Yield (relation, events) that a change of one relation causes on its partitions and children, and by foreign keys."""
    relation = relations[number]
    kinds = {relation.kind, *(kind for _, kind in relation.kin)}
    if "p" in kinds and events & UPDATE:  # an UPDATE may move a row to another partition
        events |= INSERT | DELETE
    family = {name for name, _ in relation.kin} | {relation.name}
    yield from ((other, events) for other, relative in relations.items() if relative.name in family)
    for other, deleted, updated in relation.written:
        if events & DELETE:
            yield other, _CASCADES.get(deleted, 0)
        if events & UPDATE and updated in _CASCADES:
            yield other, UPDATE
