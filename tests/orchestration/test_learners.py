"""What a learner knows, from answers; and where two utterances differ in their sounds."""

from __future__ import annotations

import random
from math import log

from hypothesis import given
from hypothesis import strategies as st

from agent.orchestration.learners.knowledge_tracing import Skill, Tracing, fit, likelihood, next_activity
from agent.orchestration.learners.phonemes import compare, sounds_of

TRUE = Tracing(known=0.2, learn=0.2, guess=0.25, slip=0.08)


def simulated(count: int, chance: random.Random, true: Tracing = TRUE) -> list[list[bool]]:
    """Return the answers of learners who are as `true` says."""
    everybody = []
    for _ in range(count):
        knows, answers = chance.random() < true.known, []
        for _ in range(12):
            answers.append(chance.random() < (1 - true.slip if knows else true.guess))
            knows = knows or chance.random() < true.learn
        everybody.append(answers)
    return everybody


def mean_likelihood(learners: list[list[bool]]) -> float:
    """Return the logarithm of how probable answers are if each is foretold by the mean of those before."""
    total = 0.0
    for answers in learners:
        for at, correct in enumerate(answers):
            right = (sum(answers[:at]) + 1) / (at + 2)
            total += log(right if correct else 1 - right)
    return total


def test_tracing_finds_the_parameters_and_foretells_unseen_learners_better_than_a_running_mean() -> None:
    chance = random.Random(7)
    found = fit(simulated(600, chance))
    for name in ("known", "learn", "guess", "slip"):
        assert abs(getattr(found, name) - getattr(TRUE, name)) < 0.08, (name, found)
    unseen = simulated(400, chance)
    traced = likelihood(unseen, found)
    assert traced > mean_likelihood(unseen) + 0.02 * 400 * 12  # nats for each answer
    assert traced > likelihood(unseen, TRUE) - 0.005 * 400 * 12


@given(st.lists(st.booleans(), max_size=200))
def test_what_is_known_stays_a_probability_and_a_right_answer_never_lowers_it(answers: list[bool]) -> None:
    skill = Skill(name="s")
    for correct in answers:
        after = skill.answered(correct=correct)
        assert 0 <= after.known <= 1
        assert not correct or after.known >= skill.known - 1e-9
        skill = after
    assert skill.answers == len(answers)
    assert next_activity([skill], otherwise="x").skill == "s"


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz '", max_size=60))
def test_equal_texts_never_differ(text: str) -> None:
    assert compare(text, text).mistakes == []


def test_a_planted_mistake_is_found_and_nothing_else() -> None:
    found = compare("Think about three thin things.", "think about free thin things")
    assert [(one.word, one.expected, one.heard) for one in found.mistakes] == [("three", "TH", "F")]
    assert 0.9 < found.score < 1
    assert sounds_of("knife") == ("N", "IH", "F")
    left_out = compare("she sells shells", "she sells")
    assert [(one.word, one.heard) for one in left_out.mistakes] == [("shells", None)] * 5 or left_out.score < 0.7
