"""Which changes of a `.proto` file a reader does not survive, as Confluent's registry counts them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from agent.integration.schemas.proto_messages import SCALARS, ProtoField, ProtoFile

# Types whose values are written alike, so that one can be read as another of its group.
_GROUPS = (
    frozenset({"int32", "uint32", "int64", "uint64", "bool", "enum"}), frozenset({"sint32", "sint64"}), frozenset({"string", "bytes"}),
    frozenset({"fixed32", "sfixed32"}), frozenset({"fixed64", "sfixed64"}),
)  # fmt: skip


def breaking(old: ProtoFile, new: ProtoFile) -> Iterator[str]:
    """Yield why a reader with the new file cannot read messages that were written with the old one."""
    if old.package != new.package:
        yield f"the package was {old.package or '(none)'} and is {new.package or '(none)'}"
    pair = _Pair(old=old, new=new)
    now = {new.local(name): name for name in new.messages if name in new.own}
    for name in old.messages:
        if name in old.own:
            local = old.local(name)
            if local in now:
                yield from pair.message(name, now[local])
            else:
                yield f"message {local} is gone"


@dataclass(frozen=True, slots=True)
class _Pair:
    old: ProtoFile
    new: ProtoFile
    imported: set[tuple[str, str]] = field(default_factory=set)  # pairs of imported messages that were compared

    def message(self, was: str, now: str) -> Iterator[str]:
        """Yield what breaks in a message."""
        place = self.new.local(now)
        old, new = self.old.messages[was], self.new.messages[now]
        before, after = {one.number: one for one in old}, {one.number: one for one in new}
        kept = {one.oneof for one in new} | {one.oneof for one in old if one.number in after}
        for number in sorted(before.keys() | after.keys()):
            if number not in before:
                if after[number].label == "required":
                    yield f"{place}.{after[number].name}: a required field was added"
            elif number not in after:
                gone = before[number]
                if gone.label == "required":
                    yield f"{place}.{gone.name}: a required field was removed"
                elif gone.oneof is not None and gone.oneof in kept:
                    yield f"{place}.{gone.name}: a field was removed from the oneof {gone.oneof}"
            else:
                yield from self._field(before[number], after[number], f"{place}.{after[number].name}")
        yield from _excluded(place, before, new)

    def _field(self, was: ProtoField, now: ProtoField, place: str) -> Iterator[str]:
        if (was.key is None) != (now.key is None):
            yield f"{place}: it was a map or became one"
            return
        for old, new in ((was.key, now.key), (was.type, now.type)):
            if old is not None and new is not None:
                yield from self._type(old, new, place)
        if now.label == "required" and was.label != "required":
            yield f"{place}: it is required now"
        many, many_now = was.label == "repeated", now.label == "repeated"
        if many != many_now and now.type not in ("string", "bytes") and now.type not in self.new.messages:
            yield f"{place}: it was repeated or became so, which numbers do not survive"

    def _type(self, old: str, new: str, place: str) -> Iterator[str]:
        kind, kind_now = _kind(self.old, old), _kind(self.new, new)
        if kind == kind_now == "message":
            if self.old.local(old) != self.new.local(new):
                yield f"{place}: its type was {old} and is {new}"
            elif (old not in self.old.own or new not in self.new.own) and (old, new) not in self.imported:
                self.imported.add((old, new))  # own messages are compared one by one
                yield from self.message(old, new)
        elif kind == kind_now == "other":
            if old != new:
                yield f"{place}: its type was {old} and is {new}"
        elif kind != kind_now and not any({kind, kind_now} <= group for group in _GROUPS):
            yield f"{place}: its type was {old} and is {new}"


def _kind(file: ProtoFile, name: str) -> str:
    if name in SCALARS:
        return name
    return "message" if name in file.messages else "enum" if name in file.enums else "other"


def _excluded(place: str, before: dict[int, ProtoField], new: tuple[ProtoField, ...]) -> Iterator[str]:
    """Yield which oneofs now hold fields that could be set together: those that were in no oneof, or in different ones."""
    for oneof in dict.fromkeys(one.oneof for one in new if one.oneof is not None):
        known = [before[one.number] for one in new if one.oneof == oneof and one.number in before]
        if len({one.oneof or one.number for one in known}) > 1:
            yield f"{place}: fields that could be set together are in the oneof {oneof} now"
