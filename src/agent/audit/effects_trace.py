"""Whether every effect in the audit log goes back to a decision about exactly that, taken before it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.audit.chain import Entry, Finding

# What a decision is about: none of it may be another one when it is carried out.
_DECIDED = ("action", "arguments", "preview", "policy_version", "binding", "decided_by", "approved_by", "permission_id")
_HAD_EFFECT = frozenset({"running", "succeeded", "unknown"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decision:
    """An approved request. `adopted`: it was there before the log began, so not all that led to it is in the log."""

    by_agent: bool
    adopted: bool
    via: str
    about: Mapping[str, Any]


@dataclass(kw_only=True)
class Trace:
    """Follows people's votes and permissions to decisions, and decisions to their effects, in the order of the log."""

    effects: int = 0
    _decisions: dict[int, _Decision] = field(default_factory=dict)
    _votes: dict[tuple[int, str], str] = field(default_factory=dict)
    _permissions: dict[int, bool] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)

    def follow(self, entry: Entry) -> Iterator[Finding]:
        """What is wrong with what this entry records, seen from those before it."""
        follow = {
            "human_approval_queue": self._decided, "approval_decisions": self._voted, "permissions": self._permitted,
            "agent_execution_log": self._executed,
        }.get(entry.subject)  # fmt: skip
        if follow is None or entry.event == "deleted":
            return
        try:
            wrong = list(follow(entry, entry.values))
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError):  # no row: the chain's check says so
            return
        place = f"Entry {entry.sequence}" if entry.sequence else "An entry that is not sealed yet"
        for what in wrong:
            if what in self._told:  # an execution has an entry when it begins and when it ends
                continue
            self._told.add(what)
            yield Finding(kind="effect", sequence=entry.sequence, subject=entry.subject, message=f"{place}: {what}.")

    def _voted(self, _: Entry, values: Mapping[str, Any]) -> Iterator[str]:
        if values["decision"] == "approve":
            self._votes[values["approval_id"], values["decided_by"]] = values["binding"]
        yield from ()

    def _permitted(self, _: Entry, values: Mapping[str, Any]) -> Iterator[str]:
        self._permissions[values["id"]] = values["revoked_at"] is None
        yield from ()

    def _decided(self, entry: Entry, values: Mapping[str, Any]) -> Iterator[str]:
        number = values["id"]
        before = self._decisions.get(number)
        if values["status"] != "approved":
            self._decisions.pop(number, None)
            return
        about = {name: values[name] for name in _DECIDED}
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
                yield f"approval {number} was approved by a permission that was not there, or revoked"
        elif before.about != about:
            changed = ", ".join(name for name in _DECIDED if before.about[name] != about[name])
            yield f"{changed} of approval {number} was changed after the decision"

    def _executed(self, _: Entry, values: Mapping[str, Any]) -> Iterator[str]:
        number, approval = values["id"], values["approval_id"]
        if values["status"] not in _HAD_EFFECT or (values["verdict"] != "ask" and not approval):
            return
        self.effects += values["status"] != "running"
        decision = self._decisions.get(approval) if approval else None
        if decision is None:
            of = f"approval {approval} was not approved before it" if approval else "it names no approval"
            yield f"execution {number} had an effect, and {of}"
        elif not decision.adopted and (lacking := self._lacking(approval, decision)):
            yield f"execution {number} had an effect, and {lacking}"
        elif any(values[name] != decision.about[name] for name in ("action", "arguments")):
            yield f"execution {number} did something else than approval {approval} allowed"

    def _lacking(self, approval: int, decision: _Decision) -> str:
        """What is missing behind a decision, or ''."""
        if not decision.by_agent:
            return f"approval {approval} was approved by a login that is not the agent's"
        if decision.via == "policy" or decision.about["permission_id"]:
            return ""
        binding, names = decision.about["binding"], decision.about["approved_by"]
        silent = [name for name in names if self._votes.get((approval, name)) != binding]
        if silent or not names:
            return f"nobody's yes to exactly what approval {approval} says is in the log ({', '.join(silent) or 'no names'})"
        return ""
