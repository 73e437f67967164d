"""Renders the structure as compact text for the models: one block for each relation, one line for each column.

    TABLE public.orders ~5000 rows -- what customers ordered
      id bigint pk
      client_id bigint not null -> public.clients(id)
      status order_status not null in (draft|placed|shipped|cancelled)

Where relations share a name, brackets after it say which of them the plain name means: `TABLE public.orders [plain orders
means this, not archive.orders] ~5000 rows`. Nothing in a catalog can forge another line: names are quoted, and comments come
last, each on one line.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from agent.learning.discovery.identifiers import one_line, quote_name
from agent.learning.discovery.structure import Column, DataType, ForeignKey, Function, PartitionPart, Relation

MAX_COLUMNS = 60
_COLUMN_COMMENT_CHARS = 80
_LABELS_CHARS = 600
_NAMESAKES = 3
_MORE_VALUES = " among others"
_DELETE_EFFECTS = frozenset({"cascade", "set null", "set default"})
_HIDING = {
    "blind": "[row-level security hides every row from the agent: it looks empty but may not be]",
    "some": "[row-level security shows the agent only some rows: say so with each answer]",
}
_QUOTED_VALUE = set("|()',")


def relation_text(
    relation: Relation,
    *,
    only: Collection[str] | None = None,
    first: Sequence[str] = (),
    limit: int = MAX_COLUMNS,
    counts: bool = True,
    others: bool = False,
    explained: Collection[str] = (),
) -> str:
    """Return the block of one relation: at most `limit` columns, keys and `first` before others, or the columns `only`.

    With `others`, a line names the other columns. The columns `explained` have their whole comment. Memories use it with `counts` False, without row counts.
    """
    chosen = _chosen(relation, only, first, limit)
    names = {column["name"] for column in chosen}
    keys = relation["foreign_keys"]
    single = _single_column_keys(keys)
    missing = [column["name"] for column in relation["columns"] if column["name"] not in names] if others else []
    lines = [_head(relation, counts=counts, columns=len(chosen) + len(missing))]
    lines += [
        _column(column, relation, single.get(column["name"]), whole=column["name"] in explained, counts=counts)
        for column in chosen
    ]
    if len(relation["primary_key"]) > 1 and names.issuperset(relation["primary_key"]):
        lines.append(f"  pk ({name_list(relation['primary_key'])})")
    lines += [
        f"  fk ({name_list(key['columns'])}) -> {key['target']}({name_list(key['target_columns'])}){_on_delete(key)}{_only_in(key['partitions'])}"
        for key in keys
        if key not in single.values() and names.issuperset(key["columns"])
    ]
    lines += [f"  (also {_first_columns(missing)})"] if missing else []
    lines += [partition_text(item) for item in relation["of_partitions"] if _is_key(item)]
    lines += [_labels(relation)] if counts and relation["profile"].get("labels") else []
    return "\n".join(lines)


def _labels(relation: Relation) -> str:
    """Return the line with the rows of a lookup table. It does not look like a column."""
    pairs = [
        _item(key) if key == label else f"{_item(key)} {_item(label)}" for key, label in relation["profile"]["labels"]
    ]
    shown, room = 0, _LABELS_CHARS
    while shown < len(pairs) and (room := room - len(pairs[shown]) - 2) >= 0:
        shown += 1
    more = f" and {len(pairs) - shown} more" if shown < len(pairs) else ""
    return f"rows on {relation['profile']['labels_on']}: {', '.join(pairs[:shown])}{more}"


def _item(text: str) -> str:
    return f"'{text.replace(chr(39), chr(39) * 2)}'" if _QUOTED_VALUE & set(text) else text


def partition_text(item: PartitionPart) -> str:
    """Return the line of a part that only partitions have. It does not look like a column."""
    holders = "every partition" if not item["partitions"] else f"partition {_first_names(item['partitions'])}"
    return f"in {holders}: {item['definition']}"


def _is_key(item: PartitionPart) -> bool:
    return not item["partitions"] and item["definition"].startswith(("PRIMARY KEY", "UNIQUE ("))


def _only_in(partitions: Sequence[str]) -> str:
    return f" -- only in {_first_names(partitions)}" if partitions else ""


def function_text(function: Function) -> str:
    """Return the line of one function, procedure or aggregate."""
    signature, _, _ = function["signature"].partition("(")
    returns = f" returns {function['returns']}" if function["returns"] else ""
    return f"{function['kind']} {signature}({function['arguments']}){returns}{_comment(function['comment'])}"


def type_text(item: DataType) -> str:
    """Return the line of one enum, domain, composite or range type."""
    base = f" {item['base']}" if item["base"] else ""
    labels = f" in ({_values(item['labels'])})" if item["labels"] else ""
    attributes = f" ({', '.join(item['attributes'])})" if item["attributes"] else ""
    return f"{item['kind']} {item['qualified']}{base}{labels}{attributes}{_comment(item['comment'])}"


def dense_text(relation: Relation) -> str | None:
    """Return the shortest form that still names every column and key: `(id pk, client_id -> clients, placed_at)`.

    A target is its table in the same schema, by its column `id`, unless it says otherwise. None where a key has several
    columns or belongs to partitions, or where there are too many columns.
    """
    keys = relation["foreign_keys"]
    if len(relation["columns"]) > MAX_COLUMNS or any(len(key["columns"]) > 1 or key["partitions"] for key in keys):
        return None
    single = _single_column_keys(keys)
    names = ", ".join(_dense_column(column["name"], relation, single) for column in relation["columns"])
    head = _head(
        Relation(**{**relation, "comment": "", "row_security": "off"}), counts=True, columns=len(relation["columns"])
    )
    return f"{head}\n  ({names})"


def _dense_column(name: str, relation: Relation, single: Mapping[str, ForeignKey]) -> str:
    text = f"{quote_name(name)}{' pk' if name in relation['primary_key'] else ''}"
    if (key := single.get(name)) is None:
        return text
    target = key["target"].removeprefix(f"{quote_name(relation['schema'])}.")
    column = "" if key["target_columns"] == ["id"] else f"({name_list(key['target_columns'])})"
    return f"{text} -> {target}{column}"


def _first_columns(names: Sequence[str]) -> str:
    more = len(names) - MAX_COLUMNS
    return name_list(names[:MAX_COLUMNS]) + (f" and {more} more" if more > 0 else "")


def listing(relation: Relation) -> str:
    """Return the line of one relation in a list: kind, name, rows, comment."""
    return _head(relation, counts=True, columns=len(relation["columns"]))


def key_columns(relation: Relation) -> set[str]:
    """Return the columns that joins need: those that identify a row or refer to another table."""
    names = set(relation["primary_key"])
    return names.union(*(key["columns"] for key in relation["foreign_keys"]))


def name_list(names: Sequence[str]) -> str:
    """Return the names as SQL, separated by commas."""
    return ", ".join(map(quote_name, names))


def _chosen(relation: Relation, only: Collection[str] | None, first: Sequence[str], limit: int) -> list[Column]:
    columns = relation["columns"]
    if only is not None:
        return [column for column in columns if column["name"] in only]
    if len(columns) <= limit:
        return columns
    keys = key_columns(relation)
    names = [column["name"] for column in columns]
    order = dict.fromkeys([*(name for name in names if name in keys), *first, *names])
    kept = set(list(order)[:limit])
    return [column for column in columns if column["name"] in kept]  # in the table's order


def _head(relation: Relation, *, counts: bool, columns: int) -> str:
    rows = f" ~{relation['rows']} rows" if counts and relation["rows"] is not None else ""
    comment = relation["comment"]
    if columns < len(relation["columns"]):
        comment = f"[{columns} of {len(relation['columns'])} columns are shown] {comment}".rstrip()
    hiding = _HIDING.get(relation["row_security"])
    if hiding:
        comment = f"{hiding} {comment}".rstrip()
    return f"{relation['kind']} {relation['qualified']}{_namesakes_note(relation)}{rows}{_comment(comment)}"


def _namesakes_note(relation: Relation) -> str:
    """Say whether the plain name means this relation, where other relations have the same name."""
    if not relation["namesakes"]:
        return ""
    name, others = quote_name(relation["name"]), _first_names(relation["namesakes"])
    if relation["meant"] == relation["qualified"]:
        return f" [plain {name} means this, not {others}]"
    if relation["meant"]:
        return f" [plain {name} means {relation['meant']}, not this]"
    return f" [plain {name} may mean this or {others}: ask which]"


def _first_names(names: Sequence[str]) -> str:
    more = len(names) - _NAMESAKES
    return ", ".join(names[:_NAMESAKES]) + (f" and {more} more" if more > 0 else "")


def _single_column_keys(keys: Sequence[ForeignKey]) -> dict[str, ForeignKey]:
    # A column with two foreign keys shows the first in its own line and the other on a separate line.
    single: dict[str, ForeignKey] = {}
    for key in keys:
        if len(key["columns"]) == 1 and not key["partitions"]:
            single.setdefault(key["columns"][0], key)
    return single


def long_comments(relation: Relation) -> frozenset[str]:
    """Return the columns whose comment is cut unless it is asked for."""
    return frozenset(column["name"] for column in relation["columns"] if len(column["comment"]) > _COLUMN_COMMENT_CHARS)


def _on_delete(key: ForeignKey) -> str:
    return f" on delete {key['on_delete']}" if key["on_delete"] in _DELETE_EFFECTS else ""


def _column(column: Column, relation: Relation, key: ForeignKey | None, *, whole: bool, counts: bool) -> str:
    is_key = relation["primary_key"] == [column["name"]]
    flags = [
        "pk" if is_key else "",
        "unique" if not is_key and [column["name"]] in relation["unique"] else "",
        "not null" if not column["nullable"] and not is_key else "",
        "generated" if column["generated"] else "",
        f"-> {key['target']}({name_list(key['target_columns'])}){_on_delete(key)}" if key else "",
        f"in ({_values(column['values'])}){_MORE_VALUES if column['more_values'] else ''}" if column["values"] else "",
        _range(column) if counts else "",
        "masked" if column["masked"] else "",
        "" if column["readable"] else "unreadable",
    ]
    words = " ".join(filter(None, [quote_name(column["name"]), column["base"] or column["type"], *flags]))
    return f"  {words}{_comment(column['comment'] if whole else one_line(column['comment'], _COLUMN_COMMENT_CHARS))}"


def _range(column: Column) -> str:
    days = column.get("range")
    return f"from about {days[0]} to {days[1]}" if days else ""


def _comment(comment: str) -> str:
    return f" -- {comment}" if comment else ""


def _values(values: Sequence[str]) -> str:
    return "|".join(map(_value, values))


def _value(value: str) -> str:
    if not _QUOTED_VALUE & set(value):
        return value
    return "'" + value.replace("'", "''") + "'"
