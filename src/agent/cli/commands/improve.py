"""`agent improve`: learning sessions, research, configurations and optimizations, each with its evidence."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from agent.cli.framework import JsonOption, examples, group
from agent.cli.runner import run
from agent.cli.terminal.results import show_done, show_listing

if TYPE_CHECKING:
    from agent.optimization import AutoConfigGenerationService, SelfLearningOrchestrationService

Result = TypeVar("Result")
app = group(
    "Improve the agent from evidence: research, propose, test, apply, take back.",
    *("agent improve", "agent improve research launch workflows", "agent improve optimizations"),
    default="optimizations",
)
sessions = group("Learning sessions and what is left of their budgets.", "agent improve sessions")
research = group("Research campaigns: what goes with success.", "agent improve research")
configs = group("Configurations made from patterns.", "agent improve configs")
optimizations = group("Changes: proposed, tested, applied.", "agent improve optimizations")
for _name, _group in (
    ("sessions", sessions), ("research", research), ("configs", configs), ("optimizations", optimizations),
):  # fmt: skip
    app.add_typer(_group, name=_name)
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Its id.")]


@sessions.command("list", epilog=examples("agent improve sessions", "agent improve sessions --json"))
def list_sessions(*, as_json: JsonOption = False) -> None:
    """List the newest sessions."""
    found = _learn(lambda service: service.list_learning_sessions())
    rows = [
        (one.session_id, one.agent_id, one.focus_area, one.status, f"{one.spent_ms / 1000:.0f} of {one.time_budget_ms / 1000:.0f} s",
         f"{one.spent_usd:.2f} of {one.cost_budget_usd:.2f}") for one in found
    ]  # fmt: skip
    _list(
        found,
        ("id", "agent", "focus", "status", "time", "USD"),
        rows,
        as_json=as_json,
        empty="There is no session: `agent improve sessions start AGENT` begins one.",
    )


@sessions.command("start", epilog=examples("agent improve sessions start learning-agent --seconds 60 --usd 1"))
def start_session(
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="The agent that learns.")],
    *,
    focus: Annotated[str, typer.Option(help="What it is about.")] = "general",
    seconds: Annotated[float | None, typer.Option(min=0, help="Most seconds of work.")] = None,
    usd: Annotated[float | None, typer.Option(min=0, help="Most US dollars.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Start a session; your work is booked under it until it is over."""
    budget = {
        name: value for name, value in (("time_ms", seconds and seconds * 1000), ("cost_usd", usd)) if value is not None
    }
    done = _learn(lambda service: service.start_learning_session(agent, focus_area=focus, learning_budget=budget))
    _done(done, f"Session {done.session_id} is active.", as_json=as_json)


@sessions.command("end", epilog=examples("agent improve sessions end ID"))
def end_session(session_id: IdArgument, *, as_json: JsonOption = False) -> None:
    """End a session."""
    done = _learn(lambda service: service.end_learning_session(session_id))
    _done(done, f"It is over; it took {done.spent_ms / 1000:.1f} s and {done.spent_usd:.2f} USD.", as_json=as_json)


@research.command("list", epilog=examples("agent improve research", "agent improve research --json"))
def list_campaigns(*, as_json: JsonOption = False) -> None:
    """List the newest campaigns."""
    found = _learn(lambda service: service.list_research_campaigns())
    rows = [
        (one.campaign_id, one.topic, one.status, f"{one.progress:.0%}", len(one.findings), one.reason) for one in found
    ]
    _list(
        found,
        ("id", "topic", "status", "done", "found", ""),
        rows,
        as_json=as_json,
        empty="There is no campaign: `agent improve research launch TOPIC` begins one.",
    )


