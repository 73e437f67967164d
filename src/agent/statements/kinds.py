"""Describes kinds of statements for approvers: in words, and how dangerous each is. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from agent.statements.parser import Message, Statement, kind_of, walk
from agent.types import RISK_LEVELS, RiskLevel

WRITES = {
    "InsertStmt": "insert", "UpdateStmt": "update", "DeleteStmt": "delete", "MergeStmt": "merge", "TruncateStmt": "truncate",
    "DropStmt": "drop", "CreateStmt": "create-table", "CreateTableAsStmt": "create-table-as", "AlterTableStmt": "alter-table",
    "IndexStmt": "create-index", "ViewStmt": "create-view", "RenameStmt": "rename", "GrantStmt": "grant", "CallStmt": "call",
    "CreateFunctionStmt": "create-function", "CreateTrigStmt": "create-trigger", "RuleStmt": "create-rule",
    "CreatePolicyStmt": "create-policy", "AlterPolicyStmt": "alter-policy", "RefreshMatViewStmt": "refresh",
    "CommentStmt": "comment", "VacuumStmt": "vacuum", "ReindexStmt": "reindex", "CreateExtensionStmt": "create-extension",
}  # fmt: skip

_VERBS = {
    "InsertStmt": "Inserts rows into", "UpdateStmt": "Changes rows of", "DeleteStmt": "Deletes rows from",
    "MergeStmt": "Merges rows into", "TruncateStmt": "Empties", "CreateStmt": "Creates the table",
    "AlterTableStmt": "Alters", "IndexStmt": "Creates an index on", "ViewStmt": "Creates a view over",
    "RefreshMatViewStmt": "Refreshes", "CreateTableAsStmt": "Creates a table from a query over",
}  # fmt: skip

# From the weakest to the strongest.
LOCKS = (
    "AccessShareLock", "RowShareLock", "RowExclusiveLock", "ShareUpdateExclusiveLock", "ShareLock",
    "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock",
)  # fmt: skip

# Statements that destroy data at once, or let code or people do more than before.
_CRITICAL = {
    "DropStmt", "TruncateStmt", "GrantStmt", "CreateFunctionStmt", "CreateTrigStmt", "RuleStmt", "CreatePolicyStmt",
    "AlterPolicyStmt", "CreateExtensionStmt", "AlterOwnerStmt", "AlterFunctionStmt", "AlterDefaultPrivilegesStmt",
}  # fmt: skip


# Commands of ALTER TABLE that lose data or remove a protection.
_CRITICAL_ALTER = {
    "DropColumn", "ChangeOwner", "DisableRowSecurity", "NoForceRowSecurity", "DisableTrig", "DisableTrigAll", "DisableTrigUser",
    "DisableRule", "DropInherit", "DetachPartition",
}  # fmt: skip
_DATA_WRITES = frozenset({"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})


@dataclass(frozen=True, slots=True)
class Danger:
    """A risk level and the codes that explain it."""

    risk: RiskLevel
    reasons: tuple[str, ...]


def risk_of(statement: Statement, problems: Iterable[str]) -> Danger:
    """Return how dangerous a statement is that is not a plain read; `problems` are the codes of its assessment."""
    dangers = [_danger_of_write(kind, message) for kind, message in statement.parts if kind in _DATA_WRITES]
    if statement.kind in _CRITICAL:
        dangers.append(Danger("CRITICAL", ()))
    elif statement.kind not in {"SelectStmt", "ExplainStmt", "VariableShowStmt"} and not dangers:
        dangers.append(Danger("HIGH", ()))
    dangers += [_danger_of_alter(message) for kind, message in statement.parts if kind == "AlterTableCmd"]
    if any(problem.startswith("function:") for problem in problems):
        dangers.append(Danger("HIGH", ()))
    dangers.append(Danger("MEDIUM", ()))
    worst = max(dangers, key=lambda danger: RISK_LEVELS.index(danger.risk))
    return Danger(worst.risk, tuple(reason for danger in dangers for reason in danger.reasons))


def _danger_of_alter(command: Message) -> Danger:
    subtypes = command.DESCRIPTOR.fields_by_name["subtype"].enum_type.values_by_number
    name = str(subtypes[command.subtype].name).removeprefix("AT_")
    if name in _CRITICAL_ALTER or cascades(command):
        return Danger("CRITICAL", (alter_reason(name),))
    return Danger("HIGH", ())


def alter_reason(name: str) -> str:
    """Return the code of a command of ALTER TABLE, from the parser's name for it."""
    words = "-".join(re.findall(r"[A-Z]+[a-z]*", name.removeprefix("AT_"))).lower()
    return f"alter:{words}"


def _danger_of_write(kind: str, message: Message) -> Danger:
    if kind in {"UpdateStmt", "DeleteStmt"} and not has_condition(message):
        return Danger("HIGH", ("no-where",))
    return Danger("MEDIUM", ())


def has_condition(message: Message) -> bool:
    """Return whether an UPDATE or DELETE has a WHERE that depends on the row: `WHERE true` does not."""
    if not message.HasField("where_clause"):
        return False
    return any(kind_of(part) == "ColumnRef" for part in walk(message.where_clause))


