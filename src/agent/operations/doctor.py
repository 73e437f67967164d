"""Says for this set-up which guard is on, what is missing, and how to mend it; `coverage` says which action asks whom.

Each line is computed by the function that decides. A line that cannot be computed says why, and the others are there.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from agent.access import keys
from agent.approval.permissions import permissions
from agent.approval.preview import StatementPreview
from agent.audit.sealing import key_ring
from agent.errors import ActionRefused, AgentError, ConditionNotMet
from agent.execution.guards.conditions import check_rows, sentence_on
from agent.execution.hidden_cells import hidden_in
from agent.learning.discovery.deny_list_check import unmatched_names
from agent.operations.coverage import Coverage, Situation, coverage_in, situation_of
from agent.privacy.sensitive import DenyList
from agent.providers.mail import NOT_SET_UP, route_of
from agent.runtime import Runtime, current_runtime
from agent.sandbox.sandbox import Sandbox
from agent.settings import Settings
from agent.statements.reason_codes import exists, nearest
from agent.statements.risk import is_asked, risk_after_dry_run
from agent.statements.secret_use import SecretUse
from agent.types import RISK_LEVELS


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One guard. `on` says whether it guards now. `missing` says what is wrong ('' for nothing), and `fix` what mends it.

    For a guard that is off, `fix` says what would turn it on.
    """

    name: str
    on: bool
    sentence: str
    missing: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """The guards, and which action asks whom. `missing` are the lines with something to mend."""

    lines: tuple[Line, ...]
    coverage: Coverage

    @property
    def missing(self) -> tuple[Line, ...]:
        """Return the lines with something to mend."""
        return tuple(line for line in self.lines if line.missing)


async def doctor(*, runtime: Runtime | None = None) -> Diagnosis:
    """Return the guards of this set-up as they are now, and what is missing. Nothing is changed."""
    runtime = runtime or await current_runtime()
    now = await situation_of(runtime)
    covered = coverage_in(now)
    lines = [await _line(name, rule, _Patient(runtime=runtime, now=now, covered=covered)) for name, rule in _RULES]
    return Diagnosis(lines=tuple(lines), coverage=covered)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Patient:
    runtime: Runtime
    now: Situation
    covered: Coverage

    @property
    def settings(self) -> Settings:
        return self.runtime.settings


Rule = Callable[[_Patient], "Line | Awaitable[Line]"]


async def _line(name: str, rule: Rule, patient: _Patient) -> Line:
    try:
        found = rule(patient)
        line = await found if inspect.isawaitable(found) else found
    except AgentError as error:
        return Line(name=name, on=False, sentence="It cannot be found out.", missing=str(error), fix="agent status")
    return replace(line, name=name)


def _off(sentence: str, fix: str) -> Line:
    return Line(name="", on=False, sentence=sentence, fix=fix)


def _on(sentence: str, *, missing: str = "", fix: str = "") -> Line:
    return Line(name="", on=True, sentence=sentence, missing=missing, fix=fix)


def _environment(p: _Patient) -> Line:
    label = p.settings.environment
    return _on(f"Everybody is shown: {label}.") if label else _off("Nothing is shown.", "AGENT_ENVIRONMENT=production")


def _switches(p: _Patient) -> Line:
    state = p.now.state
    if state.stopped or state.read_only:
        what = "nothing runs" if state.stopped else "nothing is changed"
        return _on(f"Since {state.changed_by!r} said so, {what}.", fix="agent resume")
    return _off("The agent runs, and may change what the other lines let it.", "agent stop")


def _asking(p: _Patient) -> Line:
    asked = [risk for risk in RISK_LEVELS if is_asked(risk, p.settings.ask_from)]
    others = [risk for risk in RISK_LEVELS if risk not in asked]
    rest = f"; {', '.join(others)} run at once" if others else ""
    sentence = f"A human is asked about changes of risk {', '.join(asked)}{rest}."
    fix = "" if "HIGH" in asked else "AGENT_ASK_FROM=MEDIUM"
    return _on(sentence, missing="Nobody is asked about changes of risk HIGH." if fix else "", fix=fix)


def _people(p: _Patient) -> Line:
    if not p.now.known:
        return _off(
            "Nobody is named: one user decides everything, also what the same user asked for.",
            f"agent people add {p.runtime.user} --role admin",
        )
    active = [person for person in p.now.known if person.active]
    deciders = [person.name for person in active if person.decides]
    return _on(f"{len(active)} people are named; these decide: {', '.join(deciders)}.")


