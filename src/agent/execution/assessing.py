"""Assesses one statement: resolved by the server, then judged, and a write of one row by its key found to be one."""

from __future__ import annotations

from dataclasses import replace

import psycopg

from agent.approval.records import digest
from agent.db import Connection
from agent.execution.sessions import failure
from agent.execution.statements import trusted_functions
from agent.execution.statements.layers import ALL, Layers
from agent.execution.statements.resolution import FIRST_USER_OBJECT, Resolution, resolve
from agent.execution.statements.sql_parsing import Statement, name_of
from agent.execution.statements.sql_policy import judge, may_be_shown
from agent.execution.writes.removals import with_what_goes
from agent.execution.writes.risk import is_plain, one_row
from agent.runtime import Runtime
from agent.types import Assessment

# Of these only = is in operator families, and only itself takes its place.
_ALONE = {"=", "+", "-", "*", "/", "||"}
_MAYBE_LOW = ({"write:update"}, {"write:delete"}, {"write:insert"})
# Parts of a write that say nothing of how many rows it is: `one_row` looks at what stands in them.
_FORMS = {"node:ReturningClause", "node:SetToDefault"}


async def assess_statement(statement: Statement, *, runtime: Runtime, layers: Layers = ALL) -> Assessment:
    """What a statement is. Raises `StatementFailed` for one that the server does not take, `DatabaseUnavailable`."""
    try:
        async with runtime.app.connection("agent_assessor") as conn:
            try:
                return await _assess(
                    statement, conn, runtime, layers, probe=not layers.parse or may_be_shown(statement)
                )
            except psycopg.DatabaseError:
                # What may not be at all is said before what is wrong with it.
                assessment = await _assess(statement, conn, runtime, layers, probe=False)
                if assessment.verdict == "refuse":
                    return assessment
                raise
    except psycopg.Error as error:
        raise failure(error, runtime.settings.statement_timeout) from error


async def code_reached(statement: Statement, *, runtime: Runtime) -> str:
    """A digest of all code of users that `statement` reaches; another one when any of it is replaced. Raises as assessing."""
    try:
        async with runtime.app.connection("agent_assessor") as conn:
            resolution = await resolve(statement, conn, database=runtime.app, probe=may_be_shown(statement))
    except psycopg.Error as error:
        raise failure(error, runtime.settings.statement_timeout) from error
    return digest(
        sorted(
            [what, number, code.digest]
            for (what, number), code in resolution.code.items()
            if number >= FIRST_USER_OBJECT
        )
    )


async def _assess(
    statement: Statement, conn: Connection, runtime: Runtime, layers: Layers, *, probe: bool
) -> Assessment:
    settings = runtime.settings
    operators = {name_of(part.name).name for kind, part in statement.parts if kind == "A_Expr"}
    alone = one_row(statement) is not None and operators <= _ALONE
    resolution = await resolve(statement, conn, database=runtime.app, probe=probe, sorts=not alone)
    assessment = judge(
        statement,
        resolution,
        deny=settings.deny,
        trusted=await trusted_functions.registered(resolution, runtime=runtime),
        bypass_rls=settings.reader_bypass_rls and resolution.bypasses_rls,
        layers=layers,
    )
    if statement.kind in {"DropStmt", "TruncateStmt"} and assessment.verdict == "ask":
        return await with_what_goes(statement, assessment, conn)
    if {*assessment.reasons} - _FORMS in _MAYBE_LOW and await _is_one_row(statement, resolution, conn):
        return replace(assessment, risk="LOW", reasons=(*assessment.reasons, "one-row"))
    return assessment


async def _is_one_row(statement: Statement, resolution: Resolution, conn: Connection) -> bool:
    """Whether a write is of one row of a plain table; asked of the catalogs once while they are the same."""
    write = one_row(statement)
    if write is None or resolution.body is None or len(resolution.body.relations) != 1:
        return False
    if "one-row" not in resolution.worked_out:
        (relation,) = resolution.body.relations
        resolution.worked_out["one-row"] = await is_plain(write, relation, conn)
    return resolution.worked_out["one-row"]
