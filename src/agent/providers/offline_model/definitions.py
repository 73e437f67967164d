"""Puts what a definition says in the place of the words that it defines: "gold clients" -> "clients with a budget of at least 20000".

    Gold clients are the ones with a budget of 20,000 or more.      We call a client a slow payer once three or more of its invoices are overdue.

Only what a human or the agent noted counts, and only these forms; the new question is then read by the grammar like any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agent.providers.offline_model.memory_parser import TRUSTED, MemoryLine
from agent.providers.offline_model.tokenizer import clean, stem, words_of
from agent.text.words import related
from agent.text.words import stem as common_stem

_LONGEST = 200
_FORMS = (
    re.compile(
        r"^(?:an? |the |our )?(?P<phrase>(?!an? |the |our )[\w-]+(?: [\w-]+)??) (?P<noun>[\w-]+) (?:is|are) (?:the |an? )?(?:ones?|those|(?P=noun)) (?P<condition>(?:with|that|who|which|whose|of|from|in)\b.+)$",
        re.I,
    ),
    re.compile(r"^(?:we|i) call (?:an? |the )?(?P<noun>[\w-]+) (?:an? )?(?P<whole>[\w-]+(?: [\w-]+)?) (?:once|when|if|with) (?P<condition>.+)$", re.I),
    re.compile(
        r"^(?:an? |the )?(?P<phrase>(?!an? |the )[\w-]+(?: [\w-]+)??) (?P<noun>[\w-]+) (?:is|means) (?:an? |one |the )?(?:one|(?P=noun))? ?(?P<condition>(?:with|that|who|which|whose|from|in)\b.+)$",
        re.I,
    ),
)  # fmt: skip
_NUMBER = r"(?P<number>[$€£]?\d[\d,]*(?:\.\d+)?|one|two|three|four|five|six|seven|eight|nine|ten)"
# What the grammar reads in one form only.
_PLAINER = (
    (re.compile(rf"\b{_NUMBER} or more of (?:its|their|his|her) (?P<what>[\w-]+) (?:is|are) (?P<state>[\w-]+)", re.I), r"at least \g<number> \g<state> \g<what>"),
    (re.compile(rf"\b{_NUMBER}(?: [a-z]+)? (?:or|and) (?:more|above|over|up)\b(?P<rest>(?: \w+)?)", re.I), r"at least \g<number>\g<rest>"),
    (re.compile(rf"\b{_NUMBER}(?: [a-z]+)? (?:or|and) (?:less|fewer|below|under)\b(?P<rest>(?: \w+)?)", re.I), r"at most \g<number>\g<rest>"),
    (re.compile(r"\b(with|of) an? (?=\w)", re.I), r"\1 "),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Definition:
    """`phrase` before or in the place of `noun` means that `condition` holds; all but the condition are stems."""

    phrase: tuple[str, ...]
    noun: str
    condition: str
    whole: bool
    memory: int


def definitions(lines: Iterable[MemoryLine]) -> Iterator[Definition]:
    """Yield the definitions in trusted facts."""
    for line in lines:
        text = clean(line.text).strip().rstrip(".! ")
        if line.trust not in TRUSTED or line.kind not in ("fact", "feedback") or len(text) > _LONGEST:
            continue
        match = next((found for form in _FORMS if (found := form.match(text))), None)
        if match:
            groups = match.groupdict()
            yield Definition(
                phrase=words_of(groups.get("whole") or groups.get("phrase") or ""), noun=match["noun"],
                condition=_plainer(match["condition"]), whole=bool(groups.get("whole")), memory=line.id,
            )  # fmt: skip


def restated(question: str, definition: Definition) -> str | None:
    """Return the question with the condition in the place of the defined words, or None if it does not have them."""
    words = list(re.finditer(r"[\w'-]+", question))
    stems = [stem(word.group().lower()) for word in words]
    size = len(definition.phrase)
    noun = definition.noun if definition.noun.endswith("s") else f"{definition.noun}s"
    for at in range(len(stems) - size + 1):
        if tuple(stems[at : at + size]) != definition.phrase:
            continue
        last = at + size - 1
        if not definition.whole:
            if last + 1 >= len(stems) or not _names(definition.noun, words[last + 1].group()):
                continue
            last += 1
        condition = (
            definition.condition
            if re.match(r"(?i)(?:with|that|who|which|whose|from|in)\b", definition.condition)
            else f"with {definition.condition}"
        )
        return f"{question[: words[at].start()]}{noun} {condition}{question[words[last].end() :]}"
    return None


def _names(noun: str, word: str) -> bool:
    """Return whether a word is the noun, or a usual synonym of it."""
    one, other = common_stem(noun.lower()), common_stem(word.lower())
    return one == other or one in related(other)


def _plainer(condition: str) -> str:
    for form, plainer in _PLAINER:
        condition = form.sub(plainer, condition)
    return " ".join(condition.split())
