"""The layers that stand between a statement and harm, as one value: tests switch each off and see the others hold.

Nothing of the product passes another value than `ALL`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """Which layers are on. The first three decide what a read is, the others hold while it runs."""

    parse: bool = True
    resolution: bool = True
    functions: bool = True
    read_only: bool = True
    one_statement: bool = True
    timeouts: bool = True
    watchdog: bool = True
    tripwire: bool = True


ALL = Layers()
