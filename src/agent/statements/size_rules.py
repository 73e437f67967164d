"""Calculates how large the result of a function can be, from its arguments, before it runs. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from agent.statements.parser import Message, kind_of, name_of, walk
from agent.text.words import word_set

# The most characters that a row may hold beside the values of columns, and how often it may hold the value of a column.
MOST_CHARACTERS = 1_000_000
MOST_COLUMNS = 200
MOST_OF_TABLES = 64  # the same for values that may hold whole tables
# An aggregate may collect any number of rows of a table, so each value may add this many characters and be at most this many
# times as large as it is stored.
MOST_COLLECTED = 1_000
MOST_GROWN = 8
ELEMENT = 16  # bytes that an array or aggregate needs for each value
DIGITS = 150_000  # the most digits of a numeric
_CALENDAR_ROWS = 1_000
_SMALL = 5


class Size(NamedTuple):
    """An upper bound: `columns` times the value of some column, and `fixed` characters.

    `grown` is by how much functions multiply one value. `tables` is 1 if the value may hold every row of a table, else 0.
    """

    columns: float
    fixed: float
    grown: float = 1
    tables: int = 0

    def times(self, factor: float) -> Size:
        """Return the size of the value repeated `factor` times."""
        grown = self.grown * max(factor, 1) if self.columns else self.grown
        return Size(product(self.columns, factor), product(self.fixed, factor), grown, self.tables)

    def with_characters_of(self, other: Size) -> Size:
        """Return the size after each character is replaced by a value of size `other`."""
        each = max(1, other.fixed + 100 * other.columns)
        return Size(
            product(self.columns, each) + product(self.fixed, other.columns),
            product(self.fixed, max(1, other.fixed)),
            max(self.grown, other.grown) * (each if self.columns else 1),
            max(self.tables, other.tables),
        )


NOTHING = Size(0, 0)
SMALL = Size(0, _SMALL)
NUMBER = 12  # characters
COLUMN = Size(1, 0)
HUGE = Size(0, math.inf)


def product(left: float, right: float) -> float:
    """Return the product, where zero times infinity is zero."""
    return left * right if left and right else 0.0


def total(sizes: Iterable[Size]) -> Size:
    """Return the size of one value that holds all of these."""
    sizes = list(sizes) or [NOTHING]
    return largest(sizes)._replace(columns=sum(size.columns for size in sizes), fixed=sum(size.fixed for size in sizes))


def largest(sizes: Iterable[Size]) -> Size:
    """Return a size that is at least as large as each of these."""
    return Size(*(max(part) for part in zip(*(list(sizes) or [NOTHING]), strict=True)))


def _repeated(node: Message, arguments: Sequence[Size], size: Size) -> Size:
    count = constant_integer(node.args[1]) if len(node.args) > 1 else None
    return HUGE if count is None else arguments[0].times(max(count, 0))


def _padded(node: Message, arguments: Sequence[Size], size: Size) -> Size:
    length = constant_integer(node.args[1]) if len(node.args) > 1 else None
    return HUGE if length is None else arguments[0]._replace(fixed=max(arguments[0].fixed, length))


def _rounded(node: Message, arguments: Sequence[Size], size: Size) -> Size:
    digits = 0 if len(node.args) < 2 else constant_integer(node.args[1])
    return size._replace(fixed=size.fixed + (DIGITS if digits is None else min(abs(digits), DIGITS)))


def _replaced(node: Message, arguments: Sequence[Size], size: Size) -> Size:
    if len(arguments) < 3:
        return size
    old, new = arguments[1], arguments[2]
    length = old.fixed if name_of(node.funcname).name == "replace" and not old.columns else 1
    return arguments[0].with_characters_of(new._replace(fixed=new.fixed / max(length, 1)))


def _joined(node: Message, arguments: Sequence[Size], size: Size) -> Size:
    between = total(arguments[1:])
    return arguments[0].with_characters_of(between._replace(fixed=between.fixed + 1)) if arguments else size


def _joined_with(node: Message, arguments: Sequence[Size], size: Size) -> Size:
    if node.func_variadic:
        return total(arguments[1:]).with_characters_of(arguments[0]) if arguments else size
    return total([size, arguments[0].times(len(arguments))]) if arguments else size


def _highlighted(node: Message, arguments: Sequence[Size], size: Size) -> Size:
    options = [option.fixed for part, option in zip(node.args, arguments, strict=True) if "=" in text_in(part)]
    return size.with_characters_of(Size(0, max(options or [10])))


def _indented(node: Message, arguments: Sequence[Size], size: Size) -> Size:
    return size.times(4)._replace(fixed=size.fixed * max(4, size.fixed / 2))


def _to_char(node: Message, arguments: Sequence[Size], size: Size) -> Size:
    """Return the size of to_char's result: each part of its template becomes at most twelve characters."""
    return Size(arguments[1].columns * 12 if len(arguments) > 1 else 1, 50 + 12 * size.fixed)


