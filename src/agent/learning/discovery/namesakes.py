"""Which relation a plain name means where several have it: `orders` is `public.orders` where the path says so, never `archive.orders`.

The server takes the first schema of the search path that holds the name. Where no schema of the path does, `public` comes
next, then the schemas in the order of AGENT_APP_SCHEMAS. Where that decides nothing, nobody can tell: then somebody is asked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Name: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The schemas in the order in which a plain name is looked for."""

    path: Sequence[str] = ()
    chosen: Sequence[str] = ()

    @property
    def schemas(self) -> list[str]:
        return list(dict.fromkeys([*self.path, "public", *self.chosen]))

    def meant(self, candidates: Iterable[Name]) -> Name | None:
        """Which of the relations that share a name is meant by it alone; None where nobody can tell."""
        candidates = list(candidates)
        for schema in self.schemas:
            here = [name for name in candidates if name[0] == schema]
            if here:
                return _one_of(here)
        return _one_of(candidates)


def namesakes(names: Iterable[Name]) -> Mapping[str, Sequence[Name]]:
    """Relations by their name without its case, as people say it."""
    groups: dict[str, list[Name]] = defaultdict(list)
    for schema, name in names:
        groups[name.casefold()].append((schema, name))
    return groups


def _one_of(names: Sequence[Name]) -> Name | None:
    # Two names of one schema differ by case; without quotes the one in small letters is meant.
    plain = [name for name in names if name[1] == name[1].lower()] if len(names) > 1 else names
    return plain[0] if len(plain) == 1 else None
