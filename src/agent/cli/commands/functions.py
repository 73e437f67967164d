"""`agent functions`: list, register and revoke functions of the application that are harmless."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.framework import JsonOption, examples, group
from agent.cli.runner import run

if TYPE_CHECKING:
    from agent.statements.trusted_functions import TrustedFunction

app = group(
    "List, trust and revoke functions of your application that you have read and found harmless.",
    "agent functions",
    "agent functions trust shop.net_price",
)
SignatureArgument = Annotated[
    str,
    typer.Argument(metavar="FUNCTION", help="The name, with argument types if several functions have it."),
]


@app.command("list", epilog=examples("agent functions", "agent functions list --json"))
def list_functions(*, as_json: JsonOption = False) -> None:
    """List the registered functions, and whether each is still the same."""
    from agent.cli.terminal.render import listing, print_json, stdout
    from agent.statements.trusted_functions import trusted_functions

    functions = run(lambda runtime: trusted_functions.list(runtime=runtime))
    if as_json:
        print_json(functions)
        return
    rows = [(function.signature, _state(function), function.trusted_by, function.reason) for function in functions]
    listing(
        stdout(),
        ("function", "state", "by", "reason"),
        rows,
        empty="No function is registered: a statement that calls one asks.",
    )


@app.command(
    "trust",
    epilog=examples(
        "agent functions trust net_price", 'agent functions trust "shop.rank(integer)" --reason "only reads orders"'
    ),
)
def trust_function(
    signature: SignatureArgument,
    *,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why it is harmless; `list` shows it.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Register a function as it is now. Statements that call it run without asking until it, or what it calls, changes.

    Read the function and what it calls first. It must be in SQL or PL/pgSQL and run with the caller's rights.
    """
    from agent.cli.terminal.render import print_json, say, stdout
    from agent.statements.trusted_functions import trusted_functions

    function = run(lambda runtime: trusted_functions.trust(signature, reason, runtime=runtime))
    if as_json:
        print_json(function)
    else:
        say(stdout(), f"{function.signature} is registered as it is now. `agent functions revoke` takes that back.")


@app.command("revoke", epilog=examples("agent functions revoke net_price"))
def revoke_function(signature: SignatureArgument, *, as_json: JsonOption = False) -> None:
    """Forget a registered function. Statements that call it ask again."""
    from agent.cli.terminal.render import print_json, say, stdout
    from agent.statements.trusted_functions import trusted_functions

    run(lambda runtime: trusted_functions.revoke(signature, runtime=runtime))
    if as_json:
        print_json({"revoked": signature})
    else:
        say(stdout(), f"{signature} is not registered any more.")


def _state(function: TrustedFunction) -> str:
    return {"trusted": "as registered", "changed": "changed since, asks", "gone": "not there any more"}[function.state]