def _power(node: Message, arguments: Sequence[Size], size: Size) -> Size:
    return size._replace(fixed=size.fixed + DIGITS)


def _formatted(node: Message, arguments: Sequence[Size], size: Size) -> Size:
    """Return the size of format's result: its widths, and each argument as often as the template names it."""
    if not node.args or kind_of(unwrapped(node.args[0])) != "A_Const" or not unwrapped(node.args[0]).HasField("sval"):
        return HUGE
    template = text_in(node.args[0])
    parts, following = [Size(0, len(template))], 0
    for match in _PLACEHOLDER.finditer(template):
        if match["star"] is not None:
            place = int(match["star"][1:-1]) if len(match["star"]) > 1 else following + 1
            following = place
            width = (
                constant_integer(node.args[place]) if 0 < place < len(node.args) and not node.func_variadic else None
            )
        else:
            width = int(match["width"] or 0)
        following = int(match["place"]) if match["place"] else following + 1
        if width is None:
            return HUGE
        given = size if node.func_variadic else arguments[following] if 0 < following < len(arguments) else NOTHING
        parts.append(total([given.times(2), Size(0, min(abs(width), 2**31))]))
    return total(parts)


_PLACEHOLDER = re.compile(r"%(?:(?P<place>\d+)\$)?-?(?:(?P<width>\d+)|(?P<star>\*(?:\d+\$)?))?[sIL]")
COMPARISONS = word_set("= <> != < > <= >= ~ ~* !~ !~* ~~ !~~ ~~* @> <@ && ? ?| ?& @@ @? ^@")
ARITHMETIC = word_set("+ - * / %")
NUMBERS = word_set("int2 int4 int8 integer float4 float8 bool date timestamp timestamptz numeric uuid")
AGGREGATES = word_set(
    """
    string_agg array_agg json_agg json_agg_strict jsonb_agg jsonb_agg_strict json_object_agg json_object_agg_strict
    json_object_agg_unique json_object_agg_unique_strict jsonb_object_agg jsonb_object_agg_strict
    jsonb_object_agg_unique jsonb_object_agg_unique_strict range_agg percentile_cont percentile_disc mode xmlagg
    """
)
# Functions that return a number, a date or a digest, whatever they are given.
SHORT_RESULTS = word_set(
    """
    count length char_length character_length octet_length bit_length position strpos ascii date_part extract age now
    date_trunc date to_date to_timestamp cardinality array_length array_upper array_lower array_position
    jsonb_array_length json_array_length row_number rank dense_rank ntile percent_rank cume_dist sum avg stddev variance
    md5 sha256 pg_typeof jsonb_typeof json_typeof bool_and bool_or every
    """
)
# By how much a function's result may be larger than its arguments; 1 for a function that is not here.
FACTORS: Mapping[str, float] = {
    "quote_literal": 3, "quote_nullable": 3, "quote_ident": 3, "encode": 4, "convert_to": 4, "convert_from": 4, "normalize": 18,
    "to_json": 2, "to_jsonb": 2, "row_to_json": 2, "array_to_json": 2, "json_build_object": 2, "json_build_array": 2, "jsonb_build_object": 2,
    "jsonb_build_array": 2, "json_object": 2, "jsonb_object": 2, "string_to_array": 8, "regexp_split_to_array": 8, "regexp_matches": 8,
    "regexp_match": 8, "to_tsvector": 2, "tsvector_to_array": 2, "to_bin": 64, "unistr": 1, "similar_to_escape": 4,
}  # fmt: skip
# Functions whose result needs a calculation of its own.
CALCULATIONS: Mapping[str, Callable[[Message, Sequence[Size], Size], Size]] = {
    "repeat": _repeated, "lpad": _padded, "rpad": _padded, "format": _formatted, "replace": _replaced, "regexp_replace": _replaced,
    "array_replace": _replaced, "array_to_string": _joined, "concat_ws": _joined_with, "ts_headline": _highlighted,
    "jsonb_pretty": _indented, "to_char": _to_char, "power": _power, "pow": _power, "exp": _power, "factorial": _power,
    "round": _rounded, "trunc": _rounded,
}  # fmt: skip


