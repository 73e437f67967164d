"""Circuit breakers that all processes of a tenant share: what one process found out keeps the others from waiting, too.

    await circuits.call("agent:translator", function, runtime=runtime)

The rules are `agent.breaker`; a circuit is a row. One that is closed and has no failure is read every `LOOK_SECONDS` while calls pass, so a
call waits for the row only after a failure or a longer silence.
"""

from agent.circuits.store import SHARED, Circuit, call, close, forget_old, listed

__all__ = ["SHARED", "Circuit", "call", "close", "forget_old", "listed"]
