"""Which of several tables of one name a question means: the one whose schema it names, else the one that the plain name means.

The schema text says beside each of them what the plain name means. Where that is open, somebody must be asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from agent.providers.offline_model.schema_parser import Relation
from agent.providers.offline_model.tokenizer import Sentence, words_of

_INSIDE = ("in", "from", "of", "within", "inside", "under")
_BETWEEN = ("the", "schema")


class WhichTable(Exception):
    """A name that may mean several tables; the message asks which."""

    def __init__(self, relations: Iterable[Relation]) -> None:
        names = sorted(f"{relation.schema}.{relation.name}" for relation in relations)
        super().__init__(f"that may mean {' or '.join(names)}; please say which, with its schema")


def in_schema(relation: Relation) -> Iterator[tuple[str, ...]]:
    """The names of a relation that begin with its schema: "archive orders", "archive schema orders"."""
    schema, words = words_of(relation.schema), words_of(relation.name)
    if schema:
        yield (*schema, *words)
        yield (*schema, "schema", *words)


def schema_said(s: Sentence, relation: Relation, *, since: int) -> range:
    """The words from `since` on that say which schema `relation` is in: "in archive", "from the archive schema"."""
    schema = words_of(relation.schema)
    for at in range(since, len(s.tokens)):
        if not schema or s.tokens[at].low not in _INSIDE:
            continue
        start = _skip(s, at + 1)
        end = start + len(schema)
        if tuple(token.stem for token in s.tokens[start:end] if token.kind in {"word", "number"}) == schema:
            return range(at, end + (1 if end < len(s.tokens) and s.tokens[end].low == "schema" else 0))
    return range(0)


def is_open(candidates: Sequence[Relation]) -> bool:
    """Whether a name that all of `candidates` go by needs a decision."""
    return len({relation.schema for relation in candidates}) > 1 or any(r.meant != r.id for r in candidates)


def meant(candidates: Sequence[Relation], known: Sequence[Relation], near: Iterable[tuple[str, str]]) -> list[Relation]:
    """Those of `candidates` that their common name means by itself. Raises `WhichTable`.

    `near` are the relations that the ones with a named schema point at: "archive orders per client" is about the clients
    of these orders.
    """
    close = [relation for relation in candidates if relation.id in set(near)]
    if len(close) == 1:
        return close
    found = list({relation.meant: relation for relation in candidates}.values())
    if any(relation.meant is None for relation in found) or _is_split(found):
        raise WhichTable(candidates)
    return [_known(relation, [*candidates, *known]) for relation in _in_public(found)]


def _is_split(found: Sequence[Relation]) -> bool:
    return len({relation.schema for relation in _in_public(found)}) > 1


def _in_public(found: Sequence[Relation]) -> Sequence[Relation]:
    # "orders" fits public.order and archive.orders, which no mark tells apart.
    return [relation for relation in found if relation.meant and relation.meant[0] == "public"] or found


def _known(relation: Relation, known: Sequence[Relation]) -> Relation:
    """The relation that the name of `relation` means; without columns where only its name is known."""
    schema, name = relation.meant or relation.id
    return next(
        (other for other in known if other.id == (schema, name)), Relation(schema=schema, name=name, shared=True)
    )


def _skip(s: Sentence, at: int) -> int:
    while at < len(s.tokens) and s.tokens[at].low in _BETWEEN:
        at += 1
    return at
