"""Parses the schema text of a prompt into values: all that the offline model knows of a database.

The text has the form that `agent.learning.schema_linking` writes. Other lines are ignored, so nothing here invents a table or a
column.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

_IDENT = r'(?:"(?:[^"]|"")+"|[^\s".(),]+)'
_ON_DELETE = " on delete (?:cascade|set null|set default)"
_HEADER = re.compile(
    rf"^\s*(?P<kind>MATERIALIZED VIEW|FOREIGN TABLE|PARTITIONED TABLE|TABLE|VIEW) (?P<schema>{_IDENT})\.(?P<name>{_IDENT})"
    r"(?P<rest>(?: ~[\d,.kKmM]+ rows)?[^\n]*)$"
)
_MARK = re.compile(
    rf" \[plain {_IDENT} (?:means (?P<this>this), not |means (?P<schema>{_IDENT})\.(?P<name>{_IDENT}), not this\]|may mean this or )"
)
_COLUMN = re.compile(rf"^\s+(?P<name>{_IDENT}) (?P<rest>\S.*)$")
_KEY = re.compile(r"^\s+pk \((?P<columns>.*)\)\s*$")
_FOREIGN = re.compile(
    rf"^\s+fk \((?P<columns>.*)\) -> (?P<schema>{_IDENT})\.(?P<name>{_IDENT})\((?P<targets>.*?)\)(?:{_ON_DELETE})?(?: -- .*)?\s*$"
)
_MORE = re.compile(r"^  \(also (?P<columns>.*)\)$")
# The dense form of a whole relation: (id pk, client_id -> clients, code -> other.codes(code), placed_at)
_DENSE = re.compile(r"^  \((?P<columns>.*)\)$")
_DENSE_COLUMN = re.compile(
    rf"(?P<name>{_IDENT})(?P<pk> pk)?(?: -> (?:(?P<schema>{_IDENT})\.)?(?P<target>{_IDENT})(?:\((?P<column>{_IDENT})\))?)?(?:, |$)"
)
_REFERENCE = re.compile(rf" -> (?P<schema>{_IDENT})\.(?P<name>{_IDENT})\((?P<target>{_IDENT})\)(?:{_ON_DELETE})?")
_VALUES = re.compile(r" in \((?P<values>.*)\)(?P<more> among others)?(?=$| from about| masked| unreadable)")
_VALUE = re.compile(r"'(?:[^']|'')*'|[^|]+")
_RANGE = re.compile(r" from about [\d-]+ to [\d-]+(?= |$)")
_FLAGS = re.compile(r" (pk|unique|not null|generated|masked|unreadable)(?= |$)")

# The schema text shows a domain's own name; these words tell that its base type is a number.
_DOMAIN = "amount|price|money|percent|percentage|quantity|currency"
_NUMERIC = re.compile(
    rf"^(smallint|integer|int\d?\b|bigint|numeric|decimal|real|double|float|serial|bigserial|[\w.]*({_DOMAIN}))", re.I
)
_TIME = re.compile(r"^(timestamp|date)", re.I)
_OPAQUE = re.compile(r"json|bytea|xml|tsvector|vector|bit|interval|geo|\[\]|.*\[\]$", re.I)
_TEXT = re.compile(r"^(text|character|varchar|char|citext|name\b|[\w.]*(email|phone|url|text))", re.I)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column; `values` are its labels or common values, where the schema text gives them; `more_values`: not all of them."""

    name: str
    type: str
    key: bool = False
    readable: bool = True
    required: bool = False
    unique: bool = False
    values: tuple[str, ...] = ()
    more_values: bool = False
    comment: str = ""

    @property
    def numeric(self) -> bool:
        return bool(_NUMERIC.match(self.type))

    @property
    def temporal(self) -> bool:
        return bool(_TIME.match(self.type))

    @property
    def textual(self) -> bool:
        return bool(_TEXT.match(self.type))

    @property
    def opaque(self) -> bool:
        """Return whether it holds documents, lists or bytes, which no word of a question can equal."""
        return bool(_OPAQUE.match(self.type))

    @property
    def boolean(self) -> bool:
        return self.type.lower().startswith("bool")

    def values_exclude(self, value: str) -> bool:
        """Return whether this column cannot hold `value`, by its type and its known labels."""
        if self.numeric:
            return not re.fullmatch(r"-?\d+(\.\d+)?", value)
        return (
            self.boolean or self.temporal or (bool(self.values) and not self.more_values and value not in self.values)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignKey:
    """`columns` of one relation refer to `targets` of the relation `target` (schema, name)."""

    columns: tuple[str, ...]
    target: tuple[str, str]
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """One table or view; without columns only its name is known. Of `more_columns` only the names are known.

    When it is `shared`, other relations have its name too. The plain name then means the relation `elsewhere`, or nothing certain
    (`unresolved`), or this relation.
    """

    schema: str
    name: str
    columns: tuple[Column, ...] = ()
    key: tuple[str, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    more_columns: tuple[str, ...] = ()
    comment: str = ""
    shared: bool = False
    elsewhere: tuple[str, str] | None = None
    unresolved: bool = False

    @property
    def unqualified_target(self) -> tuple[str, str] | None:
        """Return the id of the relation that the plain name means, or None when that is unresolved."""
        return None if self.unresolved else self.elsewhere or self.id

    @property
    def display_name(self) -> str:
        """Return the name in answers, with the schema when others have its name."""
        return f"{self.schema}.{self.name}" if self.shared else self.name

    @property
    def id(self) -> tuple[str, str]:
        return self.schema, self.name

    def column(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)

    def is_link(self, column: Column) -> bool:
        """Return whether `column` identifies a row here or elsewhere, so that its sum means nothing."""
        return column.key or any(column.name in key.columns for key in self.foreign_keys)


def parse_schema(texts: Iterable[str]) -> tuple[Relation, ...]:
    """Return the relations that `texts` describe; a relation with columns wins over its bare name."""
    relations: dict[tuple[str, str], Relation] = {}
    for text in texts:
        current: Relation | None = None
        for line in text.splitlines():
            header = _HEADER.match(line)
            if header:
                current = _relation(header)
                if current.id in relations and relations[current.id].columns:
                    current = replace(current, columns=(), key=(), foreign_keys=())
                relations.setdefault(current.id, current)
            elif current is not None and line.strip():
                current = _with_line(current, line)
                if current is not None and len(current.columns) >= len(relations[current.id].columns):
                    relations[current.id] = current
            else:
                current = None
    return tuple(relations.values())


def _relation(header: re.Match[str]) -> Relation:
    schema, name, rest = _unquote(header["schema"]), _unquote(header["name"]), header["rest"]
    mark = _MARK.match(rest)
    elsewhere = (_unquote(mark["schema"]), _unquote(mark["name"])) if mark and mark["schema"] else None
    return Relation(
        schema=schema, name=name, comment=_comment(rest), shared=bool(mark), elsewhere=elsewhere,
        unresolved=bool(mark) and elsewhere is None and not (mark and mark["this"]),
    )  # fmt: skip


def _with_line(relation: Relation, line: str) -> Relation | None:
    if key := _KEY.match(line):
        return replace(relation, key=_names(key["columns"]))
    if foreign := _FOREIGN.match(line):
        edge = ForeignKey(
            columns=_names(foreign["columns"]),
            target=(_unquote(foreign["schema"]), _unquote(foreign["name"])),
            targets=_names(foreign["targets"]),
        )
        return replace(relation, foreign_keys=(*relation.foreign_keys, edge))
    if more := _MORE.match(line):
        return replace(relation, more_columns=_names(more["columns"]))
    if dense := _DENSE.match(line):
        return _with_dense_columns(relation, dense["columns"])
    if match := _COLUMN.match(line):
        return _with_column(relation, _unquote(match["name"]), " " + match["rest"])
    return None


def _with_dense_columns(relation: Relation, text: str) -> Relation:
    columns = list(_DENSE_COLUMN.finditer(text))
    edges = [
        ForeignKey(
            columns=(_unquote(column["name"]),),
            target=(_unquote(column["schema"]) if column["schema"] else relation.schema, _unquote(column["target"])),
            targets=(_unquote(column["column"] or "id"),),
        )
        for column in columns
        if column["target"]
    ]
    return replace(
        relation,
        more_columns=tuple(_unquote(column["name"]) for column in columns),
        key=tuple(_unquote(column["name"]) for column in columns if column["pk"]),
        foreign_keys=tuple(edges),
    )


def _with_column(relation: Relation, name: str, rest: str) -> Relation:
    body, _, comment = rest.partition(" -- ")
    values = _VALUES.search(body)
    body = _RANGE.sub("", _VALUES.sub("", body))
    reference = _REFERENCE.search(body)
    body = _REFERENCE.sub("", body)
    flags = set(_FLAGS.findall(body))
    column = Column(
        name=name,
        type=_FLAGS.sub("", body).strip(),
        key="pk" in flags,
        readable="unreadable" not in flags,
        required="not null" in flags,
        unique="unique" in flags,
        values=tuple(map(_unquoted_value, _VALUE.findall(values["values"]))) if values else (),
        more_values=bool(values and values["more"]),
        comment=comment.strip(),
    )
    foreign = relation.foreign_keys
    if reference:
        target = (_unquote(reference["schema"]), _unquote(reference["name"]))
        foreign = (*foreign, ForeignKey(columns=(name,), target=target, targets=(_unquote(reference["target"]),)))
    key = (name,) if column.key else relation.key
    return replace(relation, columns=(*relation.columns, column), foreign_keys=foreign, key=key)


def _unquoted_value(value: str) -> str:
    quoted = len(value) > 1 and value.startswith("'") and value.endswith("'")
    return value[1:-1].replace("''", "'") if quoted else value


def _comment(rest: str) -> str:
    return rest.partition(" -- ")[2].strip()


def _names(text: str) -> tuple[str, ...]:
    return tuple(_unquote(name) for name in re.findall(_IDENT, text))


def _unquote(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
