"""Lets the server resolve a statement, and follows every object that the statement reaches.

As agent_assessor, in a transaction that is rolled back, the statement becomes the body of a temporary function. The server
stores that body as a tree with the numbers (OIDs) of all objects that it uses, so the server that will run the statement also
decides about overloads, search paths, casts and shadowed names. The objects behind those are followed until nothing new is
found: views, policies, checks, domains, index expressions, operators, casts, aggregates, triggers, rules.

Nothing is run. A resolution is cached until a digest of the catalogs shows that one of their rows was changed.
"""

from __future__ import annotations

import re
import secrets
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import psycopg
from psycopg import sql

from agent.db import Connection, Database, load_queries
from agent.db.database import ServerFacts, roll_back
from agent.db.paths import LOOK_UP_IN_OURS, path_setting
from agent.db.queries import fetch_all, fetch_one
from agent.statements import allow_list as allowed
from agent.statements import showing_functions as showing
from agent.statements.function_bodies import Body
from agent.statements.known_extensions import KNOWN, NAMES_WITH_VERSIONS
from agent.statements.node_trees import Tree, read_tree, statements_in
from agent.statements.parser import Name, Statement, explained, write_out
from agent.statements.planned_expressions import is_plain_body, unfolded_functions
from agent.statements.result_columns import Functions
from agent.types import HiddenRows

