"""`agent learn`: let the learner run, and show what its runs have learned."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.cli.framework import JsonOption, LimitOption, examples
from agent.cli.runner import run

if TYPE_CHECKING:
    from agent.learning.learning_runs import LearningRun
    from agent.runtime import Runtime

EXAMPLES = examples("agent learn", "agent learn --once", "agent learn --status --json", "agent learn log")


def learn(
    what: Annotated[str, typer.Argument(metavar="[log]", help="`log` lists the last runs.", show_default=False)] = "",
    *,
    once: Annotated[bool, typer.Option("--once", help="Run once, now.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Show the last run and what is known.")] = False,
    limit: LimitOption = 20,
    as_json: JsonOption = False,
) -> None:
    """Learn from what happened: skills from questions that were answered, what people use, what was repaired.

    `agent serve` and `agent worker` do this by themselves. Without an option, this shows the status.
    """
    from agent.errors import InvalidInput

    if what not in ("", "log") or (once and (status or what)):
        raise InvalidInput("Use one of `agent learn --once`, `agent learn --status` and `agent learn log`.")
    if what == "log":
        _show_log(run(lambda runtime: _log(limit, runtime)), as_json=as_json)
    elif once:
        _run_once(as_json=as_json)
    else:
        _show_status(*run(_status), as_json=as_json)


def _run_once(*, as_json: bool) -> None:
    from agent.cli.terminal.render import print_json, progress

    with progress("learning") as move:
        done = run(lambda runtime: _learn(move, runtime))
    if as_json:
        print_json(done)
    else:
        _show_run(done)


async def _learn(move: Callable[[int, int], None], runtime: Runtime) -> LearningRun:
    from agent.operations import lessons

    return await lessons.learn(progress=lambda _step, done, total: move(done, total), runtime=runtime)


async def _log(limit: int, runtime: Runtime) -> list[LearningRun]:
    from agent.operations import lessons

    return await lessons.runs(limit, runtime=runtime)


async def _status(runtime: Runtime) -> tuple[list[LearningRun], dict[str, int]]:
    from agent.operations import lessons

    return await lessons.runs(1, runtime=runtime), await lessons.counts(runtime=runtime)


def _show_status(runs: list[LearningRun], counts: dict[str, int], *, as_json: bool) -> None:
    from agent.cli.terminal.render import facts, print_json, say, stdout

    if as_json:
        print_json({"last_run": runs[0] if runs else None, "known": counts})
        return
    console = stdout()
    if not runs:
        say(console, "Nothing was learned yet. `agent learn --once` learns now; `agent serve` learns every hour.")
        return
    facts(console, list(counts.items()) or [("known", "nothing yet")])
    console.print()
    _show_run(runs[0])


def _show_run(done: LearningRun) -> None:
    from agent.cli.terminal.clean_text import moment, one_line
    from agent.cli.terminal.render import facts, say, stdout

    console = stdout()
    pairs: list[tuple[str, Any]] = [
        ("run", f"{done.id}, {done.status}, begun {moment(done.started_at)} by {done.woken_by}"),
        ("looked at", ", ".join(f"{number} {what}" for what, number in done.looked_at.items() if number) or "nothing new"),
        ("learned", len(done.learned)), ("dropped", len(done.dropped)),
        ("spent", f"{done.seconds:.1f} s, {done.model_calls} calls of a model, ${done.cost_usd:.4f}"),
    ]  # fmt: skip
    if done.error:
        pairs.append(("error", done.error))
    facts(console, pairs)
    for sign, entries in (("+", done.learned), ("-", done.dropped)):
        for entry in entries:
            say(
                console,
                one_line(
                    f"  {sign} memory {entry['memory']} ({entry['lesson']}; {entry['why']}): {entry['what']}", 300
                ),
            )


def _show_log(runs: list[LearningRun], *, as_json: bool) -> None:
    from agent.cli.terminal.clean_text import moment
    from agent.cli.terminal.render import listing, print_json, stdout

    if as_json:
        print_json(runs)
        return
    rows = [
        (
            one.id,
            moment(one.started_at),
            one.woken_by,
            one.status,
            len(one.learned),
            len(one.dropped),
            f"{one.seconds:.1f}",
        )
        for one in runs
    ]
    head = ("run", "begun", "by", "status", "learned", "dropped", "seconds")
    listing(stdout(), head, rows, empty="The learner has not run yet. `agent learn --once` runs it.")
