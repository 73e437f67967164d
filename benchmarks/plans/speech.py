"""Which planted consonants are found in recordings of espeak-ng: on the sentences that the threshold was looked at with, and on held-out ones."""

from __future__ import annotations

import subprocess
import tempfile
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import which

from agent.orchestration.learners.pronunciation import compare_audio
from benchmarks.report import Report

# A sentence, how it was said with one consonant changed, and the word that this was.
PLANTED = (
    ("the ship sailed away", "the sip sailed away", "ship"), ("i think it is a red rabbit", "i sink it is a red rabbit", "think"),
    ("i think it is a red rabbit", "i think it is a wed rabbit", "red"), ("a very big fish", "a wery big fish", "very"), ("a very big fish", "a very pig fish", "big"),
    ("she reads a good book", "she leads a good book", "reads"), ("please close the door now", "please close the tore now", "door"),
    ("three cats sat on the mat", "tree cats sat on the mat", "three"), ("three cats sat on the mat", "three bats sat on the mat", "cats"),
    ("look at the light", "look at the right", "light"), ("look at the light", "wook at the light", "look"),
    ("my mother thanked them", "my mother sanked them", "thanked"), ("they choose a shoe", "they shoes a shoe", "choose"),
)  # fmt: skip
# The same with other words and in other voices, with which nothing was chosen.
HELD_OUT = (
    ("the fox jumped over a rock", "the fox jumped over a lock", "rock"), ("lucy washes her face", "lucy watches her face", "washes"),
    ("my uncle works in a factory", "my uncle vorks in a factory", "works"), ("change the sheets on friday", "change the seats on friday", "sheets"),
    ("never leave the village alone", "never leave the willage alone", "village"), ("the lion roared very loudly", "the rion roared very loudly", "lion"),
    ("they bought some yellow roses", "they bought some yellow loses", "roses"), ("shut the window before noon", "shut the rindow before noon", "window"),
)  # fmt: skip
UNSEEN = ("en-us+m7", "en-us+f3", "en-gb-scotland")


@dataclass(slots=True)
class Counts:
    """Words said wrongly, how many of them were found, recordings, and right words that were blamed."""

    planted: int = 0
    found: int = 0
    recordings: int = 0
    blamed: int = 0


def measure(report: Report) -> None:
    """Listen to each sentence, as it should be and with a word that is wrong."""
    if which("espeak-ng") is None:
        report.note("no espeak-ng: recordings were not looked at")
        return
    seen, unseen = _listened(PLANTED, ("en-us",)), _listened(HELD_OUT, UNSEEN)
    reached = "; ".join(f"{name}: {one.found} of {one.planted} found, {one.blamed} right words blamed in {one.recordings} recordings" for name, one in (("seen", seen), ("held out", unseen)))  # fmt: skip
    report.bar(
        "planted consonants in recordings",
        bar="some found, no right word blamed",
        reached=reached,
        ok=seen.found > 0 and unseen.found > 0 and seen.blamed + unseen.blamed == 0,
    )


def _listened(sentences: Sequence[tuple[str, str, str]], voices: Sequence[str]) -> Counts:
    counts = Counts()
    for voice in voices:
        for text in dict.fromkeys(text for text, _, _ in sentences):
            counts.blamed += len(_wrong_words(text, text, voice))
            counts.recordings += 1
        for text, said, word in sentences:
            words = _wrong_words(text, said, voice)
            counts.planted += 1
            counts.recordings += 1
            counts.found += word in words
            counts.blamed += len(words - {word})
    return counts


def _wrong_words(text: str, said: str, voice: str) -> set[str]:
    return {one.word for one in compare_audio(text, _spoken(said, voice)).mistakes}


def _spoken(text: str, voice: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "spoken.wav"
        subprocess.run(["espeak-ng", "-v", voice, "-s", "120", "-w", str(file), text], check=True)
        return b64encode(file.read_bytes()).decode()
