"""Defines the arguments of each built-in tool as a model passes them: checked strictly, extra keys refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

CREATED_NAME = re.compile(r"^[a-z][a-z0-9_]{2,47}$")
Scalar = str | int | float | bool
Operator = Literal["=", "!=", "<", "<=", ">", ">=", "like", "ilike", "in", "between", "is_null", "not_null"]


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ExecuteSql(_Arguments):
    sql: str
    show_secrets: bool = Field(
        default=False,
        description="Show secret columns, if a human agrees; else [secret].",
    )


class UndoChange(_Arguments):
    execution_id: int = Field(ge=1, description="As in the result of that change.")


class Filter(_Arguments):
    column: str = Field(max_length=200)
    op: Operator = "="
    value: Scalar | list[Scalar] | None = Field(
        None, description="in: a list; between: two values; is_null, not_null: none."
    )


class Order(_Arguments):
    column: str = Field(max_length=200)
    direction: Literal["asc", "desc"] = "asc"


class QueryData(_Arguments):
    table: str = Field(max_length=200)
    columns: list[str] | None = Field(None, max_length=200)
    filters: list[Filter] = Field(default_factory=list, max_length=50, description="All must hold.")
    order_by: list[Order] = Field(default_factory=list, max_length=20)
    limit: int | None = Field(None, ge=1, le=100_000)


class DescribeSchema(_Arguments):
    name: str | None = Field(None, max_length=200)


class SearchMemory(_Arguments):
    query: str = Field(min_length=1, max_length=4_000)
    limit: int = Field(5, ge=1, le=50)


class Remember(_Arguments):
    content: str = Field(min_length=1, max_length=4_000, description="One statement, clear by itself.")
    # Schema and interaction memories are written by the agent itself, never by its model.
    kind: Literal["fact", "pattern", "skill", "feedback"] = "fact"
    subject: str | None = Field(None, max_length=200, description="Such as a table's name.")


class UpdateClientStatus(_Arguments):
    client_id: int | str | None = Field(None, description="Its key.")
    client_name: str | None = Field(None, min_length=1, max_length=400, description="Where the key is not known.")
    status: str | int


class SendEmail(_Arguments):
    to: list[str] = Field(min_length=1, max_length=20, description="Plain addresses.")
    cc: list[str] = Field(default_factory=list, max_length=20)
    subject: str = Field(min_length=1, max_length=200)
    body: str = Field(min_length=1, max_length=50_000, description="Plain text.")


class HttpGet(_Arguments):
    url: str = Field(max_length=2_000, description="https://, at a host that the tool lists.")


class FakeAnswer(_Arguments):
    function: str = Field(max_length=50)
    value: Any = None
    error: str | None = Field(None, max_length=1_000, description="Raised instead.")


class ToolTest(_Arguments):
    arguments: dict[str, Any] = Field(default_factory=dict)
    expected: Any = None
    code: str | None = Field(None, max_length=5_000, description="Or asserts, as `assert run(a=1) == 2`.")
    answers: list[FakeAnswer] = Field(
        default_factory=list, max_length=50, description="What the host functions return, in the order of the calls."
    )


class CreateNewTool(_Arguments):
    name: str = Field(pattern=CREATED_NAME.pattern)
    description: str = Field(min_length=10, max_length=1_000, description="Also when to use it.")
    parameters: dict[str, Any] = Field(description="JSON schema of the arguments: an object.")
    code: str = Field(
        min_length=10,
        max_length=20_000,
        description=(
            "Python with one function `run`: its parameters are the arguments, its result is JSON. Host functions take keywords and "
            "raise RuntimeError. execute_sql(sql='... = $1', params=[x]) and query_data give columns, rows (lists), row_count; numeric "
            "with decimals is text. http_get(url=...) gives status and text."
        ),
    )
    tests: list[ToolTest] = Field(
        min_length=1,
        max_length=20,
        description="They must pass; with the arguments of the first, it is also run on the real data.",
    )
    capabilities: list[str] = Field(
        default_factory=list, max_length=20, description="Host functions that the code calls."
    )
    hosts: list[str] = Field(default_factory=list, max_length=20, description="For http_get: host or host:port.")


BUILT_IN: Mapping[str, type[BaseModel]] = {
    "execute_sql": ExecuteSql,
    "undo_change": UndoChange,
    "query_data": QueryData,
    "update_client_status": UpdateClientStatus,
    "describe_schema": DescribeSchema,
    "search_memory": SearchMemory,
    "remember": Remember,
    "send_email": SendEmail,
    "create_new_tool": CreateNewTool,
    "http_get": HttpGet,
}


def is_built_in(name: str) -> bool:
    """Return whether the agent comes with a tool of that name."""
    return isinstance(name, str) and name in BUILT_IN
