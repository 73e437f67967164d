"""Decides what one SQL statement is: run it, ask a human, or refuse. Pure: the statement and the catalog's facts in.

Allow-lists throughout: a statement is a read only when every node, function, operator, type and relation in it, and
in the views and policies behind it, is known to be harmless. Everything else asks; a few kinds are refused outright.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agent.execution import sql_allowed as allowed
from agent.execution.catalog import Facts, Inner
from agent.execution.deny import denied_relations, shown
from agent.execution.sql_kinds import WRITES, Danger, describe, risk_of
from agent.execution.sql_parsing import Message, Name, Statement, name_of
from agent.learning.privacy import DenyList
from agent.types import Assessment

POLICY_VERSION = "3"

_DATA_WRITES = {"InsertStmt": "insert", "UpdateStmt": "update", "DeleteStmt": "delete", "MergeStmt": "merge"}
# Supabase's own session functions, which policies call.
_POLICY_FUNCTIONS = {Name("auth", name) for name in ("uid", "role", "email", "jwt")}


def judge(statement: Statement, facts: Facts, *, deny: str = "") -> Assessment:
    """What is to be done with a statement, and why."""
    refusals = [*_refusals(statement, facts), *_denials(statement, facts, deny)]
    if refusals:
        return _assessment(statement, "refuse", Danger("HIGH", ()), refusals)
    problems = list(dict.fromkeys(_problems(statement, facts)))
    if not problems:
        return Assessment(
            verdict="run", risk="LOW", reasons=("read",), sentence=describe(statement), objects=statement.objects,
            policy_version=POLICY_VERSION,
        )  # fmt: skip
    danger = risk_of(statement, problems)
    found = [(reason, in_words(reason)) for reason in (*problems, *danger.reasons)]
    return _assessment(statement, "ask", danger, found)


def _assessment(statement: Statement, verdict: str, danger: Danger, found: list[tuple[str, str]]) -> Assessment:
    sentence = describe(statement)
    told = " ".join(dict.fromkeys(text for _, text in found if text))
    return Assessment(
        verdict=verdict,  # type: ignore[arg-type]  # one of two literals of this module
        risk=danger.risk,
        reasons=tuple(dict.fromkeys(reason for reason, _ in found)),
        sentence=f"{sentence} {told}".strip(),
        objects=statement.objects,
        policy_version=POLICY_VERSION,
    )


def _refusals(statement: Statement, facts: Facts) -> Iterator[tuple[str, str]]:
    for kind, message in statement.parts:
        if kind in allowed.REFUSED_KINDS:
            yield f"kind:{kind}", "An agent has no use for this kind of statement; ask an operator to run it."
        elif kind in allowed.NO_TRANSACTION or getattr(message, "concurrent", False):
            yield "transaction:impossible", "It cannot run inside a transaction, so ask an operator to run it."
        elif kind == "FuncCall":
            name = name_of(message.funcname)
            if allowed.REFUSED_FUNCTIONS.match(name.name) or allowed.REFUSED_FUNCTIONS.match(str(name)):
                yield f"function:{name}", f"The function {name} reaches outside the transaction."
    yield from _refused_names(statement)
    for inner in facts.inner:
        yield from _refused_names(inner.statement)


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
    # In schema.table.column only the schema counts: a table may well be called agents.
    return words[:-2] if kind == "ColumnRef" else words[:-1]


def _schemas_of_objects(message: Message, kind: str) -> list[str]:
    """Whatever may be a schema's name in a statement that defines things: qualifiers, and bare names of objects."""
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


def _denials(statement: Statement, facts: Facts, deny: str) -> Iterator[tuple[str, str]]:
    denied = DenyList.parse(deny)
    if not denied.patterns:
        return
    for one in shown(statement, denied_relations(denied, facts)):
        yield f"denied:{one.name}", one.sentence
    for name in sorted(statement.names.relations):
        if name.name in allowed.VALUE_CATALOGS:
            yield f"catalog:{name}", f"{name} shows values of columns that AGENT_DENY may deny."


