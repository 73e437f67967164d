"""Arguments of the tools, as the model passes them: checked strictly, extra keys refused."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Scalar = str | int | float | bool
Operator = Literal["=", "!=", "<", "<=", ">", ">=", "like", "ilike", "in", "between", "is_null", "not_null"]


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ExecuteSql(_Arguments):
    sql: str = Field(description="Exactly one PostgreSQL statement.")


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
