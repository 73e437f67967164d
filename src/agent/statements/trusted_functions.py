"""Keeps the application's functions that a human registered as harmless, each by its number and a hash of its definition.

A function may be registered if it is in SQL or PL/pgSQL, runs with the caller's rights, and calls only such functions. It
can then do no more than agent_reader can in a READ ONLY transaction that is rolled back, watched by the tripwire. A SECURITY
DEFINER function could read what the reader may not, and one in C could do anything: a human is asked about those each time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import psycopg
import structlog

from agent.approval.people import people
from agent.audit.sealing import seal_soon
from agent.db import load_queries
from agent.db.statement_failures import failure
from agent.errors import InvalidInput, NotFound
from agent.learning.auto_discover import auto_discovery
from agent.learning.named_relations import suggestion
from agent.runtime import Runtime, current_runtime
from agent.statements.resolver import FIRST_USER_OBJECT, Code, Resolution, resolve_function
from agent.text.storable import storable

_QUERIES = load_queries(__package__, "resolver.sql")
_log = structlog.get_logger(__name__)
_LANGUAGES = frozenset({"sql", "plpgsql"})
_KINDS = {"p": "a procedure", "w": "a window function"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedFunction:
    """A registered function; `state` is "trusted", "changed" since it was registered, or "gone"."""

    function_id: int
    signature: str
    body_hash: str
    reason: str
    trusted_by: str
    trusted_at: datetime
    state: str = "trusted"

    @classmethod
    def from_row(cls, row: Mapping[str, Any], state: str = "trusted") -> TrustedFunction:
        """Return the function that a row of agents.trusted_functions holds."""
        return cls(**{field.name: row[field.name] for field in fields(cls) if field.name != "state"}, state=state)


class TrustedFunctions:
    """The registered functions of the current tenant and application database. It keeps no state."""

    async def trust(self, signature: str, reason: str = "", *, runtime: Runtime | None = None) -> TrustedFunction:
        """Register a function as it is now.

        Raises `NotFound`, `InvalidInput` if the function may not be registered, `DecisionRefused` if the user may not decide.
        """
        runtime = runtime or await current_runtime()
        await people.decider(runtime=runtime)
        number, resolution = await _resolved(signature, runtime)
        problems = list(dict.fromkeys(_unsafe(number, resolution.code)))
        digest = body_hash(number, resolution.code)
        if problems or digest is None:
            raise InvalidInput(
                f"{signature!r} cannot be registered: {'; '.join(problems) or 'it calls what is not known'}."
            )
        row = await runtime.one(
            _QUERIES["trust_function"],
            **_scope(runtime),
            function_id=number,
            signature=resolution.code["function", number].signature,
            body_hash=digest,
            reason=storable(reason)[:1000],
            user=runtime.user,
        )
        assert row is not None  # noqa: S101  # an upsert returns its row
        seal_soon(runtime)
        _log.warning("function_trusted", signature=row["signature"], body_hash=digest)
        return TrustedFunction.from_row(row)

    async def revoke(self, signature: str, *, runtime: Runtime | None = None) -> None:
        """Remove a registered function, named as `list` returns it or as the database knows it. Raises `NotFound`."""
        runtime = runtime or await current_runtime()
        functions = await self.list(runtime=runtime)
        known = [function for function in functions if signature in {function.signature, str(function.function_id)}]
        number = known[0].function_id if known else (await _resolved(signature, runtime))[0]
        row = await runtime.one(_QUERIES["revoke_function"], **_scope(runtime), function_id=number)
        if row is None:
            raise NotFound(f"{signature!r} is not registered. `agent functions list` shows what is.")
        seal_soon(runtime)
        _log.warning("function_revoked", signature=row["signature"])

    async def list(self, *, runtime: Runtime | None = None) -> list[TrustedFunction]:
        """Return every registered function, sorted by its signature, with its present `state`."""
        runtime = runtime or await current_runtime()
        rows = await runtime.all(_QUERIES["trusted_functions"], **_scope(runtime))
        return [TrustedFunction.from_row(row, await _state(row, runtime)) for row in rows]


trusted_functions = TrustedFunctions()


async def registered(resolution: Resolution, *, runtime: Runtime) -> dict[int, str]:
    """Return the hashes of the registered functions that a resolution reaches, by their numbers."""
    numbers = sorted(resolution.users_functions)
    if not numbers:
        return {}
    rows = await runtime.all(_QUERIES["registered_functions"], **_scope(runtime), numbers=numbers)
    return {row["function_id"]: row["body_hash"] for row in rows}


def body_hash(number: int, code: Mapping[tuple[str, int], Code]) -> str | None:
    """Return a hash of a function and of all that it is known to call; None if one of them is not known.

    A body that is text is resolved only when it runs, so it counts as calling each function whose name stands before a
    parenthesis.
    """
    own = code.get(("function", number))
    others = _called(number, code)
    if own is None or None in others:
        return None
    digests = sorted(function.digest for function in others if function)
    return hashlib.sha256("".join([own.digest, *digests]).encode()).hexdigest()


def _called(number: int, code: Mapping[tuple[str, int], Code]) -> list[Code | None]:
    """Return the users' functions that a function calls, and those that these call."""
    pending, visited, called_code = [number], {number}, []
    while pending:
        function = code.get(("function", pending.pop()))
        if function is None or function.extension is not None:
            continue
        operators = [code[key] for used in function.operators if (key := ("operator", used)) in code]
        called = function.functions.union(*(operator.functions for operator in operators))
        new = sorted({other for other in called if other >= FIRST_USER_OBJECT} - visited)
        visited.update(new)
        pending += new
        called_code += [code.get(("function", other)) for other in new]
    return called_code


