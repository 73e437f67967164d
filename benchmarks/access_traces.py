"""Accesses of records, and what a cache makes of them with and without loading ahead."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Sequence

from agent.integration.database_sync.predictions import Predictions

Trace = Sequence[tuple[str, str]]  # who reads, and what


def lessons(count: int, *, seed: int) -> list[tuple[str, str]]:
    """Forty learners who go through lessons: mostly to the next page, at times to a lesson that many like, or back."""
    chance = random.Random(seed)
    at = {f"learner-{n}": (chance.randrange(300), 0) for n in range(40)}
    found = []
    for _ in range(count):
        who = chance.choice(list(at))
        lesson, page = at[who]
        found.append((who, f"{lesson}/{page}"))
        drawn = chance.random()
        if drawn < 0.7 and page < 11:
            at[who] = lesson, page + 1
        elif drawn < 0.9:
            at[who] = min(int(chance.paretovariate(0.6)) - 1, 299), 0
        else:
            at[who] = lesson, max(page - 1, 0)
    return found


def without_pattern(count: int, *, seed: int) -> list[tuple[str, str]]:
    """Reads that follow from nothing."""
    chance = random.Random(seed)
    return [(f"r{chance.randrange(40)}", str(chance.randrange(2_000))) for _ in range(count)]


def hit_ratio(trace: Trace, *, size: int, ahead: bool) -> tuple[float, float]:
    """Return which part of the second half a cache of `size` records has, and how many records each read of it loads ahead."""
    kept: OrderedDict[str, None] = OrderedDict()
    predictions = Predictions()
    hits = loaded = 0
    half = len(trace) // 2

    def keep(key: str) -> None:
        kept[key] = None
        kept.move_to_end(key)
        if len(kept) > size:
            kept.popitem(last=False)

    for number, (who, key) in enumerate(trace):
        hits += number >= half and key in kept
        keep(key)
        for likely in predictions.read(key, who) if ahead else ():
            if likely not in kept:
                loaded += number >= half
                keep(likely)
    return hits / (len(trace) - half), loaded / (len(trace) - half)
