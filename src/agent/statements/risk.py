"""Rates how dangerous a write is: by the rows and locks of its dry run, or as LOW if it provably changes one row.

The risk is LOW only if everything about the write is proved: `one_row` (pure) finds constants for the columns of a key in the
statement, or the constants of one new row; `is_plain` asks the catalogs whether anything on the table acts by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from agent.approval.preview import StatementPreview
from agent.db import Connection, load_queries
from agent.db.queries import fetch_one
from agent.statements.kinds import LOCKS
from agent.statements.parser import Message, Name, Statement, kind_of, name_of, walk
from agent.types import RISK_LEVELS, Assessment, RiskLevel, Verdict

_QUERIES = load_queries(__package__)
_HEAVY_LOCK = "ShareRowExclusiveLock"
# A new value may consist of constants, columns of the same row, and operators.
_VALUE_PARTS = frozenset(
    {"A_Const", "TypeCast", "TypeName", "ColumnRef", "A_Expr", "String", "Integer", "Float", "Boolean", "BitString"}
)
# The values of a new row have no columns to use, but may be defaults, the clock and these functions.
_NEW_PARTS = (_VALUE_PARTS - {"ColumnRef"}) | {"SetToDefault", "SQLValueFunction", "FuncCall"}
_NEW_VALUES = frozenset(
    {"now", "statement_timestamp", "transaction_timestamp", "clock_timestamp", "gen_random_uuid", "uuidv4", "uuidv7"}
)
# The fields of an INSERT of one row, and of its VALUES.
_INSERT_FIELDS = frozenset({"relation", "cols", "select_stmt", "override", "returning_clause"})
_VALUES_FIELDS = frozenset({"values_lists", "limit_option", "op"})
# The codes of a change of one table by harmless means: its dry run shows everything that it does.
_TRIED_WHOLLY = frozenset({
    "write:insert", "write:update", "write:delete", "node:ReturningClause", "node:SetToDefault", "node:MultiAssignRef",
})  # fmt: skip
AS_WORDED, SEVERAL_AS_WORDED = "as-worded", "as-worded:several"
# The most rows that a change of LOW risk may have where the user asked for more than one.
_FEW_ROWS = 10
_CONDITION_PARTS = _VALUE_PARTS | {"BoolExpr", "NullTest", "BooleanTest", "List"}


def may_be_as_worded(assessment: Assessment) -> bool:
    """Return whether a change can be LOW if the user worded it so and its dry run shows few rows of one table."""
    return assessment.risk == "MEDIUM" and set(assessment.reasons) <= _TRIED_WHOLLY


def as_one_row(assessment: Assessment) -> Assessment:
    """Return the assessment of a change that provably changes one row by its key."""
    return replace(assessment, risk="LOW", reasons=(*assessment.reasons, "one-row"))


def as_worded(assessment: Assessment, *, several: bool) -> Assessment:
    """Return the assessment of a change that the user worded so: LOW, as long as its dry run shows one row, or a few."""
    reason = SEVERAL_AS_WORDED if several else AS_WORDED
    return replace(assessment, risk="LOW", reasons=(*assessment.reasons, reason))


def risk_after_dry_run(
    risk: RiskLevel, preview: StatementPreview, *, many_rows: int, several: bool = False
) -> tuple[RiskLevel, tuple[str, ...]]:
    """Return the risk of a statement, raised by what its preview shows, and the codes of the reasons that raised it.

    `several` says that the user asked for more rows than one.
    """
    raised: list[tuple[RiskLevel, str]] = [(risk, "")]
    rows = sum(table["inserted"] + table["updated"] + table["deleted"] for table in preview.tables)
    rows = max(rows, preview.row_count or 0)
    if risk == "LOW" and (rows > (_FEW_ROWS if several else 1) or len(preview.tables) > 1):
        raised.append(("MEDIUM", "rows:more-than-one"))
    if not preview.tried:
        raised.append(("HIGH", "untried"))
    if rows > many_rows:
        raised.append(("HIGH", "rows:many"))
    if preview.lock and LOCKS.index(preview.lock) >= LOCKS.index(_HEAVY_LOCK):
        raised.append(("HIGH", f"lock:{preview.lock}"))
    worst = max((level for level, _ in raised), key=RISK_LEVELS.index)
    return worst, tuple(reason for _, reason in raised if reason)


def is_asked(risk: RiskLevel, ask_from: RiskLevel) -> bool:
    """Return whether a human is asked about a write of this risk."""
    return RISK_LEVELS.index(risk) >= RISK_LEVELS.index(ask_from)


def is_refused(reasons: Iterable[str], refused: str) -> bool:
    """Return whether the setting AGENT_REFUSE (`refused`) matches one of these reasons."""
    globs = [glob.strip() for glob in refused.split(",") if glob.strip()]
    return any(fnmatchcase(reason, glob) for reason in reasons for glob in globs)


def under_settings(assessment: Assessment, *, ask_from: RiskLevel, refused: str) -> Assessment:
    """Return the assessment of a write under the operator's settings, which refuse some writes and let some run unasked."""
    if assessment.verdict == "refuse" or assessment.reasons in {("read",), ("own",)}:
        return assessment
    if is_refused(assessment.reasons, refused):
        return replace(assessment, verdict="refuse", sentence=f"{assessment.sentence} AGENT_REFUSE forbids it.")
    verdict: Verdict = "ask" if is_asked(assessment.risk, ask_from) else "run"
    return replace(assessment, verdict=verdict)


