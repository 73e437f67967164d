"""Works out which kind of action runs, asks whom, or is refused in this set-up.

An example of each kind goes through the functions that decide about real actions: the policy of statements, the operator's
settings, the conditions of a change, and the rules on who may approve. What the server would add for a real statement (a
trigger, a view with code behind it) can only make an action riskier. Nothing is looked up in the application.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from agent.approval.eligibility import AccessRole, Person, deciders_of
from agent.approval.people import people
from agent.approval.preview import StatementPreview
from agent.errors import AgentStopped, ConditionNotMet, ConfigurationError
from agent.execution.controls import ControlState, allow, controls
from agent.execution.created_tools import create_new_tool
from agent.execution.guards.conditions import (
    Guards,
    changes_something,
    guards_now,
    needs_recovery_point,
    sentence_on,
)
from agent.execution.guards.recovery import RecoveryPoint, newest_backup
from agent.execution.tools import send_email
from agent.provenance.assessment import Finding, raised_by
from agent.providers.mail import NOT_SET_UP, route_of
from agent.runtime import Runtime, current_runtime
from agent.settings import Settings
from agent.statements.layers import Layers
from agent.statements.parser import parse
from agent.statements.policy import judge
from agent.statements.resolver import Resolution
from agent.statements.risk import as_one_row, as_worded, risk_after_dry_run, under_settings
from agent.statements.secret_use import SecretUse, with_secrets
from agent.types import Assessment, RiskLevel, Verdict

# The grammar's part of the policy: these statements are about tables that no database needs to have.
_GRAMMAR = Layers(resolution=False)
_ONE_ROW = "changes one row by its key, as the user worded it"
_STATEMENTS = {
    "reads rows": "SELECT name FROM things",
    _ONE_ROW: "UPDATE things SET name = 'new' WHERE id = 1",
    "changes rows": "UPDATE things SET name = 'new' WHERE size > 9",
    "adds rows": "INSERT INTO things SELECT * FROM more_things",
    "deletes rows": "DELETE FROM things WHERE size > 9",
    "changes or deletes every row": "DELETE FROM things",
    "changes a table": "ALTER TABLE things ADD COLUMN colour text",
    "removes a column": "ALTER TABLE things DROP COLUMN colour",
    "drops a table": "DROP TABLE things",
    "empties a table": "TRUNCATE things",
    "gives rights": "GRANT SELECT ON things TO somebody",
    "creates code that the database runs": "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "calls a function that nobody registered": "SELECT some_function()",
    "runs outside of a transaction": "VACUUM things",
    "reaches files and programs of the server": "COPY things TO PROGRAM 'x'",
    "touches the agent's own tables": "DELETE FROM agents.people",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CoveredKind:
    """What happens with one kind of action now.

    With the verdict "ask", `votes` people must approve within `seconds`; `nobody` says why nobody could, else it is ''.
    `backup` says that it needs a recovery point. `held_up_by` is the condition for which it would not be done or asked about.
    """

    kind: str
    example: str
    verdict: Verdict
    risk: RiskLevel
    reasons: tuple[str, ...]
    votes: int = 0
    seconds: float | None = None
    backup: bool = False
    held_up_by: str = ""
    nobody: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """A person who may ask, and who may approve what they ask for."""

    name: str
    role: AccessRole
    deciders: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Which kind of action asks, and whom. `askers` is empty where nobody is named: then one user decides everything."""

    kinds: tuple[CoveredKind, ...]
    askers: tuple[Asker, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What decides besides the settings: the switches, the conditions, the newest backup (if one is needed), the people."""

    settings: Settings
    state: ControlState
    guards: Guards
    point: RecoveryPoint | None
    known: tuple[Person, ...]


async def situation_of(runtime: Runtime) -> Situation:
    """Read the situation once."""
    return Situation(
        settings=runtime.settings,
        state=await controls.state(runtime=runtime),
        guards=await guards_now(runtime),
        point=await newest_backup(runtime) if runtime.settings.recovery_max_age else None,
        known=tuple(await people.list_people(runtime=runtime)),
    )


async def coverage(*, runtime: Runtime | None = None) -> Coverage:
    """Return what happens with each kind of action now, and who decides about it."""
    return coverage_in(await situation_of(runtime or await current_runtime()))


def coverage_in(now: Situation) -> Coverage:
    """Return what happens with each kind of action in a situation. Pure."""
    askers = askers_of(now.known)
    kinds = tuple(_covered(kind, example, found, now, askers) for kind, example, found in _kinds(now.settings))
    return Coverage(kinds=kinds, askers=askers)


def askers_of(known: tuple[Person, ...]) -> tuple[Asker, ...]:
    """Return the people who may ask, with those who may approve what each of them asks for."""
    active = [person for person in known if person.active and person.access_role != "viewer"]
    return tuple(
        Asker(name=person.name, role=person.access_role, deciders=deciders_of(person.name, known)) for person in active
    )


def _covered(kind: str, example: str, found: Assessment, now: Situation, askers: tuple[Asker, ...]) -> CoveredKind:
    changes = changes_something(found)
    votes, settings = now.guards.votes, now.settings
    verdict = found.verdict
    if changes and now.guards.asks(found.risk, ask_from=settings.ask_from):
        verdict = "ask"
    statement = not found.reasons[0].startswith(("outside:", "tool:"))
    backup = changes and statement and bool(settings.recovery_max_age)
    covered = CoveredKind(
        kind=kind, example=example, verdict=verdict, risk=found.risk, reasons=found.reasons,
        backup=backup and needs_recovery_point(found.risk, found.reasons),
    )  # fmt: skip
    if changes:
        covered = replace(covered, held_up_by=_held_up_by(covered, now))
    if verdict != "ask":
        return covered
    needed = max(settings.votes_to_approve(found.risk), votes) if now.known else 1
    nobody = _why_nobody(needed, askers)
    return replace(covered, votes=needed, seconds=settings.seconds_to_approve(found.risk), nobody=nobody)


def _held_up_by(covered: CoveredKind, now: Situation) -> str:
    try:
        allow(now.state, writing=True)
        now.guards.check_proposal()
        if covered.backup and now.point is not None:
            sentence_on(now.point, now.guards, hours=now.settings.recovery_max_age)
        if covered.kind.startswith("sends a mail") and route_of(now.settings) is None:
            return NOT_SET_UP
    except (AgentStopped, ConditionNotMet, ConfigurationError) as error:
        return str(error)
    return ""


def _why_nobody(needed: int, askers: tuple[Asker, ...]) -> str:
    """Return for whom too few people could approve, as a sentence; '' if there are enough for everybody."""
    short = [f"{asker.name!r} ({len(asker.deciders)})" for asker in askers if len(asker.deciders) < needed]
    if not short:
        return ""
    return f"It needs {needed}, and fewer may approve what these ask for: {', '.join(short)}."


def _kinds(settings: Settings) -> Iterator[tuple[str, str, Assessment]]:
    """Yield each kind of action with an example and its assessment under the settings."""
    judged = {kind: judge(parse(sql), Resolution(), layers=_GRAMMAR) for kind, sql in _STATEMENTS.items()}
    changed = judged["changes rows"]
    judged[_ONE_ROW] = as_one_row(judged[_ONE_ROW])
    for kind, found in judged.items():
        yield kind, _STATEMENTS[kind], _under(found, settings)
    unsaid = Finding("MEDIUM", "origin:unsaid", "")
    yield (
        "changes one row that the user's words do not name",
        _STATEMENTS[_ONE_ROW],
        raised_by(judged[_ONE_ROW], [unsaid], has_effect=True, settings=settings),
    )
    yield (
        "changes a few rows of one table, as the user worded it",
        _STATEMENTS["changes rows"],
        _under(as_worded(changed, several=True), settings),
    )
    many = StatementPreview(row_count=settings.many_rows + 1, tried=True)
    risk, added = risk_after_dry_run(changed.risk, many, many_rows=settings.many_rows)
    yield (
        f"changes more than {settings.many_rows:,} rows (AGENT_MANY_ROWS)",
        _STATEMENTS["changes rows"],
        _under(replace(changed, risk=risk, reasons=(*changed.reasons, *added)), settings),
    )
    data = Finding("HIGH", "origin:data", "")
    yield (
        "writes or sends a value that only data named",
        "UPDATE things SET account = 'DE00 1234' WHERE id = 1",
        raised_by(judged[_ONE_ROW], [data], has_effect=True, settings=settings),
    )
    use = SecretUse(sources=(("things.password",),), bare=(True,), names=("password",))
    shown = with_secrets(judged["reads rows"], use, show=True)
    yield "shows a model the values of secret columns", "SELECT password FROM things", _under(shown, settings)
    yield from _outside(settings)
    own = replace(judged["reads rows"], reasons=("own",))
    yield "remembers, or looks at what it knows", "remember", _under(own, settings)


def _outside(settings: Settings) -> Iterator[tuple[str, str, Assessment]]:
    refuse = settings.email_refuse_others
    for kind, domains in (("a domain that is listed", ()), ("another domain", ("other.example",))):
        mail = send_email.assessed("", unlisted=domains, places=(), refuse_others=refuse)
        yield f"sends a mail to {kind} (AGENT_EMAIL_DOMAINS)", "send_email", _under(mail, settings)
    yield "makes a tool from code", "create_new_tool", _under(create_new_tool.assessed(""), settings)


def _under(assessment: Assessment, settings: Settings) -> Assessment:
    return under_settings(assessment, ask_from=settings.ask_from, refused=settings.refuse)