def _problems(statement: Statement, facts: Facts) -> Iterator[str]:
    """Why a statement is not a plain read, as codes."""
    if statement.kind == "VariableShowStmt":
        if statement.node.name.lower() not in allowed.SHOWN_SETTINGS:
            yield f"setting:{statement.node.name}"
        return
    body = statement
    if statement.kind == "ExplainStmt":
        body = _explained(statement)
    elif statement.kind != "SelectStmt":
        yield f"write:{WRITES.get(statement.kind, statement.kind)}"
    yield from _node_problems(body, explained=body is not statement and not _analyzes(statement.node))
    yield from _name_problems(body, facts, policy=False)
    for inner in facts.inner:
        yield from _inner_problems(inner, facts)
    yield from (f"unreadable:{what}" for what in facts.unreadable)
    yield from (f"cast:{code.name.name}" for code in facts.code if code.what == "cast")
    yield from (f"function:{code.name}:attribute" for code in facts.code if code.what == "attribute")
    yield from _relation_problems(facts)


def _inner_problems(inner: Inner, facts: Facts) -> Iterator[str]:
    policy = inner.what == "policy"
    for problem in (*_node_problems(inner.statement), *_name_problems(inner.statement, facts, policy=policy)):
        yield f"{inner.what}:{inner.of}:{problem}"


def _explained(statement: Statement) -> Statement:
    wrapper = statement.node.query
    return Statement.of(statement.sql, getattr(wrapper, wrapper.WhichOneof("node")))


def _analyzes(node: Message) -> bool:
    return any(option.def_elem.defname.lower() == "analyze" for option in node.options)


def _node_problems(statement: Statement, *, explained: bool = False) -> Iterator[str]:
    for kind, message in statement.parts:
        if kind in _DATA_WRITES:
            if not explained:
                yield f"write:{_DATA_WRITES[kind]}"
        elif kind == "LockingClause":
            yield "lock:rows"
        elif kind == "IntoClause":
            yield "write:into"
        elif kind not in allowed.READ_NODES and not (
            explained and kind in {"ReturningClause", "SetToDefault", "MultiAssignRef"}
        ):
            yield f"node:{kind}"
        elif kind == "RangeTableSample" and name_of(message.method).name not in {"bernoulli", "system"}:
            yield f"sample:{name_of(message.method)}"


def _name_problems(statement: Statement, facts: Facts, *, policy: bool) -> Iterator[str]:
    for kind, message in statement.parts:
        if kind == "FuncCall":
            yield from _function_problems(message, facts, policy=policy)
    for name in sorted(statement.names.operators):
        if name.schema not in {"", "pg_catalog"} or _is_shadowed(facts, "operator", name, _is_known_operator):
            yield f"operator:{name}"
    for name in sorted(statement.names.types):
        if not _is_allowed_type(name, facts):
            yield f"type:{name}"
    for name in sorted(statement.names.relations):
        yield from _catalog_problems(name)


def _catalog_problems(name: Name) -> Iterator[str]:
    if name.schema == "information_schema" or name.name in allowed.CATALOGS | allowed.VALUE_CATALOGS:
        return
    if name.schema.startswith("pg_") or (not name.schema and name.name.startswith("pg_")):
        yield f"catalog:{name}"