@dataclass(frozen=True, slots=True, kw_only=True)
class OneRow:
    """A write of rows that constants select: `pinned` columns equal constants, `changed` columns get new values.

    `casts` has the types to which the constants of pinned columns are cast. For an INSERT only `changed` is set: the columns
    that it names and gives a value other than the default.
    """

    kind: str
    pinned: frozenset[str]
    casts: Mapping[str, str]
    changed: frozenset[str]


def one_row(statement: Statement) -> OneRow | None:
    """Return what an UPDATE or DELETE of one table pins and changes, or an INSERT of one row sets; None for other statements."""
    node = statement.node
    if statement.kind == "InsertStmt":
        return _new_row(node)
    if statement.kind not in {"UpdateStmt", "DeleteStmt"} or not node.HasField("where_clause"):
        return None
    others = node.from_clause if statement.kind == "UpdateStmt" else node.using_clause
    if others or node.HasField("with_clause") or node.HasField("returning_clause"):
        return None
    if any(kind_of(inner) not in _CONDITION_PARTS for inner in walk(node.where_clause)):
        return None
    changed = _changed(node) if statement.kind == "UpdateStmt" else frozenset()
    if changed is None:
        return None
    names = {node.relation.relname, node.relation.alias.aliasname}
    pins = dict(filter(None, (_pin(part, names) for part in _conjuncts(node.where_clause))))
    return OneRow(
        kind=statement.kind,
        pinned=frozenset(pins),
        casts={column: cast for column, cast in pins.items() if cast},
        changed=changed,
    )


def _new_row(node: Message) -> OneRow | None:
    """Return the columns that an INSERT of one row of constants sets; None for every other INSERT."""
    select = node.select_stmt.select_stmt
    if not _fields(node) <= _INSERT_FIELDS or not _fields(select) <= _VALUES_FIELDS or len(select.values_lists) != 1:
        return None
    if _is_overriding(node) or any(column.res_target.indirection for column in node.cols):
        return None
    values = list(select.values_lists[0].list.items)
    if not all(_is_new_value(inner) for value in values for inner in walk(value)):
        return None
    if not all(_is_shown_column(target) for target in node.returning_clause.exprs) or node.returning_clause.options:
        return None
    given = zip(node.cols, values, strict=False)
    changed = {column.res_target.name for column, value in given if value.WhichOneof("node") != "set_to_default"}
    return OneRow(kind="InsertStmt", pinned=frozenset(), casts={}, changed=frozenset(changed))


