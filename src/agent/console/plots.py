"""Draws plots as SVG on the server: bars for amounts, lines for measurements. Pure.

Each plot says its unit and its highest value, has a title for each bar, and a sentence for who cannot see it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from agent.text.visible import one_line

_WIDTH, _HEIGHT = 640, 168
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 8, 12, 24
_STEPS = 3
_MOST_LABELS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One series of a plot; None where there is no value."""

    name: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Predictions that were nearly the same, and what came of them: shares from 0 to 1, the interval of the observed one, how many."""

    predicted: float
    observed: float
    low: float
    high: float
    count: int


def bars(labels: Sequence[str], lines: Sequence[Line], *, unit: str) -> Markup:
    """Return stacked bars: one for each label, with a part for each line."""
    totals = [sum(line.values[place] or 0.0 for line in lines) for place in range(len(labels))]
    top = _nice(max(totals, default=0.0))
    step = (_WIDTH - _LEFT - _RIGHT) / max(len(labels), 1)
    parts = [*_axis(top), *_labels(labels)]
    for place, label in enumerate(labels):
        below = 0.0
        for kind, line in enumerate(lines):
            value = line.values[place] or 0.0
            if value > 0:
                height = max(_scaled(value, top), 1.0)
                y = _HEIGHT - _BOTTOM - below - height
                parts.append(
                    f'<rect class="s{kind}" x="{_LEFT + place * step + step * 0.12:.1f}" y="{y:.1f}" width="{step * 0.76:.1f}" '
                    f'height="{height:.1f}"><title>{_text(label)}: {value:,.10g} {_text(line.name)}</title></rect>'
                )
                below += height
    return _svg(
        parts, f"{sum(totals):,.10g} {unit} in all, at most {max(totals, default=0):,.10g} at a time", lines, unit
    )


def curves(labels: Sequence[str], lines: Sequence[Line], *, unit: str) -> Markup:
    """Return lines through the values; where a value is missing, the line is interrupted."""
    known = [value for line in lines for value in line.values if value is not None]
    top = _nice(max(known, default=0.0))
    step = (_WIDTH - _LEFT - _RIGHT) / max(len(labels), 1)
    parts = [*_axis(top), *_labels(labels)]
    for kind, line in enumerate(lines):
        path, pen = [], "M"
        for place, value in enumerate(line.values):
            if value is None:
                pen = "M"
                continue
            x, y = _LEFT + (place + 0.5) * step, _HEIGHT - _BOTTOM - _scaled(value, top)
            path.append(f"{pen}{x:.1f} {y:.1f}")
            pen = "L"
            parts.append(
                f'<circle class="s{kind}" cx="{x:.1f}" cy="{y:.1f}" r="2.5"><title>{_text(labels[place])}: {value:,.3g} {_text(unit)}, '
                f"{_text(line.name)}</title></circle>"
            )
        parts.append(f'<path class="s{kind}" d="{"".join(path)}"/>')
    return _svg(parts, f"at most {max(known, default=0):,.3g} {unit}", lines, unit)


def calibration(bins: Sequence[Bin]) -> Markup:
    """Return what was predicted against what was observed: on the diagonal both are the same. A larger dot stands for more runs."""
    size, least, right = 240, 44, 20

    def at(share: float) -> float:
        return least + max(0.0, min(share, 1.0)) * (size - least - right)

    def up(share: float) -> float:
        return size - at(share)

    parts = [f'<path class="diagonal" d="M{at(0)} {up(0)}L{at(1)} {up(1)}"/>']
    for step in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts += [
            f'<line class="gridline" x1="{at(0)}" x2="{at(1)}" y1="{up(step):.1f}" y2="{up(step):.1f}"/>',
            f'<text x="{at(0) - 4}" y="{up(step) + 4:.1f}" text-anchor="end">{step:.0%}</text>',
            f'<text x="{at(step):.1f}" y="{up(0) + 16:.1f}" text-anchor="middle">{step:.0%}</text>',
        ]
    parts.append(f'<text x="{at(0.5)}" y="{up(0) + 32:.1f}" text-anchor="middle">predicted</text>')
    most = max((one.count for one in bins), default=1)
    for one in bins:
        radius = 2.5 + 4 * math.sqrt(one.count / most)
        title = f"predicted {one.predicted:.0%}, observed {one.observed:.0%} ({one.low:.0%} to {one.high:.0%}) in {one.count:,} runs"
        parts += [
            f'<path class="s0" d="M{at(one.predicted):.1f} {up(one.low):.1f}L{at(one.predicted):.1f} {up(one.high):.1f}"/>',
            f'<circle class="s0" cx="{at(one.predicted):.1f}" cy="{up(one.observed):.1f}" r="{radius:.1f}"><title>{title}</title></circle>',
        ]
    label = f"Observed against predicted success, {sum(one.count for one in bins):,} runs in {len(bins)} groups"
    return Markup(  # noqa: S704  # it holds numbers only
        f'<div class="legend"><span>observed, by what was predicted</span></div>'
        f'<svg class="plot square" viewBox="0 0 {size} {size}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
    )


def _svg(parts: Sequence[str], sentence: str, lines: Sequence[Line], unit: str) -> Markup:
    names = ", ".join(line.name for line in lines)
    legend = "".join(f'<span><i class="s{kind}"></i>{_text(line.name)}</span>' for kind, line in enumerate(lines))
    return Markup(  # noqa: S704  # every text in it is escaped
        f'<div class="legend">{legend}{f"<span>{_text(unit)}</span>" if unit != names else ""}</div>'
        f'<svg class="plot" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{_text(f"{names}: {sentence}")}">{"".join(parts)}</svg>'
    )


def _axis(top: float) -> list[str]:
    parts = []
    for step in range(_STEPS + 1):
        value = top * step / _STEPS
        y = _HEIGHT - _BOTTOM - _scaled(value, top)
        parts.append(f'<line class="gridline" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_short(value)}</text>')
    return parts


def _labels(labels: Sequence[str]) -> list[str]:
    """Return some labels, so that they do not touch each other."""
    step = (_WIDTH - _LEFT - _RIGHT) / max(len(labels), 1)
    every = max(1, math.ceil(len(labels) / _MOST_LABELS))
    return [
        f'<text x="{_LEFT + (place + 0.5) * step:.1f}" y="{_HEIGHT - 6}" text-anchor="middle">{_text(label, 12)}</text>'
        for place, label in enumerate(labels)
        if place % every == every // 2
    ]


def _scaled(value: float, top: float) -> float:
    return max(0.0, min(value / top, 1.0)) * (_HEIGHT - _TOP - _BOTTOM) if top > 0 else 0.0


def _nice(value: float) -> float:
    """Return a round number that is not below `value`, and can be divided by the steps of the axis."""
    if not math.isfinite(value) or value <= 0:
        return float(_STEPS)
    size: float = 10.0 ** math.floor(math.log10(value))
    return next(size * factor for factor in (1.2, 1.5, 3.0, 6.0, 9.0, 12.0) if size * factor >= value)


def _short(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _text(text: str, limit: int = 200) -> str:
    return str(escape(one_line(text, limit)))