# The strongest lock that each kind of statement takes on the relations that it names; ALTER TABLE may take a weaker one.
_LOCKS = {
    "InsertStmt": "RowExclusiveLock", "UpdateStmt": "RowExclusiveLock", "DeleteStmt": "RowExclusiveLock",
    "MergeStmt": "RowExclusiveLock", "TruncateStmt": "AccessExclusiveLock", "DropStmt": "AccessExclusiveLock",
    "AlterTableStmt": "AccessExclusiveLock", "RenameStmt": "AccessExclusiveLock", "RuleStmt": "AccessExclusiveLock",
    "CreatePolicyStmt": "AccessExclusiveLock", "AlterPolicyStmt": "AccessExclusiveLock", "RefreshMatViewStmt": "AccessExclusiveLock",
    "ReindexStmt": "AccessExclusiveLock", "ClusterStmt": "AccessExclusiveLock", "IndexStmt": "ShareLock",
    "CreateTrigStmt": "ShareRowExclusiveLock", "CommentStmt": "ShareUpdateExclusiveLock", "VacuumStmt": "AccessExclusiveLock",
    "AlterObjectSchemaStmt": "AccessExclusiveLock", "AlterOwnerStmt": "AccessExclusiveLock", "ViewStmt": "AccessShareLock",
    "CreateTableAsStmt": "AccessShareLock", "LockStmt": "AccessExclusiveLock",
}  # fmt: skip


def lock_of(statement: Statement) -> str:
    """Return the strongest lock that a statement of this kind takes on the relations that it names; '' if it names none."""
    if refuses_transaction(statement) and "full" not in option_names(getattr(statement.node, "options", ())):
        return "ShareUpdateExclusiveLock"
    kinds = {kind for kind, _ in statement.parts}
    locks = [_LOCKS[kind] for kind in kinds if kind in _LOCKS]
    if "LockingClause" in kinds:
        locks.append("RowShareLock")
    if not locks:
        return "AccessShareLock" if statement.names.relations else ""
    return max(locks, key=LOCKS.index)


def refuses_transaction(statement: Statement) -> bool:
    """Return whether a statement runs only outside of a transaction and its outcome can be read from the catalogs later."""
    node = statement.node
    match statement.kind:
        case "VacuumStmt":
            return bool(node.is_vacuumcmd)
        case "IndexStmt" | "DropStmt":
            return bool(node.concurrent)
        case "ReindexStmt":
            return bool(node.HasField("relation")) and "concurrently" in option_names(node.params)
        case _:
            return False


def option_names(nodes: Iterable[Message]) -> set[str]:
    """Return the names, in lower case, in a list of options such as `(FULL, VERBOSE)`."""
    return {option.def_elem.defname.lower() for option in nodes}


def describe(statement: Statement) -> str:
    """Return a plain sentence about a statement for the approver."""
    target = _target(statement)
    if statement.kind in {"SelectStmt", "ExplainStmt", "VariableShowStmt"}:
        return _describe_query(statement)
    if statement.kind == "DropStmt":
        kind = str(statement.node.DESCRIPTOR.fields_by_name["remove_type"].enum_type.values_by_number[
            statement.node.remove_type].name).removeprefix("OBJECT_").lower()  # fmt: skip
        named = ", ".join(statement.objects)
        return f"Drops the {kind.replace('_', ' ')} {named}{' and all that depends on it' if cascades(statement.node) else ''}."
    verb = _VERBS.get(statement.kind)
    if verb is None:
        return f"Runs {_article(WRITES.get(statement.kind, statement.kind).replace('-', ' '))} statement{f' on {target}' if target else ''}."
    every = statement.kind in {"UpdateStmt", "DeleteStmt"} and not has_condition(statement.node)
    return f"{verb.replace(' rows', ' EVERY row') if every else verb} {target or 'an object'}."


def _describe_query(statement: Statement) -> str:
    names = ", ".join(statement.objects) or "no table"
    if statement.kind == "VariableShowStmt":
        return f"Shows the setting {statement.node.name}."
    if statement.kind == "SelectStmt" and any(kind in _DATA_WRITES for kind, _ in statement.parts):
        return f"Changes data inside a query over {names}."
    return f"{'Explains a statement over' if statement.kind == 'ExplainStmt' else 'Reads'} {names}."


def _target(statement: Statement) -> str:
    node = statement.node
    relation = getattr(node, "relation", None)
    if relation is None:
        relation = getattr(node, "view", None)
    if relation is not None and kind_of(relation) == "RangeVar" and relation.relname:
        return f"{relation.schemaname}.{relation.relname}" if relation.schemaname else str(relation.relname)
    return ", ".join(statement.objects)


def cascades(node: Message) -> bool:
    """Return whether a statement says CASCADE, so that it also removes what depends on its objects."""
    behavior = node.DESCRIPTOR.fields_by_name.get("behavior")
    return behavior is not None and node.behavior == behavior.enum_type.values_by_name["DROP_CASCADE"].number


def _article(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"