_QUERIES = load_queries(__package__, "resolver.sql")
FIRST_USER_OBJECT = 16_384
_MOST_ROUNDS = 20
_MOST_CACHED = 500
_DATA_WRITES = frozenset({"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})
# Expressions that a read does not run, but plans with.
_PLANNED_WITH = frozenset({"index", "index condition", "check", "statistics", "partition"})
# regtype, regprocedure and regoperator: their literals name types with their modifiers.
_NAMING_TYPES = (2206, 2202, 2204)
# The start of a literal of a row, array or range, which users' code may parse.
_NESTED = re.compile(r"\s*(?:[({\[]|empty)", re.IGNORECASE)
# Random in each process, so that nobody can change a catalog in ways that leave the digest the same.
_SEED = secrets.randbits(62)


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """A relation.

    - `numbers` are the names of its columns by their numbers; `column_facts` has for each column its type, the type under a
      domain or None, its category, and the comments on it, here and in kin.
    - `kin` are its partitions, children and parents, each with its pg_class.relkind.
    - `shows` is what a view reads, as (relation, column or '').
    - `derived` are pairs of a generated column and a column that it is computed from.
    - `methods` are access methods that are not the server's own.
    - `triggers` are (name, function, pg_trigger.tgtype).
    - `written` are the relations that foreign keys change with this one, each with pg_constraint.confdeltype and confupdtype.
    - `secured` says that row-level security is on.
    - `reads_as` is the number of the role as which a view reads, 0 for the caller.
    """

    name: Name
    kind: str
    columns: tuple[str, ...] = ()
    numbers: Mapping[int, str] = field(default_factory=dict)
    kin: tuple[tuple[Name, str], ...] = ()
    shows: tuple[tuple[Name, str], ...] = ()
    derived: tuple[tuple[str, str], ...] = ()
    methods: tuple[str, ...] = ()
    triggers: tuple[tuple[str, int, int], ...] = ()
    written: tuple[tuple[int, str, str], ...] = ()
    column_facts: Mapping[str, tuple[str, str | None, str, str]] = field(default_factory=dict, repr=False)
    secured: bool = False
    reads_as: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A function, operator, type, cast or support function.

    `extension` is the extension it belongs to; `functions` and `operators` are what it runs, as far as that is known. For a
    function `function_kind` is its pg_proc.prokind, `digest` a hash of its definition, and `source` its text if it is a user's.
    `body` is its tree, if it is judged by that. `hidden` says that its body is SQL as text and may call more than `functions`;
    `planned` says that planning with a call of it may run more than its arguments.
    """

    name: Name
    extension: str | None = None
    functions: frozenset[int] = frozenset()
    operators: frozenset[int] = frozenset()
    function_kind: str = ""
    language: str = ""
    definer: bool = False
    owner: str = ""
    signature: str = ""
    digest: str = ""
    source: str = field(default="", repr=False)
    body: Tree | None = None
    hidden: bool = False
    planned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """What a user's function reads.

    `tree` is None if its body is text; then `words` are the words in the text, and `named` the relations with such a name.
    `is_dynamic` says that it builds SQL while it runs. `relations` are those that any function of the same resolution reads.
    """

    tree: Tree | None
    words: frozenset[str]
    named: frozenset[int]
    is_dynamic: bool
    relations: Mapping[int, Relation]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    """A tree that runs when the object `name` is used: that of a view, a policy, a check, a domain, ...

    A read only plans with some of these trees; `unfolded` are then the functions in it that planning does not run.
    """

    kind: str
    name: Name
    relation: int
    tree: Tree
    unfolded: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """All objects that a statement reaches.

    `body` is None if the server did not resolve the statement; `unresolved` then says why. `known` are the system's functions
    on the allow-list, `functions` those that only show or compare values. `bypasses_rls` says that policies do not apply to
    agent_reader.

    The other fields are filled later, once each: `catalog_answers` with what the catalogs said about the statement, `reads`
    with what its users' functions read, `hidden_rows` with the tables that hide rows, by login, and `secrets` with the use of
    secret columns, by settings.
    """

    body: Tree | None = None
    unresolved: str = ""
    relations: Mapping[int, Relation] = field(default_factory=dict)
    code: Mapping[tuple[str, int], Code] = field(default_factory=dict)
    inner: tuple[Inner, ...] = ()
    known: frozenset[int] = frozenset()
    catalog_answers: dict[str, bool] = field(default_factory=dict, compare=False)
    reads: dict[int, Reads] = field(default_factory=dict, compare=False)
    hidden_rows: dict[str, tuple[HiddenRows, ...]] = field(default_factory=dict, compare=False)
    bypasses_rls: bool = False
    functions: Functions = field(default_factory=Functions, repr=False)
    secrets: dict[tuple[str, str], Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def users_functions(self) -> frozenset[int]:
        """Return the numbers of the users' functions that belong to no extension."""
        return frozenset(
            number
            for (kind, number), code in self.code.items()
            if kind == "function" and number >= FIRST_USER_OBJECT and code.extension is None
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _ImplicitCode:
    """What in a database runs users' code without being named in a statement.

    `known` and `functions` are the system's functions, as a resolution has them. `extensions` are the known ones; `unvouched`
    are members of these that a superuser did not bring with them. `families` says that operator families hold more than the
    server's own. `nested` are the names by which a statement can make users' code parse a literal of a row, array or range,
    `modified` the names of types whose modifiers users' code parses. `named` are all names by which SQL text may mean users'
    code.
    """

    known: frozenset[int] = frozenset()
    functions: Functions = field(default_factory=Functions)
    extensions: tuple[int, ...] = ()
    unvouched: tuple[int, ...] = ()
    families: bool = False
    nested: frozenset[str] = frozenset()
    modified: frozenset[str] = frozenset()
    named: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cached:
    """What is known of one database while its catalogs have this `fingerprint`.

    `fires_trigger` says that a probe would run an event trigger.
    """

    fingerprint: str
    fires_trigger: bool
    bypasses_rls: bool
    implicit: _ImplicitCode
    resolutions: OrderedDict[tuple[str, bool, bool], Resolution] = field(default_factory=OrderedDict)
    bodies: dict[int, Tree | None] = field(default_factory=dict)


# For each database, by the login as which names are resolved.
_cache: WeakKeyDictionary[Database, dict[str, _Cached]] = WeakKeyDictionary()
# Connections on which `_prepare` has run.
_prepared: WeakSet[Connection] = WeakSet()


async def resolve(
    statement: Statement, conn: Connection, *, database: Database, probe: bool = True, replaces_operators: bool = True
) -> Resolution:
    """Return what `statement` reaches in `database`, with names resolved for the login that would run it.

    `conn` is of agent_assessor. Without `probe` the server does not get the statement: only the relations that it names are
    looked up. Without `replaces_operators` the statement only finds rows by constants, so that the planner never replaces its
    operators by others of their families. Raises psycopg's errors if the server rejects the statement.
    """
    runs_as = await database.facts("agent_actor" if probe and not is_read(statement) else "agent_reader")
    cached = await _cached(conn, database, runs_as)
    key = (statement.sql, probe, replaces_operators)
    resolution = cached.resolutions.get(key)
    if resolution is not None:
        cached.resolutions.move_to_end(key)
        return resolution
    text, body, unresolved = _probed_text(statement) if probe else None, None, "kind"
    if statement.kind == "VariableShowStmt":
        body = Tree(settings=frozenset({statement.node.name.lower()}))
    elif text is not None and (await database.facts("agent_assessor")).read_only:
        unresolved = "replica"
    elif text is not None and cached.fires_trigger:
        unresolved = "event-trigger"
    elif text is not None and _is_parsed_by_users_code(statement, cached.implicit):
        unresolved = "literal"
    elif text is not None:
        returns = "SETOF pg_catalog.record" if is_read(statement) else "pg_catalog.void"
        body, unresolved = await _probe(text, conn, runs_as, head=f"() RETURNS {returns}")
    bodies = _BodyReader(
        cached=cached, conn=conn, runs_as=runs_as, may_probe=text is not None and body is not None,
        logins=(runs_as.login, (await database.facts("agent_reader")).login),
    )  # fmt: skip
    resolution = await _behind_statement(statement, body, conn, bodies, replaces_operators=replaces_operators)
    cached.resolutions[key] = replace(resolution, unresolved=unresolved, bypasses_rls=cached.bypasses_rls)
    if len(cached.resolutions) > _MOST_CACHED:
        cached.resolutions.popitem(last=False)
    return cached.resolutions[key]


async def resolve_function(signature: str, conn: Connection, *, database: Database) -> tuple[int, Resolution] | None:
    """Return the number of the function `signature` (a name, or a name with types) and what it reaches; None if there is none."""
    reader = await database.facts("agent_reader")
    cached, schemas = await _cached(conn, database, reader), reader.search_path
    try:
        await conn.execute("BEGIN")
        await conn.execute(_QUERIES["probe_settings"], {"search_path": path_setting(schemas), "statement_ms": "2000"})
        row = await fetch_one(conn, _QUERIES["function_named"], {"signature": signature})
    finally:
        await roll_back(conn)
    if row is None or row["oid"] is None:
        return None
    return row["oid"], await _behind(cached.implicit, conn, functions={row["oid"]}, schemas=schemas)


async def resolve_objects(
    conn: Connection,
    *,
    database: Database,
    relations: Iterable[int] = (),
    functions: Iterable[int] = (),
    writes: bool = False,
) -> Resolution:
    """Return what the relations and functions with these numbers reach. `conn` is of agent_assessor."""
    cached = await _cached(conn, database, await database.facts("agent_reader"))
    return await _behind(cached.implicit, conn, relations=relations, functions=functions, writes=writes)


async def _behind(
    implicit: _ImplicitCode,
    conn: Connection,
    *,
    relations: Iterable[int] = (),
    functions: Iterable[int] = (),
    writes: bool = False,
    schemas: Sequence[str] = (),
) -> Resolution:
    search = _Search(implicit=implicit, writes=writes, first_schema=_first_schema(schemas))
    search.pending["relations"] |= {*relations}
    search.pending["functions"] |= {*functions}
    await _follow(search, conn, None)
    return Resolution(
        relations=search.relations_with_sources(), code=search.code, inner=tuple(search.inner), known=implicit.known
    )


async def _cached(conn: Connection, database: Database, runs_as: ServerFacts) -> _Cached:
    """Return the cache of the database, which is new if a row of the catalogs has changed.

    The digest is taken before anything is resolved, so that a change meanwhile changes the next digest.
    """
    is_new = conn not in _prepared
    if is_new:
        # The plans of these queries do not depend on their values, so each is planned once.
        await conn.execute("SET plan_cache_mode = force_generic_plan")
    reader = await database.facts("agent_reader")
    values = {
        "seed": _SEED, "logins": [runs_as.login], "schemas": list(runs_as.search_path), "reader": reader.login,
    }  # fmt: skip
    row = await fetch_one(conn, _QUERIES["fingerprint"], values, prepare=True)
    assert row is not None  # noqa: S101  # a query of scalars has one row
    fingerprint = f"{row['fingerprint']} {row['probe_fires_trigger']} {row['bypasses_rls']}"
    if is_new:
        await _prepare(conn, database, fires_trigger=row["table_fires_trigger"])
    by_login = _cache.setdefault(database, {})
    cached = by_login.get(runs_as.login)
    if cached is None or cached.fingerprint != fingerprint:
        cached = by_login[runs_as.login] = _Cached(
            fingerprint=fingerprint, fires_trigger=row["probe_fires_trigger"], bypasses_rls=row["bypasses_rls"],
            implicit=await _implicit_code(conn),
        )  # fmt: skip
    return cached


async def _implicit_code(conn: Connection) -> _ImplicitCode:
    names = {"names": sorted(allowed.RESOLVED_FUNCTIONS | showing.NAMES)}
    rows = await fetch_all(conn, _QUERIES["system_functions"], names, prepare=True)
    known = _numbers_of(rows, allowed.RESOLVED_FUNCTIONS)
    extensions = {"extensions": NAMES_WITH_VERSIONS}
    row = await fetch_one(conn, _QUERIES["implicit_code"], extensions, prepare=True)
    assert row is not None  # noqa: S101  # a query of scalars has one row
    checked = [number for number, tree in row["checks"] if not _is_plain(read_tree(tree), known)]
    modified = [*row["modified"], *_NAMING_TYPES] if row["modified"] else []
    functions = Functions(
        whole=_numbers_of(rows, showing.WHOLE), pieces=_numbers_of(rows, showing.PIECES),
        counts=_numbers_of(rows, showing.COUNTS), equalities=_numbers_of(rows, showing.EQUALITIES),
    )  # fmt: skip
    return _ImplicitCode(
        known=known, functions=functions, extensions=tuple(row["extensions"]), unvouched=tuple(row["unvouched"]),
        families=row["families"], named=frozenset(row["named"]),
        nested=await _names_of([*checked, *row["compared"]], conn), modified=await _names_of(modified, conn),
    )  # fmt: skip


def _numbers_of(rows: Iterable[Mapping[str, Any]], names: frozenset[str]) -> frozenset[int]:
    return frozenset(row["oid"] for row in rows if row["name"] in names)


async def _names_of(types: Sequence[int], conn: Connection) -> frozenset[str]:
    """Return the names by which a statement can make the server parse a value of these types."""
    if not types:
        return frozenset()
    rows = await fetch_all(conn, _QUERIES["names_of"], {"types": list(types)}, prepare=True)
    return frozenset(row["name"] for row in rows)


def _is_parsed_by_users_code(statement: Statement, implicit: _ImplicitCode) -> bool:
    """Return whether users' code may run while the server only parses the statement."""
    if not implicit.nested and not implicit.modified:
        return False
    names = _names_in(statement)
    return bool(implicit.modified & names) or (bool(implicit.nested & names) and _has_nested_literal(statement))


def _is_plain(tree: Tree, known: frozenset[int]) -> bool:
    """Return whether a tree runs only the system's own harmless code."""
    users_objects = (number for number in (*tree.operators, *tree.types) if number >= FIRST_USER_OBJECT)
    return tree.functions <= known and tree.nodes <= allowed.TREE_NODES and not any(users_objects)


def _has_nested_literal(statement: Statement) -> bool:
    return any(kind == "A_Const" and _NESTED.match(part.sval.sval) for kind, part in statement.parts)


def _names_in(statement: Statement) -> set[str]:
    """Return every name in a statement, whatever it names."""
    relations = {name.name for name in statement.names.relations}
    return relations | {part.sval for kind, part in statement.parts if kind == "String"}


async def _behind_statement(
    statement: Statement, body: Tree | None, conn: Connection, bodies: _BodyReader, *, replaces_operators: bool
) -> Resolution:
    implicit = bodies.cached.implicit
    search = _Search(
        implicit=implicit, writes=not is_read(statement), first_schema=_first_schema(bodies.runs_as.search_path),
        never_replaced=body.operators if body is not None and not replaces_operators else frozenset(),
        logins=bodies.logins,
    )  # fmt: skip
    if body is not None:
        search.add_tree(body)
    else:
        search.pending["relations"] |= await _named_relations(statement, conn)
    await _follow(search, conn, bodies)
    return Resolution(
        body=body,
        relations=search.relations_with_sources(),
        code=search.code,
        inner=tuple(search.inner),
        known=implicit.known,
        functions=implicit.functions,
    )


async def _prepare(conn: Connection, database: Database, *, fires_trigger: bool) -> None:
    """Create the connection's schema for temporary objects, unless an event trigger would run.

    Otherwise each probe would create that schema and roll it back, and the server would have to plan every query anew.
    """
    if not fires_trigger and not (await database.facts("agent_assessor")).read_only:
        await conn.execute("BEGIN READ WRITE")
        await conn.execute("CREATE TEMPORARY TABLE agent_probe ()")
        await conn.execute("DROP TABLE pg_temp.agent_probe")
        await conn.execute("COMMIT")
    _prepared.add(conn)


def is_read(statement: Statement) -> bool:
    """Return whether agent_reader may run a statement of this kind."""
    return statement.kind in {"SelectStmt", "ExplainStmt", "VariableShowStmt"}


def _probed_text(statement: Statement) -> str | None:
    """Return the text of the query or write that the server can resolve, for EXPLAIN that of its query; None if there is none."""
    if any(kind == "IntoClause" for kind, _ in statement.parts):
        return None
    if statement.kind == "SelectStmt" or statement.kind in _DATA_WRITES:
        return statement.sql
    inner = explained(statement)
    return write_out(inner.node) if inner is not None and inner.kind == "SelectStmt" else None


async def _probe(
    text: str, conn: Connection, runs_as: ServerFacts, *, head: str, own_path: bool = False
) -> tuple[Tree | None, str]:
    """Return the tree that the server makes of `text` as the body of a function with this `head`, or None and why there is none."""
    function = f"CREATE FUNCTION pg_temp.agent_probe{head} BEGIN ATOMIC {text}\n; END"
    schemas = () if own_path else runs_as.search_path
    settings = {"search_path": path_setting(schemas), "statement_ms": "2000"}
    values = {"schemas": list(schemas), "login": runs_as.login}
    try:
        async with conn.pipeline():  # one round trip
            await conn.execute("BEGIN READ WRITE", prepare=False)
            await conn.execute(_QUERIES["probe_settings"], settings)
            # The text needs no quotes: the extended protocol (which pipelines and `binary` use) takes one statement only, and
            # the statements in the body are counted below.
            await conn.execute(function.encode(), prepare=False, binary=True)
            path_cursor = await conn.execute(LOOK_UP_IN_OURS, prepare=False)
            probe_cursor = await conn.execute(_QUERIES["probe"], values, prepare=False)
        looked_up, row = await path_cursor.fetchone(), await probe_cursor.fetchone()
    except psycopg.errors.FeatureNotSupported:
        return None, "not-supported"
    finally:
        with suppress(psycopg.OperationalError):
            await roll_back(conn, unlock=True)
    if row is None or looked_up is None or statements_in(row["tree"]) != 1:
        return None, "several"
    searched = [name for name in looked_up["schemas"] if not name.startswith("pg_temp_")]
    if not row["same_schemas"] or searched != list(schemas):
        return None, "schema"
    return read_tree(row["tree"]), ""


async def _named_relations(statement: Statement, conn: Connection) -> set[int]:
    names = sorted(statement.names.relations)
    values = {"schemas": [name.schema for name in names], "names": [name.name for name in names]}
    return {row["oid"] for row in await fetch_all(conn, _QUERIES["named"], values, prepare=True)}


@dataclass(slots=True)
class _Search:
    """What a search through the catalogs has found, and what is `pending`: the numbers of objects to look up next.

    `never_replaced` are operators that the planner replaces by no other; only policies for one of `logins` count.
    `first_schema` finds the name of the schema in which the application's names are looked up first. `bodies` are functions
    whose text is still to be resolved, `body_trees` the trees of the others that are judged by their bodies.
    """

    implicit: _ImplicitCode
    writes: bool
    first_schema: re.Pattern[str]
    never_replaced: frozenset[int] = frozenset()
    logins: tuple[str, ...] = ()
    bodies: dict[int, Body] = field(default_factory=dict)
    body_trees: dict[int, Tree] = field(default_factory=dict)
    relations: dict[int, Relation] = field(default_factory=dict)
    code: dict[tuple[str, int], Code] = field(default_factory=dict)
    inner: list[Inner] = field(default_factory=list)
    pending: dict[str, set[int]] = field(
        default_factory=lambda: {"relations": set(), "functions": set(), "operators": set(), "types": set()}
    )
    visited: dict[str, set[int]] = field(
        default_factory=lambda: {"relations": set(), "functions": set(), "operators": set(), "types": set()}
    )

    def add_tree(self, tree: Tree) -> None:
        """Make the objects in a tree pending."""
        self.pending["relations"] |= tree.relations
        self.pending["functions"] |= tree.functions - self.implicit.known
        self.pending["operators"] |= tree.operators
        self.pending["types"] |= tree.types

    def next_numbers(self) -> dict[str, list[int]] | None:
        """Return the numbers of the objects to look up now, and clear what is pending; None if there are none."""
        new = {kind: sorted(numbers - self.visited[kind]) for kind, numbers in self.pending.items()}
        for kind, numbers in new.items():
            self.visited[kind].update(numbers)
            self.pending[kind].clear()
        system = [number for number in new["operators"] if number < FIRST_USER_OBJECT]
        new["operators"] = [number for number in new["operators"] if number >= FIRST_USER_OBJECT]
        return {**new, "system_operators": system} if any(new.values()) or system else None

    def add_row(self, row: Mapping[str, Any]) -> None:
        """Store what one row of the catalogs describes, and make the objects that it uses pending."""
        name, number, detail = Name(row["schema"], row["name"]), row["oid"], row["detail"]
        texts = [(kind, text) for kind, text in zip(row["kinds"] or (), row["trees"] or (), strict=True) if text]
        if row["kind"] == "relation":
            self._add_relation(name, number, detail, texts)
            return
        trees = [(kind, read_tree(text)) for kind, text in texts]
        operators = {*(detail.get("operators") or ())} - {0}
        functions = {*(detail.get("functions") or ()), *(detail.get("parts") or ()), *(detail.get("calls") or ())}
        if row["kind"] == "function":
            functions |= {called for _, tree in trees for called in tree.functions - self.implicit.known}
            operators |= {used for _, tree in trees for used in tree.operators}
            functions -= {number}
            self._add_body(number, name, detail, trees)
        else:
            self.inner += [Inner(kind=kind, name=name, relation=0, tree=tree) for kind, tree in trees]
            for _, tree in trees:
                self.add_tree(tree)
        hidden = self._is_hidden(detail)
        self.code[row["kind"], number] = replace(
            _code(row, frozenset(functions), frozenset(operators), first_schema=self.first_schema),
            body=self.body_trees.get(number),
            hidden=hidden,
            planned=self._is_planned(detail, dict(trees), hidden=hidden),
        )
        # A function that a cast or a body in SQL calls is judged as if a statement named it.
        if row["extension"] not in KNOWN or row["kind"] == "cast" or detail.get("language") == "sql":
            self.pending["functions"] |= {part for part in functions if part >= FIRST_USER_OBJECT}
            self.pending["types"] |= set(detail.get("types") or ())
            self.pending["operators"] |= {used for used in operators if used >= FIRST_USER_OBJECT}

    def _add_body(self, number: int, name: Name, detail: Mapping[str, Any], trees: Iterable[tuple[str, Tree]]) -> None:
        """Store the body of a function: its tree, an empty tree if its words are known, or its text to be resolved."""
        plain = detail.get("plain")
        body = Body.of(name, detail["language"], plain)
        if body is None:
            for kind, tree in trees:
                if kind == "body" and plain is not None and not tree.relations:
                    self.body_trees[number] = tree
                    self.add_tree(tree)
        elif body.known and not detail.get("calls"):
            self.body_trees[number] = Tree()
        else:
            self.bodies[number] = body

    def _add_relation(
        self, name: Name, number: int, detail: Mapping[str, Any], texts: Sequence[tuple[str, str]]
    ) -> None:
        columns, kin, written = detail["columns"] or (), detail["kin"] or (), detail["written"] or ()
        self.relations[number] = Relation(
            name=name,
            kind=detail["kind"],
            columns=tuple(name for _, name, *_ in columns),
            numbers={place: name for place, name, *_ in columns},
            kin=tuple((Name(schema, relation), kind) for schema, relation, kind, *_ in kin),
            derived=tuple((column, other) for column, other in detail["derived"] or ()),
            methods=tuple(detail["methods"] or ()),
            triggers=tuple((trigger, function, kind) for trigger, function, kind in detail["triggers"] or ()),
            written=tuple((other, deleted, updated) for other, deleted, updated in written),
            column_facts=_column_facts(columns, kin),
            secured=detail["secured"],
            reads_as=detail["reads_as"] or 0,
        )
        # A virtual column is replaced by its expression, which may be a constant.
        only_plans = not self.writes and not any(kind == "column" for kind, _ in texts)
        for kind, text in texts:
            unfolded = frozenset[int]()
            if only_plans and kind in _PLANNED_WITH:
                unfolded = unfolded_functions(text, recheck=kind == "index condition")
            tree = read_tree(text)
            self.inner.append(Inner(kind=kind, name=name, relation=number, tree=tree, unfolded=unfolded))
            if kind == "source":  # a materialised view holds its rows already, so its query does not run
                self.pending["relations"] |= tree.relations
            else:
                self.add_tree(tree)
        self.pending["relations"] |= {other for _, _, _, other, below, _ in kin if below}
        self.pending["relations"] |= {other for other, _, _ in written}
        self.pending["functions"] |= {function for _, function, _ in detail["triggers"] or ()}
        self.pending["types"] |= set(detail["types"] or ())

    def _is_hidden(self, detail: Mapping[str, Any]) -> bool:
        """Return whether a function's body is SQL text that may run users' code, or anything but a plain value."""
        text = detail.get("text")
        return text is not None and (detail["parses_values"] or not is_plain_body(text, self.implicit.named))

    def _is_planned(self, detail: Mapping[str, Any], trees: Mapping[str, Tree], *, hidden: bool) -> bool:
        """Return whether planning with a call of a function may run code of its defaults, its body or its support function."""
        inlined = bool(detail.get("inlined"))
        planned_with = [tree for kind, tree in trees.items() if kind == "default" or (kind == "body" and inlined)]
        runs_more = any(not _is_plain(tree, self.implicit.known) for tree in planned_with)
        return bool(detail.get("planned")) or runs_more or (inlined and hidden)

    def relations_with_sources(self) -> dict[int, Relation]:
        """Return the relations, and for views every column that they read."""
        read = {
            number: {pair for inner in self.inner if inner.relation == number for pair in inner.tree.columns}
            for number, relation in self.relations.items()
            if relation.kind in {"v", "m"}
        }
        return {
            number: replace(relation, shows=self._named_pairs(_columns_behind(number, read)))
            if number in read
            else relation
            for number, relation in self.relations.items()
        }

    def _named_pairs(self, pairs: Iterable[tuple[int, int]]) -> tuple[tuple[Name, str], ...]:
        """Return (relation, column) names for pairs of numbers, with the columns that generated columns are computed from."""
        names = set()
        for number, column in pairs:
            relation = self.relations.get(number)
            if relation is not None:
                columns = {relation.numbers.get(column, "")} if column else {*relation.columns}
                columns |= {other for name, other in relation.derived if name in columns}
                names |= {(relation.name, name) for name in ("", *columns)}
        return tuple(sorted(names))


def _column_facts(columns: Sequence[Any], kin: Sequence[Any]) -> dict[str, tuple[str, str | None, str, str]]:
    comments: dict[str, str] = {}
    for name, comment in (pair for relative in kin for pair in relative[5] or ()):
        comments[name] = f"{comments.get(name, '')} {comment}"
    return {
        name: (declared, base, category, f"{comment}{comments.get(name, '')}")
        for _, name, declared, base, category, comment in columns
    }


def _columns_behind(number: int, read: Mapping[int, set[tuple[int, int]]]) -> set[tuple[int, int]]:
    """Return the columns that a view reads, with those that the views behind it read."""
    columns: set[tuple[int, int]] = set()
    pending, visited = [number], {number}
    while pending:
        for pair in read.get(pending.pop(), ()):
            columns.add(pair)
            if pair[0] not in visited:
                visited.add(pair[0])
                pending.append(pair[0])
    return columns


def _first_schema(schemas: Sequence[str]) -> re.Pattern[str]:
    """Return what finds the first schema of a search path, with its dot, in a function's signature or a type's name."""
    quoted = sql.Identifier(schemas[0]).as_string() if schemas else ""
    forms = "|".join(re.escape(form) for form in {quoted, quoted.strip('"')} if form)
    return re.compile(rf"(?:^|(?<=[(,])|(?<= to ))(?:{forms or '(?!)'})\.")


def _code(
    row: Mapping[str, Any],
    functions: frozenset[int],
    operators: frozenset[int],
    *,
    first_schema: re.Pattern[str],
) -> Code:
    detail = row["detail"]
    name = first_schema.sub("", row["name"]) if row["kind"] in {"support", "cast"} else row["name"]
    return Code(
        name=Name(row["schema"], name),
        extension=row["extension"],
        functions=functions,
        operators=operators,
        function_kind=detail.get("kind") or "",
        language=detail.get("language") or "",
        definer=bool(detail.get("definer")),
        owner=detail.get("owner") or "",
        signature=first_schema.sub("", detail.get("signature") or ""),
        digest=detail.get("digest") or "",
        source=detail.get("source") or "",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _BodyReader:
    """Lets the server resolve the bodies of functions, each once while the catalogs stay the same, if it `may_probe`."""

    cached: _Cached
    conn: Connection
    runs_as: ServerFacts
    may_probe: bool
    logins: tuple[str, ...]

    async def read(self, search: _Search) -> None:
        """Resolve the `bodies` of a search, and make the objects in them pending."""
        for number, body in search.bodies.items():
            if number not in self.cached.bodies and self.may_probe:
                self.cached.bodies[number] = await self._tree(body)
            tree = self.cached.bodies.get(number)
            if tree is not None and not tree.relations:
                search.code["function", number] = replace(search.code["function", number], body=tree)
                search.add_tree(tree)
        search.bodies.clear()

    async def _tree(self, body: Body) -> Tree | None:
        query = body.query()
        if query is None or _is_parsed_by_users_code(query, self.cached.implicit):
            return None
        head = f"({body.arguments}) RETURNS {body.returns}"
        try:
            return (await _probe(query.text, self.conn, self.runs_as, head=head, own_path=body.own_path))[0]
        except psycopg.OperationalError:
            raise
        except psycopg.DatabaseError:  # the function would fail when it runs, too
            return None


async def _follow(search: _Search, conn: Connection, bodies: _BodyReader | None) -> None:
    """Look up what is pending until nothing new is found; too many rounds add an object that is never harmless."""
    implicit = search.implicit
    for _ in range(_MOST_ROUNDS):
        numbers = search.next_numbers()
        if numbers is None:
            return
        operators = {*numbers["operators"], *numbers["system_operators"]}
        values = {
            **numbers, "writes": search.writes, "extensions": list(implicit.extensions),
            "unvouched": list(implicit.unvouched), "logins": list(search.logins),
            "replaced": sorted(operators - search.never_replaced),
        }  # fmt: skip
        for query in ("behind", "compared_by") if implicit.families else ("behind",):
            for row in await fetch_all(conn, _QUERIES[query], values, prepare=True):
                search.add_row(row)
        if bodies is not None:
            await bodies.read(search)
    search.inner.append(Inner(kind="depth", name=Name("", ""), relation=0, tree=Tree(writes=True)))
