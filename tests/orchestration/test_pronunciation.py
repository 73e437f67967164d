"""Recordings made by espeak-ng: a planted wrong sound is found, a right one is not blamed, and what is no recording is refused."""

from __future__ import annotations

import os
import subprocess
import sys
import wave
from base64 import b64encode
from io import BytesIO
from pathlib import Path
from shutil import which

import pytest

from agent.errors import ConfigurationError, InvalidInput
from agent.orchestration.agents.base import NonRetryable
from agent.orchestration.agents.speech_analysis import SpeechAnalysisAgent
from agent.orchestration.learners import pronunciation
from agent.orchestration.learners.pronunciation import compare_audio, samples_of, variants_of

_REQUIRED = os.environ.get("AGENT_TEST_REQUIRE", "").split(",")


@pytest.fixture
def spoken(request: pytest.FixtureRequest, tmp_path: Path) -> object:
    """Return what speaks a text; without espeak-ng one printed line says what did not run."""
    if which("espeak-ng") is None and "espeak-ng" not in _REQUIRED:
        reason = f"Not run: {request.node.name}, no espeak-ng (apt-get install espeak-ng)."
        with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            print(f"\n{reason}")
        pytest.skip(reason)

    def speak(text: str) -> str:
        file = tmp_path / "spoken.wav"
        subprocess.run(["espeak-ng", "-v", "en-us", "-s", "120", "-w", str(file), text], check=True)
        return b64encode(file.read_bytes()).decode()

    return speak


def wav(*, channels: int = 1, width: int = 2, rate: int = 16_000, seconds: float = 1.0) -> str:
    held = BytesIO()
    with wave.open(held, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(b"\x00" * int(seconds * rate * channels * width))
    return b64encode(held.getvalue()).decode()


@pytest.mark.parametrize(
    ("text", "said", "mistakes"),
    [
        ("A very big fish", "a very big fish", []), ("A very big fish", "a wery big fish", [("very", "V", "W")]),
        ("The ship sailed away", "the ship sailed away", []), ("I think it is a red rabbit", "i think it is a wed rabbit", [("red", "R", "W")]),
    ],
)  # fmt: skip
async def test_a_planted_wrong_sound_is_found_and_a_right_one_is_not_blamed(spoken, text, said, mistakes) -> None:  # type: ignore[no-untyped-def]
    found = await SpeechAnalysisAgent("s").execute("analyze_speech", {"text": text, "audio": spoken(said)})
    assert [(one["word"], one["expected"], one["heard"]) for one in found["mistakes"]] == mistakes
    assert found["score"] == (1 if not mistakes else round(1 - 1 / found["phonemes"], 4))


@pytest.mark.parametrize(
    ("audio", "told"),
    [
        ("UklGRg==", "no WAV file"), ("====", "no WAV file"), (wav(channels=2), "one channel"), (wav(width=1), "16 bits"), (wav(rate=200_000, seconds=0.2), "96,000"),
        (wav(seconds=0.01), "send 0.1 to 30"), (wav(seconds=31), "send 0.1 to 30"), (wav()[:-800], "Nothing can be heard|WAV"), (wav(), "Nothing can be heard"),
    ],
)  # fmt: skip
async def test_what_is_no_recording_is_refused_with_what_to_send(audio: str, told: str) -> None:
    with pytest.raises(NonRetryable, match=told):
        await SpeechAnalysisAgent("s").execute("analyze_speech", {"text": "a very big fish", "audio": audio})


def test_only_words_and_bounded_texts_are_compared() -> None:
    for text in ("", "'''", "12 34", "word " * 41):
        with pytest.raises(InvalidInput, match="English words"):
            compare_audio(text, wav())
    with pytest.raises(InvalidInput, match="characters"):
        samples_of("A" * 5_000_000)


def test_a_way_to_say_a_word_rightly_is_no_mistake() -> None:
    found = variants_of("sheep", [("SH", "IY", "P"), ("S", "IY", "P")])
    assert [(one.expected, one.heard) for one in found] == [("P", "F")]


def test_without_the_library_a_sentence_says_what_to_install_and_words_are_still_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    pronunciation._dictionary.cache_clear()
    with pytest.raises(ConfigurationError, match="speech"):
        compare_audio("a very big fish", wav())
