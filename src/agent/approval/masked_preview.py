"""The preview of a request without personal values, for approvers who may not see them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from agent.approval.preview import (
    MailPreview,
    OtherTable,
    Preview,
    RowChange,
    StatementPreview,
    ToolPreview,
    as_statement,
)
from agent.privacy.masking import (
    MASK,
    Values,
    cut_words,
    masked_arguments,
    masked_name,
    masked_sql,
    rows_with_cells,
    texts_of,
)
from agent.privacy.sensitive import looks_sensitive, looks_sensitive_value


def masked_preview(preview: Preview, action: str = "", arguments: Mapping[str, Any] | None = None) -> Preview:
    """Return a preview without personal values."""
    values = _personal_values(as_statement(preview))
    masked = replace(
        preview, masked=True, sentence=masked_summary(preview.sentence or "", action, preview),
        origins=tuple(map(_without_quotations, preview.origins)),
        conditions=_cut_texts(preview.conditions, values), not_previewed=_cut_texts(preview.not_previewed, values),
        fingerprint=cut_words(preview.fingerprint),
    )  # fmt: skip
    if isinstance(masked, StatementPreview):
        return _masked_statement(masked, values)
    text = _as_lines(masked_arguments(arguments or {}, action))
    return _masked_mail(masked, text) if isinstance(masked, MailPreview) else _masked_tool(masked, text)


def masked_summary(text: str, action: str, preview: Preview | None) -> str:
    """Return a request's sentence without personal values. For another request than a statement it is a general sentence."""
    if isinstance(preview, StatementPreview):
        return cut_words(_personal_values(preview).cut_from(text))
    if preview is not None and preview.masked_sentence is not None:
        return preview.masked_sentence
    return f"Allow {masked_name(action)}?"


def _masked_statement(preview: StatementPreview, values: Values) -> StatementPreview:
    cells = (side for rows, _ in _rows_of_tables(preview) for row in rows for side in (row["before"], row["after"]))
    known = frozenset(name for side in cells for name in side or ())
    words = {
        name: _cut_texts(getattr(preview, name), values) for name in ("goes", "lock", "volatile", "personal", "secret")
    }
    return replace(
        preview, **words, sql=masked_sql(preview.sql, known=known), shown_sql=None, signature=None, code=MASK, effect=None,
        columns=tuple(masked_name(str(name), known) for name in preview.columns),
        rows=tuple(_masked_rows(preview.rows, preview.personal, values)), notices=_notice_count(preview.notices),
        others=tuple(_masked_table(other, values) for other in preview.others), remarks=(MASK,) * len(preview.remarks),
    )  # fmt: skip


def _masked_mail(preview: MailPreview, text: str) -> MailPreview:
    links = (MASK,) * len(preview.links)
    return replace(preview, masked_sentence=None, text=text, links=links, place=MASK, from_=MASK)


def _masked_tool(preview: ToolPreview, text: str) -> ToolPreview:
    words = {name: _cut_texts(getattr(preview, name), Values()) for name in ("capabilities", "hosts")}
    text_if_any, tests = preview.text and text, preview.tests and (MASK,) * len(preview.tests)
    return replace(preview, **words, masked_sentence=None, content_hash=None, text=text_if_any, tests=tests)


def _masked_table(other: OtherTable, values: Values) -> OtherTable:
    words = {name: _cut_texts(value, values) for name, value in other.items()}
    return {**words, "rows": _masked_rows(other["rows"], other["personal"], values), "effect": None}  # type: ignore[typeddict-item]  # the names are its own


def _rows_of_tables(preview: StatementPreview) -> Iterator[tuple[Sequence[RowChange], Sequence[str]]]:
    """Yield the rows of each table that a statement changes, and the names of their personal columns."""
    yield preview.rows, preview.personal
    for other in preview.others:
        yield other["rows"], other["personal"]


def _personal_values(preview: StatementPreview) -> Values:
    return Values.of(value for rows, personal in _rows_of_tables(preview) for value in _personal_cells(rows, personal))


def _personal_cells(rows: Sequence[RowChange], personal: Sequence[str]) -> Iterator[str]:
    for row in rows:
        for side in (row["before"] or {}, row["after"] or {}):
            for name, value in side.items():
                yield from texts_of(value) if name in personal else _personal_texts(value)


def _personal_texts(value: Any) -> Iterator[str]:
    """Yield the values in JSON that are under a personal key or look personal themselves."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from texts_of(inner) if looks_sensitive(str(name)) else _personal_texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _personal_texts(inner)
    elif isinstance(value, str) and looks_sensitive_value(value):
        yield value


def _looks_personal(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(looks_sensitive(str(name)) or _looks_personal(inner) for name, inner in value.items())
    if isinstance(value, list):
        return any(_looks_personal(inner) for inner in value)
    return isinstance(value, str) and looks_sensitive_value(value)


def _masked_rows(rows: Sequence[RowChange], personal: Sequence[str], values: Values) -> list[RowChange]:
    def masked_cell(name: str, value: Any) -> Any:
        hidden = value is not None and (name in personal or _looks_personal(value) or values.repeated_in(value))
        return MASK if hidden else value

    return rows_with_cells(rows, masked_cell)  # type: ignore[return-value]  # the same rows


def _cut_texts(value: Any, values: Values) -> Any:
    if isinstance(value, str):
        return cut_words(values.cut_from(value))
    return type(value)(_cut_texts(item, values) for item in value) if isinstance(value, (list, tuple)) else value


def _without_quotations(sentence: str) -> str:
    """Return a sentence with a mask in place of the text from its first quotation mark to its last."""
    marks = [position for position, character in enumerate(sentence) if character in "'\""]
    if marks:
        sentence = f"{sentence[: marks[0]]}'{MASK}'{sentence[marks[-1] + 1 :]}"
    return cut_words(sentence)


def _notice_count(notices: Sequence[str]) -> tuple[str, ...]:
    number = len(notices)
    return (f"{number} notice{'' if number == 1 else 's'} of the database that you may not see.",) if number else ()


def _as_lines(arguments: Mapping[str, Any]) -> str:
    lines = []
    for name, value in arguments.items():
        text = (
            value if isinstance(value, str) else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        )
        lines.append(f"{name}:\n{text}" if "\n" in text else f"{name}: {text}")
    return "\n".join(lines)
