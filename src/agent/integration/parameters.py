"""Reads the parameters of tasks: strangers' input, checked before anything is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from agent.errors import InvalidInput
from agent.text.faults import fault

Given = TypeVar("Given", bound=BaseModel)


def read(kind: type[Given], parameters: Mapping[str, Any]) -> Given:
    """Return checked parameters of a task. Raises `InvalidInput` that names the one that is wrong."""
    try:
        return kind.model_validate(parameters, by_name=True, by_alias=True)
    except ValidationError as error:
        place, what = fault(error)
        raise InvalidInput(f"Correct {place or 'the parameters'}: {what}.") from None
