"""What the code of users that a statement reaches reads of tables, as far as it can be seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from agent.db import Connection, Database, load_queries
from agent.db.queries import fetch_all
from agent.privacy.sensitive import DenyList
from agent.statements.denied_columns import Denied, columns_read, denied_relations
from agent.statements.node_trees import read_tree
from agent.statements.resolver import Reads, Resolution, resolve_objects

_QUERIES = load_queries(__package__, "resolver.sql")
# What is behind these shows values; a policy or a check only lets a row through, or not.
_SHOWING = frozenset({"view", "column", "domain"})


async def note_reads(resolution: Resolution, conn: Connection, *, database: Database) -> None:
    """Find out once what the functions of users read that `resolution` reaches. `conn` is of agent_assessor."""
    numbers = sorted(resolution.users_functions)
    if not numbers or resolution.reads:
        return
    rows = await fetch_all(conn, _QUERIES["read_by_code"], {"functions": numbers}, prepare=True)
    trees = {row["oid"]: read_tree(row["tree"]) for row in rows if row["tree"]}
    named = {number for row in rows for number in row["named"]} | {
        number for tree in trees.values() for number in tree.relations
    }
    behind = await resolve_objects(conn, database=database, relations=named)
    for row in rows:
        resolution.reads[row["oid"]] = Reads(
            tree=trees.get(row["oid"]), words=frozenset(row["words"]), named=frozenset(row["named"]), unseen=row["unseen"],
            relations=behind.relations,
        )  # fmt: skip


def denied_by_code(
    resolution: Resolution, deny: DenyList, trusted: Mapping[int, str], *, reads: bool
) -> Iterator[tuple[str, str]]:
    """What functions of users would show of what is denied, as codes with sentences.

    Of a text it is not known which columns it reads. A function that is not registered is asked about anyway: it is
    refused where its text names the column; one that would run unasked (`trusted`, and what such a one calls) where it names
    the table, or may name anything.
    """
    unasked = _reached(resolution, trusted)
    shown = _reached(resolution, _called(resolution, reads=reads))
    for number in sorted(shown & resolution.reads.keys()):
        name, found = resolution.code["function", number].name, resolution.reads[number]
        denied = denied_relations(deny, Resolution(relations=found.relations))
        if found.unseen and number in unasked:
            yield (
                f"denied:{name}",
                f"The function {name} puts SQL together as it runs, so it cannot be seen whether AGENT_DENY denies what it reads.",
            )
        if found.tree is not None:
            for one in columns_read(found.tree.columns, found.relations, denied):
                yield f"denied:{one.name}", f"The function {name} reads it: {one.sentence}"
            continue
        for one in _named(found, denied):
            if one.whole or not one.allowed or found.words & one.columns or number in unasked:
                yield (
                    f"denied:{one.name}",
                    (
                        f"The function {name} reads {one.name}, and AGENT_DENY denies {_what(one)} of it. "
                        "Written with BEGIN ATOMIC it shows which columns it reads, so that it may read the others."
                    ),
                )


def _what(one: Denied) -> str:
    return "all" if one.whole or not one.allowed else ", ".join(sorted(one.columns))


def _named(found: Reads, denied: list[Denied]) -> Iterator[Denied]:
    names = {found.relations[number].name for number in found.named if number in found.relations}
    yield from (one for one in denied if one.name in names)


def _called(resolution: Resolution, *, reads: bool) -> set[int]:
    """The functions whose results can be seen: those in the statement and behind views; in a read those of operators and types too."""
    trees = [resolution.body, *(inner.tree for inner in resolution.inner if inner.what in _SHOWING)]
    found = {number for tree in trees if tree is not None for number in tree.functions}
    operators = {number for tree in trees if tree is not None for number in tree.operators}
    for (what, number), code in resolution.code.items():
        if what != "function" and (reads or (what == "operator" and number in operators)):
            found |= code.functions
    return found


def _reached(resolution: Resolution, numbers: Mapping[int, str] | set[int]) -> set[int]:
    """These functions and all that they are known to call."""
    pending, seen = [*numbers], {*numbers}
    while pending:
        code = resolution.code.get(("function", pending.pop()))
        new = {*code.functions} - seen if code is not None else set()
        for used in code.operators if code is not None else ():
            operator = resolution.code.get(("operator", used))
            new |= {*operator.functions} - seen if operator is not None else set()
        seen |= new
        pending += new
    return seen
