"""Finds what the users' functions that a statement reaches read of tables, as far as their code shows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from agent.db import Connection, Database, load_queries
from agent.db.queries import fetch_all
from agent.privacy.sensitive import DenyList
from agent.statements.denied_columns import Denied, columns_read, denied_relations
from agent.statements.node_trees import read_tree
from agent.statements.resolver import Reads, Resolution, resolve_objects

_QUERIES = load_queries(__package__, "resolver.sql")
# Objects whose code returns values; a policy or a check only lets a row pass or not.
_SHOWING = frozenset({"view", "column", "domain"})


async def note_reads(resolution: Resolution, conn: Connection, *, database: Database) -> None:
    """Note in `resolution.reads` what the users' functions that it reaches read, once. `conn` is of agent_assessor."""
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
            tree=trees.get(row["oid"]), words=frozenset(row["words"]), named=frozenset(row["named"]), is_dynamic=row["is_dynamic"],
            relations=behind.relations,
        )  # fmt: skip


def denied_by_code(
    resolution: Resolution, deny: DenyList, trusted: Mapping[int, str], *, reads: bool
) -> Iterator[tuple[str, str]]:
    """Yield (code, sentence) for each denied table or column that the users' functions may show.

    A body that is text does not say which columns it reads. A function that is not registered asks a human anyway, so it is
    refused only if its text names the denied column. A function that runs without a question (`trusted`, or called by one) is
    refused if its text names the table, or may name anything.
    """
    unasked = _with_callees(resolution, trusted)
    visible = _with_callees(resolution, _functions_with_visible_results(resolution, reads=reads))
    for number in sorted(visible & resolution.reads.keys()):
        name, code_reads = resolution.code["function", number].name, resolution.reads[number]
        denied = denied_relations(deny, Resolution(relations=code_reads.relations))
        if code_reads.is_dynamic and number in unasked:
            yield (
                f"denied:{name}",
                f"The function {name} builds SQL while it runs, so nobody can tell whether AGENT_DENY denies what it reads.",
            )
        if code_reads.tree is not None:
            for relation in columns_read(code_reads.tree.columns, code_reads.relations, denied):
                yield f"denied:{relation.name}", f"The function {name} reads it: {relation.sentence}"
            continue
        for relation in _named_relations(code_reads, denied):
            is_all = relation.whole or not relation.allowed
            if is_all or code_reads.words & relation.columns or number in unasked:
                columns = "all" if is_all else ", ".join(sorted(relation.columns))
                yield (
                    f"denied:{relation.name}",
                    (
                        f"The function {name} reads {relation.name}, and AGENT_DENY denies {columns} of it. "
                        "Written with BEGIN ATOMIC it shows which columns it reads, so that it may read the others."
                    ),
                )


def _named_relations(code_reads: Reads, denied: list[Denied]) -> Iterator[Denied]:
    names = {code_reads.relations[number].name for number in code_reads.named if number in code_reads.relations}
    yield from (relation for relation in denied if relation.name in names)


def _functions_with_visible_results(resolution: Resolution, *, reads: bool) -> set[int]:
    """Return the functions in the statement, its views and its operators; in a read also those of all operators and types."""
    trees = [resolution.body, *(inner.tree for inner in resolution.inner if inner.kind in _SHOWING)]
    functions = {number for tree in trees if tree is not None for number in tree.functions}
    operators = {number for tree in trees if tree is not None for number in tree.operators}
    for (kind, number), code in resolution.code.items():
        if kind != "function" and (reads or (kind == "operator" and number in operators)):
            functions |= code.functions
    return functions


def _with_callees(resolution: Resolution, numbers: Mapping[int, str] | set[int]) -> set[int]:
    """Return these functions and all that they are known to call."""
    pending, reached = [*numbers], {*numbers}
    while pending:
        code = resolution.code.get(("function", pending.pop()))
        new = {*code.functions} - reached if code is not None else set()
        for used in code.operators if code is not None else ():
            operator = resolution.code.get(("operator", used))
            new |= {*operator.functions} - reached if operator is not None else set()
        reached |= new
        pending += new
    return reached
