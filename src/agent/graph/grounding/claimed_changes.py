"""Recognise an answer that says that something was changed, sent or remembered, where no call of the turn has done it. Pure.

The rows of an application also speak of changes ("order 12 was cancelled in May"). So what could describe data is a claim only if the
user has asked for a change or the model has tried one; "I have cancelled order 12" always is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.errors import InvalidArguments
from agent.graph.grounding.claims_abroad import asks_abroad, claims_abroad
from agent.remarks import MAIL_NOT_SENT, NOT_ALL_CHANGED, NOTHING_CHANGED
from agent.statements.parser import parse
from agent.types import ToolResult

_PLAIN = """
    update delete remove insert rename drop archive cancel restore revert refund correct assign reassign reopen activate deactivate disable
    enable register schedule reschedule increase decrease lower truncate merge transfer replace clear extend reduce approve complete
    suspend promote demote unsubscribe subscribe block unblock ban reactivate edit modify email mail notify erase purge wipe move anonymise
    anonymize switch credit debit upgrade downgrade publish unpublish import clean raise invite detach attach migrate adjust convert fix
    process confirm record log store add create change mark close apply issue save book reserve tag untag link unlink flag double swap
    remember memorize memorise place charge deduct subtract alter grant revoke return void waive ship dispatch forward reply inform remind alert order arrange subscribe fulfil fulfill finalise finalize
    """
_IRREGULAR = {
    "set": "set", "reset": "reset", "undo": "undone undid", "send": "sent", "resend": "resent", "pay": "paid", "put": "put", "make": "made",
    "give": "given gave", "hide": "hidden hid", "withdraw": "withdrawn withdrew", "take": "taken took", "write": "written wrote",
}  # fmt: skip
# Words that also say what an answer itself does: "I have added a total".
_SOFT_VERBS = """
    add create change mark close apply issue save make set put record log store correct fix convert link tag flag switch double adjust give take
    write clean process confirm replace remove clear complete return reduce update move order
    """
_AGAIN = frozenset(["drop", "ban", "tag", "ship", "swap", "flag", "log", "unsub"])


def _participles(verb: str) -> list[str]:
    if verb in _IRREGULAR:
        return _IRREGULAR[verb].split()
    if verb.endswith("e"):
        return [f"{verb}d"]
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return [f"{verb[:-1]}ied"]
    if verb == "cancel":
        return ["canceled", "cancelled"]
    doubled = verb in _AGAIN or verb in {"transfer", "wrap", "submit", "untag"}
    return [f"{verb}{verb[-1]}ed" if doubled else f"{verb}ed"]


_VERBS = [*_PLAIN.split(), *_IRREGULAR]
_SOFT = frozenset(word for verb in _SOFT_VERBS.split() for word in (verb, *_participles(verb)))
_DONE_WORDS = sorted({word for verb in _VERBS for word in _participles(verb)}, key=len, reverse=True)
_DONE = "|".join(_DONE_WORDS)
_ASKED = "|".join(sorted(_VERBS, key=len, reverse=True))
_ADVERB = r"(?:(?:now|just|also|successfully|permanently|already|then|both|all|each|since|therefore|accordingly|duly|thus|hereby|again|manually|correctly|safely|fully|completely)\s+)*"
_FIRST_PERSON = re.compile(rf"\b(?:i|we)(?:\s+have|['\u2019]ve)?\s+{_ADVERB}(?P<verb>{_DONE})\b", re.IGNORECASE)
_AND_ALSO = re.compile(
    rf"\b(?:i|we)(?:\s+have|['\u2019]ve)?\s+[^.;!?]*?\b(?:and|then)\s+{_ADVERB}(?P<verb>{_DONE})\b", re.IGNORECASE
)
_PASSIVE = re.compile(
    rf"\b(?:ha(?:s|ve)\s+{_ADVERB}been|was|were|is\s+now|are\s+now|got)\s+{_ADVERB}(?P<verb>{_DONE})\b", re.IGNORECASE
)
_BARE = re.compile(
    rf"^\W*(?:(?:ok|okay|sure|yes|great|alright|certainly|of course|perfect|done|all set|noted(?: and)?|got it)\b[\s,.!:\u2014-]*)*{_ADVERB}(?P<verb>{_DONE})\b(?!\s+(?:by|at|on|in)\b)",
    re.IGNORECASE,
)
_NOUN_DONE = re.compile(
    rf"^\W*(?:the\s+|your\s+|an?\s+)?[\w'\u2019#@. -]{{2,60}}?\s(?P<verb>{_DONE})\s*(?:successfully)?\s*(?:to\s+\S+|for\s+[^.]*|with\s+[^.]*)?[.!]*\W*$",
    re.IGNORECASE,
)
_FINISHED = re.compile(
    r"^\W*(?:ok(?:ay)?\b[\s,.!]*|sure\b[\s,.!]*|yes\b[\s,.!]*)?(?:(?:it['\u2019]?s |that['\u2019]?s |this is |that is |all |it is )?(?:done|all set|taken care of|finished)\b)|"
    r"\bsuccessful(?:ly)?\b|\btook effect\b|\b(?:change|update|deletion|transfer|refund|insert|migration)s?\s+(?:went through|(?:is|are|was|were) (?:complete|done|in place|made|live))|"
    r"\btook care of\b|\bconsider it done\b|\b(?:in effect|in force)\b|\b\d+ rows? (?:affected|updated|deleted|inserted|changed)\b|\b(?:is|are) gone\b|\bno longer (?:exists?|in)\b",
    re.IGNORECASE,
)  # fmt: skip
_NOW = re.compile(
    r"\b(?:is|are|has|have|costs?|stands?|reads?|shows?|belongs?|points?)\s+now\b|\bnow (?:is|are|has|have|costs?|shows?|reads?|stands?|belongs?|points?|set)\b|\b(?:is|are|has|have)\b[^,;]*\bnow\W*$",
    re.IGNORECASE,
)
# What only waits to be disproved where a change was tried and not made, or was asked for and never tried.
_STATE = re.compile(
    rf"\b(?:is|are|was|were|has been|have been|got)\s+{_ADVERB}(?:(?P<verb>{_DONE})|(?<=been )\w+ed|gone|live|in place|out|sent|told|informed|up)\b|\bwent (?:out|through)\b|\b(?:is|are|has|have|costs?)\s+now\b|"
    rf"\bnow (?:is|are|has|have|costs?)\b|\bgot an? (?:e-?mail|message|reminder)\b",
    re.IGNORECASE,
)
# Of what was found, only a change can be said so: no row speaks of it.
_NOT_SO = re.compile(
    r"\b(?:not|no|none|nothing|nobody|never|without|cannot|will|would|can|could|should|may|might|must|if|unless|until|once|when|pending|before(?! \d)|wait\w*|already|still|fail\w*|reject\w*|refus\w*)\b|n['\u2019]t\b|\?\s*$",
    re.IGNORECASE,
)
_REMOVED = re.compile(r"\b(?:has|have) been (?P<verb>removed|deleted|erased|purged|merged|dropped)\b", re.IGNORECASE)
_ARRANGED = re.compile(
    r"\b(?:i|we)(?:\s+have|['\u2019]ve)\s+(?:\w+ly\s+)?(?:scheduled|rescheduled|booked|reserved|ordered|arranged|set up|sent|e-?mailed|notified|informed|registered|subscribed)\b|"
    r"\byour (?:booking|reservation|order|appointment|registration|subscription|payment)\b[^.!?]{0,40}? (?:is|has been) (?:now )?(?P<verb>confirmed|booked|placed|made|complete)\b",
    re.IGNORECASE,
)
_UNTIL = re.compile(
    r"^\W*(?:once|as soon as|when|if|after|until|before|sobald|wenn|nachdem|falls|dès que|quand|lorsque|cuando|si|se|quando|zodra|als)\b",
    re.IGNORECASE,
)
_NOT = re.compile(
    r"\b(?:not|no|none|nothing|never|nobody|neither|nor|without|cannot|can['\u2019]?t|couldn['\u2019]?t|won['\u2019]?t|wasn['\u2019]?t|weren['\u2019]?t|hasn['\u2019]?t|haven['\u2019]?t|"
    r"isn['\u2019]?t|aren['\u2019]?t|didn['\u2019]?t|don['\u2019]?t|doesn['\u2019]?t|would|will|could|should|might|may|must|can|shall|if|unless|until|once|when|after|before|as soon as|pending|waiting|"
    r"waits?|await\w*|needs?|need to|to be|failed|fails?|rejected|refused|declined|expired|denied|still|yet|already|in case|unable|0 rows|zero rows|proposed?|ready to|about to|"
    r"approvals?|approve|review|sign-off|try|tried|attempt\w*|want(?:ed|s)?|ask(?:ed|s)?|request\w*|whether|instead|unchanged|'ll)\b|\u2019ll\b|'ll\b|\?\s*$|\b0\b",
    re.IGNORECASE,
)  # fmt: skip
_RELATIVE = re.compile(r"\b(?:who|whom|whose|that|which|where|since|because|as|how)\b[^,;]*$", re.IGNORECASE)
_ABOUT_ANSWER = re.compile(
    r"\b(?:summary|list|overview|report|breakdown|table below|chart|query|statement|draft|proposal|plan|request|question|note[sd]?|comparison|"
    r"rounding|rounded|decimals?|filter|sort\w*|order(?:ed)? by|column below|total row|results?|answer|assumption|calculation|figures?|numbers? (?:above|below))\b",
    re.IGNORECASE,
)
_MAIL = re.compile(
    r"\b(?:e-?mailed|mailed|notified|(?:sent|resent)\b.*\b(?:e-?mail|mail|message|reminder|notification|note|letter|invoice|confirmation|to \S+@\S+|him|her|them|it)|(?:e-?mail|mail|message|reminder|notification|letter)s?\s+(?:(?:has|have|was|were|is|are)\s+(?:been\s+|now\s+)?)?sent)\b",
    re.IGNORECASE,
)
_REQUEST = re.compile(
    rf"(?:^|[.,;:!?]\s*|\b(?:please|pls|now|then|and|also|just|to|you|let['\u2019]?s|go ahead and|should|must|don['\u2019]?t forget to|first|kindly)\s+)(?:please\s+)?(?P<verb>{_ASKED})\b(?!\s*(?:\?|s\b))",
    re.IGNORECASE,
)
_YES = re.compile(
    r"^\W*(?:yes|yep|yeah|ok|okay|sure|do it|do that|go ahead|proceed|confirm(?:ed)?|please do|fine|approved?|the (?:first|second|third|other|last) one|same|both|all of them)\b",
    re.IGNORECASE,
)
_PAST_QUESTION = re.compile(
    r"\b(?:did|have|has|had|was|were|what|which|when|who|why|how many)\b.*\?|^\W*(?:what|which|when|who|why|how|did|have|was|were|has|show|list|tell|summar\w+|recap)\b",
    re.IGNORECASE,
)
_BEFORE = re.compile(
    r"\b(?:earlier|before|previous(?:ly)?|already|last (?:turn|time)|above|a moment ago|just now|(?:step|turn|message)s? before|in the (?:previous|last) (?:step|turn|message))\b",
    re.IGNORECASE,
)
_ALL = re.compile(r"\b(?:both|all|each|every|everything)\b", re.IGNORECASE)
_ADMITS = re.compile(
    r"\b(?:not|reject\w*|refus\w*|fail\w*|declin\w*|expir\w*|wait\w*|pending|except|but|however|could ?n[o'\u2019]t|unable|only|error|denied|unchanged)\b",
    re.IGNORECASE,
)
_CLAUSE = re.compile(
    r"(?<=[.!?;\n])\s+|\n+|[;\u2014]|,\s+(?:but|so|and(?:\s+then)?|then|which|yet|because|while|although|however)\s+|\s+(?:but|so|because|although|however|while)\s+|,\s+(?=(?:i|we|it|they|nothing|no|the)\b)",
    re.IGNORECASE,
)

# Tools that change something, or may, whatever their arguments are.
_OWN_EFFECTS = frozenset({"undo_change", "update_client_status", "send_email", "create_new_tool", "remember"})
_HARMLESS = frozenset({"query_data", "describe_schema", "search_memory"})
_COUNTED = frozenset({"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})
_WRITING_TEXT = re.compile(
    r"\b(?:insert|update|delete|merge|truncate|drop|alter|create|grant|revoke|call|refresh)\b", re.IGNORECASE
)
StatedCall = tuple[str, Mapping[str, Any], ToolResult]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tried:
    """A call that was to change something: what it has done, if anything."""

    tool: str
    done: bool
    certain: bool  # certainly a change, not only perhaps one
    rows: int | None = None


def claimed_change(
    answer: str, *, question: str, earlier: Sequence[tuple[str, str]], calls: Sequence[StatedCall]
) -> str | None:
    """Return the remark for an answer that says that something was done which no call did, or None."""
    tried = [one for call in calls if (one := _tried(*call)) is not None]
    done = [one for one in tried if one.done]
    asked = _is_request(question, earlier) or any(one.certain for one in tried)
    text = re.sub(r"```.*?(?:```|\Z)", " ", answer, flags=re.DOTALL)
    told = any(claim for _, said in earlier for claim in _claims(said, asked=True))
    before = told and (not asked or _PAST_QUESTION.search(question) is not None or _BEFORE.search(text) is not None)
    claims = [] if before else [*_claims(text, asked=asked)]
    if not done:
        known = f"{'' if asked else question} {[result for _, _, result in calls]}".lower() if calls else ""
        untrue = any(one.certain for one in tried) and _ADMITS.search(text) is None
        said = not before and any(_says_so(one, untrue=untrue, known=known) for one in _sentences(text))
        return NOTHING_CHANGED if claims or said else None
    mailed = any(
        one.tool not in _HARMLESS | {"execute_sql", "remember", "undo_change", "update_client_status"} for one in done
    )
    if not mailed and any(_MAIL.search(clause) for clause in claims):
        return MAIL_NOT_SENT
    missing = any(one.certain and not one.done for one in tried) and len(done) < 2
    too_few = [one.rows for one in done] == [1] and any(
        re.search(r"\bboth\b", clause, re.IGNORECASE) for clause in claims
    )
    if too_few:
        return NOT_ALL_CHANGED
    if missing and not _ADMITS.search(text) and any(_ALL.search(clause) for clause in claims):
        return NOT_ALL_CHANGED
    return None


def _claims(answer: str, *, asked: bool) -> Iterator[str]:
    """Yield the clauses of an answer that say that something was done; `asked` says whether something was to be done."""
    for sentence in _sentences(answer):
        for raw in _CLAUSE.split(sentence):
            clause = raw.strip()
            if clause and (_is_claim(clause, asked=asked) or claims_abroad(clause, asked=asked)):
                yield clause


def _sentences(answer: str) -> list[str]:
    """Return the sentences that state something: no headings' marks, and none that says under which condition it is so."""
    sentences = [re.sub(r"[*_`>#|]", "", one).strip() for one in re.split(r"(?<=[.!?;])\s+|\n+", answer)]
    return [one for one in sentences if one and _UNTIL.search(one) is None]


