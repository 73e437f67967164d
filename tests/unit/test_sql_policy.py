"""What a statement is, decided without a database."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import InvalidArguments
from agent.execution.acting import wrap
from agent.execution.catalog import Code, Facts, Inner, Relation
from agent.execution.json_values import from_json, plain, shorten
from agent.execution.sql_parsing import MOST_CHARACTERS, Name, kind_of, parse, same, walk
from agent.execution.sql_policy import judge
from agent.types import Assessment


def assess(sql: str, facts: Facts | None = None, **options: str) -> Assessment:
    return judge(parse(sql), facts or Facts(), **options)


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
        ("VACUUM t", "refuse", "HIGH", "transaction:impossible"),
        ("CREATE INDEX CONCURRENTLY i ON t (a)", "refuse", "HIGH", "transaction:impossible"),
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
    facts = Facts(code=(Code(what="function", name=Name("public", "lower"), extension=extension),))
    assert assess("SELECT lower('A')", facts).verdict == "ask"
    assert assess("SELECT pg_catalog.lower('A')", facts).verdict == "run"


def test_functions_of_a_known_extension_run() -> None:
    facts = Facts(code=(Code(what="function", name=Name("public", "cosine_distance"), extension="vector"),))
    assert assess("SELECT cosine_distance(a, b) FROM t", facts).verdict == "run"
    assert assess("SELECT public.cosine_distance(a, b) FROM t", facts).verdict == "run"
    assert assess("SELECT other.cosine_distance(a, b) FROM t", facts).verdict == "ask"


def test_what_is_behind_a_view_counts() -> None:
    view = Relation(name=Name("public", "v"), kind="v", columns=("a",), definition="...")
    inner = Inner(what="view", of=view.name, statement=parse("SELECT pg_sleep(1)"))
    assessment = assess("SELECT * FROM v", Facts(relations=(view,), inner=(inner,)))
    assert assessment.verdict == "ask"
    assert any("pg_sleep" in reason for reason in assessment.reasons)


def test_supabase_policies_may_ask_who_is_signed_in_and_views_may_not_call_what_they_like() -> None:
    table = Relation(name=Name("public", "t"), kind="r", columns=("a",))
    policy = Inner(what="policy", of=table.name, statement=parse("SELECT auth.uid() = owner"))
    assert assess("SELECT * FROM t", Facts(relations=(table,), inner=(policy,))).verdict == "run"
    view = Inner(what="view", of=table.name, statement=parse("SELECT auth.uid()"))
    assert assess("SELECT * FROM t", Facts(relations=(table,), inner=(view,))).verdict == "ask"


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
    if judge(statement, Facts()).verdict == "run":
        planned_only = statement.kind == "ExplainStmt" and "ANALYZE" not in words
        assert planned_only or not {kind_of(part) for part in walk(statement.node)} & _WRITING


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
    assert plain(b"\x00" * 40) == "\\x" + "00" * 32 + "… (40 bytes)"
    assert shorten("x" * 10, 4) == ("xxxx… (10 characters)", True)


@pytest.mark.parametrize("version", [150_000, 180_000])
@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE t SET a = 1.50, b = '{\"a\":1}'::jsonb WHERE id IN (1, 2) AND name LIKE 'x%' OR NOT a BETWEEN 1 AND 2",
        "DELETE FROM t USING u WHERE t.id = u.id AND EXISTS (SELECT 1 FROM v WHERE v.x = t.x)",
        "INSERT INTO t (a, b) VALUES (1, 'x''y'), (2, E'a\\nb') ON CONFLICT (a) DO UPDATE SET b = excluded.b RETURNING a",
        'UPDATE "Weird Table" AS w SET "Co l" = $$x$$ WHERE w."Co l" = \'é😀\'',
    ],
)
def test_a_write_is_wrapped_to_return_its_rows(sql: str, version: int) -> None:
    wrapped = wrap(parse(sql), version=version)
    assert wrapped is not None
    assert "agent_before" in wrapped


def test_a_write_whose_returned_expressions_may_act_is_run_as_it_was_written() -> None:
    assert wrap(parse("DELETE FROM t RETURNING f(a)"), version=180_000) is None
    assert wrap(parse("WITH x AS (DELETE FROM u) DELETE FROM t"), version=180_000) is None
    assert wrap(parse("TRUNCATE t"), version=180_000) is None


def test_statements_are_compared_without_their_positions() -> None:
    assert same(parse("DELETE FROM t WHERE a=1").node, parse("delete  from t\n where (a = 1)").node)
    assert not same(parse("DELETE FROM t WHERE a = 1").node, parse("DELETE FROM t WHERE a = 2").node)
