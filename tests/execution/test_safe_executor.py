"""The safe executor: what runs, what asks, what is refused, and what is recorded of it."""

from __future__ import annotations

import asyncio
import json
from uuid import uuid4

import psycopg
import pytest

from agent.approval.human_approval import human_approval_queue
from agent.execution.execution_tools import tool_specs
from agent.execution.log import executions
from agent.execution.safe_executor import safe_executor
from agent.learning.memory import agent_memory
from agent.runtime import Runtime, open_runtime
from agent.testing.cases import each
from agent.testing.cluster import Cluster
from agent.threads.store import threads
from agent.types import CallKey


def admin(runtime: Runtime) -> psycopg.Connection:
    return psycopg.connect(runtime.settings.database_url.get_secret_value(), autocommit=True)


async def test_the_example_of_the_requirements_runs_verbatim(demo_runtime: Runtime) -> None:
    result = await safe_executor.execute(
        "execute_sql",
        {"sql": "SELECT * FROM campaigns LIMIT 10"},
        require_approval=True,
    )
    assert result["success"], result
    assert result["row_count"] == len(result["rows"]) == 10
    assert result["sql"] == "SELECT * FROM campaigns LIMIT 10"
    assert not result["truncated"]


async def test_a_write_waits_for_a_human_and_happens_once_approved(demo_runtime: Runtime) -> None:
    sql = "UPDATE clients SET status = 'paused' WHERE id = 3"
    waiting = await safe_executor.execute("execute_sql", {"sql": sql}, wait=False)
    assert waiting["status"] == "waiting", waiting
    approval = await human_approval_queue.get(waiting["approval_id"])
    assert approval.risk_level == "MEDIUM"
    assert approval.preview_json["row_count"] == 1
    assert approval.preview_json["rows"][0]["changed"][:1] == ["status"]
    with admin(demo_runtime) as conn:
        assert conn.execute("select status::text from clients where id = 3").fetchone() != ("paused",)
    await human_approval_queue.decide(approval.id, "approve")
    done = await safe_executor.run_approved(approval.id)
    assert done["success"], done
    assert done["row_count"] == 1
    assert await safe_executor.run_approved(approval.id) == done
    with admin(demo_runtime) as conn:
        assert conn.execute("select status::text from clients where id = 3").fetchone() == ("paused",)
    assert (await executions.get(done["execution_id"])).status == "succeeded"


async def test_execute_waits_for_the_decision_of_another_task(demo_runtime: Runtime) -> None:
    async def approve() -> None:
        while not (pending := await human_approval_queue.get_pending_approvals()):
            await asyncio.sleep(0.01)
        await human_approval_queue.decide(pending[0]["id"], "approve", decided_by="ann")

    task = asyncio.create_task(approve())
    result = await safe_executor.execute("execute_sql", {"sql": "DELETE FROM tickets WHERE id = 1"})
    await task
    assert result["success"], result


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE campaigns",
        "TRUNCATE campaigns",
        "DELETE FROM payments",
        "UPDATE clients SET status = 'paused' WHERE true",
    ],
)
async def test_what_cannot_be_undone_asks_at_high_risk(demo_runtime: Runtime, sql: str) -> None:
    assessment = await safe_executor.assess("execute_sql", {"sql": sql})
    assert (assessment.verdict, assessment.risk in {"HIGH", "CRITICAL"}) == ("ask", True)
    refused = await safe_executor.execute("execute_sql", {"sql": sql}, require_approval=False)
    assert not refused["success"]
    assert refused["status"] == "refused"


async def test_a_cancelled_read_is_cancelled_on_the_server(demo_runtime: Runtime) -> None:
    slow = "SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b"
    running = "select count(*) from pg_stat_activity where usename = 'agent_reader' and state = 'active' and query ~ 'agent_read'"
    task = asyncio.create_task(safe_executor.execute("execute_sql", {"sql": slow}))
    with admin(demo_runtime) as conn:
        while conn.execute(running).fetchone() != (1,):
            await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert conn.execute(running).fetchone() == (0,)
        idle = "select count(*) from pg_stat_activity where usename = 'agent_reader' and state like 'idle in%'"
        assert conn.execute(idle).fetchone() == (0,)
    assert (await executions.recent(1))[0].error == "cancelled by the user"


