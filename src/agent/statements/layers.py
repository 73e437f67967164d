"""Names the layers of protection around a statement, so that tests can switch off each one and check the others.

The product itself always passes `ALL`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """Which layers are on. The first three decide what a read is, the others protect while it runs."""

    parse: bool = True
    resolution: bool = True
    functions: bool = True
    read_only: bool = True
    one_statement: bool = True
    timeouts: bool = True
    watchdog: bool = True
    tripwire: bool = True


ALL = Layers()
