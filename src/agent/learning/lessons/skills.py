"""Skills: a question, and the SQL that answered it and that nobody corrected. Pure.

    Worked example: "How many clients are in Berlin?" was answered by this SQL: SELECT count(*) FROM public.clients WHERE city = 'Berlin'

Turns whose questions differ only in constants are one family. Its skill is the SQL that a human confirmed, else the one that ran
most often. SQL that a human called wrong is kept as a negative: it is not learned for this family again unless it is confirmed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from agent.learning.discovery.structure import AppStructure
from agent.learning.lessons.lesson import SAID_WRONG, Evidence, Finding, Findings, PastTurn, key_of
from agent.learning.lessons.statement import as_one_line, is_current, read_select, used_objects
from agent.text.worked_example import WorkedExample, text_of

NAME = "skills"
_MOST_SQL, _MOST_QUESTION, _MOST_NEGATIVES = 1_500, 300, 5
# Such a question says nothing outside of its conversation.
_LEANS = re.compile(
    r"^\W*(?:and|or|but|no|nope|wrong|what about|how about|the same|same|now|then|again|why)\b", re.IGNORECASE
)


@dataclass(slots=True)
class _Variant:
    """One SQL of a family, and the turns for and against it."""

    turns: list[PastTurn] = field(default_factory=list)
    against: list[PastTurn] = field(default_factory=list)

    @property
    def confirmed(self) -> list[PastTurn]:
        return [turn for turn in self.turns if turn.confirmed]

    @property
    def conversations(self) -> int:
        return len({turn.thread or str(turn.memory) for turn in self.turns})

    @property
    def holds(self) -> bool:
        """Whether nobody said that it is wrong, or somebody has confirmed it since."""
        latest = max((turn.memory for turn in self.against), default=0)
        return any(turn.memory > latest for turn in self.confirmed) or (bool(self.turns) and not self.against)


def find_skills(evidence: Evidence) -> Findings:
    """Return the skill of each family of questions."""
    known: list[Finding] = []
    wrong: dict[str, str] = {}
    for family, variants in _families(evidence.turns).items():
        best = max((one for one in variants.items() if one[1].holds), key=_rank, default=None)
        for shape, variant in variants.items():
            key = key_of(family, shape)
            if best is not None and shape == best[0]:
                known += _finding(key, variants, variant, evidence.structure)
            elif variant.against and not variant.holds:
                wrong[key] = SAID_WRONG
            elif best is not None and best[1].confirmed:
                wrong[key] = "a human confirmed other SQL for it"
    return Findings(known=known, wrong=wrong)


def _families(turns: Iterable[PastTurn]) -> dict[str, dict[str, _Variant]]:
    families: dict[str, dict[str, _Variant]] = defaultdict(lambda: defaultdict(_Variant))
    for turn, example in _examples(turns):
        variant = families[example.family][example.shape]
        if turn.corrected:
            variant.against.append(turn)
        elif not turn.repeats or turn.confirmed:
            variant.turns.append(turn)
    return families


def _examples(turns: Iterable[PastTurn]) -> Iterator[tuple[PastTurn, WorkedExample]]:
    """Yield the turns that one SELECT answered, with a question that can be understood by itself."""
    for turn in turns:
        question = " ".join(turn.question.split())
        if len(turn.examples) != 1 or len(question) > _MOST_QUESTION or _LEANS.match(question):
            continue
        sql = as_one_line(turn.examples[0])
        if sql and len(sql) <= _MOST_SQL and read_select(sql):
            example = WorkedExample(question, sql)
            if example.family:
                yield turn, example


def _rank(one: tuple[str, _Variant]) -> tuple[int, int, int]:
    variant = one[1]
    return len(variant.confirmed), variant.conversations, max(turn.memory for turn in variant.turns)


def _finding(key: str, variants: dict[str, _Variant], variant: _Variant, structure: AppStructure) -> Iterator[Finding]:
    """Yield the skill, if the schema is still what it was when the SQL ran."""
    now = _Variant(turns=[turn for turn in variant.turns if is_current(_sql(turn), turn.digest, structure)])
    if not now.turns:
        return
    turn = min(now.confirmed or now.turns, key=lambda one: one.memory)
    question, sql = " ".join(turn.question.split()), _sql(turn)
    select = read_select(sql)
    yield Finding(
        key=key, content=text_of(question, sql), digest=turn.digest,
        objects=(used_objects(select, structure) if select else None) or (),
        sources=tuple(sorted(turn.memory for turn in now.turns)),
        support=now.conversations, against=len(variant.against),
        detail={
            "question": question, "sql": sql, "confirmed": bool(now.confirmed) or now.conversations > 1,
            "negatives": _negatives(variants, variant),
        },
    )  # fmt: skip


def _sql(turn: PastTurn) -> str:
    return as_one_line(turn.examples[0]) or ""


def _negatives(variants: dict[str, _Variant], chosen: _Variant) -> Sequence[str]:
    return [_sql(one.against[-1]) for one in variants.values() if one is not chosen and one.against][:_MOST_NEGATIVES]
