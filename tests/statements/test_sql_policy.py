"""What a statement is, decided without a database."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.db.json_values import from_json, plain, shorten
from agent.errors import InvalidArguments
from agent.execution.writes.statement_runner import wrap
from agent.statements.node_trees import Tree, read_tree, statements_in
from agent.statements.parser import MOST_CHARACTERS, Name, kind_of, parse, same, walk
from agent.statements.policy import judge
from agent.statements.resolver import Code, Inner, Relation, Resolution
from agent.statements.trusted_functions import body_hash
from agent.types import Assessment

HARMLESS = Resolution(body=Tree())
LOWER, PG_SLEEP, OWN = 870, 2626, 20_000


def assess(sql: str, resolution: Resolution = HARMLESS, **options: object) -> Assessment:
    return judge(parse(sql), resolution, **options)


def calling(number: int, code: Code | None = None, *, known: frozenset[int] = frozenset({LOWER})) -> Resolution:
    """What the server says of a statement that calls the function of this number."""
    found = {("function", number): code} if code else {}
    return Resolution(body=Tree(functions=frozenset({number})), code=found, known=known)


@pytest.mark.parametrize(
    ("sql", "verdict", "risk", "reason"),
    [
        ("SELECT 1", "run", "LOW", "read"),
        ("INSERT INTO t VALUES (1)", "ask", "MEDIUM", "write:insert"),
        ("UPDATE t SET a = 1 WHERE id = 2", "ask", "MEDIUM", "write:update"),
        ("UPDATE t SET a = 1", "ask", "HIGH", "no-where"),
        ("DELETE FROM t WHERE 1 = 1", "ask", "HIGH", "no-where"),
        ("DELETE FROM t WHERE true", "ask", "HIGH", "no-where"),
        ("WITH x AS (DELETE FROM t RETURNING a) SELECT a FROM x", "ask", "HIGH", "write:delete"),
        ("DROP TABLE t", "ask", "CRITICAL", "write:drop"),
        ("TRUNCATE t", "ask", "CRITICAL", "write:truncate"),
        ("ALTER TABLE t ADD COLUMN a int", "ask", "HIGH", "write:alter-table"),
        ("GRANT SELECT ON t TO public", "ask", "CRITICAL", "write:grant"),
        ("CREATE TABLE t (a int)", "ask", "HIGH", "write:create-table"),
        ("SELECT f(1)", "ask", "HIGH", "function:f"),
        ("SELECT * FROM t FOR UPDATE", "ask", "MEDIUM", "lock:rows"),
        ("SELECT 1 INTO x", "ask", "MEDIUM", "write:into"),
        ("DO $$ begin end $$", "refuse", "HIGH", "kind:DoStmt"),
        ("COPY t TO PROGRAM 'x'", "refuse", "HIGH", "kind:CopyStmt"),
        ("SET ROLE x", "refuse", "HIGH", "kind:VariableSetStmt"),
        ("COMMIT", "refuse", "HIGH", "kind:TransactionStmt"),
        ("SELECT * FROM agents.controls", "refuse", "HIGH", "schema:agents"),
        ("SELECT set_config('a', 'b', true)", "refuse", "HIGH", "function:set_config"),
        ("VACUUM t", "ask", "HIGH", "transaction:none"),
        ("CREATE INDEX CONCURRENTLY i ON t (a)", "ask", "HIGH", "transaction:none"),
        ("ALTER TABLE t DETACH PARTITION p CONCURRENTLY", "refuse", "HIGH", "transaction:impossible"),
    ],
)
def test_a_statement_has_a_verdict_a_risk_and_a_code(sql: str, verdict: str, risk: str, reason: str) -> None:
    assessment = assess(sql)
    assert (assessment.verdict, assessment.risk) == (verdict, risk)
    assert reason in assessment.reasons
    assert assessment.sentence.endswith((".", "…"))


def test_objects_are_what_is_named_and_not_the_names_of_subqueries() -> None:
    assert assess("WITH x AS (SELECT * FROM a.b) SELECT * FROM x JOIN c ON true").objects == ("a.b", "c")


@pytest.mark.parametrize(
    ("sql", "objects"),
    [
        ("DROP TABLE clients, public.orders", ("clients", "public.orders")),
        ("DROP FUNCTION f(int), s.g()", ("f", "s.g")),
        ("DROP TYPE t", ("t",)),
        ("DROP SCHEMA s", ("s",)),
        ("DROP POLICY p ON clients", ("clients.p",)),
        ("DROP CAST (int AS text)", ()),
    ],
)
def test_a_drop_names_what_it_drops(sql: str, objects: tuple[str, ...]) -> None:
    assert assess(sql).objects == objects


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT agents.tenant()", "SELECT * FROM agents.controls", "SELECT agents.controls.reason FROM agents.controls",
        "SELECT 'x'::agents.t", "DROP TABLE agents.controls", "DROP TABLE a, agents.controls", "DROP SCHEMA agents",
        "DROP SCHEMA public, agents_checkpoints CASCADE", "DROP FUNCTION agents.begin_effect(bigint, uuid)",
        "GRANT ALL ON ALL TABLES IN SCHEMA agents TO agent_actor", "GRANT USAGE ON SCHEMA agents TO public",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA agents GRANT SELECT ON TABLES TO public", "ALTER SCHEMA agents RENAME TO x",
        "ALTER SCHEMA agents OWNER TO x", "ALTER TABLE t SET SCHEMA agents", "CREATE TABLE agents.t (a int)",
        "CREATE SCHEMA agents_x", "COMMENT ON SCHEMA agents IS 'x'", "COMMENT ON TABLE agents.controls IS 'x'",
        "CREATE TRIGGER t AFTER INSERT ON x EXECUTE FUNCTION agents.f()", "TRUNCATE agents.controls",
        "CREATE VIEW v AS SELECT * FROM agents.controls", "ALTER FUNCTION agents.tenant() OWNER TO x",
        "CREATE EXTENSION hstore SCHEMA agents", "CREATE FUNCTION agents.f() RETURNS int LANGUAGE sql AS 'select 1'",
        "INSERT INTO agents.controls DEFAULT VALUES", "CALL agents.isolate_tenants('x')", "CREATE TABLE t (a agents.x)",
        "CREATE TABLE t (LIKE agents.controls)", "CREATE TABLE t (a int REFERENCES agents.controls)",
        "CREATE POLICY p ON agents.controls", "EXPLAIN SELECT * FROM agents.controls",
    ],
)  # fmt: skip
def test_nothing_may_name_the_agents_own_schema(sql: str) -> None:
    assert assess(sql).verdict == "refuse"


@pytest.mark.parametrize(
    "sql",
    ["SELECT agents.name FROM agents", "SELECT public.agents.id FROM public.agents", "SELECT 'agents' AS agents", "DROP TABLE agents",
     "ALTER TABLE agents ADD COLUMN agents text DEFAULT 'agents'", "UPDATE agents SET name = 'agents' WHERE id = 1"],
)  # fmt: skip
def test_a_table_of_the_application_may_be_called_agents(sql: str) -> None:
    assert assess(sql).verdict in {"run", "ask"}


@pytest.mark.parametrize("extension", [None, "unheard_of"])
def test_user_made_code_of_an_allowed_name_asks(extension: str | None) -> None:
    shadow = Code(name=Name("public", "lower"), extension=extension, digest="d")
    assert assess("SELECT lower('A')", calling(OWN, shadow)).verdict == "ask"
    assert assess("SELECT pg_catalog.lower('A')", calling(LOWER)).verdict == "run"


def test_functions_of_a_known_extension_run() -> None:
    distance = Code(name=Name("public", "cosine_distance"), extension="vector")
    assert assess("SELECT cosine_distance(a, b) FROM t", calling(OWN, distance)).verdict == "run"
    assert assess("SELECT public.cosine_distance(a, b) FROM t", calling(OWN, distance)).verdict == "run"
    other = Code(name=Name("other", "cosine_distance"), digest="d")
    assert assess("SELECT other.cosine_distance(a, b) FROM t", calling(OWN, other)).verdict == "ask"


def test_what_is_behind_a_view_counts() -> None:
    sleep = Code(name=Name("pg_catalog", "pg_sleep"))
    for what, verdict in (("view", "ask"), ("policy", "ask"), ("index", "ask"), ("source", "run")):
        inner = Inner(kind=what, name=Name("public", "v"), relation=OWN, tree=Tree(functions=frozenset({PG_SLEEP})))
        resolution = Resolution(
            body=Tree(relations=frozenset({OWN})),
            relations={OWN: Relation(name=Name("public", "v"), kind="v", columns=("a",))},
            code={("function", PG_SLEEP): sleep},
            inner=(inner,),
        )
        assessment = assess("SELECT * FROM v", resolution)
        assert assessment.verdict == verdict, what
        assert assessment.objects == ("public.v",)
        assert (f"{what}:public.v:function:pg_sleep" in assessment.reasons) == (verdict == "ask")


def test_a_users_function_runs_only_as_it_was_registered() -> None:
    own = Code(name=Name("public", "f"), digest="now")
    resolution = calling(OWN, own)
    now = body_hash(OWN, resolution.code)
    assert now is not None
    assert assess("SELECT f(1)", resolution, trusted={OWN: now}).verdict == "run"
    changed = assess("SELECT f(1)", resolution, trusted={OWN: "before"})
    assert (changed.verdict, "function:public.f:changed" in changed.reasons) == ("ask", True)
    assert "was changed after" in changed.sentence
    assert assess("SELECT f(1)", resolution, trusted={OWN + 1: now}).verdict == "ask"


def test_a_functions_hash_covers_what_it_calls() -> None:
    def code(inner: str) -> dict[tuple[str, int], Code]:
        return {
            ("function", 1 + OWN): Code(name=Name("", "a"), digest="a", functions=frozenset({2 + OWN})),
            ("function", 2 + OWN): Code(name=Name("", "b"), digest=inner, functions=frozenset({1 + OWN})),
        }

    assert body_hash(1 + OWN, code("b")) != body_hash(1 + OWN, code("c"))
    assert body_hash(1 + OWN, {("function", 1 + OWN): code("b")["function", 1 + OWN]}) is None


@pytest.mark.parametrize(
    ("body", "in_policy", "in_view"),
    [
        (Tree(nodes=frozenset({"FUNCEXPR"}), settings=frozenset({"request.jwt.claim.sub"})), "run", "run"),
        (Tree(nodes=frozenset({"FUNCEXPR"}), settings=frozenset({"request.jwt.claims", "app.secret"})), "run", "ask"),
        (Tree(nodes=frozenset({"CONST"})), "run", "ask"),
        (Tree(), "run", "run"),  # known by its words
        (Tree(writes=True, settings=frozenset({"request.jwt.claims"})), "ask", "ask"),
        (Tree(functions=frozenset({OWN}), settings=frozenset({"request.jwt.claims"})), "ask", "ask"),  # calls itself
        (Tree(functions=frozenset({OWN + 1}), settings=frozenset({"request.jwt.claims"})), "ask", "ask"),
        (None, "ask", "ask"),
    ],
)
def test_a_function_that_tells_who_asks_is_judged_by_what_it_does(
    body: Tree | None, in_policy: str, in_view: str
) -> None:
    uid = Code(name=Name("auth", "uid"), digest="d", body=body)
    for what, verdict in (("policy", in_policy), ("view", in_view)):
        inner = Inner(kind=what, name=Name("public", "t"), relation=OWN, tree=Tree(functions=frozenset({OWN})))
        resolution = Resolution(body=Tree(), code={("function", OWN): uid}, inner=(inner,))
        assert assess("SELECT * FROM t", resolution).verdict == verdict


_TREE = (
    "(({QUERY :commandType 1 :utilityStmt <> :hasModifyingCTE false :hasForUpdate false :rtable ({RANGETBLENTRY :alias {ALIAS"
    " :aliasname x\\ :funcid\\ 5\\ \\{EVIL} :relid 17000}) :rteperminfos ({RTEPERMISSIONINFO :relid 17000 :selectedCols (b 8 10)})"
    " :targetList ({TARGETENTRY :expr {FUNCEXPR :funcid 2077 :funcresulttype 25 :args ({CONST :consttype 25 :constvalue 8"
    " [ 32 0 0 0 84 105 109 101 ]})}}) :rowMarks <>}))"
)


def test_a_tree_of_the_server_says_what_it_uses() -> None:
    tree = read_tree(_TREE)
    assert (tree.relations, tree.columns) == ({17000}, {(17000, 1), (17000, 3)})
    assert (tree.settings, tree.types, tree.writes) == ({"time"}, {25}, False)
    assert tree.nodes == {"QUERY", "RANGETBLENTRY", "ALIAS", "RTEPERMISSIONINFO", "TARGETENTRY", "FUNCEXPR", "CONST"}
    assert statements_in(_TREE) == 1
    assert statements_in("(({QUERY :a {QUERY :b 1}} {QUERY :c 1}))") == 2


@pytest.mark.parametrize(
    "change",
    [
        (":commandType 1", ":commandType 3"), ("hasForUpdate false", "hasForUpdate true"), (":rowMarks <>", ":rowMarks ({ROWMARKCLAUSE})"),
        ("hasModifyingCTE false", "hasModifyingCTE true"), (":utilityStmt <>", ":utilityStmt {NOTIFYSTMT}"),
    ],
)  # fmt: skip
def test_a_tree_that_changes_or_locks_something_says_so(change: tuple[str, str]) -> None:
    assert read_tree(_TREE.replace(*change)).writes


@pytest.mark.parametrize("why", ["replica", "not-supported", "several", "kind"])
def test_what_the_server_did_not_resolve_asks(why: str) -> None:
    assessment = assess("SELECT 1", Resolution(unresolved=why))
    assert (assessment.verdict, f"unresolved:{why}" in assessment.reasons) == ("ask", True)


@pytest.mark.parametrize(
    ("sql", "lock"),
    [
        ("SELECT 1", ""), ("SELECT * FROM t", "AccessShareLock"), ("SELECT * FROM t FOR UPDATE", "RowShareLock"),
        ("UPDATE t SET a = 1", "RowExclusiveLock"), ("DROP TABLE t", "AccessExclusiveLock"), ("CREATE INDEX ON t (a)", "ShareLock"),
        ("WITH x AS (DELETE FROM t RETURNING a) SELECT * FROM x", "RowExclusiveLock"),
    ],
)  # fmt: skip
def test_an_assessment_names_the_strongest_lock(sql: str, lock: str) -> None:
    assert assess(sql).lock == lock


@given(st.text(max_size=200))
def test_any_text_is_judged_or_refused_and_never_crashes(text: str) -> None:
    with suppress(InvalidArguments):
        assert assess(text).verdict in {"run", "ask", "refuse"}


_WORDS = st.sampled_from(
    [
        "SELECT",
        "INSERT",
        "UPDATE",
        "DELETE",
        "FROM",
        "INTO",
        "t",
        "a",
        "WHERE",
        "(",
        ")",
        ",",
        "*",
        ";",
        "WITH",
        "x",
        "AS",
        "RETURNING",
        "VALUES",
        "1",
        "'a'",
        "SET",
        "=",
        "DROP",
        "TABLE",
        "EXPLAIN",
        "ANALYZE",
        "pg_sleep",
        "set_config",
        "agents",
        ".",
        "controls",
        "FOR",
        "COPY",
        "DO",
        "$$",
        "UNION",
        "ALL",
        "LATERAL",
        "VIEW",
        "CREATE",
        "f",
    ]
)


_WRITING = {
    "InsertStmt",
    "UpdateStmt",
    "DeleteStmt",
    "MergeStmt",
    "IntoClause",
    "LockingClause",
    "CopyStmt",
    "DoStmt",
    "DropStmt",
}


@given(st.lists(_WORDS, max_size=14))
def test_no_mixture_of_words_that_writes_counts_as_a_read(words: list[str]) -> None:
    try:
        statement = parse(" ".join(words))
    except InvalidArguments:
        return
    if judge(statement, HARMLESS).verdict == "run":
        assert not {kind_of(part) for part in walk(statement.node)} & _WRITING


@pytest.mark.parametrize(
    "sql",
    [
        "",
        " ",
        "SELECT 'a\0'",
        "SELECT '\udcff'",
        "x" * (MOST_CHARACTERS + 1),
        "SELECT 1; SELECT 2",
        "SELEC",
        "select " + "(select " * 200,
    ],
)
def test_text_that_is_not_one_statement_is_refused_in_words(sql: str) -> None:
    with pytest.raises(InvalidArguments) as caught:
        parse(sql)
    assert 10 < len(str(caught.value)) < 300


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=4),
        max_leaves=20,
    )
)
def test_values_that_are_json_already_stay_as_they_are(value: object) -> None:
    assert plain(value) == value


def test_numbers_lose_nothing() -> None:
    assert plain("12.50", 1700) == "12.50"
    assert plain("12", 1700) == 12
    assert plain("123456789012345678901234567890", 1700) == "123456789012345678901234567890"
    assert from_json('{"a": 0.1, "b": 1.00000000000000000001, "c": 1e400}') == {
        "a": 0.1,
        "b": "1.00000000000000000001",
        "c": "1e400",
    }
    assert from_json("[" * 100_000) == "[" * 100_000
    assert from_json("[30500.00, 12.5, 7, 1e400]", as_written=True) == ["30500.00", 12.5, 7, "1e400"]
    assert plain(b"\x00" * 40) == "\\x" + "00" * 32 + "... (40 bytes)"
    assert shorten("x" * 10, 4) == ("xxxx... (10 characters)", True)


@pytest.mark.parametrize("version", [150_000, 180_000])
@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE t SET a = 1.50, b = '{\"a\":1}'::jsonb WHERE id IN (1, 2) AND name LIKE 'x%' OR NOT a BETWEEN 1 AND 2",
        "DELETE FROM t USING u WHERE t.id = u.id AND EXISTS (SELECT 1 FROM v WHERE v.x = t.x)",
        "INSERT INTO t (a, b) VALUES (1, 'x''y'), (2, E'a\\nb') ON CONFLICT (a) DO NOTHING RETURNING a",
        'UPDATE "Weird Table" AS w SET "Co l" = $$x$$ WHERE w."Co l" = \'é😀\'',
    ],
)
def test_a_write_is_wrapped_to_return_its_rows(sql: str, version: int) -> None:
    wrapped = wrap(parse(sql), version=version)
    assert wrapped is not None
    assert "agent_before" in wrapped


def test_an_upsert_returns_the_rows_it_replaces_from_postgres_18_on() -> None:
    upsert = parse("INSERT INTO t (a, b) VALUES (1, 2) ON CONFLICT (a) DO UPDATE SET b = excluded.b")
    assert wrap(upsert, version=150_000) is None
    assert "agent_before" in (wrap(upsert, version=180_000) or "")


def test_a_write_whose_returned_expressions_may_act_is_run_as_it_was_written() -> None:
    assert wrap(parse("DELETE FROM t RETURNING f(a)"), version=180_000) is None
    assert wrap(parse("WITH x AS (DELETE FROM u) DELETE FROM t"), version=180_000) is None
    assert wrap(parse("TRUNCATE t"), version=180_000) is None


def test_statements_are_compared_without_their_positions() -> None:
    assert same(parse("DELETE FROM t WHERE a=1").node, parse("delete  from t\n where (a = 1)").node)
    assert not same(parse("DELETE FROM t WHERE a = 1").node, parse("DELETE FROM t WHERE a = 2").node)
