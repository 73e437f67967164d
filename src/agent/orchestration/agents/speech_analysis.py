"""Compares what was spoken with a text, sound by sound."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from agent.errors import ConfigurationError, InvalidInput
from agent.orchestration.agents.base import BaseAgent, NonRetryable
from agent.orchestration.agents.inputs import Speech, read
from agent.orchestration.learners.phonemes import Comparison, compare, compare_sounds, sounds_of
from agent.orchestration.learners.pronunciation import compare_audio

_MOST_SOUNDS = 1_200
_NOTHING = "Say what was heard: `audio` (a WAV file as base64), `spoken` (words) or `phonemes` (ARPAbet)."
# A recording keeps a processor busy for seconds: one at a time leaves room for everybody else.
_RECORDINGS = asyncio.Semaphore(1)


class SpeechAnalysisAgent(BaseAgent):
    """Pronunciation."""

    actions = ("analyze_speech", "analyze", "speech_analysis")

    async def execute(self, action: str, input: dict[str, Any], **context: Any) -> Any:  # noqa: A002  # the document's name
        """Do one action. Raises `NonRetryable` for one that there is not, and for input that is not valid."""
        if action not in self.actions:
            raise NonRetryable(f"The speech agent has no action {action[:100]!r}: use analyze_speech.")
        given = read(Speech, input)
        if len(given.text) + len(given.spoken or "") > _MOST_SOUNDS:
            raise NonRetryable(f"The texts have more than {_MOST_SOUNDS:,} characters: send one paragraph at a time.")
        if given.audio is not None:
            return _shown(await _heard(given.text, given.audio))
        return _shown(_compared(given))


async def _heard(text: str, audio: str) -> Comparison:
    """Compare a recording with its text, in a thread. Raises `NonRetryable`: the same recording fails again."""
    try:
        async with _RECORDINGS:
            return await asyncio.to_thread(compare_audio, text, audio)
    except (InvalidInput, ConfigurationError) as error:
        raise NonRetryable(str(error)) from error


def _compared(given: Speech) -> Comparison:
    if given.phonemes is not None:
        expected = [(word, sound) for word in given.text.lower().split() for sound in sounds_of(word)]
        return compare_sounds(expected, [one.upper().rstrip("012") for one in given.phonemes[:_MOST_SOUNDS]])
    if given.spoken is None:
        raise NonRetryable(_NOTHING)
    return compare(given.text, given.spoken)


def _shown(found: Comparison) -> dict[str, Any]:
    return {"score": found.score, "phonemes": found.sounds, "mistakes": [asdict(one) for one in found.mistakes]}
