"""Learns which record is read soon after which, and says what to load ahead. Pure, bounded, and forgotten with the process.

Every prediction is judged by what is read afterwards, whether or not anything was loaded for it. Nothing is loaded ahead before
predictions have come true often enough, and no more when they do not: on accesses without a pattern this does nothing.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Hashable

_MOST_KEYS, _MOST_NEXT = 5_000, 8
_SEEN_TWICE, _SHARE = 2, 0.4
_WITHIN = 20  # reads of one tenant in which a prediction must come true
_JUDGED, _ENOUGH, _WORTH = 200, 20, 0.3


class Predictions:
    """What is read after what, of one tenant. `reader` is whose reads follow each other."""

    def __init__(self) -> None:
        self._next: OrderedDict[str, Counter[str]] = OrderedDict()
        self._last: OrderedDict[Hashable, str] = OrderedDict()
        self._waiting: deque[tuple[int, str]] = deque()
        self._verdicts: deque[bool] = deque(maxlen=_JUDGED)
        self._reads = 0

    @property
    def precision(self) -> float | None:
        """Return which part of the last predictions came true, or None while there are too few."""
        return sum(self._verdicts) / len(self._verdicts) if len(self._verdicts) >= _ENOUGH else None

    def read(self, key: str, reader: Hashable) -> list[str]:
        """Note that a key is read, and return the keys that are worth loading now."""
        self._reads += 1
        self._judge(key)
        before = self._last.pop(reader, None)
        self._last[reader] = key
        _bound(self._last)
        if before is not None and before != key:
            self._count(before, key)
        found = self._likely(key)
        self._waiting.extend((self._reads, one) for one in found)
        precision = self.precision
        return found if precision is not None and precision >= _WORTH else []

    def _count(self, before: str, key: str) -> None:
        follows = self._next.pop(before, None) or Counter()
        self._next[before] = follows
        _bound(self._next)
        follows[key] += 1
        if len(follows) > _MOST_NEXT:  # the rarest makes room, and all count half: what is new has a chance
            for one in list(follows):
                follows[one] //= 2
            for one, _ in follows.most_common()[_MOST_NEXT // 2 :]:
                del follows[one]

    def _likely(self, key: str) -> list[str]:
        follows = self._next.get(key)
        if not follows:
            return []
        total = follows.total()
        return [one for one, count in follows.most_common(2) if count >= _SEEN_TWICE and count / total >= _SHARE]

    def _judge(self, key: str) -> None:
        """Say of predictions whether they came true: those of this key did, those that waited too long did not."""
        came = [one for one in self._waiting if one[1] == key]
        late = [one for one in self._waiting if one[1] != key and self._reads - one[0] > _WITHIN]
        if came or late:
            self._verdicts.extend([True] * len(came) + [False] * len(late))
            gone = set(came) | set(late)
            self._waiting = deque(one for one in self._waiting if one not in gone)


def _bound(kept: OrderedDict[Hashable, str] | OrderedDict[str, Counter[str]]) -> None:
    while len(kept) > _MOST_KEYS:
        kept.popitem(last=False)
