"""What a statement really is: the server itself resolves it, and every object behind it is followed.

As agent_assessor, in a transaction that is rolled back, the statement becomes the body of a temporary function. The server
then keeps it as a tree with the numbers (OIDs) of all that it uses: overloads, search paths, casts and shadowed names are
settled by the one who will run it. What stands behind these objects is followed until nothing new is found: views,
policies, checks, domains, index expressions, operators, casts, aggregates, triggers, rules.

Nothing is run. A resolution is kept until a digest of the catalogs says that any of their rows is another one.
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
from agent.statements.planned_expressions import is_plain_body, shut_calls
from agent.statements.result_columns import Functions
from agent.types import HiddenRows

_QUERIES = load_queries(__package__, "resolver.sql")
FIRST_USER_OBJECT = 16_384
_MOST_ROUNDS = 20
_MOST_KEPT = 500
_DATA_WRITES = frozenset({"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})
_PLANNED_WITH = frozenset({"index", "index condition", "check", "statistics", "partition"})
# regtype, regprocedure and regoperator, whose literals name types with their modifiers.
_NAMING_TYPES = (2206, 2202, 2204)
# How a literal of a row, array or range begins: what the server reads it with may be code of users.
_NESTED = re.compile(r"\s*(?:[({\[]|empty)", re.IGNORECASE)
# Drawn by each process, so that nobody can make changes of a catalog that cancel out.
_SEED = secrets.randbits(62)


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """A relation. `kin` are its partitions, children and parents; `shows` what a view reads: (relation, column or '').

    `derived` are generated columns with one that each is computed from: (column, other).
    `said` has of each column its type, the type under a domain or None, its category and the comments on it, here and in kin.

    `triggers` are (name, function, pg_trigger.tgtype), `written` what foreign keys change with it: (relation, what they do
    when a row of this one is deleted, when it is updated), as pg_constraint has it. `secured` says that row-level security is
    on; `reads_as` is the number of the role as which a view reads what it shows, 0 for whoever asks.
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
    said: Mapping[str, tuple[str, str | None, str, str]] = field(default_factory=dict, repr=False)
    secured: bool = False
    reads_as: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A function, operator, type, cast or support function; `extension` is the one it belongs to, `functions` what it runs.

    Of a function `digest` is a hash of all that defines it, and `functions` what it is known to call; of a user's one
    `source` is its text. `body` is all that it does, where it is judged by that. `hidden` says that its body is SQL as text
    and may call more than `functions`, `planned` that planning with a call of it may run more than its arguments.
    """

    what: str
    name: Name
    extension: str | None = None
    functions: frozenset[int] = frozenset()
    operators: frozenset[int] = frozenset()
    kind: str = ""
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
    """What a function of users reads. `tree` is None where its body is text: then the `words` in it, and the relations named by them.

    `unseen` says that it puts SQL together as it runs. `relations` are those of all functions that were looked at together.
    """

    tree: Tree | None
    words: frozenset[str]
    named: frozenset[int]
    unseen: bool
    relations: Mapping[int, Relation]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    """A tree that runs when the object `of` is used: of a view, policy, check, domain, ...

    A read only plans with some of them: `shut` are the functions in one that planning does not run.
    """

    what: str
    of: Name
    relation: int
    tree: Tree
    shut: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """All that a statement reaches. `body` is None where the server was not asked; `unresolved` then says why.

    `known` are the system's functions that are on the allow-list, `worked_out` what the catalogs answered about it since,
    `reads` what its functions of users read, where that was asked for, and `hiding` the tables that hide rows from each
    login. `bypasses_rls` says that policies do not hold for agent_reader. `functions` show values and compare them,
    `secrets` is what was found out about secret columns, by settings.
    """

    body: Tree | None = None
    unresolved: str = ""
    relations: Mapping[int, Relation] = field(default_factory=dict)
    code: Mapping[tuple[str, int], Code] = field(default_factory=dict)
    inner: tuple[Inner, ...] = ()
    known: frozenset[int] = frozenset()
    worked_out: dict[str, bool] = field(default_factory=dict, compare=False)
    reads: dict[int, Reads] = field(default_factory=dict, compare=False)
    hiding: dict[str, tuple[HiddenRows, ...]] = field(default_factory=dict, compare=False)
    bypasses_rls: bool = False
    functions: Functions = field(default_factory=Functions, repr=False)
    secrets: dict[tuple[str, str], Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def users_functions(self) -> frozenset[int]:
        """The functions of users, not of an extension: only a human's word makes one of them harmless."""
        return frozenset(
            number
            for (what, number), code in self.code.items()
            if what == "function" and number >= FIRST_USER_OBJECT and code.extension is None
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _OwnCode:
    """What in a database runs code of users without being named.

    `extensions` are the known ones, `adopted` members of these that they do not vouch for; `families` says that operator
    families hold more than the server's own. `nested` are the names by which a statement can make the server read a literal
    of a row, array or range with such code, and `modified` those of types whose modifiers it reads. `named` are all names by
    which a text in SQL may mean code of users.
    """

    known: frozenset[int] = frozenset()
    functions: Functions = field(default_factory=Functions)
    extensions: tuple[int, ...] = ()
    adopted: tuple[int, ...] = ()
    families: bool = False
    nested: frozenset[str] = frozenset()
    modified: frozenset[str] = frozenset()
    named: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """What is known of one database as its catalogs were at `fingerprint`. `watched` are those where a probe runs event triggers."""

    fingerprint: str
    watched: bool
    bypasses_rls: bool
    own: _OwnCode
    resolutions: OrderedDict[tuple[str, bool, bool], Resolution] = field(default_factory=OrderedDict)
    bodies: dict[int, Tree | None] = field(default_factory=dict)


# By the login as which names are looked up.
_kept: WeakKeyDictionary[Database, dict[str, _Kept]] = WeakKeyDictionary()
_prepared: WeakSet[Connection] = WeakSet()


async def resolve(
    statement: Statement, conn: Connection, *, database: Database, probe: bool = True, sorts: bool = True
) -> Resolution:
    """What `statement` reaches in `database`, with names resolved as the login that would run it does. `conn` is of agent_assessor.

    Without `probe` the server is not shown the statement: only the relations that it names are looked up. Not `sorts` is
    what finds single rows by constants: its own operators are never replaced by others of their families.
    Raises psycopg's errors for a statement that the server does not take.
    """
    runs_as = await database.facts("agent_actor" if probe and not is_read(statement) else "agent_reader")
    kept = await _fresh(conn, database, runs_as)
    key = (statement.sql, probe, sorts)
    found = kept.resolutions.get(key)
    if found is not None:
        kept.resolutions.move_to_end(key)
        return found
    text, body, unresolved = _probed_text(statement) if probe else None, None, "kind"
    if statement.kind == "VariableShowStmt":
        body = Tree(settings=frozenset({statement.node.name.lower()}))
    elif text is not None and (await database.facts("agent_assessor")).read_only:
        unresolved = "replica"
    elif text is not None and kept.watched:
        unresolved = "event-trigger"
    elif text is not None and _is_read_with_code(statement, kept.own):
        unresolved = "literal"
    elif text is not None:
        returns = "SETOF pg_catalog.record" if is_read(statement) else "pg_catalog.void"
        body, unresolved = await _probe(text, conn, runs_as, head=f"() RETURNS {returns}")
    reading = _Bodies(
        kept=kept, conn=conn, runs_as=runs_as, may_probe=text is not None and body is not None,
        logins=(runs_as.login, (await database.facts("agent_reader")).login),
    )  # fmt: skip
    found = await _all_behind(statement, body, conn, reading, sorts=sorts)
    kept.resolutions[key] = replace(found, unresolved=unresolved, bypasses_rls=kept.bypasses_rls)
    if len(kept.resolutions) > _MOST_KEPT:
        kept.resolutions.popitem(last=False)
    return kept.resolutions[key]


async def resolve_function(signature: str, conn: Connection, *, database: Database) -> tuple[int, Resolution] | None:
    """The number of the function called `signature` (name, or name with types), and what it is made of; None when there is none."""
    reader = await database.facts("agent_reader")
    kept, schemas = await _fresh(conn, database, reader), reader.search_path
    try:
        await conn.execute("BEGIN")
        await conn.execute(_QUERIES["probe_settings"], {"search_path": path_setting(schemas), "statement_ms": "2000"})
        row = await fetch_one(conn, _QUERIES["function_named"], {"signature": signature})
    finally:
        await roll_back(conn)
    if row is None or row["oid"] is None:
        return None
    return row["oid"], await _behind(kept.own, conn, functions={row["oid"]}, schemas=schemas)


async def resolve_objects(
    conn: Connection,
    *,
    database: Database,
    relations: Iterable[int] = (),
    functions: Iterable[int] = (),
    writes: bool = False,
) -> Resolution:
    """What stands behind these relations and functions, by their numbers. `conn` is of agent_assessor."""
    kept = await _fresh(conn, database, await database.facts("agent_reader"))
    return await _behind(kept.own, conn, relations=relations, functions=functions, writes=writes)


async def _behind(
    own: _OwnCode,
    conn: Connection,
    *,
    relations: Iterable[int] = (),
    functions: Iterable[int] = (),
    writes: bool = False,
    schemas: Sequence[str] = (),
) -> Resolution:
    search = _Search(own=own, writes=writes, home=_home(schemas))
    search.pending["relations"] |= {*relations}
    search.pending["functions"] |= {*functions}
    await _follow(search, conn, None)
    return Resolution(
        relations=search.relations_with_sources(), code=search.code, inner=tuple(search.inner), known=own.known
    )


async def _fresh(conn: Connection, database: Database, runs_as: ServerFacts) -> _Kept:
    """What is kept of the database, emptied when a row of its catalogs is another one than before.

    The digest is taken before anything is resolved: what changes meanwhile makes the next digest another one.
    """
    new = conn not in _prepared
    if new:
        # Its queries are planned once, as their plans do not depend on the values.
        await conn.execute("SET plan_cache_mode = force_generic_plan")
    reader = await database.facts("agent_reader")
    values = {
        "seed": _SEED, "logins": [runs_as.login], "schemas": list(runs_as.search_path), "reader": reader.login,
    }  # fmt: skip
    row = await fetch_one(conn, _QUERIES["fingerprint"], values, prepare=True)
    assert row is not None  # noqa: S101  # a query of scalars has one row
    fingerprint = f"{row['fingerprint']} {row['watched']} {row['bypasses_rls']}"
    if new:
        await _prepare(conn, database, watched=row["prepared_watched"])
    by_login = _kept.setdefault(database, {})
    kept = by_login.get(runs_as.login)
    if kept is None or kept.fingerprint != fingerprint:
        kept = by_login[runs_as.login] = _Kept(
            fingerprint=fingerprint, watched=row["watched"], bypasses_rls=row["bypasses_rls"], own=await _own_code(conn)
        )
    return kept


async def _own_code(conn: Connection) -> _OwnCode:
    named = {"names": sorted(allowed.RESOLVED_FUNCTIONS | showing.NAMES)}
    rows = await fetch_all(conn, _QUERIES["system_functions"], named, prepare=True)
    known = _numbers_of(rows, allowed.RESOLVED_FUNCTIONS)
    extensions = {"extensions": NAMES_WITH_VERSIONS}
    found = await fetch_one(conn, _QUERIES["own_code"], extensions, prepare=True)
    assert found is not None  # noqa: S101  # a query of scalars has one row
    checked = [number for number, tree in found["checks"] if not _is_plain(read_tree(tree), known)]
    modified = [*found["modified"], *_NAMING_TYPES] if found["modified"] else []
    functions = Functions(
        whole=_numbers_of(rows, showing.WHOLE), pieces=_numbers_of(rows, showing.PIECES),
        counts=_numbers_of(rows, showing.COUNTS), equalities=_numbers_of(rows, showing.EQUALITIES),
    )  # fmt: skip
    return _OwnCode(
        known=known, functions=functions, extensions=tuple(found["extensions"]), adopted=tuple(found["adopted"]),
        families=found["families"],
        nested=await _names_of([*checked, *found["compared"]], conn), modified=await _names_of(modified, conn),
        named=frozenset(found["named"]),
    )  # fmt: skip


def _numbers_of(rows: Iterable[Mapping[str, Any]], names: frozenset[str]) -> frozenset[int]:
    return frozenset(row["oid"] for row in rows if row["name"] in names)


async def _names_of(types: Sequence[int], conn: Connection) -> frozenset[str]:
    if not types:
        return frozenset()
    rows = await fetch_all(conn, _QUERIES["names_of"], {"types": list(types)}, prepare=True)
    return frozenset(row["name"] for row in rows)


def _is_read_with_code(statement: Statement, own: _OwnCode) -> bool:
    """Whether code of users may run while the server only reads the statement."""
    if not own.nested and not own.modified:
        return False
    names = _names_in(statement)
    return bool(own.modified & names) or (bool(own.nested & names) and _has_nested_literal(statement))


def _is_plain(tree: Tree, known: frozenset[int]) -> bool:
    users = (number for number in (*tree.operators, *tree.types) if number >= FIRST_USER_OBJECT)
    return tree.functions <= known and tree.nodes <= allowed.TREE_NODES and not any(users)


def _has_nested_literal(statement: Statement) -> bool:
    return any(kind == "A_Const" and _NESTED.match(part.sval.sval) for kind, part in statement.parts)


def _names_in(statement: Statement) -> set[str]:
    """Every name in a statement, whatever of."""
    relations = {name.name for name in statement.names.relations}
    return relations | {part.sval for kind, part in statement.parts if kind == "String"}


async def _all_behind(
    statement: Statement, body: Tree | None, conn: Connection, reading: _Bodies, *, sorts: bool
) -> Resolution:
    alone = body.operators if body is not None and not sorts else frozenset()
    own, home = reading.kept.own, _home(reading.runs_as.search_path)
    search = _Search(own=own, writes=not is_read(statement), home=home, alone=alone, logins=reading.logins)
    if body is not None:
        search.add(body)
    else:
        search.pending["relations"] |= await _named(statement, conn)
    await _follow(search, conn, reading)
    return Resolution(
        body=body,
        relations=search.relations_with_sources(),
        code=search.code,
        inner=tuple(search.inner),
        known=own.known,
        functions=own.functions,
    )


async def _prepare(conn: Connection, database: Database, *, watched: bool) -> None:
    """Make a new session's schema for temporary objects, once: a probe that makes it and takes it back would have every plan made again.

    Not where an event trigger would run with it.
    """
    if not watched and not (await database.facts("agent_assessor")).read_only:
        await conn.execute("BEGIN READ WRITE")
        await conn.execute("CREATE TEMPORARY TABLE agent_probe ()")
        await conn.execute("DROP TABLE pg_temp.agent_probe")
        await conn.execute("COMMIT")
    _prepared.add(conn)


def is_read(statement: Statement) -> bool:
    """Whether a statement is of a kind that agent_reader may be given."""
    return statement.kind in {"SelectStmt", "ExplainStmt", "VariableShowStmt"}


def _probed_text(statement: Statement) -> str | None:
    """The text of the query or write that the server can resolve: an EXPLAIN's is what it explains."""
    if any(kind == "IntoClause" for kind, _ in statement.parts):
        return None
    if statement.kind == "SelectStmt" or statement.kind in _DATA_WRITES:
        return statement.sql
    inner = explained(statement)
    return write_out(inner.node) if inner is not None and inner.kind == "SelectStmt" else None


async def _probe(
    text: str, conn: Connection, runs_as: ServerFacts, *, head: str, own_path: bool = False
) -> tuple[Tree | None, str]:
    """What the server makes of `text` as the body of a function with this `head`, or why that is not known."""
    function = f"CREATE FUNCTION pg_temp.agent_probe{head} BEGIN ATOMIC {text}\n; END"
    schemas = () if own_path else runs_as.search_path
    settings = {"search_path": path_setting(schemas), "statement_ms": "2000"}
    asked = {"schemas": list(schemas), "login": runs_as.login}
    try:
        async with conn.pipeline():  # one round trip
            await conn.execute("BEGIN READ WRITE", prepare=False)
            await conn.execute(_QUERIES["probe_settings"], settings)
            # The text is not quoted: the extended protocol (of pipelines, and of `binary`) takes one statement, and what is in
            # the body is counted.
            await conn.execute(function.encode(), prepare=False, binary=True)
            looked = await conn.execute(LOOK_UP_IN_OURS, prepare=False)
            found = await conn.execute(_QUERIES["probe"], asked, prepare=False)
        looked_up, row = await looked.fetchone(), await found.fetchone()
    except psycopg.errors.FeatureNotSupported:
        return None, "not-supported"
    finally:
        with suppress(psycopg.OperationalError):
            await roll_back(conn, unlock=True)
    if row is None or looked_up is None or statements_in(row["tree"]) != 1:
        return None, "several"
    where = [name for name in looked_up["schemas"] if not name.startswith("pg_temp_")]
    if not row["alike"] or where != list(schemas):
        return None, "schema"
    return read_tree(row["tree"]), ""


async def _named(statement: Statement, conn: Connection) -> set[int]:
    names = sorted(statement.names.relations)
    values = {"schemas": [name.schema for name in names], "names": [name.name for name in names]}
    return {row["oid"] for row in await fetch_all(conn, _QUERIES["named"], values, prepare=True)}


@dataclass(slots=True)
class _Search:
    """What was found so far, and what is `pending`: numbers of objects that were not looked up yet.

    `alone` are operators that are never replaced by others of their families, `logins` those to whom policies have to apply.
    `home` finds what a name begins with that needs no schema where the application looks.
    """

    own: _OwnCode
    writes: bool
    home: re.Pattern[str]
    alone: frozenset[int] = frozenset()
    logins: tuple[str, ...] = ()
    bodies: dict[int, Body] = field(default_factory=dict)
    read: dict[int, Tree] = field(default_factory=dict)
    relations: dict[int, Relation] = field(default_factory=dict)
    code: dict[tuple[str, int], Code] = field(default_factory=dict)
    inner: list[Inner] = field(default_factory=list)
    pending: dict[str, set[int]] = field(
        default_factory=lambda: {"relations": set(), "functions": set(), "operators": set(), "types": set()}
    )
    seen: dict[str, set[int]] = field(
        default_factory=lambda: {"relations": set(), "functions": set(), "operators": set(), "types": set()}
    )

    def add(self, tree: Tree) -> None:
        """Take what stands in a tree as pending."""
        self.pending["relations"] |= tree.relations
        self.pending["functions"] |= tree.functions - self.own.known
        self.pending["operators"] |= tree.operators
        self.pending["types"] |= tree.types

    def take(self) -> dict[str, list[int]] | None:
        """What is to be looked up now; None when there is nothing."""
        asked = {what: sorted(numbers - self.seen[what]) for what, numbers in self.pending.items()}
        for what, numbers in asked.items():
            self.seen[what].update(numbers)
            self.pending[what].clear()
        system = [number for number in asked["operators"] if number < FIRST_USER_OBJECT]
        asked["operators"] = [number for number in asked["operators"] if number >= FIRST_USER_OBJECT]
        return {**asked, "system_operators": system} if any(asked.values()) or system else None

    def found(self, row: Mapping[str, Any]) -> None:
        """Take one row of the catalogs, and what it leads to as pending."""
        name, number, detail = Name(row["schema"], row["name"]), row["oid"], row["detail"]
        texts = [(kind, text) for kind, text in zip(row["kinds"] or (), row["trees"] or (), strict=True) if text]
        if row["what"] == "relation":
            self._found_relation(name, number, detail, texts)
            return
        trees = [(kind, read_tree(text)) for kind, text in texts]
        operators = {*(detail.get("operators") or ())} - {0}
        functions = {*(detail.get("functions") or ()), *(detail.get("parts") or ()), *(detail.get("calls") or ())}
        if row["what"] == "function":
            functions |= {called for _, tree in trees for called in tree.functions - self.own.known}
            operators |= {used for _, tree in trees for used in tree.operators}
            functions -= {number}
            self._found_body(number, name, detail, trees)
        else:
            self.inner += [Inner(what=kind, of=name, relation=0, tree=tree) for kind, tree in trees]
            for _, tree in trees:
                self.add(tree)
        hidden = self._is_hidden(detail)
        self.code[row["what"], number] = replace(
            _code(row, frozenset(functions), frozenset(operators), home=self.home, body=self.read.get(number)),
            hidden=hidden,
            planned=self._is_planned(detail, dict(trees), hidden=hidden),
        )
        # Whoever is called by a cast, or by a body in SQL, is judged as if a statement named it.
        if row["extension"] not in KNOWN or row["what"] == "cast" or detail.get("language") == "sql":
            self.pending["functions"] |= {part for part in functions if part >= FIRST_USER_OBJECT}
            self.pending["types"] |= set(detail.get("types") or ())
            self.pending["operators"] |= {used for used in operators if used >= FIRST_USER_OBJECT}

    def _found_body(
        self, number: int, name: Name, detail: Mapping[str, Any], trees: Iterable[tuple[str, Tree]]
    ) -> None:
        """Note what is to be known of what a function does: it has a tree already, is known by its words, or is to be read."""
        plain = detail.get("plain")
        body = Body.of(name, detail["language"], plain)
        if body is None:
            for kind, tree in trees:
                if kind == "body" and plain is not None and not tree.relations:
                    self.read[number] = tree
                    self.add(tree)
        elif body.known and not detail.get("calls"):
            self.read[number] = Tree()
        else:
            self.bodies[number] = body

    def _found_relation(
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
            said=_said(columns, kin),
            secured=detail["secured"],
            reads_as=detail["reads_as"] or 0,
        )
        # A virtual column stands for an expression, which may be a constant.
        plans = not self.writes and not any(kind == "column" for kind, _ in texts)
        for kind, text in texts:
            shut = (
                shut_calls(text, recheck=kind == "index condition") if plans and kind in _PLANNED_WITH else frozenset()
            )
            tree = read_tree(text)
            self.inner.append(Inner(what=kind, of=name, relation=number, tree=tree, shut=shut))
            if kind == "source":  # of a materialised view, which is read as it was filled
                self.pending["relations"] |= tree.relations
            else:
                self.add(tree)
        self.pending["relations"] |= {other for _, _, _, other, below, _ in kin if below} | {
            other for other, _, _ in written
        }
        self.pending["functions"] |= {function for _, function, _ in detail["triggers"] or ()}
        self.pending["types"] |= set(detail["types"] or ())

    def _is_hidden(self, detail: Mapping[str, Any]) -> bool:
        """Whether a function's body is text in SQL that may run a user's code, or anything that is not a plain value."""
        text = detail.get("text")
        return text is not None and (detail["reads"] or not is_plain_body(text, self.own.named))

    def _is_planned(self, detail: Mapping[str, Any], trees: Mapping[str, Tree], *, hidden: bool) -> bool:
        """Whether planning with a call of a function may run more than its arguments: a default's code, or its body's."""
        inlined = bool(detail.get("inlined"))
        run = [tree for kind, tree in trees.items() if kind == "default" or (kind == "body" and inlined)]
        runs_more = any(not _is_plain(tree, self.own.known) for tree in run)
        return bool(detail.get("planned")) or runs_more or (inlined and hidden)

    def relations_with_sources(self) -> dict[int, Relation]:
        """The relations, those of views with every column that is read for them."""
        read = {
            number: {pair for inner in self.inner if inner.relation == number for pair in inner.tree.columns}
            for number, relation in self.relations.items()
            if relation.kind in {"v", "m"}
        }
        return {
            number: replace(relation, shows=self._shown(_reached(number, read))) if number in read else relation
            for number, relation in self.relations.items()
        }

    def _shown(self, pairs: Iterable[tuple[int, int]]) -> tuple[tuple[Name, str], ...]:
        found = set()
        for number, column in pairs:
            relation = self.relations.get(number)
            if relation is not None:
                columns = {relation.numbers.get(column, "")} if column else {*relation.columns}
                columns |= {other for name, other in relation.derived if name in columns}
                found |= {(relation.name, name) for name in ("", *columns)}
        return tuple(sorted(found))


def _said(columns: Sequence[Any], kin: Sequence[Any]) -> dict[str, tuple[str, str | None, str, str]]:
    told: dict[str, str] = {}
    for name, comment in (pair for one in kin for pair in one[5] or ()):
        told[name] = f"{told.get(name, '')} {comment}"
    return {
        name: (declared, base, category, f"{comment}{told.get(name, '')}")
        for _, name, declared, base, category, comment in columns
    }


def _reached(number: int, read: Mapping[int, set[tuple[int, int]]]) -> set[tuple[int, int]]:
    """The columns that are read for a view, those for the views that it reads included."""
    found: set[tuple[int, int]] = set()
    pending, seen = [number], {number}
    while pending:
        for pair in read.get(pending.pop(), ()):
            found.add(pair)
            if pair[0] not in seen:
                seen.add(pair[0])
                pending.append(pair[0])
    return found


def _home(schemas: Sequence[str]) -> re.Pattern[str]:
    """Finds the schema where the application's names are looked up first, in the signature of a function or a type's name."""
    quoted = sql.Identifier(schemas[0]).as_string() if schemas else ""
    written = "|".join(re.escape(form) for form in {quoted, quoted.strip('"')} if form)
    return re.compile(rf"(?:^|(?<=[(,])|(?<= to ))(?:{written or '(?!)'})\.")


def _code(
    row: Mapping[str, Any],
    functions: frozenset[int],
    operators: frozenset[int],
    *,
    home: re.Pattern[str],
    body: Tree | None = None,
) -> Code:
    detail = row["detail"]
    name = home.sub("", row["name"]) if row["what"] in {"support", "cast"} else row["name"]
    return Code(
        what=row["what"],
        name=Name(row["schema"], name),
        extension=row["extension"],
        functions=functions,
        operators=operators,
        kind=detail.get("kind") or "",
        language=detail.get("language") or "",
        definer=bool(detail.get("definer")),
        owner=detail.get("owner") or "",
        signature=home.sub("", detail.get("signature") or ""),
        digest=detail.get("digest") or "",
        source=detail.get("source") or "",
        body=body,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bodies:
    """Reads the bodies of functions, each once while the catalogs are the same; none where the server may not be asked."""

    kept: _Kept
    conn: Connection
    runs_as: ServerFacts
    may_probe: bool
    logins: tuple[str, ...]

    async def read(self, search: _Search) -> None:
        """Give the functions that `search` found as text what the server makes of them, and follow that."""
        for number, body in search.bodies.items():
            if number not in self.kept.bodies and self.may_probe:
                self.kept.bodies[number] = await self._tree(body)
            tree = self.kept.bodies.get(number)
            if tree is not None and not tree.relations:
                search.code["function", number] = replace(search.code["function", number], body=tree)
                search.add(tree)
        search.bodies.clear()

    async def _tree(self, body: Body) -> Tree | None:
        query = body.query()
        if query is None or _is_read_with_code(query, self.kept.own):
            return None
        head = f"({body.arguments}) RETURNS {body.returns}"
        try:
            return (await _probe(query.text, self.conn, self.runs_as, head=head, own_path=body.own_path))[0]
        except psycopg.OperationalError:
            raise
        except psycopg.DatabaseError:  # it would fail when it runs, too
            return None


async def _follow(search: _Search, conn: Connection, reading: _Bodies | None) -> None:
    for _ in range(_MOST_ROUNDS):
        asked = search.take()
        if asked is None:
            return
        values = {
            **asked, "writes": search.writes, "extensions": list(search.own.extensions),
            "adopted": list(search.own.adopted), "logins": list(search.logins),
            "replaced": [one for one in (*asked["operators"], *asked["system_operators"]) if one not in search.alone],
        }  # fmt: skip
        for query in ("behind", "compared_by") if search.own.families else ("behind",):
            for row in await fetch_all(conn, _QUERIES[query], values, prepare=True):
                search.found(row)
        if reading is not None:
            await reading.read(search)
    search.inner.append(Inner(what="depth", of=Name("", ""), relation=0, tree=Tree(writes=True)))
