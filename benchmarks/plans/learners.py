"""How well knowledge tracing foretells learners whom it has not seen, and which planted consonants are found in recordings of espeak-ng."""

from __future__ import annotations

import random
import subprocess
import tempfile
from base64 import b64encode
from math import exp
from pathlib import Path
from shutil import which

from tests.orchestration.test_learners import mean_likelihood, simulated

from agent.orchestration.learners.knowledge_tracing import Tracing, fit, likelihood
from benchmarks.report import Report

SKILLS, SEEN, UNSEEN = 6, 300, 300
# A sentence, how it was said with one consonant changed, and the word that this was.
PLANTED = (
    ("the ship sailed away", "the sip sailed away", "ship"), ("i think it is a red rabbit", "i sink it is a red rabbit", "think"),
    ("i think it is a red rabbit", "i think it is a wed rabbit", "red"), ("a very big fish", "a wery big fish", "very"), ("a very big fish", "a very pig fish", "big"),
    ("she reads a good book", "she leads a good book", "reads"), ("please close the door now", "please close the tore now", "door"),
    ("three cats sat on the mat", "tree cats sat on the mat", "three"), ("three cats sat on the mat", "three bats sat on the mat", "cats"),
    ("look at the light", "look at the right", "light"), ("look at the light", "wook at the light", "look"),
    ("my mother thanked them", "my mother sanked them", "thanked"), ("they choose a shoe", "they shoes a shoe", "choose"),
)  # fmt: skip


def measure(report: Report) -> None:
    """Trace simulated learners, then listen."""
    chance = random.Random(3)
    better, gains = 0, []
    for _ in range(SKILLS):
        true = Tracing(
            known=chance.uniform(0.1, 0.5),
            learn=chance.uniform(0.05, 0.3),
            guess=chance.uniform(0.1, 0.3),
            slip=chance.uniform(0.03, 0.15),
        )
        found = fit(simulated(SEEN, chance, true))
        unseen = simulated(UNSEEN, chance, true)
        answers = sum(map(len, unseen))
        gains.append((exp(likelihood(unseen, found) / answers), exp(mean_likelihood(unseen) / answers)))
        better += gains[-1][0] > gains[-1][1]
    mine, mean = (sum(each) / SKILLS for each in zip(*gains, strict=True))
    report.bar(
        "knowledge tracing on unseen learners, beside the running mean",
        bar="better for each skill",
        reached=f"{better} of {SKILLS} skills; a probability of {mine:.3f} beside {mean:.3f} for each answer",
        ok=better == SKILLS,
    )
    if which("espeak-ng") is None:
        report.note("no espeak-ng: recordings were not looked at")
        return
    _listen(report)


def _listen(report: Report) -> None:
    from agent.orchestration.learners.pronunciation import compare_audio

    with tempfile.TemporaryDirectory() as folder:

        def spoken(text: str) -> str:
            file = Path(folder) / "spoken.wav"
            subprocess.run(["espeak-ng", "-v", "en-us", "-s", "120", "-w", str(file), text], check=True)
            return b64encode(file.read_bytes()).decode()

        blamed = sum(
            len(compare_audio(text, spoken(text)).mistakes) for text in dict.fromkeys(text for text, _, _ in PLANTED)
        )
        heard = [{one.word for one in compare_audio(text, spoken(said)).mistakes} for text, said, _ in PLANTED]
    found = sum(word in words for words, (_, _, word) in zip(heard, PLANTED, strict=True))
    wrong = sum(len(words - {word}) for words, (_, _, word) in zip(heard, PLANTED, strict=True))
    report.bar(
        "planted consonants in recordings",
        bar="some found, no right word blamed",
        reached=f"{found} of {len(PLANTED)} found, {blamed + wrong} right words blamed",
        ok=found > 0 and blamed + wrong == 0,
    )
