"""The schema validator agent: registers schemas, validates data, checks compatibility, and brings data to other platforms and versions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

import agent.integration.schemas.boundaries as boundaries
import agent.integration.schemas.registry as registry
from agent.errors import InvalidInput
from agent.integration.base import BaseIntegrationAgent, Task
from agent.integration.events import IntegrationEvent, platform_of
from agent.integration.parameters import read
from agent.integration.schemas.documents import SchemaDocument, json_of, problems_of
from agent.integration.schemas.reading import read_schema
from agent.integration.schemas.registry import NewSchema, SchemaVersion
from agent.integration.transformation import snake
from agent.runtime import Runtime

_MOST_TOLD = 5


class _Given(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Registration(_Given):
    """A schema to register; see `NewSchema`. Fields that other registries' clients send are kept or ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    schema_name: str = Field(min_length=1, max_length=200, examples=["lesson_content"])
    schema_type: str = Field("json_schema", max_length=50, examples=["json_schema"])
    platform: str = Field("backend", max_length=50, examples=["backend"])
    version: str | None = Field(None, min_length=1, max_length=100, examples=["1.0.0"])
    definition: dict[str, Any] | list[Any] | str | bool
    compatibility: str | None = None
    references: dict[str, dict[str, Any]] | list[dict[str, Any]] = {}
    migration: dict[str, Any] | None = None
    mappings: dict[str, dict[str, Any]] = {}
    metadata: dict[str, Any] | None = None
    rule_set: dict[str, Any] | None = Field(None, alias="ruleSet")


class Validation(_Given):
    """Data, and what it must fit: a registered schema, or a definition that is given with it."""

    data: Any
    schema_name: str | None = Field(None, alias="schema")
    platform: str = "backend"
    version: str | None = None
    definition: Any = None
    schema_type: str = "json_schema"


class Migration(_Given):
    """Data of one version that is to become another version's; without `to_version`, the newest one's."""

    schema_name: str
    platform: str = "backend"
    from_version: str
    to_version: str | None = None
    data: dict[str, Any]


class Move(_Given):
    """Data of one platform's schema that is to fit another platform's schema of the same name."""

    schema_name: str
    source_platform: str
    target_platform: str
    data: dict[str, Any]


class Named(_Given):
    """A version of a schema."""

    schema_name: str
    platform: str = "backend"
    version: str


class NewBinding(_Given):
    """A schema that what crosses a boundary under a name must fit: a version of it, or its newest."""

    boundary: str
    subject: str
    schema_name: str
    platform: str = "backend"
    version: str | None = None


class Bound(_Given):
    """A name at a boundary."""

    boundary: str
    subject: str


