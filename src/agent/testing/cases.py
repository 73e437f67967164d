"""Run many cases in one test, on one database, if the cases leave everything as it was."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

Test = Callable[..., Any]


def each(names: str | tuple[str, ...], cases: Sequence[Any]) -> Callable[[Test], Test]:
    """Return a decorator like pytest's `parametrize` that runs all cases in one test with the same fixtures.

    The test fails with a `BaseExceptionGroup` that names each case which failed.
    """
    arguments = (names,) if isinstance(names, str) else names
    values = [dict(zip(arguments, (case,) if isinstance(names, str) else case, strict=True)) for case in cases]

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
        fixtures = [parameter for name, parameter in signature.parameters.items() if name not in arguments]
        run.__signature__ = signature.replace(parameters=fixtures)  # type: ignore[attr-defined]  # pytest reads it
        return run

    return decorate
