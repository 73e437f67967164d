"""Assesses one statement: resolved by the server, then judged, and a write of one row by its key found to be one."""

from __future__ import annotations

from dataclasses import replace

import psycopg

from agent.db import Connection
from agent.db.statement_failures import failure
from agent.runtime import Runtime
from agent.statements import trusted_functions
from agent.statements.code_behind import note_reads
from agent.statements.dependents import with_dependents
from agent.statements.layers import ALL, Layers
from agent.statements.parser import Statement, name_of
from agent.statements.policy import judge, may_be_shown
from agent.statements.resolver import Resolution, resolve
from agent.statements.risk import is_plain, one_row
from agent.statements.row_security import hiding
from agent.statements.secret_use import SecretUse, secret_use, with_secrets
from agent.types import Assessment

# Of these only = is in operator families, and only itself takes its place.
_ALONE = {"=", "+", "-", "*", "/", "||"}
_MAYBE_LOW = ({"write:update"}, {"write:delete"}, {"write:insert"})
# Parts of a write that say nothing of how many rows it is: `one_row` looks at what stands in them.
_FORMS = {"node:ReturningClause", "node:SetToDefault"}


async def assess_statement(
    statement: Statement, *, runtime: Runtime, show_secrets: bool = False, layers: Layers = ALL
) -> Assessment:
    """What a statement is, where it may `show_secrets` or not. Raises `StatementFailed` for one that the server does not take, `DatabaseUnavailable`."""
    try:
        async with runtime.app.connection("agent_assessor") as conn:
            try:
                probe = not layers.parse or may_be_shown(statement)
                return await _assess(statement, conn, runtime, layers, probe=probe, show=show_secrets)
            except psycopg.DatabaseError:
                # What may not be at all is said before what is wrong with it.
                assessment = await _assess(statement, conn, runtime, layers, probe=False, show=show_secrets)
                if assessment.verdict == "refuse":
                    return assessment
                raise
    except psycopg.Error as error:
        raise failure(error, runtime.settings, sql=statement.sql) from error


async def use_of_secrets(statement: Statement, *, runtime: Runtime) -> SecretUse:
    """What a statement does with secret columns. Raises as assessing."""
    try:
        async with runtime.app.connection("agent_assessor") as conn:
            resolution = await resolve(statement, conn, database=runtime.app, probe=may_be_shown(statement))
    except psycopg.Error as error:
        raise failure(error, runtime.settings, sql=statement.sql) from error
    return secret_use(resolution, runtime.settings)


async def _assess(
    statement: Statement, conn: Connection, runtime: Runtime, layers: Layers, *, probe: bool, show: bool
) -> Assessment:
    settings = runtime.settings
    operators = {name_of(part.name).name for kind, part in statement.parts if kind == "A_Expr"}
    alone = one_row(statement) is not None and operators <= _ALONE
    resolution = await resolve(statement, conn, database=runtime.app, probe=probe, sorts=not alone)
    if settings.deny:
        await note_reads(resolution, conn, database=runtime.app)
    assessment = judge(
        statement,
        resolution,
        deny=settings.deny,
        trusted=await trusted_functions.registered(resolution, runtime=runtime),
        bypass_rls=settings.reader_bypass_rls and resolution.bypasses_rls,
        layers=layers,
    )
    assessment = with_secrets(assessment, secret_use(resolution, settings), show=show)
    assessment = await _with_hidden(statement, assessment, resolution, conn, runtime)
    if statement.kind in {"DropStmt", "TruncateStmt"} and assessment.verdict == "ask":
        return await with_dependents(statement, assessment, conn)
    if {*assessment.reasons} - _FORMS in _MAYBE_LOW and await _is_one_row(statement, resolution, conn):
        return replace(assessment, risk="LOW", reasons=(*assessment.reasons, "one-row"))
    return assessment


async def _with_hidden(
    statement: Statement, assessment: Assessment, resolution: Resolution, conn: Connection, runtime: Runtime
) -> Assessment:
    """The assessment with the tables that do not show all of their rows to the login that would run the statement."""
    if assessment.verdict == "refuse" or not any(relation.secured for relation in resolution.relations.values()):
        return assessment
    login = (await runtime.app.facts("agent_reader" if assessment.verdict == "run" else "agent_actor")).login
    return replace(assessment, hidden=await hiding(statement, resolution, login=login, conn=conn))


async def _is_one_row(statement: Statement, resolution: Resolution, conn: Connection) -> bool:
    """Whether a write is of one row of a plain table; asked of the catalogs once while they are the same."""
    write = one_row(statement)
    if write is None or resolution.body is None or len(resolution.body.relations) != 1:
        return False
    if "one-row" not in resolution.worked_out:
        (relation,) = resolution.body.relations
        resolution.worked_out["one-row"] = await is_plain(write, relation, conn)
    return resolution.worked_out["one-row"]
