"""What the agents that come with it take: strangers' input, checked before anything is done."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from agent.orchestration.agents.base import NonRetryable
from agent.text.faults import fault

Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Text = Annotated[str, Field(min_length=1, max_length=10_000, pattern=r"^[^\x00]*$")]


class Input(BaseModel):
    """Fields in camelCase or snake_case; what is not known is left alone."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True, extra="ignore")


class OfLearner(Input):
    """Whom and what it is about."""

    learner_id: Name
    subject: Name = "general"
    grade_level: int | None = Field(None, ge=0, le=20)


class Interaction(OfLearner):
    """An answer to an exercise: `correct`, or `answer` and `expected`, which are compared."""

    skill: Name | None = None
    correct: bool | None = None
    answer: Text | None = None
    expected: Text | None = None


class Message(OfLearner):
    """What a learner says to the tutor."""

    message: Text


class Speech(Input):
    """What was to be read, and what was heard: words, sounds (ARPAbet), or a WAV file as base64."""

    text: Text
    spoken: Text | None = None
    phonemes: list[Name] | None = Field(None, max_length=5_000)
    audio: Annotated[str, Field(min_length=1, max_length=4_000_000, pattern=r"^[A-Za-z0-9+/=]+$")] | None = None


Given = TypeVar("Given", bound=Input)


def read(kind: type[Given], given: dict[str, Any]) -> Given:
    """Return checked input. Raises `NonRetryable`: the same input fails again."""
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        place, what = fault(error)
        raise NonRetryable(f"Correct the input {place or 'as a whole'}: {what}.") from None
