"""Assesses one statement: lets the server resolve it, judges it, and checks whether a write changes one row by its key."""

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
from agent.statements.policy import judge, may_be_probed
from agent.statements.resolver import Resolution, resolve
from agent.statements.risk import as_one_row, is_plain, one_row
from agent.statements.row_security import hidden_rows
from agent.statements.secret_use import SecretUse, secret_use, with_secrets
from agent.types import Assessment

# Operators that the planner never replaces: only = is in operator families, and there only itself takes its place.
_NEVER_REPLACED = {"=", "+", "-", "*", "/", "||"}
# The reasons of a write whose risk may be LOW.
_MAYBE_LOW = ({"write:update"}, {"write:delete"}, {"write:insert"})
# Parts of a write that do not change how many rows it changes; `one_row` checks what they contain.
_HARMLESS_PARTS = {"node:ReturningClause", "node:SetToDefault"}


async def assess_statement(
    statement: Statement, *, runtime: Runtime, show_secrets: bool = False, layers: Layers = ALL
) -> Assessment:
    """Return the assessment of a statement, which may `show_secrets` or not.

    Raises `StatementFailed` if the server rejects the statement, `DatabaseUnavailable`.
    """
    try:
        async with runtime.app.connection("agent_assessor") as conn:
            try:
                probe = not layers.parse or may_be_probed(statement)
                return await _assess(statement, conn, runtime, layers, probe=probe, show=show_secrets)
            except psycopg.DatabaseError:
                # That a statement is refused matters more than the error in it.
                assessment = await _assess(statement, conn, runtime, layers, probe=False, show=show_secrets)
                if assessment.verdict == "refuse":
                    return assessment
                raise
    except psycopg.Error as error:
        raise failure(error, runtime.settings, sql=statement.sql) from error


async def use_of_secrets(statement: Statement, *, runtime: Runtime) -> SecretUse:
    """Return what a statement does with secret columns. Raises like `assess_statement`."""
    try:
        async with runtime.app.connection("agent_assessor") as conn:
            resolution = await resolve(statement, conn, database=runtime.app, probe=may_be_probed(statement))
    except psycopg.Error as error:
        raise failure(error, runtime.settings, sql=statement.sql) from error
    return secret_use(resolution, runtime.settings)


async def _assess(
    statement: Statement, conn: Connection, runtime: Runtime, layers: Layers, *, probe: bool, show: bool
) -> Assessment:
    settings = runtime.settings
    operators = {name_of(part.name).name for kind, part in statement.parts if kind == "A_Expr"}
    is_simple = one_row(statement) is not None and operators <= _NEVER_REPLACED
    resolution = await resolve(statement, conn, database=runtime.app, probe=probe, replaces_operators=not is_simple)
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
    assessment = await _with_hidden_rows(statement, assessment, resolution, conn, runtime)
    if statement.kind in {"DropStmt", "TruncateStmt"} and assessment.verdict == "ask":
        return await with_dependents(statement, assessment, conn)
    if {*assessment.reasons} - _HARMLESS_PARTS in _MAYBE_LOW and await _is_one_row(statement, resolution, conn):
        return as_one_row(assessment)
    return assessment


async def _with_hidden_rows(
    statement: Statement, assessment: Assessment, resolution: Resolution, conn: Connection, runtime: Runtime
) -> Assessment:
    """Return the assessment with the tables that hide rows from the login that would run the statement."""
    if assessment.verdict == "refuse" or not any(relation.secured for relation in resolution.relations.values()):
        return assessment
    login = (await runtime.app.facts("agent_reader" if assessment.verdict == "run" else "agent_actor")).login
    return replace(assessment, hidden=await hidden_rows(statement, resolution, login=login, conn=conn))


async def _is_one_row(statement: Statement, resolution: Resolution, conn: Connection) -> bool:
    """Return whether a write changes one row of a plain table. Reads the catalogs once for each resolution."""
    write = one_row(statement)
    if write is None or resolution.body is None or len(resolution.body.relations) != 1:
        return False
    if "one-row" not in resolution.catalog_answers:
        (relation,) = resolution.body.relations
        resolution.catalog_answers["one-row"] = await is_plain(write, relation, conn)
    return resolution.catalog_answers["one-row"]
