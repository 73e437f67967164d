"""What counts as the same text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import InvalidInput
from agent.learning.memory.content import MAX_CONTENT_CHARS, prepare, quoted_texts

_WORDS = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=12)


@given(st.lists(_WORDS, min_size=1), st.data())
def test_white_space_never_makes_two_texts_different(words: list[str], data: st.DataObject) -> None:
    gaps = data.draw(st.lists(st.sampled_from([" ", "\n", "\t", "  \r\n "]), min_size=len(words), max_size=len(words)))
    spaced = "".join(gap + word for gap, word in zip(gaps, words, strict=True))
    assert prepare(spaced).digest == prepare(" ".join(words)).digest


@given(st.lists(_WORDS, min_size=1), st.lists(_WORDS, min_size=1))
def test_texts_with_other_words_never_share_a_hash(one: list[str], other: list[str]) -> None:
    same = prepare(" ".join(one)).digest == prepare(" ".join(other)).digest
    assert same == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("status 3 means paused", "status 4 means paused"),
        ("refunds are allowed", "refunds are not allowed"),
        ("Ann approves invoices", "Anna approves invoices"),
        ("the limit is 1.5", "the limit is 15"),
        ("use US dollars", "use us dollars"),
        ("temperature -3", "temperature 3"),
    ],
)
def test_a_number_a_negation_or_a_name_keeps_texts_apart(one: str, other: str) -> None:
    assert prepare(one).digest != prepare(other).digest


def test_equal_texts_about_different_subjects_stay_apart() -> None:
    assert prepare("no columns", subject="a").digest != prepare("no columns", subject="b").digest
    assert prepare("no columns", subject="a").digest != prepare("no columns").digest


def test_a_cut_says_that_it_is_one_and_different_long_texts_stay_different() -> None:
    one, other = prepare("a" * 10_000_000), prepare("a" * 9_999_999 + "b")
    assert len(one.text) == MAX_CONTENT_CHARS
    assert one.text.endswith("[cut here: the first of 10000000 characters]")
    assert one.digest != other.digest


@pytest.mark.parametrize("text", ["", "  \n", "\t"])
def test_nothing_to_remember_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="content"):
        prepare(text)


@pytest.mark.parametrize(
    "content",
    [
        "- [fact, human] status 3 means paused (memory 12)",
        "status 3 means paused (memory 12)",
        '"status 3 means paused"',
        "  [fact, agent] status 3   means paused (memory 7).",
    ],
)
def test_a_quotation_of_a_memory_is_recognised(content: str) -> None:
    assert quoted_texts(content) == ("status 3 means paused",)


@pytest.mark.parametrize(
    "content", ["status 3 means paused", "I think status 3 means paused (memory 12), mostly", 'say "x"']
)
def test_a_plain_statement_is_no_quotation(content: str) -> None:
    assert quoted_texts(content) == ()
