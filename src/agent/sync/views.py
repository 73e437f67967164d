"""Shows events and states to people and programs: without personal values where the caller may not see them."""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

from agent.approval.people import people
from agent.privacy.masking import MASK, masked_value
from agent.runtime import Cache, Runtime
from agent.sync.records import Conflict, DeadLetter, Difference, Event, PathDecision, Reading, Reconciled, Snapshot


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks. One that may not see personal values gets the shape of the data, and masks in the place of its values."""

    sees_personal: bool

    def data(self, value: Any) -> Any:
        """Return JSON as the viewer may see it."""
        return value if self.sees_personal else masked_value(value)

    def event(self, event: Event) -> Event:
        """Return an event as the viewer may see it."""
        return event if self.sees_personal else replace(event, data=self.data(event.data))

    def reading(self, reading: Reading) -> Reading:
        """Return events as the viewer may see them."""
        return replace(reading, events=[self.event(one) for one in reading.events])

    def letter(self, letter: DeadLetter) -> DeadLetter:
        """Return a dead letter as the viewer may see it."""
        return replace(letter, data=self.data(letter.data))

    def snapshot(self, snapshot: Snapshot) -> Snapshot:
        """Return a state as the viewer may see it; the paths of clocks can hold values as keys."""
        return replace(snapshot, state=self.data(snapshot.state), clocks=snapshot.clocks if self.sees_personal else {})

    def difference(self, one: Difference) -> Difference:
        """Return a difference as the viewer may see it."""
        path = one.path if self.sees_personal else MASK
        return replace(one, path=path, before=self.data(one.before), after=self.data(one.after))

    def conflict(self, one: Conflict) -> Conflict:
        """Return a conflict as the viewer may see it."""
        return replace(one, path=one.path if self.sees_personal else MASK, sides=self.data(one.sides))

    def reconciled(self, done: Reconciled) -> Reconciled:
        """Return what a reconciliation did as the viewer may see it."""
        return replace(
            done, state=self.data(done.state), decisions=[self._decision(one) for one in done.decisions],
            conflicts=[self.conflict(one) for one in done.conflicts],
        )  # fmt: skip

    def _decision(self, one: PathDecision) -> PathDecision:
        return replace(one, path=one.path if self.sees_personal else MASK, sides=self.data(one.sides))


class EventTexts:
    """The JSON of the events that were sent last. What a thousand followers get is written once, masked and not masked."""

    def __init__(self, *, most: int = 128) -> None:
        self._most = most
        # The event is held too, so that no other one can get its id meanwhile.
        self._texts: OrderedDict[tuple[int, bool], tuple[Event, str]] = OrderedDict()

    def of(self, event: Event, viewer: Viewer) -> str:
        """Return an event as JSON, as the viewer may see it."""
        key = (id(event), viewer.sees_personal)
        known = self._texts.get(key)
        if known is None:
            text = json.dumps(viewer.event(event).as_dict(), ensure_ascii=False, default=str)
            known = self._texts[key] = (event, text)
            if len(self._texts) > self._most:
                self._texts.popitem(last=False)
        return known[1]


_TEXTS: Cache[EventTexts] = Cache()


def texts_of(runtime: Runtime) -> EventTexts:
    """Return the texts of a runtime's connections. Those of all tenants are the same: who asks has the event itself."""
    return _TEXTS.get(runtime) or _TEXTS.put(runtime, EventTexts())


async def viewer_of(runtime: Runtime) -> Viewer:
    """Return who a runtime acts for."""
    return Viewer((await people.membership(runtime=runtime)).sees_personal)
