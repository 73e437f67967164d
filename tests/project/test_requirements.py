"""The requirements' usage examples, as they stand there, on the demonstration application."""

from __future__ import annotations

import asyncio

import psycopg

from agent.runtime import Runtime


async def test_auto_discovery(demo_runtime: Runtime, capsys) -> None:
    from agent.learning.auto_discover import auto_discovery

    # Discover entire app structure
    knowledge = await auto_discovery.discover_app_structure()

    print(f"Discovered {len(knowledge['tables'])} tables")
    print(f"Discovered {len(knowledge['functions'])} functions")

    # Get cached structure
    structure = await auto_discovery.get_cached_structure()
    print(f"Last discovered: {structure.get('discovered_at')}")

    assert len(knowledge["tables"]) >= 12
    assert len(knowledge["functions"]) >= 2
    assert structure["discovered_at"]
    assert "Discovered" in capsys.readouterr().out


async def test_semantic_search(demo_runtime: Runtime) -> None:
    from agent.learning.memory import agent_memory
    from agent.learning.semantic_search import semantic_search

    await agent_memory.save("Campaign optimization worked best on weekday mornings.")
    await agent_memory.save("Invoices are sent on the first of the month.")

    # Search past learning
    memories = await semantic_search.search_memories("campaign optimization", limit=5)

    # Get relevant context
    context = await semantic_search.get_relevant_context("How to optimize campaigns?")

    assert "weekday mornings" in memories[0]["content"]
    assert "weekday mornings" in str(context)


async def test_safe_execution(demo_runtime: Runtime) -> None:
    from agent.execution.safe_executor import safe_executor

    # Execute safely
    result = await safe_executor.execute(
        "execute_sql",
        {"sql": "SELECT * FROM campaigns LIMIT 10"},
        require_approval=True
    )  # fmt: skip

    assert result["success"]
    assert len(result["rows"]) == 10


async def test_human_approval(demo_runtime: Runtime) -> None:
    from agent.approval.human_approval import human_approval_queue

    async def boss() -> None:
        while not (waiting := await human_approval_queue.get_pending_approvals()):
            await asyncio.sleep(0.02)
        await human_approval_queue.decide(waiting[0]["id"], "approve", decided_by="boss")

    deciding = asyncio.create_task(boss())
    acted = False

    # Request approval
    approval = await human_approval_queue.request_approval(
        "pause_stripe_payouts",
        {"card_last4": "1234"},
        risk_level="HIGH"
    )  # fmt: skip

    if approval["approved"]:
        # Execute action
        acted = True

    await deciding
    assert acted

    # Get pending
    pending = await human_approval_queue.get_pending_approvals()
    print(f"{len(pending)} approvals pending")
    assert pending == []


async def test_the_execution_log_is_read_by_its_plain_name(demo_runtime: Runtime) -> None:
    from agent.execution.safe_executor import safe_executor

    await safe_executor.execute("execute_sql", {"sql": "SELECT count(*) FROM clients"})
    async with demo_runtime.connection() as conn:
        rows = await (
            await conn.execute(
                """
                SELECT * FROM agent_execution_log
                ORDER BY created_at DESC
                LIMIT 100;
                """
            )
        ).fetchall()
    assert rows[0]["action"] == "execute_sql"


def test_the_first_migration_makes_what_the_requirements_name(demo_settings) -> None:
    with psycopg.connect(demo_settings.database_url.get_secret_value()) as conn:
        tables = {
            row[0] for row in conn.execute("select relname from pg_class where relnamespace = 'agents'::regnamespace")
        }
        functions = {
            row[0] for row in conn.execute("select proname from pg_proc where pronamespace = 'agents'::regnamespace")
        }
        first = conn.execute(
            "select name from supabase_migrations.schema_migrations order by version limit 1"
        ).fetchone()
    assert {"agent_memory", "human_approval_queue", "agent_execution_log"} <= tables
    assert {"discover_tables", "discover_functions", "discover_relationships", "search_memories"} <= functions
    assert first == ("agent_learning_system",)
