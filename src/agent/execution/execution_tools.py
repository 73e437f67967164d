"""Lists the built-in tools: what the model sees of each, how its arguments are checked, and what it does.

A tool makes one SQL statement, which is then assessed like any other; or uses only what belongs to the agent (the schema,
its memories), which needs no approval; or has an effect outside the database, which it proposes first. A new tool is one
entry of the table below.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError

from agent.errors import InvalidArguments, UnknownTool
from agent.execution.created_tools import create_new_tool, http_get
from agent.execution.outside_effects import OutsideTool
from agent.execution.run_context import RunContext
from agent.execution.tools import query_data, send_email, update_client_status
from agent.execution.tools.argument_types import as_typed
from agent.execution.tools.arguments import BUILT_IN, DescribeSchema, ExecuteSql, Remember, SearchMemory
from agent.execution.tools.json_schema import ArgumentSchema
from agent.execution.tools.shown_schema import shown_schema
from agent.execution.undo import undo
from agent.learning.memory import NewMemory, agent_memory
from agent.learning.named_relations import BuiltStatement
from agent.learning.schema_linking.linking import describe
from agent.learning.semantic_search import semantic_search
from agent.privacy.sensitive import HIDDEN
from agent.provenance.conversation_context import ConversationContext, context_of_call, trust_of
from agent.runtime import Runtime
from agent.text.faults import faults
from agent.types import MemoryKind, ToolResult, ToolSpec, Trust

__all__ = ["Tool", "tool_named", "tool_specs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool. Exactly one is set: `statement` builds SQL from checked arguments, `run` does the work, `outside` proposes it.

    The `run` of a tool that `pauses` may return status "waiting"; run again for the same call, it goes on from there.
    """

    name: str
    description: str
    arguments: type[BaseModel] | ArgumentSchema
    statement: Callable[[Any, Runtime], Awaitable[str | BuiltStatement]] | None = None
    run: Callable[[Any, RunContext], Awaitable[ToolResult]] | None = None
    outside: OutsideTool | None = None
    # Its statement is built from kept rows, not from its arguments: it may be long, and its values were there before.
    from_kept_rows: bool = False
    pauses: bool = False

    def check(self, arguments: Mapping[str, Any]) -> Any:
        """Return the validated arguments, as `typed` gives them. Raises `InvalidArguments` with text for the model."""
        if isinstance(self.arguments, ArgumentSchema):
            return self.arguments.check(self.name, arguments)
        try:
            return self.arguments.model_validate(dict(arguments), strict=True)
        except ValidationError as error:
            names = ", ".join(self.arguments.model_fields)
            raise InvalidArguments(
                f"{self.name} cannot take these arguments: {faults(error)}. It takes: {names}."
            ) from error

    def typed(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments with the types that the tool takes, where only the type differs."""
        return as_typed(arguments, self._schema)

    @property
    def spec(self) -> ToolSpec:
        """Return the tool as the model sees it."""
        own = isinstance(self.arguments, ArgumentSchema)
        return ToolSpec(
            name=self.name, description=self.description, parameters=self._schema if own else shown_schema(self._schema)
        )

    @property
    def _schema(self) -> Mapping[str, Any]:
        if isinstance(self.arguments, ArgumentSchema):
            return self.arguments.as_dict
        return _schema_of(self.arguments)


@cache
def _schema_of(arguments: type[BaseModel]) -> dict[str, Any]:
    return arguments.model_json_schema()


async def _sql(arguments: ExecuteSql, _runtime: Runtime) -> str:
    return arguments.sql


async def _describe_schema(arguments: DescribeSchema, context: RunContext) -> ToolResult:
    text = await describe(arguments.name, runtime=context.runtime)
    return ToolResult(success=True, status="succeeded", message=text)


async def _search_memory(arguments: SearchMemory, context: RunContext) -> ToolResult:
    memories = await semantic_search.search_memories(arguments.query, limit=arguments.limit, runtime=context.runtime)
    rows = [[memory.id, memory.kind, memory.trust, memory.content] for memory in memories]
    return ToolResult(
        success=True, status="succeeded", columns=["id", "kind", "trust", "content"], rows=rows, row_count=len(rows),
        truncated=False,
    )  # fmt: skip


async def _remember(arguments: Remember, context: RunContext) -> ToolResult:
    runtime, call = context.runtime, context.call
    conversation = await context_of_call(call, runtime=runtime)
    trust = await trust_of(arguments.content, conversation, runtime=runtime)
    taught = await agent_memory.teach(
        NewMemory(
            content=arguments.content,
            kind=arguments.kind if _may_teach(arguments.kind, trust, conversation) else "fact",
            subject=arguments.subject,
            trust=trust,
            source_thread=call.thread_id if call else None,
            source_turn=call.turn if call else None,
            source_quote=arguments.content if trust == "human" else None,
            speaker=runtime.user if trust == "human" else None,
        ),
        runtime=runtime,
    )
    if taught.memory is None:
        return ToolResult(success=False, status="failed", error=f"{taught.message}. Tell the user, and ask what holds.")
    remarks = [taught.message] if taught.replaced else []
    if HIDDEN in taught.memory.content and HIDDEN not in arguments.content:
        remarks.append("Passwords, card numbers and keys are not remembered")
    result = ToolResult(
        success=True, status="succeeded", message=f"{taught.message}.", data={"memory_id": taught.memory.id}
    )
    return ToolResult(**result, remarks=remarks) if remarks else result


def _may_teach(kind: MemoryKind, trust: Trust, conversation: ConversationContext) -> bool:
    """Return whether a memory may say how to do things: people may, and the agent about what ran. Data only states facts."""
    ran = any((call.result or {}).get("success") and call.tool not in _MEMORY_TOOLS for call in conversation.turn_calls)
    return trust == "human" or (trust == "agent" and ran and kind in {"skill", "pattern"})


_MEMORY_TOOLS = frozenset({"remember", "search_memory", "describe_schema"})
_TOOLS = (
    Tool(
        name="execute_sql",
        description="Run one PostgreSQL statement. Reads run at once; anything else is shown to a human first.",
        arguments=BUILT_IN["execute_sql"],
        statement=_sql,
    ),
    Tool(
        name=undo.UNDO,
        description="Undo an approved change of rows. A human is asked first.",
        arguments=BUILT_IN[undo.UNDO],
        statement=undo.statement,
        from_kept_rows=True,
    ),
    Tool(
        name="query_data",
        description="Read rows of one table or view without SQL.",
        arguments=BUILT_IN["query_data"],
        statement=query_data.select_statement,
    ),
    Tool(
        name="update_client_status",
        description="Set the status of one client. A human is asked first.",
        arguments=BUILT_IN["update_client_status"],
        statement=update_client_status.update_statement,
    ),
    Tool(
        name="describe_schema",
        description="Describe a table, view or function in full; without a name, list all.",
        arguments=BUILT_IN["describe_schema"],
        run=_describe_schema,
    ),
    Tool(
        name="search_memory",
        description="Search what was learned and remembered earlier.",
        arguments=BUILT_IN["search_memory"],
        run=_search_memory,
    ),
    Tool(
        name="remember",
        description="Remember one statement for later conversations.",
        arguments=BUILT_IN["remember"],
        run=_remember,
    ),
    Tool(
        name="send_email",
        description="Send a mail as plain text. Whoever must agree is asked first.",
        arguments=BUILT_IN["send_email"],
        outside=send_email.OUTSIDE,
    ),
    Tool(
        name="create_new_tool",
        description=(
            "Make a tool from Python, also for later conversations; the same name makes a new version. "
            "Its tests run, then a human sees the code."
        ),
        arguments=BUILT_IN["create_new_tool"],
        outside=create_new_tool.OUTSIDE,
    ),
)
# Only for the code of created tools: a model does not see it, and its calls are refused.
_FOR_CODE = (
    Tool(name="http_get", description="Fetch a page over https.", arguments=BUILT_IN["http_get"], run=http_get.fetch),
)
_BY_NAME = {tool.name: tool for tool in (*_TOOLS, *_FOR_CODE)}


@cache
def tool_specs() -> list[ToolSpec]:
    """Return every built-in tool as the model sees it; `available_tools.specs` adds the created ones."""
    return [tool.spec for tool in _TOOLS]


def tool_named(name: str) -> Tool:
    """Return the built-in tool of that name. Raises `UnknownTool` with text for the model."""
    tool = _BY_NAME.get(name) if isinstance(name, str) else None
    if tool is None:
        raise UnknownTool(f"There is no tool {str(name)[:100]!r}. The tools are: {', '.join(t.name for t in _TOOLS)}.")
    return tool
