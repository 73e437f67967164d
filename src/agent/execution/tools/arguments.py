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
    sql: str = Field(description="Exactly one PostgreSQL statement.")
    show_secrets: bool = Field(
        default=False,
        description="Show the values of columns that hold secrets; a human is asked first. Else their cells are [secret].",
    )


class UndoChange(_Arguments):
    execution_id: int = Field(ge=1, description="The execution_id in the result of the change that is to be undone.")


class Filter(_Arguments):
    column: str = Field(max_length=200)
    op: Operator = "="
    value: Scalar | list[Scalar] | None = Field(
        None, description="A list for `in`, two values for `between`, nothing for `is_null` and `not_null`."
    )


class Order(_Arguments):
    column: str = Field(max_length=200)
    direction: Literal["asc", "desc"] = "asc"


class QueryData(_Arguments):
    table: str = Field(max_length=200, description="A table or view, as table or schema.table.")
    columns: list[str] | None = Field(None, max_length=200, description="Default: all columns.")
    filters: list[Filter] = Field(default_factory=list, max_length=50, description="All of them must hold.")
    order_by: list[Order] = Field(default_factory=list, max_length=20)
    limit: int | None = Field(None, ge=1, le=100_000)


class DescribeSchema(_Arguments):
    name: str | None = Field(None, max_length=200, description="A table, view or function. Default: the list of all.")


class SearchMemory(_Arguments):
    query: str = Field(min_length=1, max_length=4_000)
    limit: int = Field(5, ge=1, le=50)


class Remember(_Arguments):
    content: str = Field(min_length=1, max_length=4_000, description="One statement, understandable by itself.")
    # Schema and interaction memories are written by the agent itself, never by its model.
    kind: Literal["fact", "pattern", "skill", "feedback"] = "fact"
    subject: str | None = Field(None, max_length=200, description="What it is about, such as a table's name.")


class UpdateClientStatus(_Arguments):
    client_id: int | str | None = Field(None, description="The client's primary key.")
    client_name: str | None = Field(
        None, min_length=1, max_length=400, description="The client's name, when the key is not known."
    )
    status: str | int = Field(description="The new status.")


class SendEmail(_Arguments):
    to: list[str] = Field(min_length=1, max_length=20, description="Plain addresses, such as name@example.com.")
    cc: list[str] = Field(default_factory=list, max_length=20)
    subject: str = Field(min_length=1, max_length=200)
    body: str = Field(min_length=1, max_length=50_000, description="Plain text.")


class HttpGet(_Arguments):
    url: str = Field(max_length=2_000, description="https://, at a host that the tool lists.")


class FakeAnswer(_Arguments):
    function: str = Field(max_length=50, description="The host function that the code calls next in this test.")
    value: Any = Field(None, description="What it returns.")
    error: str | None = Field(None, max_length=1_000, description="Instead: the error that it raises.")


class ToolTest(_Arguments):
    arguments: dict[str, Any] = Field(default_factory=dict, description="With which `run` is called.")
    expected: Any = Field(None, description="What it must return.")
    code: str | None = Field(
        None,
        max_length=5_000,
        description="Instead of arguments and expected: statements with asserts, such as `assert run(a=1) == 2`.",
    )
    answers: list[FakeAnswer] = Field(
        default_factory=list, max_length=50, description="Of the host functions, in the order in which they are called."
    )


class CreateNewTool(_Arguments):
    name: str = Field(pattern=CREATED_NAME.pattern, description="Lower case, digits and underscores.")
    description: str = Field(
        min_length=10, max_length=1_000, description="What it does and when to use it, for a model."
    )
    parameters: dict[str, Any] = Field(
        description='JSON schema (draft 2020-12) of its arguments: {"type": "object", "properties": {...}, "required": [...]}.'
    )
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
        default_factory=list, max_length=20, description="The host functions that the code calls, by name."
    )
    hosts: list[str] = Field(
        default_factory=list, max_length=20, description="Where http_get may go, as host or host:port."
    )


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
