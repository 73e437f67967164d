"""`agent analytics`: figures, predictions, recommendations and findings of agents' runs."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from agent.cli.framework import JsonOption, examples, group
from agent.cli.runner import run
from agent.cli.terminal.results import show_done, show_listing

if TYPE_CHECKING:
    from agent.analytics import AnalyticsService

Result = TypeVar("Result")
app = group(
    "Measure agents, predict how they will do, and find what to change.",
    *("agent analytics performance", "agent analytics insights", "agent analytics recommend planning"),
    default="performance",
)
AgentArgument = Annotated[str, typer.Argument(metavar="AGENT", help="The agent's name.")]
TaskArgument = Annotated[str, typer.Argument(metavar="TASK", help="The type of the task.")]


@app.command(
    "performance", epilog=examples("agent analytics performance", "agent analytics performance director --json")
)
def performance(
    agent: Annotated[str | None, typer.Argument(metavar="[AGENT]", help="Only this agent, by task type.")] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Show runs, success rates with their intervals, times and cost."""
    if agent is None:
        found = _run(lambda service: service.performance())
        rows, name = found["agents"], "agent_name"
    else:
        found = _run(lambda service: service.agent_performance(agent))
        rows, name = found["task_types"], "task_type"
    shown = [
        (one[name] or "-", one["runs"], one["outcomes_missing"], _share(one["success_rate"], one["success_interval"]),
         _number(one["p50_execution_time"]), _number(one["p95_execution_time"]), _number(one["cost_usd"]))
        for one in rows
    ]  # fmt: skip
    columns = (name.replace("_", " "), "runs", "no outcome", "success", "median s", "p95 s", "cost USD")
    show_listing(found, columns, shown, as_json=as_json, empty="There are no runs.")


@app.command("matrix", epilog=examples("agent analytics matrix", "agent analytics matrix --json"))
def matrix(*, as_json: JsonOption = False) -> None:
    """Show each agent on each task type."""
    cells = _run(lambda service: service.matrix())
    rows = [
        (one["agent_name"], one["task_type"] or "-", one["runs"], _share(one["success_rate"], one["success_interval"]),
         _number(one["p50_execution_time"]))
        for one in cells
    ]  # fmt: skip
    show_listing(
        cells, ("agent", "task type", "runs", "success", "median s"), rows, as_json=as_json, empty="There are no runs."
    )


@app.command("trends", epilog=examples("agent analytics trends", "agent analytics trends director --json"))
def trends(
    agent: Annotated[str | None, typer.Argument(metavar="[AGENT]", help="Only this agent.")] = None,
    *,
    task: Annotated[str | None, typer.Option(help="Only this task type.")] = None,
    days: Annotated[int, typer.Option(min=1, max=366, help="So many days.")] = 30,
    as_json: JsonOption = False,
) -> None:
    """Show what was reached on each day, beside what the models expect."""
    found = _run(lambda service: service.trend(agent_name=agent, task_type=task, days=days))
    rows = [
        (one["day"], one["runs"], _share(one["success_rate"], None), _share(one["expected_success_rate"], one["success_band"]),
         _number(one["typical_execution_time"]), _range(one["expected_execution_time"], one["execution_time_band"]),
         "outside" if False in (one["success_inside"], one["execution_time_inside"]) else "")
        for one in found["days"]
    ]  # fmt: skip
    columns = ("day", "runs", "success", "expected", "typical s", "expected s", "")
    show_listing(found, columns, rows, as_json=as_json, empty="There are no runs.")