def _votes(p: _Patient) -> Line:
    votes = {risk: p.settings.votes_to_approve(risk) for risk in RISK_LEVELS}
    several = ", ".join(f"{risk} needs {number}" for risk, number in votes.items() if number > 1)
    if not several:
        return _off("One person approves an action of any risk.", "AGENT_QUORUM=CRITICAL=2")
    nobody = next((kind.nobody for kind in p.covered.kinds if kind.nobody), "")
    fix = "agent people add NAME --role approver" if nobody else ""
    return _on(f"Where people are named, {several}; the others one.", missing=nobody, fix=fix)


def _times(p: _Patient) -> Line:
    times = {risk: p.settings.seconds_to_approve(risk) for risk in RISK_LEVELS}
    return _on(f"A request expires: {', '.join(f'{risk} after {seconds:g} s' for risk, seconds in times.items())}.")


def _refused(p: _Patient) -> Line:
    parts = [part.strip() for part in p.settings.refuse.split(",") if part.strip()]
    if not parts:
        return _off("The operator refuses nothing beyond what the agent refuses itself.", "AGENT_REFUSE=write:drop")
    problems = unknown_reasons(p.settings.refuse)
    sentence = f"Refused, whoever approves: {', '.join(parts)}."
    return _on(sentence, missing=" ".join(problems), fix="AGENT_REFUSE" if problems else "")


def _freeze(p: _Patient) -> Line:
    windows, frozen = p.settings.freeze_windows, p.now.guards.freeze
    if not windows:
        return _off("There are no times at which nothing is changed.", "AGENT_FREEZE=Fri 16:00-Mon 08:00 Europe/Berlin")
    named = f"Windows: {'; '.join(window.text for window in windows)}."
    return _on(f"{named} {frozen.sentence if frozen else 'None of them covers this moment.'}")


def _break_glass(p: _Patient) -> Line:
    glass = p.now.guards.break_glass
    return _on(glass.sentence, fix="agent break-glass --end") if glass else _off("It is not open.", "")


def _recovery(p: _Patient) -> Line:
    hours, point = p.settings.recovery_max_age, p.now.point
    if point is None:
        return _off("Tables are changed without a backup.", "AGENT_RECOVERY_MAX_AGE=24")
    rule = f"Changes of tables and CRITICAL actions need a backup younger than {hours:g} h."
    try:
        return _on(f"{rule} {sentence_on(point, p.now.guards, hours=hours)}")
    except ConditionNotMet as error:
        return _on(rule, missing=str(error), fix="agent backup FILE, or AGENT_RECOVERY_COMMAND")


def _bound(p: _Patient) -> Line:
    most = p.settings.max_changed_rows
    if not most:
        return _off("A statement may change any number of rows, if somebody approves.", "AGENT_MAX_CHANGED_ROWS=5000")
    try:
        check_rows(most + 1, most)
    except ActionRefused as error:
        return _on(f"For {most + 1:,} rows: {error}")
    return _off("It bounds nothing.", "AGENT_MAX_CHANGED_ROWS=5000")


def _many(p: _Patient) -> Line:
    rows = p.settings.many_rows
    risk, _ = risk_after_dry_run("LOW", StatementPreview(row_count=rows + 1, tried=True), many_rows=rows)
    return _on(f"A statement that changes more than {rows:,} rows is {risk}.")


def _sharing(p: _Patient) -> Line:
    level = p.settings.data_sharing
    if p.runtime.chat_client().only_offline:
        return _on(f"Only the built-in model reads the data, which stays here. A provider would be shown: {level}.")
    sentence = f"A model provider is shown: {p.runtime.data_sharing}."
    return _off(sentence, "AGENT_DATA_SHARING=masked") if p.runtime.data_sharing == "rows" else _on(sentence)


async def _denied(p: _Patient) -> Line:
    patterns = DenyList.parse(p.settings.deny).patterns
    if not patterns:
        return _off("No table is kept from models altogether.", "AGENT_DENY=table.column")
    nothing = [name.part for name in await unmatched_names(runtime=p.runtime) if not name.is_glob]
    missing = f"Nothing here is called {', '.join(map(repr, nothing))}." if nothing else ""
    denied = ", ".join(".".join(pattern) for pattern in patterns)
    return _on(f"Never shown to a model: {denied}.", missing=missing, fix="AGENT_DENY" if nothing else "")


