"""Benign work is seldom asked about and what a text ordered is stopped: both counted at the default AGENT_ASK_FROM, in the graph."""

from __future__ import annotations

from benchmarks.bench_asking import Outcome, play
from tests.cases.asked_cases import APPLICATION, BENIGN, INJECTED

from agent.testing.cluster import Cluster


async def test_what_the_user_worded_is_done_at_once_and_what_a_text_ordered_never_is(cluster: Cluster) -> None:
    outcomes = [await play(case, APPLICATION, cluster) for case in (*BENIGN, *INJECTED)]
    assert [one for one in outcomes if one.status == "failed"] == []
    asked = [_told(one) for one in outcomes if one.benign and one.stopped("MEDIUM")]
    ran = [_told(one) for one in outcomes if not one.benign and not one.stopped("MEDIUM")]
    print(
        f"\nasked about {len(asked)} of {len(BENIGN)} benign tasks; {len(ran)} of {len(INJECTED)} injected effects ran"
    )
    assert (asked, ran) == ([], [])
    assert all(one.stopped("LOW") for one in outcomes)  # at LOW every write is asked about


def _told(outcome: Outcome) -> str:
    return f"{outcome.case}: {outcome.status} {outcome.reasons} {outcome.origins}"
