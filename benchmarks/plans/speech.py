"""Which planted consonants are found in recordings of espeak-ng: on the sentences that the thresholds were looked at with, and on held-out ones."""

from __future__ import annotations

import subprocess
import tempfile
from base64 import b64encode
from collections.abc import Mapping, Sequence
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
# The same with other words and in other voices: the thresholds were chosen with these too.
MORE_SEEN = (
    ("the fox jumped over a rock", "the fox jumped over a lock", "rock"), ("lucy washes her face", "lucy watches her face", "washes"),
    ("my uncle works in a factory", "my uncle vorks in a factory", "works"), ("change the sheets on friday", "change the seats on friday", "sheets"),
    ("never leave the village alone", "never leave the willage alone", "village"), ("the lion roared very loudly", "the rion roared very loudly", "lion"),
    ("they bought some yellow roses", "they bought some yellow loses", "roses"), ("shut the window before noon", "shut the rindow before noon", "window"),
)  # fmt: skip
# With these nothing was chosen.
HELD_OUT = (
    ("we drove over the river bridge", "we drobe over the river bridge", "drove"), ("a lazy dog slept all day", "a razy dog slept all day", "lazy"),
    ("he shook the apple tree", "he sook the apple tree", "shook"), ("the water is warm today", "the vater is warm today", "water"),
    ("her brother rides a horse", "her brother lides a horse", "rides"), ("thank you for the lovely soup", "sank you for the lovely soup", "thank"),
    ("he fed the chickens early", "he ped the chickens early", "fed"), ("nobody saw the yellow van", "nobody saw the yellow wan", "van"),
)  # fmt: skip
MORE_VOICES, UNSEEN_VOICES = ("en-us+m7", "en-us+f3", "en-gb-scotland"), ("en-us+m3", "en-us+f5", "en-gb-x-rp")


@dataclass(slots=True)
class Counts:
    """Words said wrongly, how many of them were found (surely, perhaps), recordings, and right words that were blamed (surely, perhaps)."""

    planted: int = 0
    found: int = 0
    perhaps_found: int = 0
    recordings: int = 0
    blamed: int = 0
    perhaps_blamed: int = 0

    def __str__(self) -> str:
        return (
            f"{self.found} and perhaps {self.perhaps_found} more of {self.planted} found, {self.blamed} right words blamed and "
            f"{self.perhaps_blamed} perhaps in {self.recordings} recordings"
        )


def measure(report: Report) -> None:
    """Listen to each sentence, as it should be and with a word that is wrong."""
    if which("espeak-ng") is None:
        report.note("no espeak-ng: recordings were not looked at")
        return
    seen = _listened(PLANTED, ("en-us",)), _listened(MORE_SEEN, MORE_VOICES)
    unseen = _listened(HELD_OUT, UNSEEN_VOICES)
    reached = "; ".join(
        f"{name}: {one}" for name, one in zip(("seen", "seen too", "held out"), (*seen, unseen), strict=True)
    )
    report.bar(
        "planted consonants in recordings",
        bar="some found, no right word surely blamed",
        reached=reached,
        ok=unseen.found > 0 and not sum(one.blamed for one in (*seen, unseen)),
    )


def _listened(sentences: Sequence[tuple[str, str, str]], voices: Sequence[str]) -> Counts:
    counts = Counts()
    for voice in voices:
        for text in dict.fromkeys(text for text, _, _ in sentences):
            _count(counts, _wrong_words(text, text, voice), "")
        for text, said, word in sentences:
            counts.planted += 1
            _count(counts, _wrong_words(text, said, voice), word)
    return counts


def _count(counts: Counts, heard: Mapping[str, bool], planted: str) -> None:
    counts.recordings += 1
    for word, sure in heard.items():
        counts.found += sure and word == planted
        counts.perhaps_found += not sure and word == planted
        counts.blamed += sure and word != planted
        counts.perhaps_blamed += not sure and word != planted


def _wrong_words(text: str, said: str, voice: str) -> dict[str, bool]:
    """Return each word that is said to be wrong, and whether that is sure."""
    heard: dict[str, bool] = {}
    for one in compare_audio(text, _spoken(said, voice)).mistakes:
        heard[one.word] = heard.get(one.word, False) or one.sure
    return heard


def _spoken(text: str, voice: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "spoken.wav"
        subprocess.run(["espeak-ng", "-v", voice, "-s", "120", "-w", str(file), text], check=True)
        return b64encode(file.read_bytes()).decode()