@app.command("log", epilog=examples("agent analytics log director planning --seconds 1.5 --success"))
def log(
    agent: AgentArgument,
    task: TaskArgument,
    *,
    seconds: Annotated[float | None, typer.Option(min=0, help="How long it took.")] = None,
    success: Annotated[
        bool | None, typer.Option("--success/--failure", help="How it ended; without it, not known.")
    ] = None,
    task_id: Annotated[str | None, typer.Option(help="The task's id: the same one counts once.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Log a run of an agent."""
    given = {"agent_name": agent, "task_type": task, "execution_time": seconds, "success": success, "task_id": task_id}
    done = _run(lambda service: service.log_run(given))
    show_done(done, "It is stored." if done.stored else "It was there already.", as_json=as_json)


@app.command(
    "predict",
    epilog=examples("agent analytics predict director planning", "agent analytics predict director planning --json"),
)
def predict(agent: AgentArgument, task: TaskArgument, *, as_json: JsonOption = False) -> None:
    """Predict success, time and cost of an agent on a task type."""
    from agent.cli.terminal.render import facts, print_json, stdout

    found = _run(lambda service: service.predict(agent, task))
    if as_json:
        print_json(found)
        return
    rows = [("status", found["status"]), ("success", _share(found["success_rate"], found["success_interval"]))]
    rows += [
        (label, _range(found[name], found[f"{name}_interval"]))
        for label, name in (("seconds", "execution_time"), ("cost USD", "cost_usd"))
    ]
    rows += [("runs of this pair", found["based_on"]["pair"]), ("why", found["reason"])]
    facts(stdout(), [(label, value) for label, value in rows if value not in (None, "-")])


@app.command(
    "recommend",
    epilog=examples("agent analytics recommend planning", "agent analytics recommend planning --explore --json"),
)
def recommend(
    task: TaskArgument,
    *,
    explore: Annotated[bool, typer.Option("--explore", help="Also try others; what is drawn is noted.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Recommend an agent for a task type, with reasons."""
    found = _run(lambda service: service.recommend(task, explore=explore))
    rows = [
        ("*" if one["agent_name"] == found["recommended"] else "", one["agent_name"], _share(one["success_rate"], one["success_interval"]),
         _number(one["execution_time"]), f"{one['probability_best']:.0%}", " ".join(one["reasons"][1:]))
        for one in found["recommendations"]
    ]  # fmt: skip
    columns = ("", "agent", "success", "seconds", "best with", "why")
    show_listing(found, columns, rows, as_json=as_json, empty=str(found["reason"]))


@app.command("insights", epilog=examples("agent analytics insights", "agent analytics insights --json"))
def insights(*, as_json: JsonOption = False) -> None:
    """Say what was found in the runs, and what to do about it."""
    found = _patterns()
    rows = [(one["kind"], one["insight"], one["action"]) for one in found["insights"]]
    show_listing(found["insights"], ("kind", "what", "what to do"), rows, as_json=as_json, empty="Nothing was found.")


@app.command("coordination", epilog=examples("agent analytics coordination", "agent analytics coordination --json"))
def coordination(*, as_json: JsonOption = False) -> None:
    """Show agents that do better together than expected."""
    found = _patterns()["collaboration"]
    rows = [
        (" + ".join(one["agents"]), f"{one['effect']:+.1%}", one["tasks"], one["p_value"], one["false_discovery_rate"])
        for one in found
    ]
    show_listing(
        found, ("agents", "effect", "tasks", "p", "false findings"), rows, as_json=as_json, empty="No pair stands out."
    )


@app.command("sequences", epilog=examples("agent analytics sequences", "agent analytics sequences --json"))
def sequences(*, as_json: JsonOption = False) -> None:
    """Show agents that do better in one order than in others."""
    found = _patterns().get("sequences", [])
    rows = [
        (" then ".join(one["sequence"]), f"{one['effect']:+.1%}", one["tasks"], one["other_orders"], one["p_value"], one["false_discovery_rate"])
        for one in found
    ]  # fmt: skip
    columns = ("order", "effect", "tasks", "in other orders", "p", "false findings")
    show_listing(found, columns, rows, as_json=as_json, empty="No order stands out.")


@app.command("anomalies", epilog=examples("agent analytics anomalies", "agent analytics anomalies --json"))
def anomalies(*, as_json: JsonOption = False) -> None:
    """Show runs that took much longer or shorter than predicted."""
    found = _patterns()["anomalies"]
    rows = [
        (one["run"], one["agent_name"], one["task_type"] or "-", one["execution_time"], one["expected"], one["score"])
        for one in found
    ]
    show_listing(
        found,
        ("run", "agent", "task type", "seconds", "expected", "score"),
        rows,
        as_json=as_json,
        empty="No run stands out.",
    )


@app.command("similar", epilog=examples("agent analytics similar director"))
def similar(agent: AgentArgument, *, as_json: JsonOption = False) -> None:
    """Show the agents that are most like one."""
    found = _run(lambda service: service.similar_agents(agent))
    rows = [(one["agent_name"], one["similarity"], "yes" if one["similar"] else "") for one in found]
    show_listing(
        found,
        ("agent", "similarity", "similar"),
        rows,
        as_json=as_json,
        empty="There is no other agent to compare with.",
    )


@app.command("models", epilog=examples("agent analytics models", "agent analytics models --json"))
def models(*, as_json: JsonOption = False) -> None:
    """Show the models with their cards: data, accuracy, and why each predicts or does not."""
    known = _run(lambda service: service.models())
    rows = [
        (one["model_name"], one["version"], one["status"], one["card"].get("runs"), one["accuracy"], one["card"].get("coverage"), one["card"].get("reason"))
        for one in known
    ]  # fmt: skip
    columns = ("model", "version", "status", "runs", "accuracy", "coverage", "why")
    show_listing(known, columns, rows, as_json=as_json, empty="No model was trained yet: `agent analytics train`.")


@app.command("train", epilog=examples("agent analytics train", "agent analytics train --json"))
def train(*, as_json: JsonOption = False) -> None:
    """Train the models now."""
    done = _run(lambda service: service.train())
    rows = [(one["model"], one["status"], one.get("version"), one["reason"]) for one in done]
    show_listing(done, ("model", "status", "version", "why"), rows, as_json=as_json, empty="")


@app.command("rollback", epilog=examples("agent analytics rollback success"))
def rollback(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="success, time or cost.")],
    *,
    version: Annotated[str | None, typer.Option(help="The version; without it, the one before.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Let an earlier version of a model predict again."""
    done = _run(lambda service: service.roll_back(model, version))
    show_done(done, f"Version {done['version']} of {model} predicts now.", as_json=as_json)


@app.command("export", epilog=examples("agent analytics export runs.csv", "agent analytics export runs.jsonl"))
def export(
    path: Annotated[str, typer.Argument(metavar="FILE", help="A .csv file, or another one for a JSON object a line.")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Write every run to a file."""
    from agent.analytics.exports import write_file

    count = _run(lambda service: write_file(path, service))
    show_done({"file": path, "runs": count}, f"{count} runs are in {path}.", as_json=as_json)


@app.command("clear", epilog=examples("agent analytics clear --yes"))
def clear(
    *, yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False, as_json: JsonOption = False
) -> None:
    """Delete every run, with all that was counted from them."""
    if not yes:
        typer.confirm("Delete every run and its figures?", abort=True)
    count = _run(lambda service: service.clear())
    show_done({"deleted": count}, f"{count} runs are gone.", as_json=as_json)


@app.command("login", epilog=examples("agent analytics login grafana"))
def login(
    name: Annotated[str, typer.Argument(metavar="LOGIN", help="An existing login of your own.")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Print the SQL that lets a login read and write the tables of analytics, for this tenant only."""
    from agent.analytics.login import login_script
    from agent.settings import Settings

    script = login_script(name, tenant_id=Settings.load().tenant_id)
    typer.echo(json.dumps({"sql": script}) if as_json else script, nl=as_json)


def _run(operation: Callable[[AnalyticsService], Awaitable[Result]]) -> Result:
    from agent.analytics import AnalyticsService

    async def acting(runtime: Any) -> Result:
        return await operation(AnalyticsService(runtime))

    return run(acting)


def _patterns() -> dict[str, Any]:
    """Return what was found, as whoever asks may see it."""
    from agent.analytics import AnalyticsService
    from agent.analytics.views import shown

    async def look(runtime: Any) -> dict[str, Any]:
        return await shown(await AnalyticsService(runtime).patterns(), runtime=runtime)

    return run(look)


def _share(value: float | None, interval: Sequence[float] | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1%}" + (f" ({interval[0]:.0%} to {interval[1]:.0%})" if interval else "")


def _range(value: float | None, interval: Sequence[float] | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" + (f" ({interval[0]:.3g} to {interval[1]:.3g})" if interval else "")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