# Functions that return a row for each part of their argument.
ROW_FOR_EACH_PART = re.compile(
    r"unnest|generate_subscripts|.*_array_elements(_text)?|.*_each(_text)?|.*_object_keys|.*_to_table|regexp_matches|.*path_query"
)
_CALENDAR = re.compile(r"day|week|mon|year|decade|centur", re.IGNORECASE)
_CLOCK = re.compile(r"hour|min|sec|micro|milli|:|\d{5}", re.IGNORECASE)


def steps_of(call: Message) -> float:
    """Return how many rows generate_series makes; infinity where its arguments are not constants."""
    numbers = [_number(part) for part in call.args]
    if len(numbers) in {2, 3} and all(number is not None for number in numbers):
        start, stop, step = (*numbers, 1.0)[:3]
        return max((stop - start) / step + 1, 0) if step else math.inf  # type: ignore[operator]  # none is None
    texts = [text_in(part) for part in call.args]
    if len(texts) == 3 and _CALENDAR.search(texts[2]) and not any(_CLOCK.search(text) for text in texts):
        return _CALENDAR_ROWS
    return math.inf


def _number(wrapped: Message) -> float | None:
    node = unwrapped(wrapped)
    if kind_of(node) == "TypeCast":
        return _number(node.arg) if name_of(node.type_name.names).name in NUMBERS else None
    if kind_of(node) != "A_Const" or node.HasField("sval") or node.HasField("bsval"):
        return None
    return float(node.fval.fval) if node.HasField("fval") else float(node.ival.ival)


def constant_integer(wrapped: Message) -> int | None:
    """Return the value of a constant whole number; None for any other expression."""
    node = unwrapped(wrapped)
    return int(node.ival.ival) if kind_of(node) == "A_Const" and node.HasField("ival") else None


def text_in(wrapped: Message) -> str:
    """Return the texts of all constants in an expression, with a space between them."""
    return " ".join(part.sval.sval for part in walk(wrapped) if kind_of(part) == "A_Const" and part.HasField("sval"))


def unwrapped(message: Message) -> Message:
    """Return the message inside the grammar's `Node` wrappers."""
    while kind_of(message) == "Node" and message.WhichOneof("node"):
        message = getattr(message, message.WhichOneof("node"))
    return message


def as_list(value: Message) -> list[Message]:
    """Return the messages of a field that holds one message or a list of them."""
    return [value] if hasattr(value, "ListFields") else list(value)


def children(node: Message) -> list[Message]:
    """Return the messages directly below a message."""
    messages: list[Message] = []
    for field, value in node.ListFields():
        if field.message_type is not None:
            messages += as_list(value)
    return messages
