"""`/api/v1/integration/graphql`: the read side as GraphQL."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from agent.api.callers import Acting, needs
from agent.errors import ConfigurationError

router = APIRouter(prefix="/api/v1/integration", tags=["integration"])


class GraphQLRequest(BaseModel):
    """A query, as clients of GraphQL send it."""

    query: str = Field(min_length=1, max_length=20_000, examples=["{ agents { name status } }"])
    variables: dict[str, Any] | None = None
    operation_name: str | None = Field(None, alias="operationName", max_length=200)


@router.post("/graphql", **needs("viewer"))
async def query(body: GraphQLRequest, runtime: Acting) -> dict[str, Any]:
    """Answer a GraphQL query: agents, schemas, endpoints, workflows, runs. Nothing can be changed by it."""
    if find_spec("strawberry") is None:
        raise ConfigurationError("GraphQL needs the extra `graphql`: an operator installs learning-agent[graphql].")
    from agent.api.graphql_schema import execute  # start-up: the extra brings its library

    return await execute(body.query, body.variables, body.operation_name, runtime)
