"""Reduces words of questions, names and comments to comparable stems: `OrderItems`, `order_items` and "items ordered" agree."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

_WORD = re.compile(r"[^\W_]+")
_WORD_BREAK = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])")


def word_set(text: str) -> frozenset[str]:
    """Return the words of a list that is written as text."""
    return frozenset(text.split())


STOP_WORDS = word_set(
    """
    a about after all also am an and any are as at be been before being but by can could did do does each every
    find for from get give had has have having he her here him his how i if in into is it its just know last
    latest least less list many me more most much my no not now of on one only or other our out over please she
    should show so some such tell than that the their them then there these they this those to top under until up
    us was we were what when where which while who whom whose why will with would you your id ids
    """
)

# Business words for the same thing: a question has "customers" where the schema has "clients".
_SYNONYMS = (
    "client customer buyer account patron",
    "employee staff worker colleague personnel people",
    "person people human",
    "order purchase buy bought sale sold",
    "invoice bill",
    "payment pay paid receipt money",
    "product item article sku goods",
    "revenue sale income turnover earning",
    "price cost amount total value sum",
    "cost spend expense spent",
    "salary wage pay compensation earn",
    "ticket issue complaint request case",
    "campaign promotion",
    "vendor supplier",
    "shipment delivery ship deliver",
    "department team division unit",
    "manager boss supervisor lead",
    "hour time timesheet work",
    "stock inventory",
    "warehouse depot",
    "message mail email",
    "category kind type class",
    "city town place location",
    "office branch site",
    "phone telephone number",
    "log history audit event change",
    "contact person",
    "user member login",
    "booking reservation",
    "doctor physician",
    "course class lesson",
    "absence vacation holiday leave sick",
    "opportunity deal pipeline",
    "shipment parcel package",
    "vehicle car truck van",
    "campaign ad ads advertising advertisement marketing",
    "energy power electricity",
    "event conference meeting appointment",
    "return refund",
    "review rating feedback satisfaction",
    "machine equipment device",
    "expense claim reimbursement",
    "applicant candidate",
    "student pupil",
    "teacher instructor trainer",
    "training course",
    "contract agreement subscription",
    "address location",
    "budget plan forecast",
    "comment note remark",
)

_SUFFIXES = ("ing", "ed", "ment")


def words(text: str) -> list[str]:
    """Return the words of `text` in order, without case and accents; snake_case, camelCase and digits are split."""
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text)
        text = "".join(character for character in decomposed if not unicodedata.combining(character))
    return [piece.casefold() for word in _WORD.findall(text) for piece in _WORD_BREAK.split(word)]


@lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """Return the common part of a word's forms: invoices, invoiced, invoice -> invoic."""
    word = _singular(word)
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            word = word[: -len(suffix)]
            if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lse":
                word = word[:-1]
            break
    return word.rstrip("e") if len(word) > 3 else word


def stems(text: str) -> list[str]:
    """Return the stems of the words of `text` in order, without stop words."""
    return [stem(word) for word in words(text) if word not in STOP_WORDS]


def related(term: str) -> frozenset[str]:
    """Return the stems that may mean what the stem `term` means, without `term` itself."""
    return _RELATED.get(term, frozenset())


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return f"{word[:-3]}y"
    if len(word) > 4 and word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _related_stems() -> Iterator[tuple[str, frozenset[str]]]:
    groups = [frozenset(map(stem, group.split())) for group in _SYNONYMS]
    for term in frozenset().union(*groups):
        yield term, frozenset().union(*(group for group in groups if term in group)) - {term}


_RELATED = dict(_related_stems())
