"""Is a candidate better than what is in force? One selection on some cases, one confirmation on the others. Pure.

Cases are paired: each is run with both. Which cases select and which confirm follows from the hash of a case and a seed that was
registered before, so a verdict can be computed again. The candidate with the best mean on 30 % is judged once on the other 70 %:
the one-sided lower bound of its paired difference must be above zero, and neither a slice nor a guardrail may be worse than its margin.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from agent.statistics.exact import share_at_least, student_quantile

Floats = NDArray[np.float64]
Outcome = Literal["better", "not better", "underpowered", "harmful"]
CONFIDENCE, SELECTED, POWER = 0.98, 0.3, 0.8
LEAST_CASES = 20  # of a confirmation; a bound from fewer ones promises nothing
_LEAST_SLICE = 10


@dataclass(frozen=True, slots=True)
class Bound:
    """The mean of paired differences with its one-sided bounds; `discordance` is the share of cases that differ at all."""

    mean: float
    lower: float
    upper: float
    n: int
    discordance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the gate says. `more_cases` is how many further ones would probably decide, where it is underpowered."""

    outcome: Outcome
    reason: str
    chosen: int | None = None
    bound: Bound | None = None
    selected_on: int = 0
    confirmed_on: tuple[int, ...] = ()
    more_cases: int | None = None
    harmed: tuple[str, ...] = field(default=())


def selects(case: str, seed: str) -> bool:
    """Return whether a case belongs to those that select; the others confirm."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{case}".encode()).digest()[:8]) / 2**64 < SELECTED


def paired_bound(differences: Sequence[float] | Floats, confidence: float = CONFIDENCE) -> Bound:
    """Return the bounds of a mean of paired differences: exact where each is -1, 0 or 1, else Student's."""
    values = np.asarray(differences, dtype=np.float64)
    n = len(values)
    if n == 0:
        return Bound(0.0, -math.inf, math.inf, 0, 0.0)
    differing = int(np.count_nonzero(values))
    share, mean = differing / n, float(values.mean())
    if bool(np.isin(values, (-1.0, 0.0, 1.0)).all()):
        wins = int(np.count_nonzero(values > 0))
        lower = share * (2 * share_at_least(wins, differing, confidence) - 1) if differing else 0.0
        upper = share * (1 - 2 * share_at_least(differing - wins, differing, confidence)) if differing else 0.0
        return Bound(mean, lower, upper, n, share)
    if n < 2:
        return Bound(mean, -math.inf, math.inf, n, share)
    half = student_quantile(confidence, n - 1) * float(values.std(ddof=1)) / math.sqrt(n)
    return Bound(mean, mean - half, mean + half, n, share)


def cases_needed(effect: float, spread: float, *, confidence: float = CONFIDENCE, power: float = POWER) -> int:
    """Return about how many confirming cases show an effect of this size; `spread` is the mean square of the differences."""
    if effect <= 0:
        raise ValueError("the effect must be above zero")
    risk, reach = NormalDist().inv_cdf(confidence), NormalDist().inv_cdf(power)
    apart = max(spread - effect**2, 1e-9)
    return math.ceil(((risk * math.sqrt(max(spread, effect**2)) + reach * math.sqrt(apart)) / effect) ** 2)


def harmed_parts(
    differences: Floats, slices: Sequence[str], guardrails: Mapping[str, Floats], margins: Mapping[str, float], margin: float
) -> tuple[str, ...]:  # fmt: skip
    """Return the slices and the guardrail metrics that are worse than their margin. Small slices are judged with the others."""
    names = sorted(set(slices))
    places = {name: np.array([one == name for one in slices]) for name in names}
    bad = [
        f"slice {name}" for name in names
        if places[name].sum() >= _LEAST_SLICE and float(differences[places[name]].mean()) < -margin
    ]  # fmt: skip
    bad += [
        f"guardrail {name}"
        for name, values in sorted(guardrails.items())
        if not bool(np.isfinite(values).all()) or float(values.mean()) < -margins.get(name, 0.0)
    ]
    return tuple(bad)


def judge(
    cases: Sequence[str], *, baseline: Floats, candidates: Sequence[Floats], seed: str, worth: float,
    slices: Sequence[str] = (), guardrails: Sequence[Mapping[str, Floats]] = (), margins: Mapping[str, float] | None = None,
    margin: float = 0.05, confidence: float = CONFIDENCE,
) -> Verdict:  # fmt: skip
    """Select the best candidate on 30 % of the cases, and confirm it once on the others.

    `worth` is the smallest improvement that is worth a change: where the upper bound is below it, more cases are no use.
    `guardrails` holds for each candidate the paired differences of other metrics, where more is better.
    """
    if not candidates:
        raise ValueError("name at least one candidate")
    if len(set(cases)) != len(cases):
        raise ValueError("a case may stand there only once")
    choosing = np.array([selects(case, seed) for case in cases], dtype=bool)
    rest = np.flatnonzero(~choosing)
    gains = [candidate - baseline for candidate in candidates]
    if len(rest) < LEAST_CASES or not choosing.any():
        return Verdict(
            outcome="underpowered", more_cases=_missing(None, worth, len(rest)), selected_on=int(choosing.sum()),
            reason=f"There are {len(rest)} cases to confirm with; at least {LEAST_CASES} are needed.",
        )  # fmt: skip
    chosen = int(np.argmax([float(gain[choosing].mean()) for gain in gains]))
    gain = gains[chosen][rest]
    bound = paired_bound(gain, confidence)
    harmed = harmed_parts(
        gain, [slices[int(place)] for place in rest] if slices else [],
        {name: values[rest] for name, values in guardrails[chosen].items()} if guardrails else {}, margins or {}, margin,
    )  # fmt: skip
    outcome, reason, more = _said(bound, harmed, worth)
    return Verdict(
        outcome=outcome, reason=reason, chosen=chosen, bound=bound, selected_on=int(choosing.sum()),
        confirmed_on=tuple(int(one) for one in rest), more_cases=more, harmed=harmed,
    )  # fmt: skip


def _said(bound: Bound, harmed: Sequence[str], worth: float) -> tuple[Outcome, str, int | None]:
    shown = f"the difference is {bound.mean:+.3f}, at least {bound.lower:+.3f}, on {bound.n} cases"
    if bound.upper < 0:
        return "harmful", f"It is worse: {shown}.", None
    if harmed:
        return "harmful", f"It is worse than its margin allows in {', '.join(harmed)}; {shown}.", None
    if bound.lower > 0:
        return "better", f"It is better: {shown}.", None
    if bound.upper < worth:
        return "not better", f"It is not better by {worth:g} or more: {shown}.", None
    more = _missing(bound, worth, bound.n)
    return "underpowered", f"Too few cases to tell: {shown}. About {more} more would probably decide.", more


def _missing(bound: Bound | None, worth: float, n: int) -> int:
    """Return how many more cases, selecting ones included, would probably decide."""
    effect = max(worth, min(bound.mean, 1.0)) if bound else worth
    spread = max(bound.discordance if bound else 0.2, effect)
    return max(math.ceil((max(cases_needed(effect, spread), LEAST_CASES) - n) / (1 - SELECTED)), 1)
