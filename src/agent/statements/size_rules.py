"""How large what a function returns is, by its arguments, as far as it can be known before it runs. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from agent.statements.parser import Message, kind_of, name_of, walk

# Characters that a row may hold beyond what columns bring, and how often it may hold the value of a column.
MOST_CHARACTERS = 1_000_000
MOST_COLUMNS = 200
MOST_OF_TABLES = 64  # where the values hold whole tables
# Of what is collected from the rows of a table, whose number is not known, each may be this large, or be made so many times larger than it is stored.
MOST_COLLECTED = 1_000
MOST_GROWN = 8
ELEMENT = 16  # bytes of an array or an aggregate for each value
DIGITS = 150_000  # of a numeric, at most
_CALENDAR_ROWS = 1_000
_SMALL = 5


class Size(NamedTuple):
    """At most `columns` times the value of some column, and `fixed` characters.

    `grown` is how often functions multiply one value. `tables` is 1 where it may hold every row of a table.
    """

    columns: float
    fixed: float
    grown: float = 1
    tables: int = 0

    def times(self, factor: float) -> Size:
        grown = self.grown * max(factor, 1) if self.columns else self.grown
        return Size(product(self.columns, factor), product(self.fixed, factor), grown, self.tables)

    def by(self, other: Size) -> Size:
        """The size where each character becomes `other`."""
        each = max(1, other.fixed + 100 * other.columns)
        return Size(
            product(self.columns, each) + product(self.fixed, other.columns),
            product(self.fixed, max(1, other.fixed)),
            max(self.grown, other.grown) * (each if self.columns else 1),
            max(self.tables, other.tables),
        )


NOTHING = Size(0, 0)
WORD = Size(0, _SMALL)
NUMBER = 12  # characters
COLUMN = Size(1, 0)
HUGE = Size(0, math.inf)


def product(one: float, other: float) -> float:
    return one * other if one and other else 0.0


def total(sizes: Iterable[Size]) -> Size:
    sizes = list(sizes) or [NOTHING]
    return largest(sizes)._replace(columns=sum(size.columns for size in sizes), fixed=sum(size.fixed for size in sizes))


def largest(sizes: Iterable[Size]) -> Size:
    return Size(*(max(part) for part in zip(*(list(sizes) or [NOTHING]), strict=True)))


def _repeated(node: Message, arguments: Sequence[Size], size: Size) -> Size:
    count = whole(node.args[1]) if len(node.args) > 1 else None
    return HUGE if count is None else arguments[0].times(max(count, 0))


def _padded(node: Message, arguments: Sequence[Size], size: Size) -> Size:
    length = whole(node.args[1]) if len(node.args) > 1 else None
    return HUGE if length is None else arguments[0]._replace(fixed=max(arguments[0].fixed, length))


def _rounded(node: Message, arguments: Sequence[Size], size: Size) -> Size:
    digits = 0 if len(node.args) < 2 else whole(node.args[1])
    return size._replace(fixed=size.fixed + (DIGITS if digits is None else min(abs(digits), DIGITS)))


def _replaced(node: Message, arguments: Sequence[Size], size: Size) -> Size:
    if len(arguments) < 3:
        return size
    old, new = arguments[1], arguments[2]
    found = old.fixed if name_of(node.funcname).name == "replace" and not old.columns else 1
    return arguments[0].by(new._replace(fixed=new.fixed / max(found, 1)))


def _joined(node: Message, arguments: Sequence[Size], size: Size) -> Size:
    between = total(arguments[1:])
    return arguments[0].by(between._replace(fixed=between.fixed + 1)) if arguments else size


def _joined_with(node: Message, arguments: Sequence[Size], size: Size) -> Size:
    if node.func_variadic:
        return total(arguments[1:]).by(arguments[0]) if arguments else size
    return total([size, arguments[0].times(len(arguments))]) if arguments else size


def _highlighted(node: Message, arguments: Sequence[Size], size: Size) -> Size:
    options = [one for part, one in zip(node.args, arguments, strict=True) if "=" in text_in(part)]
    return size.by(Size(0, max([one.fixed for one in options] or [10])))


def _indented(node: Message, arguments: Sequence[Size], size: Size) -> Size:
    return size.times(4)._replace(fixed=size.fixed * max(4, size.fixed / 2))


def _written(node: Message, arguments: Sequence[Size], size: Size) -> Size:
    """to_char: a part of the pattern becomes at most twelve characters; a number has as many as its pattern."""
    return Size(arguments[1].columns * 12 if len(arguments) > 1 else 1, 50 + 12 * size.fixed)


def _powers(node: Message, arguments: Sequence[Size], size: Size) -> Size:
    return size._replace(fixed=size.fixed + DIGITS)


def _formatted(node: Message, arguments: Sequence[Size], size: Size) -> Size:
    """format: its widths, and each argument as often as the pattern names it."""
    if not node.args or kind_of(inner(node.args[0])) != "A_Const" or not inner(node.args[0]).HasField("sval"):
        return HUGE
    pattern = text_in(node.args[0])
    parts, following = [Size(0, len(pattern))], 0
    for match in _PLACEHOLDER.finditer(pattern):
        if match["star"] is not None:
            place = int(match["star"][1:-1]) if len(match["star"]) > 1 else following + 1
            following = place
            width = whole(node.args[place]) if 0 < place < len(node.args) and not node.func_variadic else None
        else:
            width = int(match["width"] or 0)
        following = int(match["place"]) if match["place"] else following + 1
        if width is None:
            return HUGE
        given = size if node.func_variadic else arguments[following] if 0 < following < len(arguments) else NOTHING
        parts.append(total([given.times(2), Size(0, min(abs(width), 2**31))]))
    return total(parts)


_PLACEHOLDER = re.compile(r"%(?:(?P<place>\d+)\$)?-?(?:(?P<width>\d+)|(?P<star>\*(?:\d+\$)?))?[sIL]")
COMPARING = frozenset(
    [
        "=",
        "<>",
        "!=",
        "<",
        ">",
        "<=",
        ">=",
        "~",
        "~*",
        "!~",
        "!~*",
        "~~",
        "!~~",
        "~~*",
        "@>",
        "<@",
        "&&",
        "?",
        "?|",
        "?&",
        "@@",
        "@?",
        "^@",
    ]
)
ARITHMETIC = frozenset(["+", "-", "*", "/", "%"])
NUMBERS = frozenset(
    [
        "int2",
        "int4",
        "int8",
        "integer",
        "float4",
        "float8",
        "bool",
        "date",
        "timestamp",
        "timestamptz",
        "numeric",
        "uuid",
    ]
)
COLLECTING = frozenset(
    [
        "string_agg",
        "array_agg",
        "json_agg",
        "json_agg_strict",
        "jsonb_agg",
        "jsonb_agg_strict",
        "json_object_agg",
        "json_object_agg_strict",
        "json_object_agg_unique",
        "json_object_agg_unique_strict",
        "jsonb_object_agg",
        "jsonb_object_agg_strict",
        "jsonb_object_agg_unique",
        "jsonb_object_agg_unique_strict",
        "range_agg",
        "percentile_cont",
        "percentile_disc",
        "mode",
        "xmlagg",
    ]
)
# What returns a number, a date or a digest, whatever it is given.
SHORT = frozenset(
    [
        "count",
        "length",
        "char_length",
        "character_length",
        "octet_length",
        "bit_length",
        "position",
        "strpos",
        "ascii",
        "date_part",
        "extract",
        "age",
        "now",
        "date_trunc",
        "date",
        "to_date",
        "to_timestamp",
        "cardinality",
        "array_length",
        "array_upper",
        "array_lower",
        "array_position",
        "jsonb_array_length",
        "json_array_length",
        "row_number",
        "rank",
        "dense_rank",
        "ntile",
        "percent_rank",
        "cume_dist",
        "sum",
        "avg",
        "stddev",
        "variance",
        "md5",
        "sha256",
        "pg_typeof",
        "jsonb_typeof",
        "json_typeof",
        "bool_and",
        "bool_or",
        "every",
    ]
)  # a list of words reads better than one of strings
FACTORS: Mapping[str, float] = {
    "quote_literal": 3, "quote_nullable": 3, "quote_ident": 3, "encode": 4, "convert_to": 4, "convert_from": 4, "normalize": 18,
    "to_json": 2, "to_jsonb": 2, "row_to_json": 2, "array_to_json": 2, "json_build_object": 2, "json_build_array": 2, "jsonb_build_object": 2,
    "jsonb_build_array": 2, "json_object": 2, "jsonb_object": 2, "string_to_array": 8, "regexp_split_to_array": 8, "regexp_matches": 8,
    "regexp_match": 8, "to_tsvector": 2, "tsvector_to_array": 2, "to_bin": 64, "unistr": 1, "similar_to_escape": 4,
}  # fmt: skip
MAKERS: Mapping[str, Callable[[Message, Sequence[Size], Size], Size]] = {
    "repeat": _repeated, "lpad": _padded, "rpad": _padded, "format": _formatted, "replace": _replaced, "regexp_replace": _replaced,
    "array_replace": _replaced, "array_to_string": _joined, "concat_ws": _joined_with, "ts_headline": _highlighted,
    "jsonb_pretty": _indented, "to_char": _written, "power": _powers, "pow": _powers, "exp": _powers, "factorial": _powers,
    "round": _rounded, "trunc": _rounded,
}  # fmt: skip


# Functions that make a row of each part of what they are given.
TAKING_APART = re.compile(
    r"unnest|generate_subscripts|.*_array_elements(_text)?|.*_each(_text)?|.*_object_keys|.*_to_table|regexp_matches|.*path_query"
)
_CALENDAR = re.compile(r"day|week|mon|year|decade|centur", re.IGNORECASE)
_CLOCK = re.compile(r"hour|min|sec|micro|milli|:|\d{5}", re.IGNORECASE)


def steps_of(call: Message) -> float:
    """How many rows generate_series makes; infinitely many where that is not said by constants."""
    numbers = [_number(part) for part in call.args]
    if len(numbers) in {2, 3} and all(number is not None for number in numbers):
        start, stop, step = (*numbers, 1.0)[:3]
        return max((stop - start) / step + 1, 0) if step else math.inf  # type: ignore[operator]  # none is None
    texts = [text_in(part) for part in call.args]
    if len(texts) == 3 and _CALENDAR.search(texts[2]) and not any(_CLOCK.search(text) for text in texts):
        return _CALENDAR_ROWS
    return math.inf


def _number(wrapped: Message) -> float | None:
    node = inner(wrapped)
    if kind_of(node) == "TypeCast":
        return _number(node.arg) if name_of(node.type_name.names).name in NUMBERS else None
    if kind_of(node) != "A_Const" or node.HasField("sval") or node.HasField("bsval"):
        return None
    return float(node.fval.fval) if node.HasField("fval") else float(node.ival.ival)


def whole(wrapped: Message) -> int | None:
    """A constant whole number."""
    node = inner(wrapped)
    return int(node.ival.ival) if kind_of(node) == "A_Const" and node.HasField("ival") else None


def text_in(wrapped: Message) -> str:
    """The text of constants in an expression."""
    return " ".join(part.sval.sval for part in walk(wrapped) if kind_of(part) == "A_Const" and part.HasField("sval"))


def inner(message: Message) -> Message:
    """What stands in one of the grammar's wrappers."""
    while kind_of(message) == "Node" and message.WhichOneof("node"):
        message = getattr(message, message.WhichOneof("node"))
    return message


def many(value: Message) -> list[Message]:
    """One message, or those of a list, without empty ones."""
    return [value] if hasattr(value, "ListFields") else list(value)


def children(node: Message) -> list[Message]:
    found: list[Message] = []
    for part, value in node.ListFields():
        if part.message_type is not None:
            found += many(value)
    return found
