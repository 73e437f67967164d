"""What every group of commands is made of: the root's error edge, `list` as the default, the shared options, examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

# How the parser of arguments says it, and how a person does.
_WORDS = (
    ("Input should be a valid integer, unable to parse string as an integer", "write a whole number"),
    ("Input should be a valid number, unable to parse string as a number", "write a number"),
    ("Input should be", "it must be"),
    ("Value error, ", ""),
)

Function = TypeVar("Function", bound=Callable[..., Any])

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="Show at most this many entries.")]


def examples(*lines: str) -> str:
    """The epilogue of a command's help: one example a line, each to be typed as it stands."""
    escaped = [line.replace("[", r"\[") for line in lines]
    return "\b\n" + "\n".join(["[bold]Examples[/bold]", *(f"  {line}" for line in escaped)])


class Commands(typer.Typer):
    """A group of commands, each of them a `Command`."""

    def command(self, name: str | None = None, **options: Any) -> Callable[[Function], Function]:
        return super().command(name, **{"cls": Command, **options})


def group(help_text: str, *lines: str) -> Commands:
    """A group of commands that without a command runs its `list`; `lines` are examples."""
    return Commands(cls=ListByDefault, help=help_text, epilog=examples(*lines), rich_markup_mode="rich")


class Command(TyperCommand):
    """A command whose help does not call a flag a `<bool>`."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _plain_flags(super().get_params(ctx))


class Group(TyperGroup):
    """The same for a group."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _plain_flags(super().get_params(ctx))


def _plain_flags(parameters: list[Any]) -> list[Any]:
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
    return parameters


class ListByDefault(Group):
    """`agent approvals --json` is `agent approvals list --json`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in {"--help", "-h"}):
            args = ["list", *args]
        return super().parse_args(ctx, args)


class Root(Group):
    """The edge of every command: an error becomes one sentence on standard error and an exit code."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        if not args:
            return super().make_context(info_name, args, parent, **extra)  # which shows the help
        with _typed_right():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: Any) -> Any:
        from agent.errors import AgentError

        try:
            with _typed_right():
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


@contextmanager
def _typed_right() -> Iterator[None]:
    """A wrong command, option or argument is one sentence, and where to look."""
    try:
        yield
    except typer.TyperException as error:
        from agent.cli.terminal.render import show_error

        context = getattr(error, "ctx", None)
        path = context.command_path if context else "agent"
        sentence = error.format_message().rstrip(".")
        for parsers, ours in _WORDS:
            sentence = sentence.replace(parsers, ours)
        show_error(f"{sentence}{'' if sentence.endswith('?') else '.'} `{path} --help` shows how to use it.")
        raise typer.Exit(error.exit_code) from error


def _tell(sentence: str, error: Exception) -> None:
    from agent.cli.terminal.render import show_error, show_traceback
    from agent.errors import ConfigurationError
    from agent.settings import Settings

    show_error(sentence)
    try:
        debugging = Settings.load().log_level == "debug"
    except ConfigurationError:
        return
    if debugging:
        show_traceback(error)
