"""Checks that every effect in the audit log follows a decision about exactly that effect. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from agent.audit.chain import Entry, Finding

# The columns that a decision is about: none of them may change until it is executed.
_DECIDED = ("action", "arguments", "preview", "policy_version", "binding", "decided_by", "approved_by", "permission_id")
# In place of a value that was erased: it fits any other.
_ERASED = object()
_HAD_EFFECT = frozenset({"running", "succeeded", "unknown"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decision:
    """An approved request. An `adopted` one existed before the log began, so what led to it may not be in the log."""

    by_agent: bool
    adopted: bool
    via: str
    about: Mapping[str, Any]


@dataclass(kw_only=True)
class Trace:
    """Traces effects to decisions, and decisions to people's votes and permissions, in the order of the log."""

    _effects: set[int] = field(default_factory=set)
    _decisions: dict[int, _Decision] = field(default_factory=dict)
    _votes: dict[tuple[int, str], object] = field(default_factory=dict)
    _permissions: dict[int, bool] = field(default_factory=dict)
    _reported: set[str] = field(default_factory=set)

    @property
    def effects(self) -> int:
        """The number of effects so far."""
        return len(self._effects)

    def follow(self, entry: Entry) -> Iterator[Finding]:
        """Yield what is wrong with the row of this entry, given the entries before it."""
        check = {
            "human_approval_queue": self._check_decision, "approval_decisions": self._record_vote,
            "permissions": self._record_permission, "agent_execution_log": self._check_execution,
        }.get(entry.subject)  # fmt: skip
        if check is None or entry.event == "deleted":
            return
        try:
            problems = list(check(entry, entry.values))
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError):  # the chain's check reports it
            return
        label = f"Entry {entry.sequence}" if entry.sequence else "An entry that is not sealed yet"
        for problem in problems:
            if problem in self._reported:  # an execution has an entry when it begins and when it ends
                continue
            self._reported.add(problem)
            yield Finding(kind="effect", sequence=entry.sequence, subject=entry.subject, message=f"{label}: {problem}.")

    def _record_vote(self, _: Entry, values: Mapping[str, Any]) -> Iterator[str]:
        if values["decision"] == "approve" and "decided_by" in values:
            self._votes[values["approval_id"], values["decided_by"]] = values.get("binding", _ERASED)
        yield from ()

    def _record_permission(self, _: Entry, values: Mapping[str, Any]) -> Iterator[str]:
        self._permissions[values["id"]] = values["revoked_at"] is None
        yield from ()

    def _check_decision(self, entry: Entry, values: Mapping[str, Any]) -> Iterator[str]:
        number = values["id"]
        before = self._decisions.get(number)
        if values["status"] != "approved":
            self._decisions.pop(number, None)
            return
        about = {name: values.get(name, _ERASED) for name in _DECIDED}
        if before is None:
            self._decisions[number] = _Decision(
                by_agent=entry.login == "agent_app",
                adopted=entry.event == "adopted",
                via=values["decided_via"],
                about=about,
            )
            if (
                about["permission_id"]
                and entry.event != "adopted"
                and not self._permissions.get(about["permission_id"])
            ):
                yield f"approval {number} was approved by a permission that did not exist or was revoked"
        elif changed := ", ".join(name for name in _DECIDED if not _fit(before.about[name], about[name])):
            yield f"{changed} of approval {number} was changed after the decision"
        else:
            known = {name: before.about[name] if value is _ERASED else value for name, value in about.items()}
            self._decisions[number] = replace(before, about=known)

    def _check_execution(self, _: Entry, values: Mapping[str, Any]) -> Iterator[str]:
        number, approval = values["id"], values["approval_id"]
        if values["status"] not in _HAD_EFFECT or (values["verdict"] != "ask" and not approval):
            return
        if values["status"] != "running":
            self._effects.add(number)
        decision = self._decisions.get(approval) if approval else None
        if decision is None:
            reason = f"approval {approval} was not approved before it" if approval else "it names no approval"
            yield f"execution {number} had an effect, and {reason}"
        elif not decision.adopted and (missing := self._missing_basis(approval, decision)):
            yield f"execution {number} had an effect, and {missing}"
        elif not all(_fit(values.get(name, _ERASED), decision.about[name]) for name in ("action", "arguments")):
            yield f"execution {number} did something else than approval {approval} allowed"

    def _missing_basis(self, approval: int, decision: _Decision) -> str:
        """Say which vote or permission a decision lacks; '' when it lacks none."""
        if not decision.by_agent:
            return f"approval {approval} was approved by a login that is not the agent's"
        if decision.via == "policy" or decision.about["permission_id"]:
            return ""
        binding, names = decision.about["binding"], decision.about["approved_by"]
        if names is _ERASED:
            return ""
        without_vote = [name for name in names if not _fit(self._votes.get((approval, name)), binding)]
        if without_vote or not names:
            people = ", ".join(without_vote) or "no names"
            return f"the log has no approving vote on exactly what approval {approval} contains ({people})"
        return ""


def _fit(one: object, other: object) -> bool:
    return one is _ERASED or other is _ERASED or one == other
