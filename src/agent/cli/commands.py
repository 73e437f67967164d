"""What every group of commands is made of: the root's error edge, `list` as the default, the shared options, examples."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

JsonOption = Annotated[bool, typer.Option("--json", metavar="", help="Print one JSON document, and nothing else.")]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="Most entries to show.")]


def examples(*lines: str) -> str:
    """The epilogue of a command's help: one example a line, each to be typed as it stands."""
    escaped = [line.replace("[", r"\[") for line in lines]
    return "\b\n" + "\n".join(["[bold]Examples[/bold]", *(f"  {line}" for line in escaped)])


def group(help_text: str) -> typer.Typer:
    """A group of commands that without a command runs its `list`."""
    return typer.Typer(cls=ListByDefault, help=help_text, rich_markup_mode="rich")


class ListByDefault(TyperGroup):
    """`agent approvals --json` is `agent approvals list --json`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in {"--help", "-h"}):
            args = ["list", *args]
        return super().parse_args(ctx, args)


class Root(TyperGroup):
    """The edge of every command: an error becomes one sentence on standard error and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        from agent.errors import AgentError

        try:
            return super().invoke(ctx)
        except AgentError as error:
            _tell(str(error), error)
            raise typer.Exit(error.exit_code) from error
        except (typer.Exit, typer.Abort, typer.TyperException, EOFError, BrokenPipeError):
            raise
        except Exception as error:  # the last edge: whatever it is, its user gets a sentence, not a traceback
            name = type(error).__name__
            _tell(f"Unexpected {name}: {error}. Set AGENT_LOG_LEVEL=debug to see where, and report it.", error)
            raise typer.Exit(1) from error


def _tell(sentence: str, error: Exception) -> None:
    from agent.cli.render import show_error, show_traceback
    from agent.errors import ConfigurationError
    from agent.settings import Settings

    show_error(sentence)
    try:
        debugging = Settings.load().log_level == "debug"
    except ConfigurationError:
        return
    if debugging:
        show_traceback(error)