def _says_so(sentence: str, *, untrue: bool, known: str) -> bool:
    """Return whether a sentence says that something was done of which the results, `known`, do not speak.

    `untrue` says that a change was tried and not made, and that the answer does not tell so.
    """
    for pattern in (_ARRANGED, _REMOVED) if known else (_ARRANGED,):
        found = pattern.search(sentence)
        if (
            found is not None
            and (found["verb"] or "i have")[:5].lower() not in known
            and _NOT.search(sentence[: found.end()]) is None
        ):
            return True
    return untrue and _STATE.search(sentence) is not None and _NOT_SO.search(sentence) is None


def _is_claim(clause: str, *, asked: bool) -> bool:
    spoken = _FIRST_PERSON.search(clause) or _AND_ALSO.search(clause)
    if spoken is not None and not _is_denied(clause, spoken) and (asked or spoken["verb"].lower() not in _SOFT):
        return asked or _ABOUT_ANSWER.search(clause) is None
    if not asked:
        return False
    patterns = (_PASSIVE, _BARE, _NOUN_DONE, _FINISHED, _NOW)
    return any(
        (found := pattern.search(clause)) is not None
        and not _is_denied(clause, found)
        and _RELATIVE.search(clause[: found.start()]) is None
        for pattern in patterns
    )


