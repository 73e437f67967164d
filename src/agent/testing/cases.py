"""Many cases in one test, on one database: for cases that leave things as they were."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

Test = Callable[..., Any]


def each(names: str | tuple[str, ...], cases: Sequence[Any]) -> Callable[[Test], Test]:
    """As pytest's `parametrize`, but all cases run in one test with the same fixtures. Those that fail are named."""
    listed = (names,) if isinstance(names, str) else names
    values = [dict(zip(listed, (case,) if isinstance(names, str) else case, strict=True)) for case in cases]

    def decorate(test: Test) -> Test:
        @functools.wraps(test)
        async def run(**fixtures: Any) -> None:
            failed: list[BaseException] = []
            for case in values:
                try:
                    await test(**fixtures, **case)
                except (KeyboardInterrupt, SystemExit):
                    raise
                except BaseException as error:  # pytest's own failures are no `Exception`
                    error.add_note(f"The case: {str(case)[:500]}")
                    failed.append(error)
            if failed:
                raise BaseExceptionGroup(f"{len(failed)} of {len(values)} cases failed", failed)

        signature = inspect.signature(test)
        kept = [one for name, one in signature.parameters.items() if name not in listed]
        run.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]  # what pytest reads
        return run

    return decorate
