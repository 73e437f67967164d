"""Define the graph's state: LangGraph's working memory of one thread. It may be lost, because the thread's rows hold all."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from langchain_core.messages import AnyMessage
from langgraph.channels import UntrackedValue
from langgraph.graph.message import add_messages
from typing_extensions import TypedDict  # Pydantic makes no form of another one before Python 3.12

from agent.threads import Transcript


class Question(TypedDict):
    """The input of the graph, for which Studio shows a form."""

    messages: Annotated[list[AnyMessage], add_messages]


class State(TypedDict, total=False):
    """The state of a thread. `messages` is the transcript of its last turns, for Studio; the rest is the current turn's."""

    messages: Annotated[list[AnyMessage], add_messages]
    turn: int
    round: int
    knowledge: dict[str, Any]
    answer: str
    error: str | None
    # `act` leaves here what `save_memory` needs: the answer's sources, and the interaction to remember.
    ending: dict[str, Any]
    # The model was told once in this turn that its answer is not held by its results.
    given_back: bool
    # A message arrived while an earlier turn was not finished; it is answered after that turn.
    deferred: bool


class ActState(State, total=False):
    """The input of `act`: the state, and the transcript as just read, which no checkpoint keeps."""

    transcript: Annotated[Transcript, UntrackedValue]


class CallState(TypedDict):
    """The input of one `safe_executor` task: the key of a stored call, whether it is alone in its round, and reads are reused."""

    key: dict[str, Any]
    alone: bool
    reuse: NotRequired[bool]


class ApprovalState(TypedDict):
    """The input of one `human_approval` task."""

    approval_id: int
