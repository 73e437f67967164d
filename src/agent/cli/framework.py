"""Build commands and groups: the error edge of the root, `list` as a group's default, shared options, examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

# What the parser of arguments says, and plainer words for it.
_PLAINER_WORDS = (
    ("Input should be a valid integer, unable to parse string as an integer", "write a whole number"),
    ("Input should be a valid number, unable to parse string as a number", "write a number"),
    ("Input should be", "it must be"),
    ("Value error, ", ""),
)

Function = TypeVar("Function", bound=Callable[..., Any])

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="Show at most this many entries.")]


def examples(*lines: str) -> str:
    """Return the end of a command's help: one example on each line, to be typed as it stands."""
    escaped = [line.replace("[", r"\[") for line in lines]
    return "\b\n" + "\n".join(["[bold]Examples[/bold]", *(f"  {line}" for line in escaped)])


class Commands(typer.Typer):
    """A group whose commands are `Command`s."""

    def command(self, name: str | None = None, **options: Any) -> Callable[[Function], Function]:
        return super().command(name, **{"cls": Command, **options})


def group(help_text: str, *lines: str, default: str = "list") -> Commands:
    """Return a group of commands that runs its `default` if no command is given. `lines` are examples for its help."""
    cls = type("Group", (DefaultingGroup,), {"default": default})
    return Commands(cls=cls, help=help_text, epilog=examples(*lines), rich_markup_mode="rich")


class Command(TyperCommand):
    """A command whose help shows no `<bool>` after a flag."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _without_bool(super().get_params(ctx))


class Group(TyperGroup):
    """A group whose help shows no `<bool>` after a flag."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _without_bool(super().get_params(ctx))


def _without_bool(parameters: list[Any]) -> list[Any]:
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
    return parameters


class DefaultingGroup(Group):
    """A group that reads `agent approvals --json` as `agent approvals list --json`."""

    default = "list"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in {"--help", "-h"}):
            args = [self.default, *args]
        return super().parse_args(ctx, args)


class Root(Group):
    """The root of all commands, which turns every error into one sentence on standard error and an exit code."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        if not args:
            return super().make_context(info_name, args, parent, **extra)  # shows the help
        with _usage_errors_shown():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: Any) -> Any:
        from agent.errors import AgentError

        try:
            with _usage_errors_shown():
                return super().invoke(ctx)
        except AgentError as error:
            _show_failure(str(error), error)
            raise typer.Exit(error.exit_code) from error
        except (typer.Exit, typer.Abort, typer.TyperException, EOFError, BrokenPipeError):
            raise
        except Exception as error:  # the outermost edge: a user gets a sentence, not a traceback
            name = type(error).__name__
            _show_failure(f"Unexpected {name}: {error}. Set AGENT_LOG_LEVEL=debug to see where, and report it.", error)
            raise typer.Exit(1) from error


@contextmanager
def _usage_errors_shown() -> Iterator[None]:
    """Turn the error about a wrong command, option or argument into one sentence that names the help."""
    try:
        yield
    except typer.TyperException as error:
        from agent.cli.terminal.render import show_error

        context = getattr(error, "ctx", None)
        path = context.command_path if context else "agent"
        sentence = error.format_message().rstrip(".")
        for words, plainer in _PLAINER_WORDS:
            sentence = sentence.replace(words, plainer)
        show_error(f"{sentence}{'' if sentence.endswith('?') else '.'} `{path} --help` shows how to use it.")
        raise typer.Exit(error.exit_code) from error


def _show_failure(sentence: str, error: Exception) -> None:
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
