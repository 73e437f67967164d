"""Reads a schema in any of the languages. The library of each is imported at the first schema in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.errors import InvalidInput
from agent.integration.schemas.avro import AvroSchema
from agent.integration.schemas.documents import KINDS, SchemaDocument, json_of
from agent.integration.schemas.json_schema import JsonSchema
from agent.integration.schemas.protobuf import ProtobufSchema

MOST_BYTES = 262_144


def read_schema(kind: str, definition: Any, resources: Mapping[str, Any] | None = None) -> SchemaDocument:
    """Return a schema that was checked. `resources` are other schemas by the names that it uses for them. Raises `InvalidInput`."""
    text = definition if isinstance(definition, str) else json_of(definition)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInput("The definition holds half of a character: leave it out.") from None
    if len(text) > MOST_BYTES:
        raise InvalidInput(f"The schema has {len(text):,} characters; at most {MOST_BYTES:,} are taken: split it.")
    if kind == "json_schema":
        return JsonSchema.read(definition, resources or {})
    if kind == "avro":
        return AvroSchema.read(definition, resources or {})
    if kind == "protobuf":
        return ProtobufSchema.read(definition, resources or {})
    raise InvalidInput(f"There is no kind of schema {kind[:100]!r}: use one of {', '.join(KINDS)}.")