def _secrets(p: _Patient) -> Line:
    one = SecretUse(sources=(("table.password",),), bare=(True,), names=("password",))
    if hidden_in(one, read_secrets=p.settings.read_secrets) is None:
        return _off("Reads show a model the values of secret columns.", "AGENT_READ_SECRETS=false")
    return _on("Values of secret columns are hidden; a human is asked for each statement that shows them.")


def _reader(p: _Patient) -> Line:
    if p.settings.reader_bypass_rls:
        return _off("Reads go round the application's row-level security.", "AGENT_READER_BYPASS_RLS=false")
    whom = f"the role {p.settings.read_as_role}" if p.settings.read_as_role else "agent_reader"
    user = " of one user" if p.settings.claims else ""
    return _on(f"Row-level security applies to reads, which are made as {whom}{user}.")


def _actor(p: _Patient) -> Line:
    if p.settings.actor_rights == "schema":
        return _off("Approved statements may change tables, not only rows.", "AGENT_ACTOR_RIGHTS=data")
    return _on("Approved statements change rows only; the database refuses changes of tables.")


def _mail(p: _Patient) -> Line:
    if route_of(p.settings) is None:
        return _on(NOT_SET_UP)
    domains = p.settings.email_domains or "none"
    others = "refused" if p.settings.email_refuse_others else "HIGH"
    return _on(f"Mail goes to the listed domains ({domains}); other mail is {others}.")


async def _sandbox(p: _Patient) -> Line:
    sandbox = Sandbox.of(p.settings)
    try:
        return _on(f"Code of created tools is confined by {await sandbox.probe()}.")
    finally:
        await sandbox.close()


def _undo(p: _Patient) -> Line:
    days = p.settings.undo_days
    if not days or not p.settings.undo_max_bytes:
        return _off("No change of rows can be taken back.", "AGENT_UNDO_DAYS=7")
    return _on(f"Approved changes of rows can be taken back for {days:g} days.")


def _trusted(p: _Patient) -> Line:
    if not p.settings.trusted_sources:
        return _on("No column is trusted as the source of an account, address or amount.")
    return _on(f"Values of these columns are written and sent without a question: {p.settings.trusted_sources}.")


async def _permissions(p: _Patient) -> Line:
    given = [one for one in await permissions.list_permissions(10_000, runtime=p.runtime) if one.state == "open"]
    if not given:
        return _on("Nothing was allowed in advance.")
    return _on(f"{len(given)} kinds of actions were allowed in advance, and ask nobody.", fix="agent permissions")


async def _audit(p: _Patient) -> Line:
    key_ring(p.settings)
    if p.settings.audit_key is None:
        return _off("The log is sealed with a key that is made from AGENT_SECRET.", "AGENT_AUDIT_KEY")
    return _on("The log is sealed with a key of its own.")


async def _callers(p: _Patient) -> Line:
    proofs = ["API keys"] if await keys.any_key(runtime=p.runtime) else []
    proofs += ["Supabase users"] if p.settings.supabase_url else []
    known = f"Known are: {', '.join(proofs) or 'nobody'}."
    if p.settings.api_auth == "auto":
        return _off(
            f"Whoever is on this machine calls the API as {p.runtime.user!r}. {known}", "AGENT_API_AUTH=required"
        )
    return _on(f"Each caller of the API proves who they are. {known}")


_RULES: tuple[tuple[str, Rule], ...] = (
    ("environment", _environment), ("switches", _switches), ("asking", _asking), ("people", _people), ("votes", _votes),
    ("time to decide", _times), ("refused", _refused), ("freeze", _freeze), ("break-glass", _break_glass),
    ("recovery point", _recovery), ("most rows", _bound), ("many rows", _many), ("data sharing", _sharing),
    ("denied", _denied), ("secrets", _secrets), ("row-level security", _reader), ("rights", _actor), ("mail", _mail),
    ("created tools", _sandbox), ("undo", _undo), ("trusted sources", _trusted), ("allowed in advance", _permissions),
    ("audit", _audit), ("callers", _callers),
)  # fmt: skip


def unknown_reasons(refuse: str) -> list[str]:
    """Return a sentence for each part of `refuse` (AGENT_REFUSE) that is no known reason, with what to write instead."""
    parts = [part.strip() for part in refuse.split(",") if part.strip()]
    return [
        f"AGENT_REFUSE names {part!r}, which is no reason that an action can have, so it refuses nothing."
        f"{f' Is {close!r} meant?' if (close := nearest(part)) else ''} Write a reason as `agent assess SQL` names it, or take it out."
        for part in parts
        if not exists(part)
    ]
