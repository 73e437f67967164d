"""Shared frozen values and protocols: what the subsystems say to each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, TypedDict

Login = Literal["agent_app", "agent_assessor", "agent_reader", "agent_actor"]
LOGINS: tuple[Login, ...] = ("agent_app", "agent_assessor", "agent_reader", "agent_actor")
# What agent_actor may change: rows, or the tables too.
ActorRights = Literal["data", "schema"]
# As which of Supabase's users agent_reader reads: as itself, or as one who is not or is signed in.
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

# Of a result: there will be another one.
UNFINISHED = frozenset({"waiting", "running"})


@dataclass(frozen=True, slots=True, kw_only=True)
class HiddenRows:
    """A table of which row-level security hides some rows from a statement, or `all` of them."""

    schema: str
    table: str
    all: bool = False

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """What an action is, before anything happens.

    `reasons` are machine-readable codes (`"write:update"`, `"function:pg_sleep"`); `sentence` is for people;
    `objects` are the names of the relations that the action touches, views' own ones included; `lock` is the strongest
    lock that it takes on any of them, in Postgres's name for it, or '' where it takes none or that is not known; `hidden` are
    tables that do not show it all of their rows. `secrets` is what it does with secret columns, as the policy of statements
    found it.
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
    """What every tool returns: JSON-compatible, capped in rows and bytes.

    `success` says whether the action had its effect; `status` is an `ExecutionStatus` or "waiting". `truncated` says that
    there are more rows, `cut_cells` how many cells are only a beginning: each says how many characters it has. `remarks` are
    what must be said with it: an answer begins with the first where that says of which rows it is.
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
    # For each column the secret columns that its cells are made of, or ''; left out where there are none.
    secrets: list[str]
    message: str
    remarks: list[str]
    data: Any
    approval_id: int
    execution_id: int


# Ordinals of the calls that the code of a tool makes begin here; a round has fewer calls than this.
_HOST_CALLS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class CallKey:
    """The identity of one tool call: ours, never the model's or a client's."""

    thread_id: str
    turn: int
    round: int
    ordinal: int

    def host_call(self, number: int) -> CallKey:
        """The key of the `number`-th call (from 1) that the code of this call's tool makes."""
        return replace(self, ordinal=_HOST_CALLS * (self.ordinal + 1) + number)

    @property
    def made_by(self) -> CallKey | None:
        """The call whose tool's code made this one; None for a call of the model's."""
        if self.ordinal < _HOST_CALLS:
            return None
        return replace(self, ordinal=self.ordinal // _HOST_CALLS - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens and cost of model calls; `cost_usd` is None where the price is not known."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None

    def __add__(self, other: Usage) -> Usage:
        known = [cost for cost in (self.cost_usd, other.cost_usd) if cost is not None]
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cost_usd=sum(known) if known else None,
        )


class Embedder(Protocol):
    """Turns texts into vectors of one fixed length.

    `model` names the vector space and is stored with each vector (`"hashing:384"`,
    `"openai:text-embedding-3-small"`). `semantic` says whether a paraphrase that shares no word can be near.
    `remote` says whether `embed` calls out, so that it stays off the write path.
    Raises `ProviderUnavailable` when the service is down, slow or over quota.
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
        """Vectors of length `dimensions`, one a text, of Euclidean length 1 (or 0 for an empty text)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """A tool as the model sees it and as the executor runs it."""

    name: str
    description: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What people are told about a request that waits. No `recipients`: whoever uses the agent."""

    approval_id: int
    kind: Literal["delegated", "reminder", "escalation"]
    recipients: tuple[str, ...]
    text: str


class Notifier(Protocol):
    """Brings notices to people. Each is stored and given to `notify` once, by the process that found it due."""

    async def notify(self, notice: Notice) -> None:
        """Deliver one notice, within ten seconds. What it raises is logged; the notice stays stored."""
        ...
