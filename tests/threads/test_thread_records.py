"""The pure rules of the conversation store: what a summary keeps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.threads.store import fold_summary

turns = st.lists(st.tuples(st.text(max_size=400), st.text(max_size=400) | st.none()), min_size=1, max_size=60)


def rows(pairs: list[tuple[str, str | None]], summary: str = "") -> list[dict[str, object]]:
    return [{"summary": summary, "question": question, "answer": answer} for question, answer in pairs]


@given(turns)
def test_a_summary_is_bounded_and_keeps_the_newest_turns(pairs: list[tuple[str, str | None]]) -> None:
    summary = fold_summary(rows(pairs))
    assert len(summary) <= 4_000
    assert summary.splitlines()[-1].startswith("- asked: ")
    assert len(summary.splitlines()) <= len(pairs)


def test_a_summary_goes_on_from_the_one_before() -> None:
    first = fold_summary(rows([("How many clients?", "57.")]))
    assert fold_summary(rows([("And paused?", None)], summary=first)).splitlines() == [
        "- asked: How many clients? / answered: 57.",
        "- asked: And paused? / answered: nothing",
    ]
