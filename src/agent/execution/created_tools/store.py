"""Stores the tools that the agent created: the content of each version, its approval, and which version is in use.

The hash of a version's content is signed together with the approval's binding, with a key that the database does not hold.
A version that does not match its signature does not run, whoever changed it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Literal

import structlog
from psycopg.types.json import Json

from agent.approval.human_approval import Approval
from agent.approval.people import people
from agent.db import load_queries
from agent.db.queries import fetch_one
from agent.errors import ActionRefused, InvalidInput, NotFound
from agent.execution.created_tools.signing import is_signed, load_secret, sign
from agent.execution.log import record
from agent.execution.tools.arguments import CreateNewTool
from agent.execution.tools.json_schema import ArgumentSchema
from agent.learning.named_relations import suggestion
from agent.runtime import Runtime, current_runtime
from agent.types import Assessment, CallKey, ToolResult

__all__ = ["CREATE", "CreatedTool", "ToolContent", "created_tools"]

CREATE = "create_new_tool"
_QUERIES = load_queries(__package__, "store.sql")
_PURPOSE = "created tool"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContent:
    """What a human approves: everything that decides what the tool does."""

    name: str
    version: int
    description: str
    parameters: dict[str, Any]
    code: str
    tests: list[dict[str, Any]]
    capabilities: tuple[str, ...]
    hosts: tuple[str, ...]

    @property
    def hash(self) -> str:
        """Return the SHA-256 of the content, as hex digits."""
        return hashlib.sha256(json.dumps(self.as_dict, sort_keys=True).encode()).hexdigest()

    @property
    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedTool:
    """One version of a created tool; `intact` says that it is what was approved."""

    id: int
    content: ToolContent
    content_hash: str
    status: Literal["active", "disabled", "replaced"]
    created_by: str
    approval_id: int
    created_at: datetime
    changed_by: str
    changed_at: datetime
    intact: bool

    @classmethod
    def from_row(cls, row: Mapping[str, Any], runtime: Runtime) -> CreatedTool:
        """Build a version from its row joined with its approval's, and check its signature."""
        values = {field.name: row[field.name] for field in fields(ToolContent)}
        lists = {name: tuple(row[name]) for name in ("capabilities", "hosts")}
        content = ToolContent(**{**values, **lists})
        approved = row["approval_status"] == "approved" and row["approved_action"] == CREATE
        digest = content.hash
        signed = is_signed(row["signature"], _PURPOSE, digest, row["approval_id"], row["binding"], runtime=runtime)
        kept = {field.name: row[field.name] for field in fields(cls) if field.name not in {"content", "intact"}}
        return cls(content=content, intact=approved and signed and digest == row["content_hash"], **kept)

    @property
    def name(self) -> str:
        """Return the name that calls use."""
        return self.content.name

    @property
    def schema(self) -> ArgumentSchema:
        """Return the schema of its arguments."""
        return ArgumentSchema.known(self.content.parameters)

    def check_intact(self) -> None:
        """Raise `ActionRefused` if the version is not what was approved."""
        if not self.intact:
            raise ActionRefused(
                f"{self.name} version {self.content.version} is not what was approved (approval {self.approval_id}), so it does "
                f"not run. Disable it with `agent tools disable {self.name}`, and let the agent create it again."
            )


