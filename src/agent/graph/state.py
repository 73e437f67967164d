"""The graph's state: LangGraph's working memory of one thread. Our own rows are the truth; this may be lost."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

from langchain_core.messages import AnyMessage
from langgraph.channels import UntrackedValue
from langgraph.graph.message import add_messages

from agent.threads import Transcript


class State(TypedDict, total=False):
    """`messages` is the transcript that Studio shows, kept to the last turns; the rest belongs to the current turn."""

    messages: Annotated[list[AnyMessage], add_messages]
    turn: int
    round: int
    knowledge: dict[str, Any]
    answer: str
    error: str | None
    # What `act` leaves for `save_memory`: the answer's sources, and the interaction to remember.
    ending: dict[str, Any]
    # A new message arrived while an earlier turn was still to be finished: it is taken up after that.
    deferred: bool


class ActState(State, total=False):
    """What `act` is shown beyond the state: the transcript as just read, never kept in a checkpoint."""

    transcript: Annotated[Transcript, UntrackedValue]


class CallState(TypedDict):
    """What one `safe_executor` task is sent: the key of a stored call, and whether it is the only one of its round."""

    key: dict[str, Any]
    alone: bool


class ApprovalState(TypedDict):
    """What one `human_approval` task is sent."""

    approval_id: int
