"""Ask a human something from outside: another agent or program uses the same inbox, and may say what form the answer has.

The question is a request of the action `ask_human`, which nothing executes. A human answers it with "respond"; an answer that
does not fit the question's schema is refused, so that who asked never gets one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.approval.human_approval import Approval, human_approval_queue
from agent.errors import InvalidArguments, InvalidInput, NotFound
from agent.execution.tools.json_schema import ArgumentSchema
from agent.runtime import Runtime, current_runtime
from agent.types import ApprovalStatus

ASK_HUMAN = "ask_human"


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanAnswer:
    """What became of a question. `answer` is null until a human has answered; with a schema it is an object, else a text."""

    id: int
    question: str
    status: ApprovalStatus
    answer: dict[str, Any] | str | None
    answered_by: str | None
    comment: str | None


async def ask(
    question: str,
    *,
    schema: Mapping[str, Any] | None = None,
    timeout: float | None = None,  # noqa: ASYNC109  # the life of the row, not of this call
    runtime: Runtime | None = None,
) -> Approval:
    """Ask a human and do not wait. `schema` is a JSON schema of an object that the answer must be. Raises `InvalidInput`."""
    if not question.strip():
        raise InvalidInput("Say what a human is to be asked.")
    arguments: dict[str, Any] = {"question": question}
    if schema is not None:
        try:
            arguments["answer_schema"] = ArgumentSchema.of(schema).as_dict
        except InvalidArguments as error:
            raise InvalidInput(str(error)) from None
    return await human_approval_queue.request(
        ASK_HUMAN, arguments, summary=question, executable=False, timeout=timeout, runtime=runtime
    )


async def answer(question_id: int, *, runtime: Runtime | None = None) -> HumanAnswer:
    """Return what became of a question. Raises `NotFound`."""
    request = await human_approval_queue.get(question_id, runtime=runtime or await current_runtime())
    return answer_in(request)


def answer_in(request: Approval) -> HumanAnswer:
    """Return the answer in a request's row. Raises `NotFound` if it is no question."""
    if request.action != ASK_HUMAN:
        raise NotFound(f"There is no question {request.id}.")
    given: dict[str, Any] | str | None = request.response
    if request.response is not None and "answer_schema" in request.arguments:
        try:
            given = json.loads(request.response)
        except ValueError:  # the viewer sees it masked
            given = request.response
    return HumanAnswer(
        id=request.id, question=str(request.arguments.get("question", request.summary)), status=request.status, answer=given,
        answered_by=request.decided_by, comment=request.comment,
    )  # fmt: skip


async def check_answer(approval_id: int, response: str | None, *, runtime: Runtime) -> None:
    """Raise `InvalidInput` if the request is a question with a schema and `response` does not fit it."""
    request = await human_approval_queue.unmasked(approval_id, runtime=runtime)
    schema = request.arguments.get("answer_schema") if request.action == ASK_HUMAN else None
    if schema is None:
        return
    try:
        document = json.loads(response or "")
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise InvalidInput(f"The answer must be a JSON object of this form: {json.dumps(schema)}")
    try:
        ArgumentSchema.known(schema).check("The question", document)
    except InvalidArguments as error:
        raise InvalidInput(str(error)) from None