def _unsafe(number: int, code: Mapping[tuple[str, int], Code]) -> Iterator[str]:
    """Yield the reasons why a function may not be registered."""
    for function in (code["function", number], *_called(number, code)):
        if function is None or function.extension is not None:
            continue
        if function.function_kind in _KINDS:
            yield f"{function.signature} is {_KINDS[function.function_kind]}"
        elif function.function_kind != "a" and function.language not in _LANGUAGES:
            yield f"{function.signature} is in {function.language}, and only functions in sql or plpgsql may be"
        if function.definer:
            yield f"{function.signature} is SECURITY DEFINER: it runs with the rights of {function.owner}"


_NO_NAME = (
    psycopg.errors.SyntaxError,
    psycopg.errors.InvalidName,
    psycopg.errors.UndefinedObject,
    psycopg.errors.InvalidTextRepresentation,
)


async def _resolved(signature: str, runtime: Runtime) -> tuple[int, Resolution]:
    """Return the number of a user's function and its resolution. Raises `NotFound`."""
    try:
        async with runtime.app.connection("agent_assessor") as conn:
            resolved = await resolve_function(signature, conn, database=runtime.app)
    except _NO_NAME:  # before Postgres 16 the server raises an error; since then it finds nothing
        resolved = None
    except psycopg.Error as error:
        raise failure(error, runtime.settings, sql=signature) from error
    if resolved is None or resolved[0] < FIRST_USER_OBJECT:
        known = await auto_discovery.get_cached_structure(runtime=runtime)
        signatures = [function["signature"] for function in known.get("functions", [])]
        raise NotFound(
            f"There is no one function {signature!r}. Name it with its argument types: schema.name(integer)."
            + (f" {suggestion(signature, signatures)}" if signatures else "")
        )
    return resolved


async def _state(row: Mapping[str, Any], runtime: Runtime) -> str:
    try:
        number, resolution = await _resolved(row["signature"], runtime)
    except NotFound:
        return "gone"
    same = number == row["function_id"] and body_hash(number, resolution.code) == row["body_hash"]
    return "trusted" if same else "changed"


def _scope(runtime: Runtime) -> dict[str, Any]:
    return {"tenant_id": runtime.tenant_id, "database_id": runtime.database_id}