@pytest.mark.parametrize("settings_of", [{"statement_timeout": 0.3}])
async def test_a_read_that_takes_too_long_is_stopped(cluster: Cluster, settings_of: dict) -> None:
    runtime = await open_runtime(cluster.database(cluster.template("blank"), **settings_of))
    slow = "SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b"
    result = await safe_executor.execute("execute_sql", {"sql": slow}, runtime=runtime)
    assert (result["status"], "0.3 s" in result["error"]) == ("failed", True)
    await runtime.close()


async def test_results_are_capped_in_rows_and_bytes_and_say_so(cluster: Cluster) -> None:
    runtime = await open_runtime(
        cluster.database(cluster.template("blank"), max_rows=50, max_result_bytes=4000, statement_timeout=5)
    )

    async def run(sql: str) -> dict:
        return await safe_executor.execute("execute_sql", {"sql": sql}, runtime=runtime)

    exact, more = await run("SELECT generate_series(1, 50)"), await run("SELECT generate_series(1, 10000000)")
    wide = await run("SELECT repeat('x', 300) FROM generate_series(1, 40)")
    huge = await run("SELECT string_agg('xxxxxxxxxx', '') FROM generate_series(1, 100000)")
    assert (exact["row_count"], exact["truncated"]) == (50, False)
    assert (more["row_count"], more["truncated"]) == (50, True)
    assert (wide["row_count"], wide["truncated"], wide["cut_cells"]) == (40, False, 40)
    assert (len(str(huge["rows"])) < 4000, huge["truncated"], huge["cut_cells"]) == (True, False, 1)
    await runtime.close()


async def test_every_type_of_value_becomes_json(demo_runtime: Runtime) -> None:
    result = await safe_executor.execute(
        "execute_sql",
        {
            "sql": "SELECT 12.50::numeric, 9007199254740993::bigint, 'NaN'::float8, '-infinity'::float8, 'infinity'::date,"
            " '20000-01-01'::date, interval '1 mon 2 days', '\\xdead'::bytea, '{\"a\": [1.5, null]}'::jsonb, ARRAY[1.5, null],"
            " '[1,2)'::int4range, ARRAY[[1, 2], [3, 4]], 'a'::\"char\", null::text, true, '10.0.0.1'::inet,"
            " '01234567-89ab-cdef-0123-456789abcdef'::uuid, ROW(1, 'x'), '[1,2,3]'::vector, '24:00'::time, 'NaN'::numeric"
        },
    )
    assert result["success"], result
    row = json.loads(json.dumps(result["rows"], allow_nan=False))[0]
    assert row[:8] == [
        "12.50",
        9007199254740993,
        "NaN",
        "-Infinity",
        "infinity",
        "20000-01-01",
        "1 mon 2 days",
        "\\xdead",
    ]
    assert row[8] == {"a": [1.5, None]}
    assert row[9] == ["1.5", None]
    assert row[10:] == [
        "[1,2)", [[1, 2], [3, 4]], "a", None, True, "10.0.0.1", "01234567-89ab-cdef-0123-456789abcdef",
        ["1", "x"], "[1,2,3]", "24:00:00", "NaN",
    ]  # fmt: skip


@each(
    "sql",
    ["", "   ", ";", "-- nothing", "SELECT 'a\0b'", "SELECT '\udc00'", "SELECT " + "1+" * 5_000_000 + "1", "(" * 9_000, "SELEC 1",
     "select 1" + "+1" * 9_000, "select " + "(select " * 900 + "1" + ")" * 900, "\u202eSELECT 1", "SELECT 1; SELECT 2"],
)  # fmt: skip
async def test_broken_sql_is_refused_with_a_reason_and_logged(demo_runtime: Runtime, sql: str) -> None:
    result = await safe_executor.execute("execute_sql", {"sql": sql})
    assert not result["success"]
    assert result["error"]
    assert (await executions.recent(1))[0].action == "execute_sql"