def _is_denied(clause: str, claim: re.Match[str]) -> bool:
    """Return whether words beside a claim take it back, put it off, or ask about it."""
    rest = clause[: claim.start()] + " " + claim[0] + " " + clause[claim.end() :]
    return _NOT.search(rest) is not None


def _is_request(question: str, earlier: Sequence[tuple[str, str]]) -> bool:
    """Return whether the user asks for a change: in words, or by a yes to one that was spoken of before."""
    if _REQUEST.search(question) or asks_abroad(question):
        return True
    return bool(earlier) and _YES.search(question) is not None and len(question) < 80


def _tried(tool: str, arguments: Mapping[str, Any], result: ToolResult) -> _Tried | None:
    """Return what a call was to change and whether it did; None for one that only reads."""
    if tool in _HARMLESS:
        return None
    done = bool(result.get("success")) and result.get("status") in {None, "succeeded", "answered"}
    if tool != "execute_sql":  # the code of a created tool may change something or not
        return _Tried(tool=tool, done=done, certain=tool in _OWN_EFFECTS)
    text = str(result.get("sql") or arguments.get("sql") or "")
    kinds = _kinds(str(arguments.get("sql") or "")) | _kinds(text)
    if not kinds and not result.get("approval_id"):
        return None
    nothing = kinds <= _COUNTED and bool(kinds) and result.get("row_count") == 0
    rows = result.get("row_count") if kinds <= _COUNTED else None
    return _Tried(tool=tool, done=done and not nothing, certain=bool(kinds), rows=rows)


def _kinds(sql: str) -> frozenset[str]:
    """Return the kinds of what a statement writes; nothing for one that only reads."""
    try:
        statement = parse(sql)
    except InvalidArguments:
        return frozenset({"unknown"}) if _WRITING_TEXT.match(sql.strip()) else frozenset()
    if statement.kind == "SelectStmt":
        return frozenset(kind for kind, _ in statement.parts if kind in _COUNTED)
    return frozenset() if statement.kind in {"ExplainStmt", "VariableShowStmt"} else frozenset({statement.kind})