def _fields(message: Message) -> set[str]:
    return {field.name for field, _ in message.ListFields()}


def _is_overriding(node: Message) -> bool:
    names = node.DESCRIPTOR.fields_by_name["override"].enum_type.values_by_number
    return names[node.override].name not in {"OVERRIDING_NOT_SET", "OVERRIDING_KIND_UNDEFINED"}


def _is_new_value(part: Message) -> bool:
    kind = kind_of(part)
    if kind == "FuncCall":
        name = name_of(part.funcname)
        return name.schema in {"", "pg_catalog"} and name.name in _NEW_VALUES and not part.args
    return kind in _NEW_PARTS


def _is_shown_column(target: Message) -> bool:
    return bool(target.res_target.val.WhichOneof("node") == "column_ref")


def _changed(node: Message) -> frozenset[str] | None:
    columns = set()
    for part in node.target_list:
        target = part.res_target
        if target.indirection or any(kind_of(inner) not in _VALUE_PARTS for inner in walk(target.val)):
            return None
        columns.add(target.name)
    return frozenset(columns)


def _conjuncts(where: Message) -> list[Message]:
    """Return the conditions that AND combines, at any depth."""
    pending, conditions = [where], []
    while pending:
        part = pending.pop()
        kind = part.WhichOneof("node")
        if kind == "bool_expr" and _is_and(part.bool_expr):
            pending.extend(part.bool_expr.args)
        else:
            conditions.append(part)
    return conditions


def _is_and(expression: Message) -> bool:
    names = expression.DESCRIPTOR.fields_by_name["boolop"].enum_type.values_by_number
    return bool(names[expression.boolop].name == "AND_EXPR")


def _pin(part: Message, names: set[str]) -> tuple[str, str] | None:
    """Return the column that `part` equates with a constant, and the type to which the constant is cast, or ''."""
    if part.WhichOneof("node") != "a_expr" or not _is_equality(part.a_expr):
        return None
    left, right = part.a_expr.lexpr, part.a_expr.rexpr
    for side, other in ((left, right), (right, left)):
        column, cast = _column(side, names), _constant(other)
        if column and cast is not None:
            return column, cast
    return None


def _is_equality(expression: Message) -> bool:
    kinds = expression.DESCRIPTOR.fields_by_name["kind"].enum_type.values_by_number
    return kinds[expression.kind].name == "AEXPR_OP" and name_of(expression.name) == Name("", "=")


def _column(side: Message, names: set[str]) -> str:
    if side.WhichOneof("node") != "column_ref" or any(not part.HasField("string") for part in side.column_ref.fields):
        return ""
    words = [part.string.sval for part in side.column_ref.fields]
    return words[-1] if len(words) == 1 or (len(words) == 2 and words[0] in names) else ""


def _constant(side: Message) -> str | None:
    kind = side.WhichOneof("node")
    if kind == "a_const":
        return None if side.a_const.isnull else ""
    if (
        kind == "type_cast"
        and side.type_cast.arg.WhichOneof("node") == "a_const"
        and not side.type_cast.arg.a_const.isnull
    ):
        name = name_of(side.type_cast.type_name.names)
        return name.name if name.schema in {"", "pg_catalog"} and not side.type_cast.type_name.array_bounds else None
    return None


async def is_plain(write: OneRow, relation: int, conn: Connection) -> bool:
    """Return whether `write`, on the table `relation`, changes one row at most and has no other effect, by the catalogs."""
    values = {
        "relation": relation, "pinned": sorted(write.pinned), "changed": sorted(write.changed),
        "deletes": write.kind == "DeleteStmt", "inserts": write.kind == "InsertStmt",
        "cast_columns": sorted(write.casts), "cast_types": [write.casts[column] for column in sorted(write.casts)],
    }  # fmt: skip
    row = await fetch_one(conn, _QUERIES["is_plain"], values, prepare=True)
    return bool(row and row["plain"])
