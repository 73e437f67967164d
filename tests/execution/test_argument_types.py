"""Arguments that differ only in their type are taken; what means something else is still refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.approval.human_approval import human_approval_queue
from agent.errors import AgentError
from agent.execution.execution_tools import tool_named, tool_specs
from agent.execution.safe_executor import safe_executor
from agent.execution.tools.argument_types import as_typed
from agent.execution.tools.json_schema import ArgumentSchema
from agent.runtime import Runtime


@pytest.mark.parametrize(
    ("tool", "given_arguments", "taken"),
    [
        ("undo_change", {"execution_id": "3"}, {"execution_id": 3}),
        ("undo_change", {"execution_id": 3.0}, {"execution_id": 3}),
        ("execute_sql", {"sql": "select 1", "show_secrets": "true"}, {"sql": "select 1", "show_secrets": True}),
        ("execute_sql", {"sql": "select 1", "show_secrets": "False"}, {"sql": "select 1", "show_secrets": False}),
        ("execute_sql", {"sql": "select 1", "show_secrets": None}, {"sql": "select 1"}),
        ("query_data", {"table": "t", "columns": '["a", "b"]'}, {"table": "t", "columns": ["a", "b"]}),
        ("query_data", {"table": "t", "limit": "5", "filters": None}, {"table": "t", "limit": 5}),
        (
            "query_data",
            {"table": "t", "filters": '[{"column": "a", "op": "eq", "value": "3"}]'},
            {"table": "t", "filters": [{"column": "a", "op": "=", "value": "3"}]},
        ),
        (
            "query_data",
            {"table": "t", "filters": {"column": "a", "op": "IS NOT NULL"}, "order_by": {"column": "a", "direction": "DESC"}},
            {"table": "t", "filters": [{"column": "a", "op": "not_null"}], "order_by": [{"column": "a", "direction": "desc"}]},
        ),
        ("update_client_status", {"client_id": "3", "status": "x"}, {"client_id": "3", "status": "x"}),
        ("send_email", {"to": '["a@b.de"]', "cc": None, "subject": "x", "body": "x"}, {"to": ["a@b.de"], "subject": "x", "body": "x"}),
        ("remember", {"content": "[1, 2]", "kind": "Fact"}, {"content": "[1, 2]", "kind": "fact"}),
    ],
)  # fmt: skip
def test_another_type_of_the_same_value_is_taken(
    tool: str, given_arguments: dict[str, Any], taken: dict[str, Any]
) -> None:
    typed = tool_named(tool).typed(given_arguments)
    assert typed == taken
    tool_named(tool).check(typed)


@pytest.mark.parametrize(
    ("tool", "wrong"),
    [
        ("undo_change", {"execution_id": "three"}),
        ("undo_change", {"execution_id": True}),
        ("undo_change", {"execution_id": 3.5}),
        ("undo_change", {"execution_id": None}),
        ("undo_change", {"execution_id": "9" * 5_000}),
        ("execute_sql", {"sql": "select 1", "show_secrets": "yes please"}),
        ("execute_sql", {"sql": None}),
        ("execute_sql", {"sql": ["select 1"]}),
        ("query_data", {"table": "t", "filters": [{"column": "a", "op": "; --", "value": 1}]}),
        ("query_data", {"table": "t", "columns": '["\\u0061"]', "limit": "0"}),
        ("query_data", {"table": "t", "unknown": "1"}),
        ("send_email", {"to": [["a@b.de"]], "subject": "x", "body": "x"}),
    ],
)
def test_another_value_is_refused(tool: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(AgentError, match="cannot take these arguments"):
        tool_named(tool).check(tool_named(tool).typed(wrong))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(["[", "{}", "[1]", '{"a":1}']),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(st.sampled_from(tool_specs()), st.data())
def test_what_is_typed_stays_as_it_is(spec: Any, data: st.DataObject) -> None:
    names = list(spec.parameters["properties"])
    arguments = data.draw(st.dictionaries(st.sampled_from(names), json_values, max_size=3))
    once = tool_named(spec.name).typed(arguments)
    assert repr(tool_named(spec.name).typed(once)) == repr(once)


def test_a_created_tools_own_schema_decides_and_keeps_null_where_it_is_a_value() -> None:
    schema = ArgumentSchema.of(
        {
            "type": "object",
            "properties": {
                "n": {"type": "integer"},
                "kind": {"type": ["string", "null"]},
                "mode": {"enum": ["A", None]},
                "tree": {"$ref": "#/$defs/tree"},
                "x": True,
            },
            "$defs": {"tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
        }
    )
    deep: Any = "[]"
    for _ in range(50):
        deep = [deep]
    given_arguments = {"n": "7", "kind": None, "mode": None, "tree": deep, "x": None}
    typed = as_typed(given_arguments, schema.as_dict)
    assert (typed["n"], typed["kind"], typed["mode"], typed["x"]) == (7, None, None, None)
    assert schema.check("tool", {"n": 7, "kind": None}) == {"n": 7, "kind": None}


async def test_the_database_is_read_by_arguments_of_other_types(demo_runtime: Runtime) -> None:
    filters = [
        {"column": "id", "op": "in", "value": "[1, 2, 3]"},
        {"column": "id", "op": "lte", "value": "2"},
        {"column": "id", "op": "between", "value": ["1", "3"]},
    ]
    result = await safe_executor.execute(
        "query_data", {"table": "clients", "columns": '["id"]', "filters": json.dumps(filters), "limit": "10"}
    )
    assert result["success"], result
    assert sorted(result["rows"]) == [[1], [2]]
    for hostile in ('[{"a": 1}]', "[null]", "[[1]]", "[1e999"):
        refused = await safe_executor.execute(
            "query_data", {"table": "clients", "filters": [{"column": "id", "op": "in", "value": hostile}]}
        )
        assert not refused["success"], hostile


async def test_what_is_stored_and_approved_has_the_right_types(demo_runtime: Runtime) -> None:
    """A text such as "false" must not count as true when the approved request is carried out."""
    asked = await safe_executor.execute(
        "execute_sql",
        {"sql": "update clients set name = name || '!' where id = 1", "show_secrets": "false"},
        wait=False,
    )
    approval = await human_approval_queue.unmasked(asked["approval_id"])
    assert approval.arguments["show_secrets"] is False
