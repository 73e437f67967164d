"""Long chats of two people over weeks, and questions with the turns that answer them.

A turn of the other person mostly carries the words of the question, and the answer stands in a turn close to it that
shares few of them. Often both people speak about the same thing, and the one whom the question names is meant.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from benchmarks.memory.conversation_topics import AFTER, BACK, BEFORE, CHATTER, NODS, PEOPLE, TOPICS, Topic

Kind = Literal["single", "changed", "both"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One thing that one of the two says."""

    id: str
    speaker: str
    text: str
    said_at: datetime


@dataclass(frozen=True, slots=True)
class Asked:
    """A question about a chat with the ids of the turns that answer it, and the person that it names (none for both)."""

    text: str
    kind: Kind
    about: str | None
    answer: tuple[str, ...]
    evidence: tuple[str, ...]


@dataclass(slots=True)
class Conversation:
    """A chat with what can be asked about it."""

    id: str
    people: tuple[str, str]
    turns: list[Turn] = field(default_factory=list)
    questions: list[Asked] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Line:
    """What one of the two (0 or 1) says; with a topic it holds the answer to a question about it."""

    who: int
    text: str
    topic: Topic | None = None
    value: str = ""


_Piece = list[_Line]  # lines that follow each other


def conversations(count: int, *, seed: int) -> Iterator[Conversation]:
    """Yield `count` chats of 80 to 300 turns; the same ones for the same seed."""
    rng = random.Random(seed)
    for number in range(1, count + 1):
        first, second = rng.sample(PEOPLE, 2)
        yield _Chat(rng, Conversation(f"c{number:02}", (first, second))).written()


class _Chat:
    def __init__(self, rng: random.Random, chat: Conversation) -> None:
        self.rng = rng
        self.chat = chat
        self.told: dict[tuple[Topic, int], list[tuple[str, str]]] = {}  # by topic and person: values and turns

    def written(self) -> Conversation:
        now = datetime(2025, 1, 7, 9, tzinfo=UTC) + timedelta(days=self.rng.randrange(200))
        for piece in self._pieces():
            if self.rng.random() < 0.4:  # the next day, or the next week
                now = now.replace(hour=9, minute=0) + timedelta(days=self.rng.choice((1, 1, 2, 3, 7)))
            now = self._say(piece, now)
        self._ask()
        return self.chat

    def _pieces(self) -> list[_Piece]:
        """What is said, in order: facts of one or both, what changes later, and talk about nothing between them."""
        early = [piece for topic in self.rng.sample(TOPICS, self.rng.randint(14, 26)) for piece in self._about(topic)]
        self.rng.shuffle(early)
        middle = len(early) * 2 // 3
        facts = [line for piece in early[:middle] for line in piece if line.topic and line.topic.change]
        late = [self._changed(line) for line in facts if self.rng.random() < 0.5]
        self.rng.shuffle(late)
        told = early[:middle] + self._mixed(early[middle:], late)
        said = sum(len(piece) for piece in told)
        idle = [self._idle() for _ in range(max(0, self.rng.randint(95, 270) - said) // 2)]
        return self._mixed(told, idle)

    def _about(self, topic: Topic) -> list[_Piece]:
        """One of the two tells something, or both do: at once, or at different times."""
        who = self.rng.randrange(2)
        first, second = self.rng.sample(topic.values[:-2], 2)
        asked = _Line(1 - who, self.rng.choice(BEFORE) + topic.opening)
        piece = [asked, *self._told(topic, who, first)]
        chance = self.rng.random()
        if chance < 0.2:
            back = _Line(who, self.rng.choice(BACK))
            return [[*piece, back, *self._told(topic, 1 - who, second)]]
        if chance < 0.5:
            return [piece, [_Line(who, self.rng.choice(BEFORE) + topic.opening), *self._told(topic, 1 - who, second)]]
        return [piece]

    def _told(self, topic: Topic, who: int, value: str) -> _Piece:
        nods = [self._nod(who)] if self.rng.random() < 0.4 else []
        text = topic.told.format(v=value)
        line = _Line(who, text[0].upper() + text[1:] + self.rng.choice(AFTER), topic, value)
        return [*nods, line] + ([self._nod(1 - who)] if self.rng.random() < 0.4 else [])

    def _changed(self, before: _Line) -> _Piece:
        topic = before.topic
        assert topic
        value = topic.values[-1 - before.who]  # which nobody has told before
        line = _Line(before.who, topic.change.format(v=value) + self.rng.choice(AFTER), topic, value)
        return [line, self._nod(1 - before.who)]

    def _idle(self) -> _Piece:
        who = self.rng.randrange(2)
        return [_Line(who, self.rng.choice(CHATTER)), self._nod(1 - who)]

    def _nod(self, who: int) -> _Line:
        return _Line(who, self.rng.choice(NODS))

    def _mixed(self, one: list[_Piece], other: list[_Piece]) -> list[_Piece]:
        """Shuffle two lists into each other; each keeps its order."""
        sides = [True] * len(one) + [False] * len(other)
        self.rng.shuffle(sides)
        left, right = iter(one), iter(other)
        return [next(left) if side else next(right) for side in sides]

    def _say(self, piece: _Piece, now: datetime) -> datetime:
        for line in piece:
            now += timedelta(minutes=self.rng.randint(1, 9))
            turn = Turn(f"{self.chat.id}-t{len(self.chat.turns) + 1:03}", self.chat.people[line.who], line.text, now)
            self.chat.turns.append(turn)
            if line.topic:
                self.told.setdefault((line.topic, line.who), []).append((line.value, turn.id))
        return now

    def _ask(self) -> None:
        for (topic, who), told in self.told.items():
            person = self.chat.people[who]
            value, turn = told[-1]
            text = self.rng.choice(topic.questions).format(who=person)
            kind: Kind = "changed" if len(told) > 1 else "single"
            self.chat.questions.append(Asked(text, kind, person, (value,), (turn,)))
            other = self.told.get((topic, 1 - who))
            if who == 0 and other:
                both = topic.both.format(a=self.chat.people[0], b=self.chat.people[1])
                answers, turns = zip(told[-1], other[-1], strict=True)
                self.chat.questions.append(Asked(both, "both", None, answers, turns))
