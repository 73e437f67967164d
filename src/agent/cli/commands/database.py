"""`agent setup`, `migrate`, `backup`, `restore` and `upgrade`: set up and maintain the agent's database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.framework import JsonOption, examples
from agent.cli.runner import load_settings, opening

if TYPE_CHECKING:
    from agent.settings import Settings

SETUP_EXAMPLES = examples("agent setup", "agent setup --print-sql > for-the-dba.sql")
MIGRATE_EXAMPLES = examples(
    "agent migrate", "DATABASE_URL=postgresql://postgres:...@db.example.com/postgres agent migrate"
)
BACKUP_EXAMPLES = examples("agent backup monday.dump", "agent backup monday.dump --with-secret")
RESTORE_EXAMPLES = examples("agent restore monday.dump")
UPGRADE_EXAMPLES = examples("agent upgrade")

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The backup file.")]


def setup(
    *,
    print_sql: Annotated[
        bool,
        typer.Option("--print-sql", help="Print the SQL for a database administrator instead of running it."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Give the agent's four logins their passwords and their rights on your application's schemas."""
    from agent.cli.commands.status import secrets_line
    from agent.cli.terminal.render import print_json, say, stdout
    from agent.db import setup as logins
    from agent.db.administrator import administrator
    from agent.learning.discovery.secret_columns import deny_line, secret_columns_at
    from agent.types import LOGINS

    settings = load_settings()
    if print_sql:
        script = logins.script_for(settings)
        if as_json:
            print_json({"sql": script})
        else:
            typer.echo(script)  # unchanged, because somebody will run it
        return
    with opening(settings):
        schemas = logins.set_up(settings)
        secrets = secret_columns_at(administrator(settings).app_url, settings).names()
    line = deny_line(secrets, settings.deny)
    if as_json:
        print_json({"logins": list(LOGINS), "schemas": schemas, "secrets": secrets, "deny_line": line})
        return
    say(stdout(), f"The four logins are ready; they may use the schemas {', '.join(schemas) or '(none yet)'}.")
    if secrets:
        say(stdout(), secrets_line(secrets, line))


def migrate(*, as_json: JsonOption = False) -> None:
    """Bring the agent's tables up to date, as the Supabase CLI would."""
    from agent.cli.terminal.render import print_json, say, stdout
    from agent.db import migrations

    settings = load_settings()
    with opening(settings):
        applied = migrations.migrate(_own_database(settings))
    if as_json:
        print_json({"applied": applied})
    elif applied:
        say(stdout(), "\n".join(["Applied:", *(f"  {version}" for version in applied)]))
    else:
        say(stdout(), "Everything is up to date.")


def backup(
    file: FileArgument,
    *,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
    with_secret: Annotated[
        bool, typer.Option("--with-secret", help="Also write FILE.secret, to move to another machine.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write the embedded database to a file. Others can work meanwhile."""
    from agent.cli.terminal.render import print_json, progress, say, stdout
    from agent.db import maintenance

    settings = load_settings()
    with progress("backing up") as move:
        size = maintenance.backup(settings, file, overwrite=overwrite, with_secret=with_secret, progress=move)
    if as_json:
        print_json({"file": str(file), "bytes": size})
    else:
        say(stdout(), f"{file} holds the database, {size / 1e6:,.1f} MB.")


def restore(file: FileArgument, *, as_json: JsonOption = False) -> None:
    """Put a backup in the place of the embedded database. Restore only files that you trust.

    The present database stays, under the name agent_previous, until the next restore.
    """
    from agent.cli.terminal.render import print_json, progress, say, stdout
    from agent.db import maintenance

    settings = load_settings()
    with progress("restoring") as move:
        maintenance.restore(settings, file, progress=move)
    if as_json:
        print_json({"restored": str(file), "previous": maintenance.PREVIOUS})
    else:
        say(stdout(), f"{file} is restored. The previous data is in the database {maintenance.PREVIOUS}.")


def upgrade(*, as_json: JsonOption = False) -> None:
    """Move the embedded data from an older PostgreSQL to the one that this version runs."""
    from agent.cli.terminal.render import print_json, say, stdout, waiting
    from agent.db import maintenance

    settings = load_settings()
    with waiting("Upgrading the data …"):
        before = maintenance.upgrade(settings)
    if as_json:
        print_json({"upgraded_from": before})
    elif before is None:
        say(stdout(), "There is nothing to upgrade.")
    else:
        say(stdout(), f"The data is upgraded from PostgreSQL {before}; the old folder stays until you remove it.")


def _own_database(settings: Settings) -> str:
    """Return the administrator's URL of the agent's own database. To migrate it needs no secret."""
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    from agent.db.administrator import administrator

    return administrator(settings).url
