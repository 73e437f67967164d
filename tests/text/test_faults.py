"""What pydantic finds wrong is said in plain words, with its place and without the value."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from agent.text.faults import fault, faults


class Step(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    id: Annotated[str, Field(min_length=2, max_length=5)]
    kind: Literal["read", "write"] = "read"
    tries: Annotated[int, Field(gt=0)] = 1
    names: Annotated[tuple[str, ...], Field(min_length=1, max_length=2, strict=False)] = ("a",)
    after: dict[str, str] = {}

    @field_validator("after")
    @classmethod
    def no_circle(cls, given: dict[str, str]) -> dict[str, str]:
        if "circle" in given:
            raise ValueError("The steps wait for each other.")
        return given


def found(given: Any) -> ValidationError:
    with pytest.raises(ValidationError) as error:
        Step.model_validate(given)
    return error.value


@pytest.mark.parametrize(
    ("given", "place", "what"),
    [
        ({}, "id", "it is missing"),
        ({"id": 5}, "id", "it must be text"),
        ({"id": "x"}, "id", "it must have at least 2 characters"),
        ({"id": "x" * 6}, "id", "it must have at most 5 characters"),
        ({"id": "xy", "names": "secret"}, "names", "it must be a list"),
        ({"id": "xy", "names": []}, "names", "it must have at least 1 entry"),
        ({"id": "xy", "names": ["a"] * 3}, "names", "it may have at most 2 entries"),
        ({"id": "xy", "names": ["a", 5]}, "names.1", "it must be text"),
        ({"id": "xy", "kind": "secret"}, "kind", "it must be 'read' or 'write'"),
        ({"id": "xy", "tries": 0}, "tries", "it must be greater than 0"),
        ({"id": "xy", "tries": "1"}, "tries", "it must be a whole number"),
        ({"id": "xy", "after": []}, "after", "it must be an object"),
        ({"id": "xy", "after": {"circle": "secret"}}, "after", "The steps wait for each other"),
        ({"id": "xy", "more": "secret"}, "more", "there is no field of this name"),
        (["secret"], "", "it must be an object"),
    ],
)
def test_a_fault_has_a_place_and_plain_words(given: Any, place: str, what: str) -> None:
    error = found(given)
    assert fault(error) == (place, what)
    assert "secret" not in faults(error)


def test_many_faults_fit_one_line() -> None:
    text = faults(found({"id": 5, **{f"more{i}": i for i in range(50)}}))
    assert text.startswith("id: it must be text; more0: there is no field of this name; ")
    assert text.count(";") == 4