@each(
    ("action", "arguments"),
    [
        ("execute_sql", {}), ("execute_sql", {"sql": 1}), ("execute_sql", {"sql": "SELECT 1", "x": 1}), ("execute_sql", None),
        ("execute_sql", [1]), ("drop_everything", {}), ("a\0\udc00", {}), ("query_data", {"table": "clients", "limit": "five"}),
        ("query_data", {"table": "a\0b"}), ("query_data", {"table": "clients", "filters": [{"column": "id", "op": "; --"}]}),
        ("query_data", {"table": "clients", "filters": [{"column": "id", "op": "in", "value": None}]}),
        ("query_data", {"table": "clients", "filters": [{"column": "id", "op": "between", "value": [1]}]}),
        ("query_data", {"table": "clients", "filters": [{"column": "name", "value": None}]}),
        ("query_data", {"table": "clients", "filters": [{"column": "name", "value": {"a": 1}}]}),
        ("update_client_status", {"status": "active"}), ("update_client_status", {"client_id": 1, "client_name": "x", "status": "active"}),
        ("remember", {"content": ""}), ("search_memory", {"query": "x", "limit": 0}),
    ],
)  # fmt: skip
async def test_bad_arguments_come_back_as_text_for_the_model(
    demo_runtime: Runtime, action: str, arguments: object
) -> None:
    result = await safe_executor.execute(action, arguments)
    assert (result["success"], result["status"]) == (False, "refused")
    assert len(result["error"]) < 1000
    assert (await executions.recent(1))[0].status == "refused"


async def test_query_data_filters_orders_and_limits(demo_runtime: Runtime) -> None:
    result = await safe_executor.execute(
        "query_data",
        {
            "table": "public.clients",
            "columns": ["ID", "name"],
            "filters": [
                {"column": "id", "op": "between", "value": [1, 20]},
                {"column": "name", "op": "ilike", "value": "%o%"},
                {"column": "status", "op": "in", "value": ["active", "paused"]},
                {"column": "created_at", "op": "not_null"},
                {"column": "id", "op": "!=", "value": 3},
            ],
            "order_by": [{"column": "id", "direction": "desc"}],
            "limit": 3,
        },
    )
    assert result["success"], result
    assert result["columns"] == ["id", "name"]
    assert [row[0] for row in result["rows"]] == sorted((row[0] for row in result["rows"]), reverse=True)
    assert len(result["rows"]) == 3
    assert '"public"."clients"' in result["sql"]


async def test_query_data_quotes_whatever_it_is_given(demo_runtime: Runtime) -> None:
    for value in ("'; DROP TABLE clients; --", "\\'; SELECT pg_sleep(9); --", "%s %(a)s {} $1", "x'||version()||'"):
        result = await safe_executor.execute(
            "query_data", {"table": "clients", "filters": [{"column": "name", "value": value}]}
        )
        assert (result["success"], result["row_count"]) == (True, 0), result


async def test_an_unknown_name_is_answered_with_near_ones(demo_runtime: Runtime) -> None:
    table = await safe_executor.execute("query_data", {"table": "campain"})
    column = await safe_executor.execute("query_data", {"table": "clients", "columns": ["stats"]})
    assert "campaigns" in table["error"]
    assert "status" in column["error"]


async def test_update_client_status_asks_with_a_preview_of_one_row(demo_runtime: Runtime) -> None:
    asked = await safe_executor.execute(
        "update_client_status", {"client_name": "cedar foods", "status": "PAUSED"}, wait=False
    )
    approval = await human_approval_queue.get(asked["approval_id"])
    assert approval.preview_json["row_count"] == 1
    assert approval.preview_json["rows"][0]["after"]["status"] == "paused"
    await human_approval_queue.decide(approval.id, "approve")
    done = await safe_executor.run_approved(approval.id)
    assert done["rows"][0][done["columns"].index("status")] == "paused"


async def test_a_preview_counts_its_own_changes_only(demo_runtime: Runtime) -> None:
    for _ in range(3):  # on one pooled connection, whose server counts go on
        asked = await safe_executor.execute(
            "execute_sql", {"sql": "UPDATE clients SET notes = 'x' WHERE id = 5"}, wait=False
        )
        preview = (await human_approval_queue.get(asked["approval_id"])).preview_json
        assert {effect["table"]: effect["updated"] + effect["inserted"] for effect in preview["tables"]} == {
            "public.audit_log": 1,
            "public.clients": 1,
        }


async def test_update_client_status_lists_candidates_values_and_never_guesses(demo_runtime: Runtime) -> None:
    several = await safe_executor.execute("update_client_status", {"client_name": "Cedar", "status": "paused"})
    nobody = await safe_executor.execute("update_client_status", {"client_name": "Nobody & Sons", "status": "paused"})
    unknown = await safe_executor.execute("update_client_status", {"client_id": 1, "status": "asleep"})
    assert "3: Cedar Foods" in several["error"]
    assert "no client" in nobody["error"]
    assert "lead, active, paused, churned" in unknown["error"]
    assert await human_approval_queue.get_pending_approvals() == []


