"""Patterns as files: exported with their evidence and a signature, and imported as what they are here, namely unproven.

Each installation signs with a key of its own (Ed25519), and the file names its public half. AGENT_IMPROVE_TRUSTED_KEYS lists whose files
are taken; a human can trust another one. Either way only tests in this installation count.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

import agent.optimization.patterns as patterns
from agent.db import load_queries
from agent.errors import ActionRefused, InvalidInput
from agent.execution.created_tools.signing import load_secret, sign
from agent.optimization.mining import as_json
from agent.optimization.records import Pattern
from agent.runtime import Runtime
from agent.text.faults import fault
from agent.text.storable import storable_json

FORMAT = "learning-agent patterns 1"
_QUERIES = load_queries(__package__)
_MOST_PATTERNS, _MOST_CHARACTERS = 500, 2_000_000
_Text = Annotated[str, Field(min_length=1, max_length=200)]
_Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class _Shared(BaseModel):
    """A pattern in a file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    pattern_key: Annotated[str, Field(min_length=1, max_length=450)]
    pattern_category: _Text
    workflow_type: Annotated[str, Field(max_length=200)] = ""
    description: Annotated[str, Field(max_length=2_000)] = ""
    events: Annotated[list[Annotated[str, Field(max_length=500)]], Field(max_length=20)] = []
    parameters: Annotated[dict[str, str | int | float | bool], Field(max_length=50)] = {}
    confidence_score: _Share = 0.5
    lift: Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)] | None = None
    p_value: _Share | None = None
    false_discovery_rate: _Share | None = None
    replication: _Share | None = None
    runs_with: Annotated[int, Field(ge=0, le=10**9)] | None = None
    runs_without: Annotated[int, Field(ge=0, le=10**9)] | None = None


async def exported(pattern_ids: Sequence[str] | None, *, runtime: Runtime) -> dict[str, Any]:
    """Return patterns as JSON can hold them, with a signature: those named, or all that were found here. Run ids stay here."""
    known = await patterns.every(runtime=runtime)
    chosen = [one for one in known if one.source == "mined"]
    if pattern_ids is not None:
        chosen = [await patterns.get(one, runtime=runtime) for one in pattern_ids]
    key = await _key(runtime)
    content = {"format": FORMAT, "patterns": [_file_form(one) for one in chosen], "public_key": _public(key)}
    return {**content, "signature": key.sign(_signed_text(content)).hex()}


def _file_form(one: Pattern) -> dict[str, Any]:
    values = {name: getattr(one, name) for name in _Shared.model_fields}
    return {**values, "events": list(one.events), "parameters": dict(one.parameters)}


async def imported(text: str | Mapping[str, Any], *, trust_unsigned: bool, runtime: Runtime) -> list[Pattern]:
    """Keep the patterns of a file as `imported` and unproven; what was found here stays as it is.

    Raises `InvalidInput` for a file that is none, and `ActionRefused` for one that nobody trusted has signed, unless a human trusts it.
    """
    content = _read(text)
    signer = await _signer(content, runtime)
    if signer is None and not trust_unsigned:
        raise ActionRefused(
            "The file was changed, or nobody signed it whom AGENT_IMPROVE_TRUSTED_KEYS names: say that you trust it, if you do."
        )
    kept = []
    for one in _checked(content):
        row = await runtime.one(
            _QUERIES["import_pattern"], pattern_key=f"imported:{one.pattern_key}"[:500], pattern_category=one.pattern_category,
            workflow_type=one.workflow_type, description=_unproven(one.description), events=as_json(one.events), parameters=as_json(one.parameters),
            confidence_score=min(one.confidence_score, 0.5),
            evidence=as_json({"claimed": one.model_dump(exclude={"events", "parameters"}), "signer": signer, "by": runtime.user}),
        )  # fmt: skip
        kept += [Pattern.from_row(row)] if row else []
    return kept


def _unproven(description: str) -> str:
    return f"{description} Unproven here.".strip()


def _read(text: str | Mapping[str, Any]) -> dict[str, Any]:
    form = f'The file must be JSON with "format": "{FORMAT}", "patterns" and "signature".'
    if isinstance(text, str):
        if len(text) > _MOST_CHARACTERS:
            raise InvalidInput(f"The file may have at most {_MOST_CHARACTERS:,} characters.")
        try:
            text = json.loads(text, parse_constant=_refuse)
        except (ValueError, RecursionError):
            raise InvalidInput(form) from None
    if (
        not isinstance(text, Mapping)
        or text.get("format") != FORMAT
        or not text.keys() <= {"format", "patterns", "public_key", "signature"}
    ):
        raise InvalidInput(form)
    return dict(text)


def _refuse(_: str) -> float:
    raise ValueError("no number")


def _checked(content: Mapping[str, Any]) -> list[_Shared]:
    given = content.get("patterns")
    if not isinstance(given, list) or len(given) > _MOST_PATTERNS:
        raise InvalidInput(f"patterns must be a list of at most {_MOST_PATTERNS}.")
    try:
        found = [_Shared.model_validate(storable_json(one)) for one in given]
    except ValidationError as error:
        place, what = fault(error)
        raise InvalidInput(f"A pattern of the file is not valid at {place or 'its start'}: {what}.") from None
    except ValueError as error:
        raise InvalidInput(f"A pattern of the file cannot be stored: {error}.") from None
    if any(isinstance(value, float) and not math.isfinite(value) for one in found for value in one.parameters.values()):
        raise InvalidInput("A parameter must be a finite number.")
    return found


async def public_key(runtime: Runtime) -> str:
    """Return what others write into AGENT_IMPROVE_TRUSTED_KEYS to take this installation's files."""
    return _public(await _key(runtime))


async def _key(runtime: Runtime) -> Ed25519PrivateKey:
    await load_secret(runtime)
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(sign("patterns for others", runtime=runtime)))


def _public(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()


def _signed_text(content: Mapping[str, Any]) -> bytes:
    signed = {name: value for name, value in content.items() if name != "signature"}
    return json.dumps(signed, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


async def _signer(content: Mapping[str, Any], runtime: Runtime) -> str | None:
    """Return the public key that signed a file, if it is trusted and nobody changed the file; else None."""
    public, signature = content.get("public_key"), content.get("signature")
    trusted = {one.strip() for one in runtime.settings.improve_trusted_keys.split(",") if one.strip()} | {
        await public_key(runtime)
    }
    if not isinstance(public, str) or not isinstance(signature, str) or public not in trusted:
        return None
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(
            bytes.fromhex(signature), _signed_text(content)
        )
    except (InvalidSignature, ValueError):
        return None
    return public
