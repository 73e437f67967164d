"""Sends a mail to addresses in the question, with its words: "Mail anna@example.com about lunch: see you at noon"."""

from __future__ import annotations

import re

from agent.providers.mail import NOT_SET_UP
from agent.providers.offline_model.answers import failure_message
from agent.providers.offline_model.tokenizer import clean
from agent.providers.offline_model.turn_view import Answer, Call, Step, Turn

_ADDRESS = r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
_MAIL = re.compile(
    rf"^\W*(?:please |can you |could you )*(?:(?:send|write) (?:an? )?e?-?mail to|e?-?mail|write to) "
    rf"(?P<to>{_ADDRESS}(?:(?:,| and|, and) {_ADDRESS})*)"
    r"(?:,? (?:about|with (?:the )?subject) (?P<subject>[^:]{1,100}?))?(?:[:,]? (?:saying|that|telling them)[: ]|:) ?(?P<body>.{1,4000})$",
    re.I | re.S,
)
_SUBJECT_CHARS = 60


def mail(turn: Turn) -> Step | None:
    """Return the call that sends the mail, or its outcome."""
    match = _MAIL.match(clean(turn.question))
    if not match:
        return None
    outcome = turn.outcome("send_email")
    to, body = re.findall(_ADDRESS, match["to"]), match["body"].strip()
    if outcome:
        return Answer(
            text=f"The mail to {', '.join(to)} is out." if outcome.success else failure_message(outcome.result)
        )
    if "send_email" not in turn.tools:
        return Answer(text=NOT_SET_UP)  # else the tool would be there
    subject = match["subject"] or body.splitlines()[0][:_SUBJECT_CHARS]
    return Call(tool="send_email", arguments={"to": to, "subject": subject.strip(" \"'"), "body": body})