class CreatedTools:
    """The created tools of the current tenant and database."""

    async def active(self, *, runtime: Runtime) -> list[CreatedTool]:
        """Return the tools that may be called now, without those that were changed since their approval."""
        tools = await self._rows("active", None, runtime)
        for tool in tools:
            if not tool.intact:
                _log.warning("created_tool_changed", tool=tool.name, version=tool.content.version)
        return [tool for tool in tools if tool.intact]

    async def named(self, name: str, *, runtime: Runtime) -> CreatedTool | None:
        """Return the version in use, or None. Raises `ActionRefused` when it was changed since its approval."""
        tools = await self._rows("active", name, runtime)
        for tool in tools:
            tool.check_intact()
        return tools[0] if tools else None

    async def by_id(self, tool_id: int, *, runtime: Runtime) -> CreatedTool:
        """Return one version, in use or not. Raises `NotFound`."""
        await load_secret(runtime)
        row = await runtime.one(_QUERIES["by_id"], id=tool_id)
        if row is None:
            raise NotFound(f"There is no version {tool_id!r} of a tool.")
        return CreatedTool.from_row(row, runtime)

    async def of_call(self, call: CallKey | None, *, runtime: Runtime) -> CreatedTool | None:
        """Return the version whose code made this call; None if no tool's code did."""
        parent = call.parent if call else None
        if parent is None:
            return None
        row = await runtime.one(_QUERIES["of_call"], **asdict(parent))
        return await self.by_id(row["tool_id"], runtime=runtime) if row else None

    async def versions(self, name: str | None = None, *, runtime: Runtime | None = None) -> list[CreatedTool]:
        """Return every version, by name, the newest first. Raises `NotFound` for a name that was never used."""
        runtime = runtime or await current_runtime()
        tools = await self._rows("versions", name, runtime)
        if name is not None and not tools:
            names = {tool.name: None for tool in await self._rows("versions", None, runtime)}
            hint = suggestion(name[:100], names) if names else "`agent tools` lists those that it created."
            raise NotFound(f"The agent has created no tool {name[:100]!r}. {hint}")
        return tools

    async def known(self, name: str, *, runtime: Runtime) -> list[CreatedTool]:
        """Return every version of that name, the newest first; none for a name that was never used."""
        return await self._rows("versions", name, runtime)

    async def store(self, content: ToolContent, approval: Approval, *, runtime: Runtime) -> ToolResult:
        """Put an approved version into use. Raises `ActionRefused` when another one was stored since it was shown."""
        values = {
            **self._scope(runtime), **content.as_dict, "parameters": Json(content.parameters), "tests": Json(content.tests),
            "capabilities": list(content.capabilities), "hosts": list(content.hosts), "content_hash": content.hash,
            "signature": sign(_PURPOSE, content.hash, approval.id, approval.binding, runtime=runtime),
            "created_by": approval.requested_by, "approval_id": approval.id, "status": "replaced",
            "changed_by": approval.decided_by or "",
        }  # fmt: skip
        async with runtime.transaction() as conn:
            await conn.execute(_QUERIES["retire"], values)
            if await fetch_one(conn, _QUERIES["store"], values) is None:
                raise ActionRefused(f"{content.name} has another version since this one was shown: propose it again.")
        _log.info("tool_created", tool=content.name, version=content.version)
        return ToolResult(
            success=True, status="succeeded", message=f"{content.name} version {content.version} can be called now."
        )

    async def is_stored(self, approval_id: int, *, runtime: Runtime) -> bool:
        """Return whether the version of this approval is stored."""
        return await runtime.one(_QUERIES["of_approval"], approval_id=approval_id) is not None

    async def disable(self, name: str, *, runtime: Runtime | None = None) -> CreatedTool:
        """Take a tool out of use at once; a waiting run of it does not go on. Raises `NotFound` or `InvalidInput`."""
        runtime = runtime or await current_runtime()
        tools = await self.versions(name, runtime=runtime)
        row = await runtime.one(
            _QUERIES["retire"], **self._scope(runtime), name=name, status="disabled", changed_by=runtime.user
        )
        if row is None:
            raise InvalidInput(
                f"{name} is not in use. `agent tools enable {name}` puts its newest version into use again."
            )
        await self._log("disable_tool", next(tool for tool in tools if tool.id == row["id"]), runtime)
        return await self.by_id(row["id"], runtime=runtime)

    async def activate(self, name: str, version: int | None = None, *, runtime: Runtime | None = None) -> CreatedTool:
        """Put an approved version (default: the newest) into use.

        Raises `NotFound`, `InvalidInput`, `ActionRefused`, or `DecisionRefused` for a person who may not decide.
        """
        runtime = runtime or await current_runtime()
        await people.decider(runtime=runtime)
        tools = await self.versions(name, runtime=runtime)
        chosen = next((tool for tool in tools if version in {None, tool.content.version}), None)
        if chosen is None:
            numbers = ", ".join(str(tool.content.version) for tool in tools)
            raise NotFound(f"{name} has no version {version!r}; it has {numbers}.")
        chosen.check_intact()
        if chosen.status == "active":
            raise InvalidInput(f"{name} version {chosen.content.version} is in use already.")
        values = {
            **self._scope(runtime), "name": name, "id": chosen.id, "status": "replaced", "changed_by": runtime.user,
        }  # fmt: skip
        async with runtime.transaction() as conn:
            await conn.execute(_QUERIES["retire"], values)
            await conn.execute(_QUERIES["activate"], values)
        await self._log("activate_tool", chosen, runtime)
        return await self.by_id(chosen.id, runtime=runtime)

    async def rollback(self, name: str, version: int | None = None, *, runtime: Runtime | None = None) -> CreatedTool:
        """Put the version before the one in use (or `version`) into use. Raises as `activate`."""
        runtime = runtime or await current_runtime()
        if version is None:
            tools = await self.versions(name, runtime=runtime)
            numbers = [tool.content.version for tool in tools]
            current = next((tool.content.version for tool in tools if tool.status == "active"), numbers[0] + 1)
            version = next((number for number in numbers if number < current), None)
            if version is None:
                raise InvalidInput(
                    f"{name} has no version before {current}. `agent tools disable {name}` takes it out of use."
                )
        return await self.activate(name, version, runtime=runtime)

    async def _rows(self, query: str, name: str | None, runtime: Runtime) -> list[CreatedTool]:
        await load_secret(runtime)
        rows = await runtime.all(_QUERIES[query], **self._scope(runtime), name=name)
        return [CreatedTool.from_row(row, runtime) for row in rows]

    def _scope(self, runtime: Runtime) -> dict[str, Any]:
        return {"tenant_id": runtime.tenant_id, "database_id": runtime.database_id}

    async def _log(self, action: str, tool: CreatedTool, runtime: Runtime) -> None:
        """Write what a human did with a tool into the execution log."""
        arguments = {"name": tool.name, "version": tool.content.version}
        sentence = f"{action} {tool.name} version {tool.content.version}"
        await record(
            action, arguments, assessment=Assessment(verdict="run", risk="LOW", reasons=("own",), sentence=sentence),
            result=ToolResult(success=True, status="succeeded"), actor=runtime.user, call=None, duration_ms=0, runtime=runtime,
        )  # fmt: skip


created_tools = CreatedTools()


def content_from(arguments: Mapping[str, Any], version: int) -> ToolContent:
    """Return the content that the arguments of create_new_tool describe, as it is stored."""
    given = CreateNewTool.model_validate(dict(arguments), strict=True)
    return ToolContent(
        name=given.name,
        version=version,
        description=given.description,
        parameters=ArgumentSchema.of(given.parameters).as_dict,
        code=given.code,
        tests=[test.model_dump() for test in given.tests],
        capabilities=tuple(sorted(set(given.capabilities))),
        hosts=tuple(sorted(set(given.hosts))),
    )
