"""Says in plain words what pydantic found wrong with data from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_WORDS = {
    "missing": "it is missing",
    "extra_forbidden": "there is no field of this name",
    "none_required": "it must be left out",
    "string_type": "it must be text",
    "bool_type": "it must be true or false",
    "bool_parsing": "it must be true or false",
    "float_type": "it must be a number",
    "float_parsing": "it must be a number",
    "finite_number": "it must be a finite number",
    "json_invalid": "it must be JSON",
    "int_type": "it must be a whole number",
    "int_parsing": "it must be a whole number",
    "int_from_float": "it must be a whole number",
    "int_parsing_size": "it is a number that is too large",
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type", "iterable_type"), "it must be a list"),
    **dict.fromkeys(
        ("dict_type", "mapping_type", "model_type", "model_attributes_type", "dataclass_type"), "it must be an object"
    ),
}


def fault(error: ValidationError) -> tuple[str, str]:
    """Return where the first fault stands ("steps.0.id", "" for the whole) and what it is ("it is missing"), never the value."""
    first = error.errors(include_input=False, include_url=False)[0]
    return ".".join(map(str, first["loc"]))[:200], words(first)


def faults(error: ValidationError, most: int = 5) -> str:
    """Return the first faults in one line, each with its place: "steps: it must be a list; id: it is missing"."""
    found = error.errors(include_input=False, include_url=False)[:most]
    return "; ".join(f"{'.'.join(map(str, one['loc'])) or 'the whole'}: {words(one)}" for one in found)


def words(found: ErrorDetails) -> str:
    """Return what one fault is. A sentence of our own validators is returned as it is."""
    said = _WORDS.get(found["type"])
    limits: dict[str, Any] = found.get("ctx") or {}
    if found["type"] == "too_short":
        said = f"it must have at least {_entries(limits['min_length'])}"
    elif found["type"] == "too_long":
        said = f"it may have at most {_entries(limits['max_length'])}"
    elif found["type"] in ("string_too_short", "string_too_long"):
        bound = "at least" if found["type"] == "string_too_short" else "at most"
        said = f"it must have {bound} {limits.get('min_length', limits.get('max_length'))} characters"
    if said is None:
        said = found["msg"].removeprefix("Value error, ")
        for theirs, ours in (
            ("Input should be ", "it must be "),
            ("String should ", "it should "),
            ("Input should ", "it should "),
        ):
            if said.startswith(theirs):
                said = ours + said.removeprefix(theirs)
    return said[:300].rstrip(".")


def _entries(count: int) -> str:
    return f"{count} {'entry' if count == 1 else 'entries'}"
