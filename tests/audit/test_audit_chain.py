"""The rules of the audit log without a database: no change of a chain fits, and every effect needs its decision."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, replace
from typing import Any

from hypothesis import HealthCheck, assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from agent.audit.chain import BEFORE_THE_FIRST, Anchor, Chain, Entry, Finding, KeyRing, key_id, seal
from agent.audit.effects_trace import Trace

KEYS = KeyRing("the key", ["an old one"])
TEXTS = ("agent_app", "é", "", "1", "[1]", '{"a": 1.0}', '{"a": 1.00}', "a,b")
COLUMNS = tuple(field.name for field in fields(Entry))


def salted(content: dict[str, Any], key: str = "[]") -> dict[str, str]:
    """Content, and what the chain covers of it, as the database writes them: texts by their digests."""
    texts = {"": key, **{name: json.dumps(value) for name, value in content.items()}}
    salts = {name: f"salt of {name}" for name, value in content.items() if isinstance(value, str)}
    sealed = {name: json.dumps({"salted": hashlib.sha256(f"{salts[name]}{text}".encode()).hexdigest()}) if name in salts else text
              for name, text in texts.items()}  # fmt: skip
    members = ", ".join(f"{json.dumps(name)}: {text}" for name, text in sealed.items())
    return {"key": key, "content": json.dumps(content), "sealed": f"{{{members}}}", "salts": json.dumps(salts)}


def chain_of(contents: list[Any], keys: KeyRing = KEYS) -> list[Entry]:
    entries, previous = [], BEFORE_THE_FIRST
    for sequence, content in enumerate(contents, start=1):
        entry = Entry(
            id=sequence + 7, at=f"2026-01-01 00:00:{sequence:02}+00", login="agent_app", event="updated", subject="controls",
            **salted(content), sequence=sequence, sealed_at="2026-01-02 00:00:00+00", key_id=key_id(keys.current),
        )  # fmt: skip
        previous = seal(entry, previous, tenant_id="t", key=keys.current)
        entries.append(replace(entry, mac=previous))
    return entries


def check(entries: list[Entry], *, tenant_id: str = "t", anchor: Anchor | None = None) -> list[Finding]:
    chain = Chain(tenant_id=tenant_id, keys=KEYS, anchor=anchor)
    found = [finding for entry in entries for finding in chain.check(entry)]
    return [*found, *chain.end()]


@st.composite
def tampered(draw: st.DrawFn) -> tuple[list[Entry], list[Entry]]:
    """A chain, and what somebody made of it: cells changed, entries removed, moved or added, numbers made to fit or not."""
    cells = st.dictionaries(
        st.sampled_from("abc"), st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
    )
    whole = chain_of(draw(st.lists(cells, min_size=2, max_size=6)))
    other = list(whole)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(other) - 1))
        what = draw(st.sampled_from(["cell", "remove", "move", "copy"]))
        if what == "cell":
            name = draw(st.sampled_from(COLUMNS))
            value: Any = draw(st.sampled_from(TEXTS))
            if name in {"id", "sequence"}:
                value = draw(st.integers(1, 8))
            elif name in {"mac", "former_mac"}:
                value = draw(st.sampled_from([entry.mac for entry in whole] + [b""]))
            other[place] = replace(other[place], **{name: value})
        elif what == "remove" and len(other) > 1:
            del other[place]
        elif what == "move":
            other.insert(draw(st.integers(0, len(other) - 1)), other.pop(place))
        else:
            other.insert(draw(st.integers(0, len(other))), other[place])
    if draw(st.booleans()):
        other = [replace(entry, sequence=number) for number, entry in enumerate(other, start=1)]
    return whole, sorted(other, key=lambda entry: entry.sequence or 0)


@hypothesis_settings(suppress_health_check=[HealthCheck.too_slow])  # a busy machine draws slowly
@given(tampered())
def test_no_tampered_chain_fits(chains: tuple[list[Entry], list[Entry]]) -> None:
    whole, other = chains
    assert check(whole) == []
    assume(other != whole[: len(other)])  # a cut-off end is what an anchor is for
    assume([entry.mac for entry in other] != [entry.mac for entry in whole] or _meaning(other) != _meaning(whole))
    assert check(other)


def _meaning(entries: list[Entry]) -> list[Any]:
    """Entries as they are read: 1.0 is not 1.00, but spaces are nothing."""
    return [[str(getattr(entry, name)).replace(" ", "") for name in COLUMNS] for entry in entries]


def test_two_histories_of_one_key_cannot_be_mixed() -> None:
    one, other = chain_of([{"n": 1}, {"n": 2}, {"n": 3}]), chain_of([{"n": 1}, {"n": 5}, {"n": 3}])
    assert check(one) == check(other) == []
    assert [finding.sequence for finding in check([one[0], other[1], one[2]])] == [3]
    assert [finding.sequence for finding in check([one[0], one[1], other[2]])] == [3]


@given(st.integers(0, 4))
def test_an_anchor_misses_what_was_cut_off_and_fits_what_grew(cut: int) -> None:
    whole = chain_of([{"n": n} for n in range(5)])
    anchor = Anchor(tenant="t", sequence=4, mac=whole[3].mac.hex(), key_id="", sealed_at="")
    assert [finding.kind for finding in check(whole[:cut], anchor=anchor)] == (["truncated"] if cut < 4 else [])
    anew = chain_of([{"n": n + 1} for n in range(5)])
    assert [finding.kind for finding in check(anew, anchor=anchor)] == ["rewritten"]


def test_a_chain_belongs_to_its_tenant_and_its_keys() -> None:
    assert check(chain_of([{}]), tenant_id="u")
    assert check(chain_of([{}], KeyRing("an old one"))) == []
    strange = chain_of([{}, {}], KeyRing("a stranger's"))
    assert [finding.kind for finding in check(strange)] == ["key"]
    assert [finding.kind for finding in check([replace(entry, key_id="") for entry in strange])] == ["key"]


def request(number: int = 1, /, **changed: Any) -> Entry:
    values = {
        "id": number, "action": "execute_sql", "arguments": {"sha256": "a"}, "preview": {"sha256": "p"}, "policy_version": "2", "binding": "b",
        "status": "approved", "decided_by": "ann", "decided_via": "cli", "approved_by": ["ann"], "permission_id": None,
    }  # fmt: skip
    return recorded("human_approval_queue", values | changed)


def vote(**changed: Any) -> Entry:
    return recorded(
        "approval_decisions", {"approval_id": 1, "decision": "approve", "decided_by": "ann", "binding": "b"} | changed
    )


def effect(**changed: Any) -> Entry:
    values = {
        "id": 9,
        "action": "execute_sql",
        "arguments": {"sha256": "a"},
        "status": "succeeded",
        "verdict": "ask",
        "approval_id": 1,
    }
    return recorded("agent_execution_log", values | changed)


def permission(number: int, *, revoked_at: str | None = None) -> Entry:
    return recorded("permissions", {"id": number, "revoked_at": revoked_at})


def recorded(subject: str, values: dict[str, Any], *, login: str = "agent_app", event: str = "updated") -> Entry:
    return Entry(id=1, at="", login=login, event=event, subject=subject, **salted(values, "[1]"), sequence=1)


def wrong(*entries: Entry) -> str:
    trace = Trace()
    return "\n".join(finding.message for entry in entries for finding in trace.follow(entry))


def test_an_effect_of_what_people_said_yes_to_is_in_order() -> None:
    assert wrong(request(status="pending"), vote(), request(), effect(status="running"), effect()) == ""
    two = request(approved_by=["ann", "bob"])
    assert wrong(vote(), vote(decided_by="bob"), two, effect()) == ""


def test_the_yes_of_each_person_must_be_in_the_log_and_be_about_exactly_that() -> None:
    assert "(ann)" in wrong(request(), effect())
    assert "(ann)" in wrong(vote(binding="of an earlier preview"), request(), effect())
    assert "(ann)" in wrong(vote(decision="reject"), request(), effect())
    assert "(bob)" in wrong(vote(), request(approved_by=["ann", "bob"]), effect())
    assert "(no names)" in wrong(request(approved_by=[]), effect())


def test_the_policy_and_permissions_decide_in_a_humans_place() -> None:
    assert wrong(request(decided_via="policy", approved_by=[]), effect()) == ""
    by_permission = request(decided_via="permission", approved_by=[], permission_id=3)
    assert wrong(permission(3), by_permission, permission(3, revoked_at="2026-01-01"), effect()) == ""
    assert "did not exist or was revoked" in wrong(by_permission, effect())
    assert "did not exist or was revoked" in wrong(
        permission(3), permission(3, revoked_at="2026-01-01"), by_permission, effect()
    )


def test_an_effect_needs_an_approval_before_it_of_the_agents_own_login() -> None:
    assert "was not approved before it" in wrong(vote(), effect(), request())
    assert "was not approved before it" in wrong(request(status="rejected"), effect())
    assert "was not approved before it" in wrong(vote(), request(), request(status="expired"), effect(status="unknown"))
    assert "names no approval" in wrong(effect(approval_id=None))
    assert "not the agent's" in wrong(vote(), replace(request(), login="postgres"), effect())
    assert (
        wrong(
            effect(status="refused", approval_id=None), effect(status="failed"), effect(verdict="run", approval_id=None)
        )
        == ""
    )


def test_what_was_decided_stays_what_it_was() -> None:
    for name in ("action", "arguments", "preview", "policy_version", "binding", "decided_by", "approved_by"):
        assert f"{name} of approval 1 was changed" in wrong(request(), request(**{name: "another"}))
    assert "something else" in wrong(vote(), request(), effect(arguments={"sha256": "other"}))
    assert "something else" in wrong(vote(), request(), effect(action="send_email"))


def test_what_was_there_before_the_log_counts_as_decided() -> None:
    assert wrong(replace(request(approved_by=[]), event="adopted", login="postgres"), effect()) == ""


def test_entries_that_are_no_rows_are_left_to_the_chain() -> None:
    for content in ("[]", "7", "null", "{", "[" * 100_000, "{}"):
        assert wrong(replace(request(), content=content), replace(effect(), content=content)) == ""


def test_what_was_erased_fits_and_nothing_else_that_is_missing_does() -> None:
    whole = chain_of([{"a": "x", "n": 1}, {"a": "y", "n": 2}])
    erased = replace(whole[0], content='{"n": 1}', salts="{}")
    chain = Chain(tenant_id="t", keys=KEYS, erased={whole[0].id})
    assert [finding for entry in (erased, whole[1]) for finding in chain.check(entry)] == []
    assert chain.without_values == 1
    assert [finding.kind for finding in check([erased, whole[1]])] == ["erased"]
    for content, salts in (
        ('{"a": "x"}', whole[0].salts),
        ('{"a": "z", "n": 1}', whole[0].salts),
        ('{"n": 1}', whole[0].salts),
    ):
        assert [finding.kind for finding in check([replace(whole[0], content=content, salts=salts), whole[1]])] == [
            "changed"
        ]


def test_an_effect_whose_decision_was_erased_is_in_order() -> None:
    def without(entry: Entry, *names: str) -> Entry:
        return replace(
            entry, content=json.dumps({name: value for name, value in entry.values.items() if name not in names})
        )

    erased = without(request(), "arguments", "approved_by", "decided_by")
    assert wrong(without(vote(), "decided_by"), erased, without(effect(), "arguments")) == ""
    named = request(arguments={}, approved_by=["erased-1"], decided_by="erased-1")
    assert wrong(erased, vote(decided_by="erased-1"), named, effect(arguments={})) == ""
    assert "arguments, decided_by, approved_by of approval 1 was changed" in wrong(erased, named, request())
    assert "action of approval 1 was changed" in wrong(erased, request(action="other"))
