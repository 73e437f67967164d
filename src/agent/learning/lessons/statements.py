"""What people stated in passing: definitions, rules and preferences, in sentences of their own. Pure.

    "By revenue we mean net of VAT."   "Gold clients are the ones with a budget over 5,000."   "I prefer amounts in euros."

Only close forms count. A sentence that asks, supposes, quotes, tells of others or is about one answer only states nothing. What a
human asked to be remembered, or said as a correction, is stored at once and not here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from agent.learning.lessons.lesson import Evidence, Finding, Findings, key_of

NAME = "statements"
_LONGEST, _MOST_SENTENCES = 300, 6
_NAMED = r"(?:the |our |a |an )?[\w'\"-]+(?: [\w'\"-]+){0,3}"
_FORMS = (
    re.compile(rf"^by {_NAMED},? (?:we|i) (?:always )?mean\b .+", re.I),
    re.compile(rf"^when(?:ever)? (?:we|i) (?:say|write|ask for|talk about|speak of) {_NAMED},? (?:we|i) (?:always )?mean\b .+", re.I),
    re.compile(rf"^{_NAMED} (?:means|stands for|refers to|is defined as|are defined as)\b .+", re.I),
    re.compile(rf"^(?:for us|here|with us),? {_NAMED} (?:is|are|means?)\b .+", re.I),
    re.compile(rf"^(?:we|i) call {_NAMED} .+", re.I),
    re.compile(rf"^(?:we|i) (?:define|count|treat) {_NAMED} as\b .+", re.I),
    re.compile(rf"^{_NAMED} (?:is|are) (?:the )?(?:one|ones|those|client|clients|customer|customers|people)? ?(?:with|who|that|which|whose)\b .+", re.I),
    re.compile(r"^our (?:fiscal|financial|business) year (?:starts|begins|ends)\b .+", re.I),
    re.compile(r"^(?:i|we) (?:always |usually |generally )?(?:prefer|want|like|need) (?:amounts?|numbers?|dates?|times?|answers?|results?|lists?|tables?|sums?|prices?)\b .+", re.I),
    re.compile(r"^(?:please )?(?:always|never) (?:show|give|list|use|round|count|include|exclude|leave out|write|answer|sort|say)\b .+", re.I),
    re.compile(r"^from now on,? (?:please )?(?:show|give|list|use|round|count|include|exclude|leave out|write|answer|sort|say)\b .+", re.I),
)  # fmt: skip
# Such a sentence states nothing that holds from now on, or not by who says it.
_NOT_STATED = re.compile(
    r"\?|\b(?:what if|if|suppose|imagine|maybe|perhaps|might|could|would|should|used to|was once|were once|back then|no longer|old company|"
    r"just (?:for )?(?:this|now|once|thinking)|only (?:for )?this|this (?:one|time|list|answer|report)|for now|today|says?|said|saying|claims?|told|according to|"
    r"instructions?|ignore|system|prompt|password|token|secret|wonder|guess|think|believe|not sure)\b", re.I,
)  # fmt: skip
_QUOTED = re.compile(r"[\"\u201c\u201d\u00ab\u00bb`]|^\s*>|```")


def find_statements(evidence: Evidence) -> Findings:
    """Return what people stated, each sentence once, as its first speaker said it."""
    known: dict[str, Finding] = {}
    for saying in evidence.sayings:
        for sentence in stated_in(saying.text):
            key = key_of(" ".join(sentence.casefold().split()))
            known.setdefault(key, Finding(key=key, content=sentence, sources=(), support=1, said=saying))
    return Findings(known=list(known.values()))


def could_be_stated(sentence: str, message: str) -> bool:
    """Return whether a sentence of a message may state something at all: it does not ask, suppose or quote, and is of some length."""
    if _QUOTED.search(message) or _NOT_STATED.search(sentence):
        return False
    return len(sentence.split()) > 3 and len(sentence) <= _LONGEST


def stated_in(text: str) -> Iterator[str]:
    """Yield the sentences of a message that state something that holds from now on. A message with quotations or hypotheses yields none."""
    if len(text) > _LONGEST * _MOST_SENTENCES or _QUOTED.search(text):
        return
    sentences = [" ".join(one.split()).strip(" .!;,") for one in re.split(r"(?<=[.!?])\s+|\n+", text)]
    if any(_NOT_STATED.search(sentence) for sentence in sentences if not sentence.endswith("?")):
        return
    for sentence in sentences[:_MOST_SENTENCES]:
        stands = not sentence.endswith("?") and len(sentence.split()) > 3 and len(sentence) <= _LONGEST
        if stands and any(form.match(sentence) for form in _FORMS):
            yield sentence