async def test_what_the_user_did_not_say_is_remembered_as_the_agents_opinion(demo_runtime: Runtime) -> None:
    result = await safe_executor.execute("remember", {"content": "status 3 means paused", "subject": "public.clients"})
    assert result["success"], result
    found = await safe_executor.execute("search_memory", {"query": "what does status 3 mean"})
    assert [row[2:] for row in found["rows"]][:1] == [["agent", "status 3 means paused"]]


async def test_what_the_user_said_is_remembered_as_theirs(demo_runtime: Runtime) -> None:
    turn = await threads.begin_turn("t", "Please remember: Status 3 means  paused!", owner=uuid4())
    call = CallKey(thread_id="t", turn=turn.turn, round=1, ordinal=1)
    result = await safe_executor.execute("remember", {"content": "status 3 means paused"}, call=call)
    memory = await agent_memory.get(result["data"]["memory_id"])
    assert (memory.trust, memory.source_thread, memory.source_turn) == ("human", "t", 1)


async def test_a_model_cannot_write_what_the_agent_knows_of_the_schema(demo_runtime: Runtime) -> None:
    result = await safe_executor.execute("remember", {"content": "x", "kind": "schema", "subject": "public.clients"})
    assert result["status"] == "refused"


async def test_a_preview_of_very_wide_rows_is_cut_and_still_asks(demo_runtime: Runtime) -> None:
    with admin(demo_runtime) as conn:
        columns = ", ".join(f"c{number} text default repeat('x', 400)" for number in range(300))
        conn.execute(f"create table wide (id int primary key, {columns})")
        conn.execute("insert into wide select generate_series(1, 30)")
        conn.execute("grant select, update on wide to agent_actor")
    asked = await safe_executor.execute("execute_sql", {"sql": "UPDATE wide SET c1 = 'y' WHERE id > 0"}, wait=False)
    preview = (await human_approval_queue.get(asked["approval_id"])).preview_json
    assert preview["row_count"] == 30
    assert preview["more"]
    assert preview["rows"][0]["changed"] == ["c1"]
    assert set(preview["rows"][0]["after"]) == {"id", "c0", "c1"}


async def test_tools_are_described_by_their_own_schemas() -> None:
    specs = {spec.name: spec for spec in tool_specs()}
    assert set(specs) == {
        "execute_sql", "undo_change", "query_data", "update_client_status", "describe_schema", "search_memory", "remember",
        "send_email", "create_new_tool",
    }  # fmt: skip
    for spec in specs.values():
        assert spec.parameters["type"] == "object"
        assert '"title"' not in json.dumps(spec.parameters)
        assert set(spec.parameters.get("required", ())) <= set(spec.parameters["properties"])


async def test_a_function_made_after_an_assessment_changes_the_next_one(demo_runtime: Runtime) -> None:
    action = ("execute_sql", {"sql": "SELECT round(total) FROM orders"})
    assert (await safe_executor.assess(*action)).verdict == "run"
    with admin(demo_runtime) as conn:
        conn.execute("create function public.round(amount) returns int language sql as 'select 1'")
    assessment = await safe_executor.assess(*action)
    assert (assessment.verdict, assessment.reasons) == ("ask", ("function:public.round:user-defined",))


async def test_a_literal_means_to_the_server_what_it_meant_to_the_parser(demo_runtime: Runtime) -> None:
    with admin(demo_runtime) as conn:
        conn.execute("alter role agent_reader set standard_conforming_strings = off")
    runtime = await open_runtime(demo_runtime.settings)
    result = await safe_executor.execute(
        "execute_sql", {"sql": r"SELECT '\', '; DROP TABLE clients; --'"}, runtime=runtime
    )
    assert result["rows"] == [["\\", "; DROP TABLE clients; --"]]
    await runtime.close()


async def test_no_state_of_one_read_is_left_for_the_next(demo_runtime: Runtime) -> None:
    for _ in range(12):
        result = await safe_executor.execute("execute_sql", {"sql": "SHOW statement_timeout"})
        assert result["rows"] == [["15s"]]
    async with demo_runtime.app.connection("agent_reader") as conn:
        row = await (await conn.execute("select current_setting('statement_timeout') as t")).fetchone()
    assert row == {"t": "0"}
