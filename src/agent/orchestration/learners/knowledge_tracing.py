"""Bayesian knowledge tracing (Corbett and Anderson, 1995): how probably a learner has a skill, after each answer. Pure.

A skill is known or not. Who does not know it guesses right with `guess`, who knows it slips with `slip`, and each exercise
teaches it with `learn`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log

MASTERED = 0.95
STRUGGLING_RUN = 3
_STEPS = (0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8)
_MOST_GUESS, _MOST_SLIP = 0.45, 0.45  # beyond that, knowing and not knowing change places


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracing:
    """The four probabilities of a skill."""

    known: float = 0.3
    learn: float = 0.15
    guess: float = 0.2
    slip: float = 0.1

    def right(self, known: float) -> float:
        """Return how probable a right answer is."""
        return known * (1 - self.slip) + (1 - known) * self.guess

    def after(self, known: float, *, correct: bool) -> float:
        """Return how probably the skill is known after an answer, and after what the exercise has taught."""
        has = known * ((1 - self.slip) if correct else self.slip)
        has_not = (1 - known) * (self.guess if correct else 1 - self.guess)
        posterior = has / (has + has_not)
        return posterior + (1 - posterior) * self.learn


@dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    """What is known of a learner and a skill; `wrong_run` counts wrong answers in a row."""

    name: str
    known: float = Tracing().known
    answers: int = 0
    correct: int = 0
    wrong_run: int = 0

    @property
    def struggling(self) -> bool:
        """Return whether the learner needs help now."""
        return self.wrong_run >= STRUGGLING_RUN

    @property
    def mastered(self) -> bool:
        """Return whether there is nothing left to practise for now."""
        return self.known >= MASTERED

    def answered(self, *, correct: bool, tracing: Tracing | None = None) -> Skill:
        """Return what is known after an answer."""
        return Skill(
            name=self.name, known=(tracing or Tracing()).after(self.known, correct=correct), answers=self.answers + 1,
            correct=self.correct + correct, wrong_run=0 if correct else self.wrong_run + 1,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What a learner should do next. `difficulty` is between 0 and 1."""

    skill: str
    kind: str
    difficulty: float
    reason: str


def next_activity(skills: Sequence[Skill], *, otherwise: str) -> Activity:
    """Return the activity that teaches most: on the skill that is nearest to half known, and a review when all are mastered."""
    open_skills = [skill for skill in skills if not skill.mastered]
    if not skills:
        return Activity(skill=otherwise, kind="diagnostic", difficulty=0.3, reason="Nothing is known of this learner yet.")  # fmt: skip
    if not open_skills:
        oldest = min(skills, key=lambda skill: (skill.known, skill.name))
        return Activity(skill=oldest.name, kind="review", difficulty=0.8, reason="Every skill is mastered.")
    chosen = min(open_skills, key=lambda skill: (not skill.struggling, abs(skill.known - 0.5), skill.name))
    kind = "worked_example" if chosen.struggling or chosen.known < 0.35 else "practice" if chosen.known < 0.8 else "challenge"  # fmt: skip
    reason = f"{chosen.name} is known with a probability of {chosen.known:.2f}, after {chosen.answers} answers."
    return Activity(skill=chosen.name, kind=kind, difficulty=round(min(0.9, max(0.1, chosen.known)), 2), reason=reason)


def likelihood(answers: Iterable[Sequence[bool]], tracing: Tracing) -> float:
    """Return the logarithm of how probable the answers of many learners are."""
    total = 0.0
    for sequence in answers:
        known = tracing.known
        for correct in sequence:
            right = tracing.right(known)
            total += log(right if correct else 1 - right)
            known = tracing.after(known, correct=correct)
    return total


def fit(answers: Sequence[Sequence[bool]], *, rounds: int = 4) -> Tracing:
    """Return the probabilities of a skill from the answers of many learners: one after the other, on a grid that gets finer."""
    best = Tracing()
    score = likelihood(answers, best)
    for at in range(rounds):
        width = 0.5**at
        for name in ("known", "learn", "guess", "slip"):
            now = getattr(best, name)
            for step in (*_STEPS, *(-one for one in _STEPS)):
                value = now + step * width
                most = {"guess": _MOST_GUESS, "slip": _MOST_SLIP}.get(name, 0.99)
                if not 0.01 <= value <= most:
                    continue
                tried = Tracing(**{**{one: getattr(best, one) for one in ("known", "learn", "guess", "slip")}, name: value})  # fmt: skip
                if (found := likelihood(answers, tried)) > score:
                    best, score = tried, found
    return best
