"""The registry of schemas: a schema belongs to a platform, and has versions that fit together as its compatibility says.

register -> read (checked) -> normal form known? then that version -> compared with earlier ones -> the next number
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import psycopg

from agent.db import Connection, load_queries
from agent.db.queries import fetch_all, fetch_one
from agent.errors import InvalidInput, NotFound, StateChanged
from agent.integration.events import Platform, platform_of
from agent.integration.schemas.compatibility import Compatibility, incompatibilities, mode_of
from agent.integration.schemas.documents import KINDS, Kind, SchemaDocument, json_of
from agent.integration.schemas.reading import read_schema
from agent.integration.transformation import Transformation, read_transformation
from agent.runtime import Runtime
from agent.sync.payloads import checked_name, checked_object, json_text

_QUERIES = load_queries(__package__)
_MOST_VERSIONS = 1_000
_MOST_OPTION_BYTES = 262_144
_MOST_COMPARED = 1_048_576
_MOST_REFERENCES, _MOST_REFERENCE_DEPTH, _MOST_REFERENCE_BYTES, _LONGEST_REFERENCE = 100, 10, 1_048_576, 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Another registered schema that a schema uses under a name of its own."""

    schema_name: str
    platform: Platform
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a version has beside its definition: what it refers to, how older data becomes its own, how it becomes another platform's, and notes.

    `metadata` and `rule_set` are those of clients of other registries; they are kept as they are.
    """

    references: Mapping[str, Reference] = field(default_factory=dict)
    migration: Transformation | None = None
    mappings: Mapping[Platform, Transformation] = field(default_factory=dict)
    metadata: Mapping[str, Any] | None = None
    rule_set: Mapping[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the options as JSON."""
        return {
            "references": {name: asdict(one) for name, one in self.references.items()},
            "migration": _dumped(self.migration), "mappings": {name: _dumped(one) for name, one in self.mappings.items()},
            "metadata": self.metadata, "rule_set": self.rule_set,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaVersion:
    """A version of a schema. `number` orders the versions."""

    schema_name: str
    platform: Platform
    schema_type: Kind
    compatibility: Compatibility
    number: int
    version: str
    definition: Any
    options: Options
    created_by: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaSummary:
    """A schema in a list."""

    schema_name: str
    platform: Platform
    schema_type: Kind
    compatibility: Compatibility
    versions: int
    newest: str
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSchema:
    """A schema to register. Without a `version` it gets its number; without a `compatibility`, a new schema is BACKWARD."""

    schema_name: str
    schema_type: str
    platform: str
    definition: Any
    version: str | None = None
    compatibility: str | None = None
    references: Mapping[str, Mapping[str, Any]] | Sequence[Mapping[str, Any]] = field(default_factory=dict)
    migration: Mapping[str, Any] | None = None
    mappings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    metadata: Mapping[str, Any] | None = None
    rule_set: Mapping[str, Any] | None = None


async def register(new: NewSchema, *, runtime: Runtime) -> tuple[SchemaVersion, bool]:
    """Store a version, and return it and whether it is new: the same schema is stored once. Raises `InvalidInput` and `StateChanged`."""
    name, platform = checked_name(new.schema_name, what="The name of a schema"), platform_of(new.platform)
    kind, options = _kind(new.schema_type), _options(new, platform)
    version = None if new.version is None else checked_name(new.version, what="A version")[:100]
    kept = json_text(options.as_json(), what="What is registered with a schema")
    document = await document_of(kind, new.definition, options, runtime=runtime)
    digest = hashlib.sha256(document.normal.encode("utf-8", "surrogatepass")).hexdigest()
    mode = None if new.compatibility is None else mode_of(new.compatibility)
    key = {"name": name, "platform": platform, "tenant_id": runtime.tenant_id}
    begun = {**key, "kind": kind, "compatibility": mode or "BACKWARD", "user": runtime.user}
    async with runtime.transaction() as conn:
        await conn.execute(_QUERIES["begin"], begun)
        head = await fetch_one(conn, _QUERIES["lock"], key) or {}
        if head.get("kind") != kind:
            raise InvalidInput(f"{name} of {platform} is a schema of kind {head.get('kind')}: give one of another kind another name.")  # fmt: skip
        rows = await fetch_all(conn, _QUERIES["versions"], key)
        digests, known = [row["digest"] for row in rows], [_version(row) for row in rows]
        if mode is not None and head["compatibility"] != mode:
            await conn.execute(_QUERIES["set_compatibility"], {**key, "compatibility": mode})
        same = next((one for one, has in zip(known, digests, strict=True) if has == digest), None)
        if same is not None and version in (None, same.version):
            return same, False
        removed = await fetch_all(conn, _QUERIES["removed"], key)
        number = max([0, *(one.number for one in known), *(row["number"] for row in removed)]) + 1
        label = version or str(number)
        _check_label(
            label, f"{name} of {platform}", [one.version for one in known], [row["version"] for row in removed]
        )
        why = await _compared(document, known, mode or head["compatibility"], runtime)
        if why:
            raise InvalidInput(f"Version {label!r} of {name} does not fit to earlier ones ({mode or head['compatibility']}): {'; '.join(why[:5])}.")  # fmt: skip
        stored = {
            **key, "number": number, "version": label, "definition": json_of(new.definition), "digest": digest,
            "options": kept, "user": runtime.user,
        }  # fmt: skip
        row = await fetch_one(conn, _QUERIES["add"], stored) or {}
        await _refer({**key, "number": number}, options, conn)
    return SchemaVersion(
        schema_name=name, platform=platform, schema_type=kind, compatibility=mode or head["compatibility"], number=number, version=label,
        definition=new.definition, options=options, created_by=runtime.user, created_at=row["created_at"],
    ), True  # fmt: skip


def _check_label(label: str, schema: str, known: Sequence[str], removed: Sequence[str]) -> None:
    """Raise `InvalidInput` if a schema has enough versions, and `StateChanged` if another one has or had this label."""
    if len(known) >= _MOST_VERSIONS:
        raise InvalidInput(f"{schema} has {_MOST_VERSIONS} versions: begin a schema with another name.")
    if label in removed:
        raise StateChanged(f"{schema} had a version {label!r} that was removed: give this one another version.")
    if label in known:
        raise StateChanged(f"{schema} has another definition as version {label!r}: give this one another version.")


async def check(new: NewSchema, *, runtime: Runtime) -> list[str]:
    """Return why a schema does not fit to the versions that are registered; nothing if it does, or if it would be the first."""
    platform = platform_of(new.platform)
    kind = _kind(new.schema_type)
    document = await document_of(kind, new.definition, _options(new, platform), runtime=runtime)
    known = await versions(new.schema_name, platform, runtime=runtime)
    if not known:
        return []
    return await _compared(
        document, known, mode_of(new.compatibility) if new.compatibility else known[-1].compatibility, runtime
    )


async def versions(name: str, platform: str, *, runtime: Runtime) -> list[SchemaVersion]:
    """Return the versions of a schema, the oldest first."""
    rows = await runtime.all(_QUERIES["versions"], **_key(name, platform))
    return [_version(row) for row in rows]


async def version_of(name: str, platform: str, version: str | None = None, *, runtime: Runtime) -> SchemaVersion:
    """Return a version of a schema, or the newest. Raises `NotFound`, which names what there is."""
    key = _key(name, platform)
    wanted = None if version is None else checked_name(version, what="A version")
    row = await runtime.one(_QUERIES["version"], **key, version=wanted)
    if row is None:
        names = [one["version"] for one in await runtime.all(_QUERIES["names"], **key)]
        if not names:
            raise NotFound(f"There is no schema {name[:100]!r} of {key['platform']}: register it first.")
        raise NotFound(f"{name} has no version {str(version)[:100]!r}: it has {', '.join(reversed(names))}.")
    return _version(row)


async def remove(name: str, platform: str, version: str, *, runtime: Runtime) -> None:
    """Remove a version. Its number and name are not given again. Raises `NotFound`, and `StateChanged` if it is used."""
    found = await version_of(name, platform, version, runtime=runtime)
    key = {"name": name, "platform": found.platform, "version": version}
    users = [row["what"] for row in await runtime.all(_QUERIES["users"], **key)]
    try:
        if not users:
            await runtime.execute(_QUERIES["remove"], **key, user=runtime.user)
    except psycopg.errors.ForeignKeyViolation:
        users = ["what was registered or bound just now"]
    if users:
        raise StateChanged(f"Version {version!r} of {name} is used by {', '.join(users)}: remove or unbind that first.")


async def listed(*, limit: int = 100, runtime: Runtime) -> list[SchemaSummary]:
    """Return the schemas of the runtime's tenant."""
    rows = await runtime.all(_QUERIES["list"], limit=limit)
    return [SchemaSummary(schema_name=row.pop("name"), schema_type=row.pop("kind"), **row) for row in rows]


async def set_compatibility(name: str, platform: str, mode: str, *, runtime: Runtime) -> Compatibility:
    """Say which versions must fit together from now on. Raises `NotFound` and `InvalidInput`."""
    wanted = mode_of(mode)
    values = {**_key(name, platform), "compatibility": wanted}
    if not await runtime.execute(_QUERIES["set_compatibility"], **values):
        raise NotFound(f"There is no schema {name[:100]!r} of {values['platform']}: register it first.")
    return wanted


async def document_of(kind: Kind, definition: Any, options: Options | None = None, *, runtime: Runtime) -> SchemaDocument:  # fmt: skip
    """Return a schema with what it refers to, read beside the event loop: parsing takes a while. Raises `InvalidInput` and `NotFound`."""
    brought: dict[str, SchemaVersion] = {}
    await _bring(kind, options or Options(), brought, 0, runtime)
    resources = {name: one.definition for name, one in brought.items()}
    return await asyncio.to_thread(read_schema, kind, definition, resources)


async def _bring(kind: Kind, options: Options, brought: dict[str, SchemaVersion], depth: int, runtime: Runtime) -> None:
    """Add what a schema refers to, also by way of others: what is referred to comes first."""
    if depth > _MOST_REFERENCE_DEPTH:
        raise InvalidInput(f"The references are more than {_MOST_REFERENCE_DEPTH} levels deep: refer to fewer.")
    for name, one in options.references.items():
        present = brought.get(name)
        if present is not None and (present.schema_name, present.platform, present.version) == (one.schema_name, one.platform, one.version):  # fmt: skip
            continue
        if present is not None:
            raise InvalidInput(f"The reference {name[:100]!r} stands for two versions, {present.version!r} and {one.version!r}: agree on one.")  # fmt: skip
        found = await version_of(one.schema_name, one.platform, one.version, runtime=runtime)
        if found.schema_type != kind:
            raise InvalidInput(f"The reference {name[:100]!r} is a schema of kind {found.schema_type}, not {kind}: refer to one of the same kind.")  # fmt: skip
        await _bring(kind, found.options, brought, depth + 1, runtime)
        brought[name] = found
        if len(brought) > _MOST_REFERENCES or sum(len(str(each.definition)) for each in brought.values()) > _MOST_REFERENCE_BYTES:  # fmt: skip
            raise InvalidInput(f"The references bring more than {_MOST_REFERENCES} schemas, or {_MOST_REFERENCE_BYTES:,} characters: refer to fewer.")  # fmt: skip


async def _refer(key: Mapping[str, Any], options: Options, conn: Connection) -> None:
    for used_as, one in options.references.items():
        target = {"to_name": one.schema_name, "to_platform": one.platform, "to_version": one.version}
        try:
            await conn.execute(_QUERIES["refer"], {**key, **target, "used_as": used_as})
        except psycopg.errors.ForeignKeyViolation:
            raise StateChanged(f"Version {one.version!r} of {one.schema_name} was just removed: refer to another.") from None  # fmt: skip


async def _compared(document: SchemaDocument, known: Sequence[SchemaVersion], mode: Compatibility, runtime: Runtime) -> list[str]:  # fmt: skip
    if mode == "NONE" or not known:
        return []
    compared = known if mode.endswith("_TRANSITIVE") else known[-1:]
    if len(compared) > 1 and sum(len(str(one.definition)) for one in compared) > _MOST_COMPARED:
        raise InvalidInput(f"The earlier versions have more than {_MOST_COMPARED:,} characters, too many to compare with all of them: begin a schema with another name.")  # fmt: skip
    earlier = [(one.version, await document_of(one.schema_type, one.definition, one.options, runtime=runtime)) for one in compared]  # fmt: skip
    return await asyncio.to_thread(incompatibilities, document, earlier, mode)


def _key(name: str, platform: str) -> dict[str, Any]:
    return {"name": checked_name(name, what="The name of a schema"), "platform": platform_of(platform)}


def _kind(name: str) -> Kind:
    folded = name.strip().lower()
    for kind in KINDS:
        if folded in (kind, kind.removesuffix("_schema")):
            return kind
    raise InvalidInput(f"There is no kind of schema {name[:100]!r}: use one of {', '.join(KINDS)}.")


def _options(new: NewSchema, platform: Platform) -> Options:
    for what, given in (("metadata", new.metadata), ("rule_set", new.rule_set)):
        if given is not None:
            checked_object(dict(given), what=what, most_bytes=_MOST_OPTION_BYTES, setting="a fixed bound")
    return Options(
        references=_references(new.references, platform),
        migration=None if new.migration is None else read_transformation(new.migration, what="the migration"),
        mappings={platform_of(name): read_transformation(one, what=f"the mapping to {name[:100]}") for name, one in new.mappings.items()},
        metadata=new.metadata, rule_set=new.rule_set,
    )  # fmt: skip


def _references(given: Mapping[str, Any] | Sequence[Mapping[str, Any]], platform: Platform) -> dict[str, Reference]:
    """Return references by their names. A list of `name`, `subject` and `version` is what clients of other registries send."""
    named = list(given.items()) if isinstance(given, Mapping) else [(str(one.get("name", "")), one) for one in given]
    found = {}
    for name, one in named:
        subject, version = one.get("schema_name", one.get("subject")), one.get("version")
        if not 0 < len(name) <= _LONGEST_REFERENCE or subject is None or version is None:
            raise InvalidInput(f"The reference {name[:100]!r} needs a name of 1 to {_LONGEST_REFERENCE} characters, schema_name (or subject) and version.")  # fmt: skip
        found[name] = Reference(schema_name=str(subject), platform=platform_of(str(one.get("platform", platform))), version=str(version))  # fmt: skip
    if len(found) < len(named):
        raise InvalidInput("Two references have the same name: give each its own.")
    return found


def _dumped(one: Transformation | None) -> dict[str, Any] | None:
    return None if one is None else one.model_dump(mode="json", exclude_defaults=True)


def _version(row: Mapping[str, Any]) -> SchemaVersion:
    kept = row["options"]
    options = Options(
        references={name: Reference(**one) for name, one in kept["references"].items()},
        migration=None if kept["migration"] is None else Transformation.model_validate(kept["migration"]),
        mappings={name: Transformation.model_validate(one) for name, one in kept["mappings"].items()},
        metadata=kept["metadata"], rule_set=kept["rule_set"],
    )  # fmt: skip
    return SchemaVersion(
        schema_name=row["name"], platform=row["platform"], schema_type=row["kind"], compatibility=row["compatibility"], number=row["number"],
        version=row["version"], definition=json.loads(row["definition"]), options=options, created_by=row["created_by"], created_at=row["created_at"],
    )  # fmt: skip
