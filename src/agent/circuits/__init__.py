"""Circuit breakers that all processes of a tenant share: what one process found out keeps the others from waiting, too.

    await circuits.call("agent:translator", function, runtime=runtime)

The rules are `agent.breaker`; a circuit is a row. A circuit that is closed and has no failure is believed for `LOOK_SECONDS`, so calls
that succeed cost nothing in between.
"""

from agent.circuits.store import SHARED, Circuit, call, close, forget_old, listed

__all__ = ["SHARED", "Circuit", "call", "close", "forget_old", "listed"]