class SchemaValidatorAgent(BaseIntegrationAgent):
    """See the module."""

    name = "schema_validator"
    summary = "Validates data across platforms, and keeps schemas with versions that fit together."
    capabilities = (
        "JSON Schema",
        "Protobuf",
        "Avro",
        "compatibility",
        "transformation",
        "version migration",
        "boundaries",
    )
    admin_tasks = frozenset({"cleanup", "remove", "bind", "unbind"})

    def tasks(self) -> Mapping[str, Task]:
        """Return what the agent can do."""
        return {
            "register": self._register, "check_compatibility": self._check, "set_compatibility": self._set_compatibility, "list": self._list,
            "validate": self._validate, "migrate": self._migrate, "transform": self._transform,
            "remove": self._remove, "bind": self._bind, "unbind": self._unbind, "list_bindings": self._list_bindings,
            "validate_input": self._demand, "validate_data": self._demand, "validate_scripts": self._demand,
        }  # fmt: skip

    async def _process_integration_event(self, event: IntegrationEvent, *, runtime: Runtime) -> None:
        """Do nothing: schemas change by tasks only."""

    async def _register(self, parameters: dict[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        given = read(Registration, parameters)
        stored, new = await registry.register(NewSchema(**given.model_dump()), runtime=runtime)
        if new:
            told = {"schema_name": stored.schema_name, "platform": stored.platform, "version": stored.version}
            await self.emit("schema_registered", told, runtime=runtime)
        return {**described(stored), "new": new}

    async def _check(self, parameters: dict[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        given = read(Registration, parameters)
        why = await registry.check(NewSchema(**given.model_dump()), runtime=runtime)
        return {"compatible": not why, "reasons": why}

    async def _set_compatibility(self, parameters: dict[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        name, platform = str(parameters.get("schema_name", "")), str(parameters.get("platform", "backend"))
        mode = await registry.set_compatibility(name, platform, str(parameters.get("compatibility", "")), runtime=runtime)  # fmt: skip
        return {"schema_name": name, "platform": platform_of(platform), "compatibility": mode}

    async def _remove(self, parameters: dict[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        given = read(Named, parameters)
        await registry.remove(given.schema_name, given.platform, given.version, runtime=runtime)
        return {**given.model_dump(), "removed": True}

    async def _bind(self, parameters: dict[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        given = read(NewBinding, parameters).model_dump()
        await boundaries.bind(**given, runtime=runtime)
        return {**given, "bound": True}

    async def _unbind(self, parameters: dict[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        given = read(Bound, parameters)
        await boundaries.unbind(given.boundary, given.subject, runtime=runtime)
        return {**given.model_dump(), "bound": False}

    async def _list_bindings(self, parameters: dict[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        del parameters
        found = await boundaries.bindings(runtime=runtime)
        return {"bindings": [{**asdict(one), "created_at": one.created_at.isoformat()} for one in found]}

    async def _list(self, parameters: dict[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        del parameters
        found = await registry.listed(runtime=runtime)
        return {"schemas": [{**asdict(one), "changed_at": one.changed_at.isoformat()} for one in found]}

    async def _validate(self, parameters: dict[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        given = read(Validation, parameters)
        document = await self._document(given, runtime)
        problems = await asyncio.to_thread(problems_of, document, given.data)
        return {"valid": not problems, "errors": problems}

    async def _demand(self, parameters: dict[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        """Return the data, or fail with what is wrong with it."""
        found = await self._validate(parameters, runtime=runtime)
        if not found["valid"]:
            raise InvalidInput(f"The data does not fit its schema: {'; '.join(found['errors'][:_MOST_TOLD])}.")
        return {"valid": True, "data": parameters["data"]}

    async def _migrate(self, parameters: dict[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        """Apply the migration of each version between the two, and check the result by the last one."""
        given = read(Migration, parameters)
        known = await registry.versions(given.schema_name, given.platform, runtime=runtime)
        first = await registry.version_of(given.schema_name, given.platform, given.from_version, runtime=runtime)
        last = await registry.version_of(given.schema_name, given.platform, given.to_version, runtime=runtime)
        if last.number < first.number:
            raise InvalidInput(f"Data of {first.version!r} cannot go back to {last.version!r}: migrate forward.")
        data: dict[str, Any] = given.data
        for one in known:
            if first.number < one.number <= last.number and one.options.migration is not None:
                data = one.options.migration.apply(data)
        return {"version": last.version, "data": await self._fitting(last, data, runtime)}

    async def _transform(self, parameters: dict[str, Any], *, runtime: Runtime) -> dict[str, Any]:
        """Check data by its own platform's schema, change it as that one's mapping says, or by names, and check it by the other platform's."""
        given = read(Move, parameters)
        source = await registry.version_of(given.schema_name, given.source_platform, runtime=runtime)
        target = await registry.version_of(given.schema_name, given.target_platform, runtime=runtime)
        data = await self._fitting(source, given.data, runtime)
        mapping = source.options.mappings.get(target.platform)
        changed = mapping.apply(data) if mapping is not None else _by_names(data, target)
        return {"platform": target.platform, "version": target.version, "data": await self._fitting(target, changed, runtime)}  # fmt: skip

    async def _fitting(self, version: SchemaVersion, data: Any, runtime: Runtime) -> Any:
        document = await registry.document_of(version.schema_type, version.definition, version.options, runtime=runtime)
        json_of(data, what="The data")
        completed = await asyncio.to_thread(document.completed, data)
        problems = await asyncio.to_thread(problems_of, document, completed)
        if problems:
            raise InvalidInput(f"The data does not fit {version.schema_name} {version.version} of {version.platform}: {'; '.join(problems[:_MOST_TOLD])}.")  # fmt: skip
        return completed

    async def _document(self, given: Validation, runtime: Runtime) -> SchemaDocument:
        if given.schema_name is not None:
            found = await registry.version_of(given.schema_name, given.platform, given.version, runtime=runtime)
            return await registry.document_of(found.schema_type, found.definition, found.options, runtime=runtime)
        if given.definition is None:
            raise InvalidInput("Name a registered `schema`, or give a `definition`.")
        return await asyncio.to_thread(read_schema, given.schema_type, given.definition)


def described(one: SchemaVersion) -> dict[str, Any]:
    """Return a version as a surface shows it."""
    return {
        "schema_name": one.schema_name, "platform": one.platform, "schema_type": one.schema_type, "compatibility": one.compatibility,
        "version": one.version, "number": one.number, "created_at": one.created_at.isoformat(), "created_by": one.created_by,
    }  # fmt: skip


def _by_names(data: dict[str, Any], target: SchemaVersion) -> dict[str, Any]:
    """Return data in the other platform's names, where these differ in their spelling only (user_id, userId), without what it does not know."""
    definition = target.definition
    if target.schema_type != "json_schema" or not isinstance(definition, dict) or not definition.get("properties"):
        return data
    known = {snake(name): name for name in definition["properties"]}
    found = {known.get(snake(name), name): value for name, value in data.items()}
    closed = definition.get("additionalProperties") is False
    return {name: value for name, value in found.items() if not closed or name in definition["properties"]}