def _function_problems(call: Message, facts: Facts, *, policy: bool) -> Iterator[str]:
    name = name_of(call.funcname)
    if policy and (name in _POLICY_FUNCTIONS or name.name == allowed.SETTING_FUNCTION):
        return
    if name.schema not in {"", "pg_catalog"}:
        found = [code for code in facts.code if code.what == "function" and code.name == name]
        if not found or not all(_is_known_function(code.name, code.extension) for code in found):
            yield f"function:{name}"
    elif name.name == allowed.SETTING_FUNCTION:
        if _constant_text(call) not in allowed.SHOWN_SETTINGS:
            yield f"function:{name}"
    elif name.name in allowed.SIZED_FUNCTIONS and not _is_small(call, allowed.SIZED_FUNCTIONS[name.name]):
        yield f"function:{name}:size"
    elif _is_shadowed(facts, "function", name, _is_known_function):
        yield f"function:{name}:user-defined"
    elif name.name not in allowed.FUNCTIONS and not _has(facts, "function", name):
        yield f"function:{name}"


def _is_shadowed(facts: Facts, what: str, name: Name, is_known: Callable[[Name, str | None], bool]) -> bool:
    """Whether user-made code of this name exists that the call could mean."""
    return any(
        code.what == what
        and code.name.name == name.name
        and (not name.schema or code.name.schema == name.schema)
        and not is_known(code.name, code.extension)
        for code in facts.code
    )


def _has(facts: Facts, what: str, name: Name) -> bool:
    return not name.schema and any(code.what == what and code.name.name == name.name for code in facts.code)


def _is_known_function(name: Name, extension: str | None) -> bool:
    return extension is not None and name.name in allowed.EXTENSION_FUNCTIONS.get(extension, ())


def _is_known_operator(_name: Name, extension: str | None) -> bool:
    return extension in allowed.EXTENSION_FUNCTIONS


def _is_allowed_type(name: Name, facts: Facts) -> bool:
    found = [code for code in facts.code if code.what == "type" and code.name.name == name.name]
    if name.schema and name.schema != "pg_catalog":
        found = [code for code in found if code.name.schema == name.schema]
    elif name.name in allowed.TYPES:
        return name.schema == "pg_catalog" or not found
    return bool(found) and all(code.kind == "e" or _is_extension_type(code.name, code.extension) for code in found)


def _is_extension_type(name: Name, extension: str | None) -> bool:
    return extension in allowed.EXTENSION_FUNCTIONS and name.name in allowed.EXTENSION_TYPES


def _relation_problems(facts: Facts) -> Iterator[str]:
    for relation in facts.relations:
        # A foreign table reads outside of this database, some wrappers by running a program.
        foreign = relation.kind == "f" or any(kind == "f" for _, kind in relation.kin)
        if foreign:
            yield f"relation:foreign:{relation.name}"
        elif relation.kind not in {"r", "p", "v", "m"}:
            yield f"relation:{relation.kind}:{relation.name}"


def _constant_text(call: Message) -> str:
    if not call.args or not call.args[0].HasField("a_const"):
        return ""
    return str(call.args[0].a_const.sval.sval).lower()


def _is_small(call: Message, position: int) -> bool:
    if len(call.args) <= position or not call.args[position].HasField("a_const"):
        return False
    constant = call.args[position].a_const
    return bool(constant.HasField("ival")) and constant.ival.ival <= allowed.MOST_SIZE


_WORDS = {
    "function": "It calls {}, which is not known to be harmless.",
    "operator": "It uses the operator {}, which is not one of the system's.",
    "type": "It uses the type {}, whose code is not known to be harmless.",
    "cast": "The database has a cast with code of its own ({}), which might run.",
    "catalog": "It reads {}, which shows more than the application's data.",
    "setting": "It shows the setting {}, which may hold a secret.",
    "lock": "It locks rows.",
    "relation": "It reads something that is not a plain table or view ({}).",
    "view": "The view {} uses what is not known to be harmless.",
    "policy": "The row-level policy on {} uses what is not known to be harmless.",
    "unreadable": "What is behind {} could not be checked.",
}


def in_words(reason: str) -> str:
    """One code of an assessment as a sentence, or nothing where the statement's own sentence says it."""
    prefix, _, rest = reason.partition(":")
    return _WORDS[prefix].format(rest.replace(":", " ")) if prefix in _WORDS else ""
