"""Decides whether one SQL statement runs, asks a human or is refused, from the statement and its resolution. Pure.

Two checks look at it, and each can object alone. This module checks the statement's grammar, part by part, against
allow-lists; `resolved_policy` checks what the server resolved it to. For everything that is not known a human is asked; a few
kinds of statements are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from agent.privacy.sensitive import DenyList
from agent.statements import allow_list as allowed
from agent.statements.code_behind import denied_by_code
from agent.statements.denied_columns import columns_read, denied_relations, shown_relations
from agent.statements.fired_triggers import fired_by
from agent.statements.kinds import WRITES, Danger, describe, lock_of, refuses_transaction, risk_of
from agent.statements.known_extensions import FUNCTIONS_OF_EXTENSIONS
from agent.statements.layers import ALL, Layers
from agent.statements.parser import Message, Name, Statement, explained, name_of
from agent.statements.resolved_policy import judged_functions, objects_of, resolved_problems, resolved_refusals
from agent.statements.resolver import Resolution
from agent.statements.sizes import too_large
from agent.types import Assessment

POLICY_VERSION = "5"

_READS = {"SelectStmt", "ExplainStmt", "VariableShowStmt"}
_DATA_WRITES = {"InsertStmt": "insert", "UpdateStmt": "update", "DeleteStmt": "delete", "MergeStmt": "merge"}

_SETS_DEFAULTS = frozenset({"InsertStmt", "MergeStmt", "SetToDefault"})

_WRITE_NODES = frozenset({
    *_DATA_WRITES, "ReturningClause", "ReturningOption", "SetToDefault", "MultiAssignRef", "OnConflictClause", "InferClause", "IndexElem",
    "MergeWhenClause", "LockingClause", "MergeSupportFunc",
})  # fmt: skip


def judge(
    statement: Statement,
    resolution: Resolution,
    *,
    deny: str = "",
    trusted: Mapping[int, str] | None = None,
    bypass_rls: bool = False,
    layers: Layers = ALL,
) -> Assessment:
    """Return what is to be done with a statement, and why. `trusted` are the registered functions with their hashes."""
    refusals = [*_denials(statement, resolution, deny, trusted or {})]
    if layers.parse:
        refusals += _refusals(statement)
    if layers.resolution:
        refusals += resolved_refusals(resolution)
    if refusals:
        return _assessment(statement, resolution, "refuse", Danger("HIGH", ()), refusals)
    problems: list[str] = []
    if layers.parse:
        problems += _problems(statement, _registered(resolution, trusted or {}), any_function=not layers.functions)
    if layers.resolution:
        problems += resolved_problems(
            resolution, trusted or {}, fired=fired_by(statement, resolution), writes=statement.kind in _DATA_WRITES,
            bypass_rls=bypass_rls, any_function=not layers.functions,
            defaults=any(kind in _SETS_DEFAULTS for kind, _ in statement.parts),
        )  # fmt: skip
    problems = _without_duplicates(statement, problems)
    if not problems:
        return _assessment(statement, resolution, "run", Danger("LOW", ()), [("read", "")])
    danger = risk_of(statement, problems)
    reasons = [(reason, reason_sentence(reason)) for reason in (*problems, *danger.reasons)]
    return _assessment(statement, resolution, "ask", danger, reasons)


def may_be_probed(statement: Statement) -> bool:
    """Return whether the server may resolve a statement: it has no unknown grammar and is not of a refused kind."""
    body = explained(statement) or statement
    known = allowed.READ_NODES | _WRITE_NODES
    return all(kind in known for kind, _ in body.parts) and not any(_refusals(statement))


def _without_duplicates(statement: Statement, problems: list[str]) -> list[str]:
    """Return the problems without those that others imply: a write is never resolved as a read."""
    if statement.kind not in _READS and len(problems) > 1:
        problems = [problem for problem in problems if problem != "unresolved:kind"]
    elif any(problem.startswith(("write:", "lock:")) for problem in problems[:1]):
        problems = [problem for problem in problems if problem != "write:resolved"]
    return list(dict.fromkeys(problems))


def _registered(resolution: Resolution, trusted: Mapping[int, str]) -> frozenset[Name]:
    """Return the names, with and without schema, of functions that are registered or that their body shows to be harmless."""
    names = {resolution.code["function", number].name for number in trusted if ("function", number) in resolution.code}
    names |= judged_functions(resolution)
    return frozenset([*names, *(Name("", name.name) for name in names)])


def _assessment(
    statement: Statement, resolution: Resolution, verdict: str, danger: Danger, reasons: list[tuple[str, str]]
) -> Assessment:
    sentences = [describe(statement), *(text for _, text in reasons), _trigger_sentence(reasons)]
    return Assessment(
        verdict=verdict,  # type: ignore[arg-type]  # one of two literals of this module
        risk=danger.risk,
        reasons=tuple(dict.fromkeys(reason for reason, _ in reasons)),
        sentence=" ".join(dict.fromkeys(text for text in sentences if text)),
        objects=objects_of(resolution) or statement.objects,
        lock=lock_of(statement),
        policy_version=POLICY_VERSION,
    )


def _refusals(statement: Statement) -> Iterator[tuple[str, str]]:
    for kind, message in statement.parts:
        if kind in allowed.REFUSED_KINDS:
            yield f"kind:{kind}", "An agent has no use for this kind of statement; ask an operator to run it."
        elif kind == "PartitionCmd" and message.concurrent:
            yield "transaction:impossible", "It cannot run inside a transaction, so ask an operator to run it."
        elif kind == "FuncCall":
            name = name_of(message.funcname)
            if allowed.REFUSED_FUNCTIONS.match(name.name) or allowed.REFUSED_FUNCTIONS.match(str(name)):
                yield f"function:{name}", f"The function {name} reaches outside the transaction."
    yield from _refused_names(statement)


def _refused_names(statement: Statement) -> Iterator[tuple[str, str]]:
    reads_or_writes = statement.kind in allowed.READ_NODES or statement.kind in _DATA_WRITES
    for kind, message in statement.parts:
        words = _schemas_of_names(message, kind) if reads_or_writes else _schemas_of_objects(message, kind)
        if any(allowed.OUR_SCHEMAS.match(word) for word in words):
            yield "schema:agents", "The agent's own schema is not for its tools."
        if kind == "RangeVar" and _is_secret(Name(message.schemaname, message.relname)):
            yield f"catalog:{message.relname}", f"{message.relname} holds secrets."


def _is_secret(name: Name) -> bool:
    return name.name in allowed.SECRET_CATALOGS and name.schema in {"", "pg_catalog", "information_schema"}


def _schemas_of_names(message: Message, kind: str) -> list[str]:
    if kind == "RangeVar":
        return [message.schemaname]
    if kind not in {"FuncCall", "TypeName", "ColumnRef"}:
        return []
    parts = getattr(message, {"FuncCall": "funcname", "TypeName": "names", "ColumnRef": "fields"}[kind])
    words = [part.string.sval for part in parts if part.HasField("string")]
    # In schema.table.column only the schema counts: a user's table may be called agents.
    return words[:-2] if kind == "ColumnRef" else words[:-1]


def _schemas_of_objects(message: Message, kind: str) -> list[str]:
    """Return all words that may name a schema in a statement that defines objects: qualifiers, and bare names of objects."""
    words = [*_schemas_of_names(message, kind)]
    words += [str(getattr(message, name, "")) for name in ("schemaname", "newschema")]
    if kind == "RenameStmt" and not message.HasField("relation"):
        words += [message.subname, message.newname]
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.name != "Node":
            continue
        if not hasattr(value, "ListFields"):
            strings = [part.string.sval for part in value if part.HasField("string")]
            words += strings if kind in {"DropStmt", "GrantStmt"} else strings[:-1]
        elif value.HasField("string"):
            words.append(value.string.sval)
        elif kind == "DefElem" and value.HasField("list"):
            words += [part.string.sval for part in value.list.items]
    return words


def _denials(
    statement: Statement, resolution: Resolution, deny: str, trusted: Mapping[int, str]
) -> Iterator[tuple[str, str]]:
    deny_list = DenyList.parse(deny)
    if not deny_list.patterns:
        return
    denied = denied_relations(deny_list, resolution)
    read = resolution.body.columns if resolution.body is not None else ()
    for relation in (*shown_relations(statement, denied), *columns_read(read, resolution.relations, denied)):
        yield f"denied:{relation.name}", relation.sentence
    yield from denied_by_code(resolution, deny_list, trusted, reads=statement.kind in _READS)
    for name in sorted(statement.names.relations):
        if name.name in allowed.VALUE_CATALOGS:
            yield f"catalog:{name}", f"{name} shows values of columns that AGENT_DENY may deny."


def _problems(statement: Statement, registered: frozenset[Name], *, any_function: bool) -> Iterator[str]:
    """Yield the codes of the reasons why the grammar of a statement is not that of a plain read."""
    if statement.kind == "VariableShowStmt":
        if statement.node.name.lower() not in allowed.SHOWN_SETTINGS:
            yield f"setting:{statement.node.name}"
        return
    body = explained(statement) or statement
    if body.kind != "SelectStmt":
        yield f"write:{WRITES.get(statement.kind, statement.kind)}"
        if refuses_transaction(body):
            yield "transaction:none"
    yield from _node_problems(body)
    yield from _name_problems(body, registered, any_function=any_function)
    if not any_function:
        yield from too_large(body)


def _node_problems(statement: Statement) -> Iterator[str]:
    for kind, message in statement.parts:
        if kind in _DATA_WRITES:
            yield f"write:{_DATA_WRITES[kind]}"
        elif kind == "LockingClause":
            yield "lock:rows"
        elif kind == "IntoClause":
            yield "write:into"
        elif kind not in allowed.READ_NODES:
            yield f"node:{kind}"
        elif kind == "RangeTableSample" and name_of(message.method).name not in {"bernoulli", "system"}:
            yield f"sample:{name_of(message.method)}"


def _name_problems(statement: Statement, registered: frozenset[Name], *, any_function: bool) -> Iterator[str]:
    for kind, message in statement.parts:
        if kind == "FuncCall" and not any_function:
            yield from _function_problems(message, registered)
    for name in sorted(statement.names.operators):
        if name.schema not in {"", "pg_catalog"}:
            yield f"operator:{name}"
    for name in sorted(statement.names.types):
        if name.schema in {"", "pg_catalog"} and name.name in allowed.OTHER_SYSTEM_TYPES:
            yield f"type:{name}"
    for name in sorted(statement.names.relations):
        yield from _catalog_problems(name)


def _catalog_problems(name: Name) -> Iterator[str]:
    if name.schema == "information_schema":
        if name.name not in allowed.INFORMATION_VIEWS:
            yield f"catalog:{name}"
        return
    if name.name in allowed.CATALOGS | allowed.VALUE_CATALOGS:
        return
    if name.schema.startswith("pg_") or (not name.schema and name.name.startswith("pg_")):
        yield f"catalog:{name}"


def _function_problems(call: Message, registered: frozenset[Name]) -> Iterator[str]:
    name = name_of(call.funcname)
    if name in registered:
        return
    if name.name == allowed.SETTING_FUNCTION:
        if _constant_text(call) not in allowed.SHOWN_SETTINGS:
            yield f"function:{name}"
    elif name.schema in {"", "pg_catalog"}:
        if name.name not in allowed.FUNCTIONS | (frozenset() if name.schema else FUNCTIONS_OF_EXTENSIONS):
            yield f"function:{name}"
    elif name.name not in FUNCTIONS_OF_EXTENSIONS:
        yield f"function:{name}"


def _constant_text(call: Message) -> str:
    if not call.args or not call.args[0].HasField("a_const"):
        return ""
    return str(call.args[0].a_const.sval.sval).lower()


_SENTENCES = {
    "function": "It calls {}, which is not known to be harmless.",
    "operator": "It uses the operator {}, which is not one of the system's.",
    "type": "It uses the type {}, whose code is not known to be harmless.",
    "cast": "The database has a cast with code of its own ({}), which might run.",
    "catalog": "It reads {}, which shows more than the application's data.",
    "setting": "It shows the setting {}, which may hold a secret.",
    "lock": "It locks rows.",
    "relation": "It reads something that is not a plain table or view ({}).",
    "view": "The view {} uses something that is not known to be harmless.",
    "policy": "The row-level policy on {} uses something that is not known to be harmless.",
    "transaction": "It runs outside of any transaction, so it can neither be tried first nor rolled back.",
    "rule": "A rule on {} runs something else with it.",
    "index": "An index on {} is not known to be harmless.",
    "check": "A check on {} is not known to be harmless.",
    "domain": "The check of the domain {} is not known to be harmless.",
    "column": "A column of {} is computed by something that is not known to be harmless.",
    "statistics": "Statistics on {} are computed by something that is not known to be harmless.",
    "partition": "The partitioning of {} uses something that is not known to be harmless.",
    "depth": "The objects behind it are nested too deeply to be checked.",
}

_UNRESOLVED = {
    "unresolved:replica": "The database is a read replica, where the server cannot resolve what the statement does.",
    "unresolved:not-supported": "The server cannot resolve what the statement does before it runs.",
    "unresolved:schema": "agent_assessor may not look into every schema that the agent's other logins may; an operator runs `agent setup`.",
    "unresolved:event-trigger": "An event trigger of the application would run while the server resolves what the statement does, so it was not asked.",
    "unresolved:literal": "The server may run code of the application to parse a value or a type in it, so it was not asked.",
    "unresolved:several": "The server reads it as more than one statement.",
    "unresolved:kind": "The server cannot resolve what the statement does before it runs.",
}


def _trigger_sentence(reasons: Iterable[tuple[str, str]]) -> str:
    """Return a sentence that names the users' triggers which run with a write; '' if there are none."""
    names = dict.fromkeys(reason.split(":")[1] for reason, _ in reasons if reason.startswith("trigger:"))
    return (
        f"With it {'runs the trigger' if len(names) == 1 else 'run the triggers'} {', '.join(names)}." if names else ""
    )


def reason_sentence(reason: str) -> str:
    """Return a sentence for one code of an assessment; '' if the statement's own sentence already says it."""
    prefix, _, rest = reason.partition(":")
    if reason in _UNRESOLVED:
        return _UNRESOLVED[reason]
    if rest.endswith(":size"):
        return f"It may make a value too large for the server's memory ({rest.removesuffix(':size')})."
    if rest.endswith(":changed"):
        return (
            f"The function {rest.removesuffix(':changed').rpartition(':')[2]} was changed after a human registered it."
        )
    return _SENTENCES[prefix].format(rest.replace(":", " ")) if prefix in _SENTENCES else ""
