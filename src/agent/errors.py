"""Define every error of this package, sorted by who must act.

    AgentError
    ├── UserError                 the person asking
    │   ├── InvalidInput              change the question or the argument
    │   ├── NotFound                  name something that exists
    │   ├── ThreadBusy                wait for the running turn, or use another thread
    │   ├── TurnStopped               nothing to do: somebody stopped the turn
    │   ├── AlreadyDecided            nothing to do: the decision was taken before
    │   ├── StateChanged              look at the present state, and say again what it should become
    │   └── NotAuthenticated          prove who you are: send a valid key or token
    ├── ModelError                the model (the text goes back to it as a tool result)
    │   ├── InvalidArguments          call the tool again with other arguments
    │   ├── UnknownTool               call a tool that exists
    │   └── StatementFailed           the database refused the statement
    │       └── RowsChanged               it would do something else than was approved; a human is asked again
    ├── PolicyError               nobody: a rule said no
    │   ├── ActionRefused             the action needs an approval that cannot be asked for, or is forbidden
    │   ├── DecisionRefused           another person must decide this
    │   ├── AccessDenied              use a key or token with a higher role
    │   └── AgentStopped              the stop switch or the read-only mode is on
    └── OperatorError             whoever runs the agent
        ├── ConfigurationError        change a setting
        ├── DatabaseUnavailable       start or reach the database
        ├── SetupRequired             run `agent migrate` or `agent setup`
        ├── ProviderUnavailable       a model, embedder or mail server is down, slow or over quota
        ├── ProcessEnds               nothing to do: another process goes on; ask again in a moment
        ├── BudgetExceeded            raise a token or cost cap, or wait
        ├── OutcomeUnknown            find out whether it happened; nothing repeats it by itself
        └── SandboxUnavailable        make the sandbox work, or use no created tools

Messages say what to do next, and quote values with `!r`. Driver errors are wrapped once, with `from`.
"""

from __future__ import annotations


class AgentError(Exception):
    """Something went wrong in the agent."""

    exit_code = 1

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.__doc__)


class UserError(AgentError):
    """This cannot be done as it was asked."""

    exit_code = 2


class InvalidInput(UserError):
    """The input is not valid."""


class NotFound(UserError):
    """No such thing."""


class ThreadBusy(UserError):
    """Another turn is running on this thread; wait for it, or use another thread."""


class TurnStopped(UserError):
    """The turn was stopped."""


class AlreadyDecided(UserError):
    """This approval has been decided already."""


class StateChanged(UserError):
    """The state has changed since it was read; read it again."""


class NotAuthenticated(UserError):
    """It is not known who asks: send a valid API key or token."""


class ModelError(AgentError):
    """The model asked for something that cannot be done as it asked."""

    exit_code = 3


class InvalidArguments(ModelError):
    """The tool's arguments are not valid."""


class UnknownTool(ModelError):
    """There is no tool of that name."""


class StatementFailed(ModelError):
    """The database refused the statement."""


class RowsChanged(StatementFailed):
    """The statement would now do something else than was approved."""


class PolicyError(AgentError):
    """A safety rule does not allow this."""

    exit_code = 4


class ActionRefused(PolicyError):
    """The action needs a human's approval, or is not allowed at all."""


class DecisionRefused(PolicyError):
    """Another person must decide this."""


class AccessDenied(PolicyError):
    """This needs a higher role."""


class AgentStopped(PolicyError):
    """The agent is stopped or read-only; `agent resume` lifts that."""


class ConditionNotMet(AgentStopped):
    """A condition of the operator holds changes up for now: a freeze window, or a backup that is missing."""


class OperatorError(AgentError):
    """The agent cannot work in the way it is set up."""

    exit_code = 5


class ConfigurationError(OperatorError):
    """A setting is missing or wrong."""


class DatabaseUnavailable(OperatorError):
    """The database cannot be reached."""


class SetupRequired(OperatorError):
    """The database is not prepared for the agent; run `agent setup` and `agent migrate`."""


class ProviderUnavailable(OperatorError):
    """A model or another outside service did not answer."""


class ProcessEnds(OperatorError):
    """This process ends: send the request again."""


class BudgetExceeded(OperatorError):
    """A token or cost cap is reached."""


class OutcomeUnknown(OperatorError):
    """Whether the action happened is not known; a human must look."""


class SandboxUnavailable(OperatorError):
    """The sandbox for created tools does not work."""
