"""Decides which of several tables with one name a question means.

The schema named in the question decides; otherwise the schema text says which table the plain name means. Where it does
not, the user is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from agent.providers.offline_model.schema_parser import Relation
from agent.providers.offline_model.tokenizer import Sentence, words_of

_INSIDE = ("in", "from", "of", "within", "inside", "under")
_BETWEEN = ("the", "schema")


class AmbiguousTable(Exception):
    """A name may mean several tables; the message asks which."""

    def __init__(self, relations: Iterable[Relation]) -> None:
        names = sorted(f"{relation.schema}.{relation.name}" for relation in relations)
        super().__init__(f"that may mean {' or '.join(names)}; please say which, with its schema")


def qualified_names(relation: Relation) -> Iterator[tuple[str, ...]]:
    """Yield the names of a relation that begin with its schema: "archive orders", "archive schema orders"."""
    schema, words = words_of(relation.schema), words_of(relation.name)
    if schema:
        yield (*schema, *words)
        yield (*schema, "schema", *words)


def schema_mention(s: Sentence, relation: Relation, *, since: int) -> range:
    """Return the words from `since` on that name the schema of `relation`: "in archive", "from the archive schema"."""
    schema = words_of(relation.schema)
    for at in range(since, len(s.tokens)):
        if not schema or s.tokens[at].low not in _INSIDE:
            continue
        start = _skip_filler(s, at + 1)
        end = start + len(schema)
        if tuple(token.stem for token in s.tokens[start:end] if token.kind in {"word", "number"}) == schema:
            return range(at, end + (1 if end < len(s.tokens) and s.tokens[end].low == "schema" else 0))
    return range(0)


def is_ambiguous(candidates: Sequence[Relation]) -> bool:
    """Return whether the common name of `candidates` may mean several of them."""
    return len({relation.schema for relation in candidates}) > 1 or any(
        r.unqualified_target != r.id for r in candidates
    )


def unqualified_relations(
    candidates: Sequence[Relation], known: Sequence[Relation], near: Iterable[tuple[str, str]]
) -> list[Relation]:
    """Return those of `candidates` that their common name means without a schema. Raises `AmbiguousTable`.

    `near` are the relations that relations with a named schema refer to: "archive orders per client" means the clients of these
    orders.
    """
    close = [relation for relation in candidates if relation.id in set(near)]
    if len(close) == 1:
        return close
    distinct = list({relation.unqualified_target: relation for relation in candidates}.values())
    if any(relation.unqualified_target is None for relation in distinct) or _in_several_schemas(distinct):
        raise AmbiguousTable(candidates)
    return [_unqualified_relation(relation, [*candidates, *known]) for relation in _public_ones(distinct)]


def _in_several_schemas(relations: Sequence[Relation]) -> bool:
    return len({relation.schema for relation in _public_ones(relations)}) > 1


def _public_ones(relations: Sequence[Relation]) -> Sequence[Relation]:
    # "orders" fits public.order and archive.orders, which no mark tells apart.
    return [
        relation for relation in relations if relation.unqualified_target and relation.unqualified_target[0] == "public"
    ] or relations


def _unqualified_relation(relation: Relation, known: Sequence[Relation]) -> Relation:
    """Return the relation that the plain name of `relation` means, without columns where only its name is known."""
    schema, name = relation.unqualified_target or relation.id
    return next(
        (other for other in known if other.id == (schema, name)), Relation(schema=schema, name=name, shared=True)
    )


def _skip_filler(s: Sentence, at: int) -> int:
    while at < len(s.tokens) and s.tokens[at].low in _BETWEEN:
        at += 1
    return at
