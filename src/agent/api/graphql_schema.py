"""The read side as GraphQL, for those who ask for just what they show: agents, schemas, endpoints, workflows and runs of plans.

Each field asks the same operations as the REST routes, with the caller's runtime, so it shows nobody more. Imported at the first query only:
the extra `graphql` brings its library. Other graphs can refer to a schema and a run by their keys (Apollo Federation).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import strawberry
from strawberry.extensions import MaxAliasesLimiter, MaxTokensLimiter, QueryDepthLimiter
from strawberry.scalars import JSON

import agent.integration.schemas.registry as registry
import agent.integration.service as service
from agent.api.graphql_plans import BUDGET, MOST_ROWS, Budget, Context, PlanQuery, PlanRun, run_of
from agent.errors import AgentError
from agent.integration import integration_manager
from agent.orchestration import views
from agent.runtime import Runtime

_MOST_DEPTH, _MOST_TOKENS, _MOST_ALIASES = 8, 1_000, 20


@strawberry.type(description="An integration agent.")
class IntegrationAgent:
    """How an agent is, and what it can do."""

    name: str
    status: str
    summary: str
    tasks: list[str]


@strawberry.federation.type(name="PlatformSchema", keys=["schemaName platform"], description="A schema of a platform.")
class PlatformSchema:
    """A schema and its newest version."""

    schema_name: str
    platform: str
    schema_type: str
    compatibility: str
    newest: str
    versions: int

    @classmethod
    async def resolve_reference(cls, info: Context, **key: Any) -> PlatformSchema | None:
        """Return what another graph refers to."""
        found = await registry.listed(limit=10_000, runtime=info.context)
        return next((_schema_of(one) for one in found if (one.schema_name, one.platform) == (key.get("schemaName"), key.get("platform"))), None)  # fmt: skip


@strawberry.type(description="A workflow that can be run by its name.")
class WorkflowTemplate:
    """A workflow."""

    name: str
    description: str
    tasks: list[str]


@strawberry.type(description="What can be read.")
class Query(PlanQuery):
    """The read side."""

    @strawberry.field(description="The integration agents, with their health.")
    async def agents(self, info: Context) -> list[IntegrationAgent]:
        """Return the agents."""
        status = await service.status(runtime=info.context)
        known = await service.agents(runtime=info.context)
        return [IntegrationAgent(name=name, status=status.agents[name].status, summary=one.summary, tasks=list(one.tasks)) for name, one in known.items()]  # fmt: skip

    @strawberry.field(description="The registered schemas.")
    async def schemas(self, info: Context) -> list[PlatformSchema]:
        """Return the schemas."""
        return [_schema_of(one) for one in await registry.listed(limit=MOST_ROWS, runtime=info.context)]

    @strawberry.field(description="The endpoints of the gateway, as their OpenAPI document.")
    async def endpoints(self, info: Context) -> JSON:
        """Return the document."""
        return JSON(await integration_manager.execute("api_gateway", "openapi", runtime=info.context))

    @strawberry.field(description="The workflows that can be run by their name.")
    async def workflows(self) -> list[WorkflowTemplate]:
        """Return the workflows."""
        known = integration_manager.coordinator.workflows
        return [WorkflowTemplate(name=one.name, description=one.description, tasks=[task.name for task in one.tasks]) for one in known]  # fmt: skip

    @strawberry.field(description="The newest runs of plans and workflows.")
    async def runs(self, info: Context, limit: int = 20) -> list[PlanRun]:
        """Return the newest runs."""
        found = await views.runs(limit=max(1, min(limit, MOST_ROWS)), runtime=info.context)
        BUDGET.get().take(rows=len(found))
        return [run_of(one) for one in found]


def _schema_of(one: registry.SchemaSummary) -> PlatformSchema:
    return PlatformSchema(
        schema_name=one.schema_name, platform=one.platform, schema_type=one.schema_type, compatibility=one.compatibility, newest=one.newest,
        versions=one.versions,
    )  # fmt: skip


class _Schema(strawberry.federation.Schema):
    """Logs faults of the server only: what a client did wrong, with its query, is the client's."""

    def process_errors(self, errors: list[Any], execution_context: Any = None) -> None:
        """Log the errors that nobody raised for the client to read."""
        faults = [
            one for one in errors if one.original_error is not None and not isinstance(one.original_error, AgentError)
        ]
        super().process_errors(faults, execution_context)


SCHEMA = _Schema(
    query=Query,
    extensions=[
        lambda: QueryDepthLimiter(max_depth=_MOST_DEPTH), lambda: MaxTokensLimiter(max_token_count=_MOST_TOKENS),
        lambda: MaxAliasesLimiter(max_alias_count=_MOST_ALIASES),
    ],
)  # fmt: skip


async def execute(query: str, variables: Mapping[str, Any] | None, operation: str | None, runtime: Runtime) -> dict[str, Any]:  # fmt: skip
    """Answer a query as GraphQL over HTTP has it: `data`, and `errors` if there are some."""
    BUDGET.set(Budget())
    done = await SCHEMA.execute(query, variable_values=dict(variables or {}), operation_name=operation, context_value=runtime)  # fmt: skip
    answer: dict[str, Any] = {"data": getattr(done, "data", None)}
    if done.errors:
        answer["errors"] = [_shown(one) for one in done.errors]
    return answer


def _shown(error: Any) -> dict[str, Any]:
    """Return an error as a client gets it: of a fault of the server only that it was one."""
    cause = getattr(error, "original_error", None)
    if cause is not None and not isinstance(cause, AgentError):
        return {"message": "This is a fault of the server; its log says more.", "path": error.path}
    return dict(error.formatted) if hasattr(error, "formatted") else {"message": str(error)}
