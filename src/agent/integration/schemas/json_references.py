"""Where a `$ref` of a JSON schema leads: to a part of its own document, or to one that was given with it. Nothing is fetched. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urljoin

# The address of a document that has none of its own.
HERE = "urn:document"
# Words for people, which say nothing about values.
_NOTES = frozenset({"title", "description", "$comment", "examples", "example", "deprecated", "readOnly", "writeOnly"})
# Keywords whose values are data, and keywords whose values are schemas by any name.
_DATA = frozenset({"enum", "const", "default"})
_NAMED = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A schema without words for people, whose references are full addresses, and every part that has an address of its own."""

    root: Any
    parts: Mapping[str, Any]

    def find(self, reference: str) -> Any:
        """Return what a reference leads to; None if it leads nowhere."""
        if reference in self.parts:
            return self.parts[reference]
        address, _, fragment = reference.partition("#")
        part = self.parts.get(address)
        for raw in fragment.split("/")[1:]:
            name = unquote(raw).replace("~1", "/").replace("~0", "~")
            if isinstance(part, Mapping):
                part = part.get(name)
            else:
                part = part[int(name)] if isinstance(part, list) and name.isdigit() and int(name) < len(part) else None
        return part if fragment.startswith("/") or not fragment else None


def located(schema: Any, others: Sequence[tuple[str, Any]]) -> Document:
    """Return a schema with its references written in full; `others` are the documents beside it, by address."""
    parts: dict[str, Any] = {}
    root = _located(schema, HERE, parts)
    for address, other in others:
        parts.setdefault(address, _located(other, address, parts))
    return Document(root=root, parts={HERE: root, **parts})


def _located(schema: Any, base: str, parts: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_located(one, base, parts) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    done: dict[str, Any] = {}
    own = schema.get("$id", schema.get("id"))
    if isinstance(own, str) and not own.startswith("#"):
        base = urljoin(base, own).partition("#")[0]
        parts.setdefault(base, done)
    anchors = [own.removeprefix("#")] if isinstance(own, str) and own.startswith("#") else []
    for anchor in (*anchors, schema.get("$anchor"), schema.get("$dynamicAnchor")):
        if isinstance(anchor, str):
            parts.setdefault(f"{base}#{anchor}", done)
    for key, value in schema.items():
        if key in ("$ref", "$dynamicRef") and isinstance(value, str):
            done[key] = base + value if value.startswith("#") else urljoin(base, value)
        elif key in _NAMED and isinstance(value, Mapping):
            done[key] = {name: _located(one, base, parts) for name, one in value.items()}
        elif key not in _NOTES:
            done[key] = value if key in _DATA else _located(value, base, parts)
    return done
