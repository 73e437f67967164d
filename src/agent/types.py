"""Define the frozen values and protocols that several subsystems share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, TypedDict

Login = Literal["agent_app", "agent_assessor", "agent_reader", "agent_actor"]
LOGINS: tuple[Login, ...] = ("agent_app", "agent_assessor", "agent_reader", "agent_actor")
# Whether agent_actor may change rows only ("data") or also tables ("schema").
ActorRights = Literal["data", "schema"]
# The Supabase role that agent_reader reads as; '' means its own.
ReadAs = Literal["", "anon", "authenticated"]

MemoryKind = Literal["schema", "interaction", "fact", "pattern", "skill", "feedback"]
Trust = Literal["human", "agent", "database", "external"]
RiskLevel = Literal["LOW", "MEDIUM", "HIGH", "CRITICAL"]
RISK_LEVELS: tuple[RiskLevel, ...] = ("LOW", "MEDIUM", "HIGH", "CRITICAL")
Verdict = Literal["run", "ask", "refuse"]
ApprovalStatus = Literal["pending", "approved", "rejected", "expired", "edited", "answered"]
ExecutionStatus = Literal[
    "running", "succeeded", "failed", "refused", "rejected", "expired", "unknown", "edited", "answered"
]

# The statuses of a result that another one will replace.
UNFINISHED = frozenset({"waiting", "running"})


@dataclass(frozen=True, slots=True, kw_only=True)
class HiddenRows:
    """A table of which row-level security hides some rows from a statement; `all` says that it hides every row."""

    schema: str
    table: str
    all: bool = False

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """The policy's view of an action, before anything happens.

    `reasons` are machine-readable codes (`"write:update"`, `"function:pg_sleep"`), and `sentence` is for people. `objects`
    names the relations that the action touches, including those inside views. `lock` is Postgres's name of the strongest
    lock that it takes on any of them, or '' if it takes none or that is not known. `hidden` lists the tables of which it does
    not see all rows. `secrets` says what it does with secret columns, as the policy of statements found it.
    """

    verdict: Verdict
    risk: RiskLevel
    reasons: tuple[str, ...]
    sentence: str
    objects: tuple[str, ...] = ()
    lock: str = ""
    hidden: tuple[HiddenRows, ...] = ()
    policy_version: str = "1"
    secrets: Any = field(default=None, repr=False, compare=False)


class ToolResult(TypedDict, total=False):
    """The result of every tool: JSON-compatible, and limited in rows and bytes.

    `success` says whether the action had its effect. `status` is an `ExecutionStatus` or "waiting". `truncated` says that
    there are more rows. `cut_cells` counts the cells that hold only a beginning; each of them says how many characters there
    are. `remarks` must be part of an answer from this result; one on hidden rows must be its beginning. `correction` is what the
    human who rejected the call wants instead: only the decision's row sets it.
    """

    success: bool
    status: str
    error: str
    columns: list[str]
    rows: list[list[Any]]
    row_count: int
    truncated: bool
    cut_cells: int
    sql: str
    # For each column, the secret columns that its cells come from, or ''. The key is missing if no column has any.
    secrets: list[str]
    message: str
    remarks: list[str]
    correction: str
    data: Any
    approval_id: int
    execution_id: int


# The ordinals of calls that a tool's code makes begin here; a round has fewer calls than this.
_HOST_CALLS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class CallKey:
    """The identity of one tool call. The agent gives it, never a model or a client."""

    thread_id: str
    turn: int
    round: int
    ordinal: int

    def host_call(self, number: int) -> CallKey:
        """Return the key of the `number`-th call (from 1) that the code of this call's tool makes."""
        return replace(self, ordinal=_HOST_CALLS * (self.ordinal + 1) + number)

    @property
    def parent(self) -> CallKey | None:
        """Return the key of the call whose tool's code made this call, or None for a call of the model."""
        if self.ordinal < _HOST_CALLS:
            return None
        return replace(self, ordinal=self.ordinal // _HOST_CALLS - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens and cost of model calls. `cost_usd` is None if the price is not known."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None

    def __add__(self, other: Usage) -> Usage:
        costs = [cost for cost in (self.cost_usd, other.cost_usd) if cost is not None]
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cost_usd=sum(costs) if costs else None,
        )


class Embedder(Protocol):
    """A provider that turns texts into vectors of one fixed length.

    `model` names the vector space and is stored with each vector (`"hashing:384"`, `"openai:text-embedding-3-small"`).
    `semantic` says whether texts of the same meaning are near even if they share no word. `remote` says whether `embed` calls
    a service; then no write waits for it.
    """

    @property
    def model(self) -> str: ...

    @property
    def dimensions(self) -> int: ...

    @property
    def semantic(self) -> bool: ...

    @property
    def remote(self) -> bool: ...

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Return one vector for each text, with `dimensions` numbers and Euclidean length 1 (0 for an empty text).

        Raises `ProviderUnavailable` if the service is down, slow or over quota.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """A tool as the model sees it. `parameters` is the JSON schema of its arguments."""

    name: str
    description: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A message to people about a request that waits. Without `recipients` it is for everybody who uses the agent."""

    approval_id: int
    kind: Literal["delegated", "reminder", "escalation"]
    recipients: tuple[str, ...]
    text: str


class Notifier(Protocol):
    """A provider that brings notices to people. Each one is stored, and the process that found it due calls `notify` once."""

    async def notify(self, notice: Notice) -> None:
        """Deliver one notice within ten seconds. An error is logged, and the notice stays stored."""
        ...