@research.command("launch", epilog=examples("agent improve research launch workflows --depth 2"))
def launch(
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="What it is about.")],
    *,
    source: Annotated[
        list[str] | None, typer.Option(help="execution_history, simulation_results, security_checks.")
    ] = None,
    depth: Annotated[int, typer.Option(min=1, max=3, help="1 single events, 2 pairs, 3 sequences.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Launch a campaign, work on it, and show the patterns that it found."""

    async def mine(service: SelfLearningOrchestrationService) -> Any:
        campaign = await service.launch_research_campaign(topic=topic, data_sources=source, mining_depth=depth)
        return await service.mine_patterns(campaign.campaign_id)

    _patterns(_learn(mine), as_json=as_json)


@research.command("patterns", epilog=examples("agent improve research patterns"))
def list_patterns(*, as_json: JsonOption = False) -> None:
    """List all patterns, the surest first."""
    _patterns(_learn(lambda service: service.list_patterns()), as_json=as_json)


@research.command("export", epilog=examples("agent improve research export patterns.json"))
def export(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.")],
    *,
    pattern: Annotated[
        list[str] | None, typer.Option(help="A pattern's id; all that were found here if none is named.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write patterns with their evidence to a signed file."""
    done = _learn(lambda service: service.export_patterns(pattern))
    path.write_text(json.dumps(done, indent=2) + "\n", encoding="utf-8")
    show_done(
        done, f"{len(done['patterns'])} patterns are in {path}, signed with {done['public_key']}.", as_json=as_json
    )


@research.command("import", epilog=examples("agent improve research import patterns.json"))
def import_file(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The file to read.", exists=True, dir_okay=False)],
    *,
    trust: Annotated[bool, typer.Option("--trust", help="Take it also if nobody trusted has signed it.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Read patterns from a file; they are unproven here."""
    content = path.read_text(encoding="utf-8", errors="replace")
    _patterns(_learn(lambda service: service.import_patterns(content, trust=trust)), as_json=as_json)


@research.command("key", epilog=examples("agent improve research key"))
def key(*, as_json: JsonOption = False) -> None:
    """Show the public key with which this installation signs patterns."""
    done = _learn(lambda service: service.get_pattern_key())
    show_done({"public_key": done}, done, as_json=as_json)


@research.command("cancel", epilog=examples("agent improve research cancel ID"))
def cancel(campaign_id: IdArgument, *, as_json: JsonOption = False) -> None:
    """Stop a campaign."""
    done = _learn(lambda service: service.cancel_research_campaign(campaign_id))
    _done(done, f"The campaign is {done.status}.", as_json=as_json)


@configs.command("list", epilog=examples("agent improve configs", "agent improve configs --json"))
def list_configs(*, as_json: JsonOption = False) -> None:
    """List the newest configurations."""
    found = _make(lambda service: service.list_configs())
    rows = [(one.config_id, one.workflow_type, json.dumps(one.generated_config)) for one in found]
    _list(
        found,
        ("id", "workflow", "configuration"),
        rows,
        as_json=as_json,
        empty="There is no configuration: `agent improve configs generate WORKFLOW` makes one.",
    )


@configs.command("generate", epilog=examples("agent improve configs generate seo_workflow --min-success-rate 0.8"))
def generate(
    workflow: Annotated[str, typer.Argument(metavar="WORKFLOW", help="The type of the workflow.")],
    *,
    min_success_rate: Annotated[float | None, typer.Option(min=0, max=1, help="Least share of successes.")] = None,
    max_cost: Annotated[float | None, typer.Option(min=0, help="Most US dollars of a run.")] = None,
    max_patterns: Annotated[int | None, typer.Option(min=1, max=100, help="Most patterns to merge.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Merge patterns into a configuration."""
    options = {"min_success_rate": min_success_rate, "max_cost": max_cost, "max_patterns": max_patterns}
    done = _make(lambda service: service.generate_config_from_patterns(workflow, options))
    _done(done, f"{done.config_id}: {json.dumps(done.generated_config)}", as_json=as_json)


@configs.command("test", epilog=examples("agent improve configs test ID"))
def try_config(config_id: IdArgument, *, as_json: JsonOption = False) -> None:
    """Test a configuration without effects."""
    done = _make(lambda service: service.test_generated_config(config_id))
    _done(done, f"{'Good' if done.success else 'Not good'}: {done.reason}", as_json=as_json)


@optimizations.command("list", epilog=examples("agent improve optimizations", "agent improve optimizations --json"))
def list_optimizations(*, as_json: JsonOption = False) -> None:
    """List the newest changes with their evidence: what was claimed, how sure, and what stands."""
    found = _learn(lambda service: service.list_optimizations())
    rows = [
        (one.optimization_id, json.dumps(one.parameters), one.workflow_type, _status(one), one.verdict or "-",
         "-" if one.cost_benefit_ratio is None else f"{one.cost_benefit_ratio:.1f}", one.rolled_back_because or one.reason) for one in found
    ]  # fmt: skip
    columns = ("id", "change", "workflow", "status", "verdict", "ratio", "why")
    _list(found, columns, rows, as_json=as_json, empty="Nothing was proposed yet: `agent improve research launch`.")


@optimizations.command("propose", epilog=examples("agent improve optimizations propose ID"))
def propose(
    pattern_id: Annotated[str, typer.Argument(metavar="ID", help="The pattern's id.")],
    *,
    workflow: Annotated[str | None, typer.Option(help="The type of the workflow that it is set for.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Propose what a pattern names; how it is tested is registered with it."""
    done = _learn(lambda service: service.generate_optimization(pattern_id, workflow_type=workflow))
    _done(done, f"Proposed as {done.optimization_id}: {json.dumps(done.parameters)}", as_json=as_json)


@optimizations.command(
    "search",
    epilog=examples("agent improve optimizations search --by search", "agent improve optimizations search --by model"),
)
def search(
    *,
    by: Annotated[
        str, typer.Option(help="search: Optuna tries parameters; model: a model drafts instructions or parameters.")
    ] = "search",
    workflow: Annotated[str, typer.Option(help="The type of the workflow.")] = "agent_turn",
    parameter: Annotated[list[str] | None, typer.Option(help="A parameter to search; all if none is named.")] = None,
    trials: Annotated[int, typer.Option(min=1, max=100, help="How many configurations are tried.")] = 5,
    max_cost: Annotated[float | None, typer.Option(min=0, help="Most US dollars of a run.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Look for a change without a pattern, and register the test of what is found."""
    searching: dict[str, Any] = (
        {"parameters": parameter, "trials": trials, "max_cost": max_cost} if by == "search" else {}
    )
    done = _learn(lambda service: service.propose_optimization({"by": by, "workflow_type": workflow, **searching}))
    _done(done, f"Proposed as {done.optimization_id}: {json.dumps(done.parameters)}", as_json=as_json)


@optimizations.command("test", epilog=examples("agent improve optimizations test ID"))
def try_optimization(optimization_id: IdArgument, *, as_json: JsonOption = False) -> None:
    """Test a change as it was registered."""
    done = _learn(lambda service: service.test_optimization(optimization_id))
    _done(done, f"{done.verdict}: {done.reason} Benefit over cost: {done.cost_benefit_ratio:.1f}.", as_json=as_json)


@optimizations.command("apply", epilog=examples("agent improve optimizations apply ID"))
def apply(optimization_id: IdArgument, *, as_json: JsonOption = False) -> None:
    """Apply a change that its test holds; by default a human is asked first."""
    done = _learn(lambda service: service.apply_optimization(optimization_id))
    waiting = f"It waits for approval {done.approval_id}: `agent approvals approve {done.approval_id}`."
    _done(done, waiting if done.status == "waiting" else f"The change is {done.status}.", as_json=as_json)


@optimizations.command("rollback", epilog=examples("agent improve optimizations rollback ID"))
def roll_back(optimization_id: IdArgument, *, as_json: JsonOption = False) -> None:
    """Take an applied change back; the next run is without it."""
    done = _learn(lambda service: service.roll_back_optimization(optimization_id))
    _done(done, f"The change is {done.status}.", as_json=as_json)


def _status(one: Any) -> str:
    return f"canary of {one.share:.0%}" if one.status == "canary" else str(one.status)


def _learn(work: Callable[[SelfLearningOrchestrationService], Awaitable[Result]]) -> Result:
    from agent.optimization import SelfLearningOrchestrationService

    return run(lambda runtime: work(SelfLearningOrchestrationService(runtime)))


def _make(work: Callable[[AutoConfigGenerationService], Awaitable[Result]]) -> Result:
    from agent.optimization import AutoConfigGenerationService

    return run(lambda runtime: work(AutoConfigGenerationService(runtime)))


def _patterns(found: Any, *, as_json: bool) -> None:
    rows = [(one.pattern_id, one.status, f"{one.confidence_score:.0%}", one.description) for one in found]
    _list(found, ("id", "status", "confidence", "what"), rows, as_json=as_json, empty="There is no pattern.")


def _done(value: Any, sentence: str, *, as_json: bool) -> None:
    show_done(value.as_dict(), sentence, as_json=as_json)


def _list(
    found: Sequence[Any], columns: Sequence[str], rows: Sequence[Sequence[object]], *, as_json: bool, empty: str
) -> None:  # fmt: skip
    show_listing([one.as_dict() for one in found], columns, rows, as_json=as_json, empty=empty)
