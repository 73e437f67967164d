"""Decides which relation a plain name means where several have it: `orders` is `public.orders`, not `archive.orders`. Pure.

As the server does, it takes the first schema of the search path that has the name. If none has it, `public` comes next, then
the schemas in the order of AGENT_APP_SCHEMAS. If none of these has it, the name is ambiguous, and the user is asked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Name: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The order of schemas in which a plain name is looked up."""

    path: Sequence[str] = ()
    chosen: Sequence[str] = ()

    @property
    def schemas(self) -> list[str]:
        """The schemas in that order, each once."""
        return list(dict.fromkeys([*self.path, "public", *self.chosen]))

    def meant(self, candidates: Iterable[Name]) -> Name | None:
        """Return the relation that a plain name means, of those that share it; None where it is ambiguous."""
        candidates = list(candidates)
        for schema in self.schemas:
            in_schema = [name for name in candidates if name[0] == schema]
            if in_schema:
                return _only(in_schema)
        return _only(candidates)


def namesakes(names: Iterable[Name]) -> Mapping[str, Sequence[Name]]:
    """Group relations by their name without regard to case."""
    groups: dict[str, list[Name]] = defaultdict(list)
    for schema, name in names:
        groups[name.casefold()].append((schema, name))
    return groups


def _only(names: Sequence[Name]) -> Name | None:
    # Two names of one schema differ by case; an unquoted name means the one in lower case.
    plain = [name for name in names if name[1] == name[1].lower()] if len(names) > 1 else names
    return plain[0] if len(plain) == 1 else None
