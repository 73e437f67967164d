"""What a call's conversation holds: the user's words, the texts that the model was shown, and the secrets among them.

A thin reader over the stored thread; what it makes of a transcript is pure.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from agent.approval.records import Approval
from agent.db import load_queries
from agent.errors import InvalidArguments
from agent.learning.auto_discover import auto_discovery
from agent.learning.semantic_search import semantic_search
from agent.privacy.sensitive import HIDDEN, DenyList, keys_in, looks_secret
from agent.provenance.named_rows import ReadRows, UserWords, means_its_row, named_keys
from agent.provenance.origins import Origin, ShownText, Value, origin_of
from agent.provenance.second_hand import is_second_hand, says
from agent.provenance.written_values import Column, column_sources
from agent.runtime import Runtime
from agent.statements.parser import Statement, parse
from agent.threads import TURNS_WITH_CALLS, StoredCall, Transcript
from agent.types import CallKey, Trust

_QUERIES = load_queries(__package__)
_SHORTEST_SECRET, _TELLING = 6, 12
# Of a cell that is known to be of a secret: shorter ones are met by accident.
_SHORTEST_KNOWN = 4
_SEPARATORS = re.compile(r"[\s,;|(){}\[\]\"'<>]+")
_MEMORIES = 10
_LONG = 20
# Their messages are our own sentences.
_OWN_MESSAGES = frozenset({"execute_sql", "query_data", "update_client_status", "remember", "send_email"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationContext:
    """A conversation up to now. `secrets` are values that only who may open something should have, and where they are from."""

    user_words: tuple[str, ...] = ()
    secrets: Mapping[str, str] = field(default_factory=dict)
    calls: tuple[StoredCall, ...] = ()
    trusted: str = ""
    until: CallKey | None = None

    def seen(self) -> list[ShownText]:
        """Every text that the model was shown; `trusted` are globs over table.column. Made only where it is looked at."""
        globs, user_words = DenyList.parse(self.trusted), UserWords.of(self.user_words)
        return [one for call in self.calls for one in _seen(call, globs, user_words)]

    def means_its_row(self, statement: Statement) -> bool:
        """Whether the user said, or named, the row that a change of one row is of."""
        user_words = UserWords.of(self.user_words)
        return means_its_row(statement, named_keys([_read(call) for call in self.calls], user_words), user_words)


def call_key_of(approval: Approval) -> CallKey | None:
    """Where in a conversation a request belongs: one that was opened again is no call any more, but of the same turn."""
    if approval.thread_id is None or approval.turn is None:
        return None
    round_, ordinal = approval.place
    return CallKey(thread_id=approval.thread_id, turn=approval.turn, round=round_, ordinal=ordinal)


async def context_of_call(
    call: CallKey | None, *, turns: int = TURNS_WITH_CALLS, runtime: Runtime
) -> ConversationContext:
    """What was said and shown in the conversation of a call, with the results of the last `turns`; nothing where there is none.

    It is the same whenever it is asked: also when the thread has gone on, and that turn is only in its summary.
    """
    if call is None:
        return ConversationContext()
    row = await runtime.one(
        _QUERIES["conversation"], thread_id=call.thread_id, turn=call.turn, most_turns=_LONG, turns_with_calls=turns
    )
    if row is None or not row["transcript"]["turns"]:  # a caller's own key, of no conversation of ours
        return ConversationContext()
    transcript = Transcript.from_row(call.thread_id, row)
    return context_of_transcript(transcript, trusted=runtime.settings.trusted_sources, until=call)


async def longer_context(conversation: ConversationContext, *, runtime: Runtime) -> ConversationContext:
    """The same further back, for what has an effect: an answer may still show what a model read long ago."""
    if conversation.until is None or conversation.until.turn <= TURNS_WITH_CALLS:
        return conversation
    return await context_of_call(conversation.until, turns=_LONG, runtime=runtime)


def context_of_transcript(
    transcript: Transcript, *, trusted: str = "", until: CallKey | None = None
) -> ConversationContext:
    """The same from a transcript."""
    user_words = tuple(turn.question for turn in transcript.turns)
    calls = tuple(call for turn in transcript.turns for call in turn.calls if call.result)
    spoken = "\n".join(user_words)
    secrets: dict[str, str] = {}
    for call in calls:
        secrets |= _secrets(call)
    return ConversationContext(
        user_words=user_words, secrets={one: place for one, place in secrets.items() if one not in spoken}, calls=calls,
        trusted=trusted, until=until,
    )  # fmt: skip


async def untrusted_origins(
    values: Sequence[Value], conversation: ConversationContext, *, runtime: Runtime
) -> list[Origin]:
    """Those of `values` that neither the user said nor a trusted place holds, with where they were found."""
    found, seen = [], conversation.seen() if values else []
    for value in values:
        origin = origin_of(value, user_words=conversation.user_words, seen=seen)
        if origin.place in {"nowhere", "data"} and value.kind != "copy":
            remembered = origin_of(value, user_words=(), seen=await _remembered(value, runtime))
            origin = remembered if remembered.known or origin.place == "nowhere" else origin
        if origin.place == "nowhere":
            origin = await _in_schema(value, runtime) or origin
        if not _is_trusted_copy(value, runtime) and not origin.known:
            found.append(origin)
    return found


def texts_of(conversation: ConversationContext) -> list[str]:
    """What stood in data, but for cells too short to say something."""
    found = []
    for call in conversation.calls:
        result = call.result or {}
        cells = (cell for row in result.get("rows") or [] for cell in row if isinstance(cell, (str, dict, list)))
        found += [text for cell in cells if len(text := _text(cell)) >= _SHORTEST_SECRET]
        found += [text for _, text in _told(call)]
    return found


async def trust_of(content: str, conversation: ConversationContext, *, runtime: Runtime) -> Trust:
    """Who vouches for what a model wants to remember: the user who said it, the model, or nobody, as it stood in data."""
    if conversation.user_words and says(conversation.user_words[-1], content):
        return "human"
    known = await semantic_search.search_memories(content, _MEMORIES, runtime=runtime)
    read = [memory.content for memory in known if memory.trust in {"external", "database"} and memory.kind != "schema"]
    second_hand = is_second_hand(
        content, data=[*texts_of(conversation), *read], user_words="\n".join(conversation.user_words)
    )
    return "external" if second_hand else "agent"


def secret_in(arguments: Any, secrets: Mapping[str, str]) -> str | None:
    """Where a secret comes from that `arguments` repeat, also spelled out, in hexadecimal, base64 or backwards."""
    if not secrets:
        return None
    text = json.dumps(arguments, ensure_ascii=False, default=str)
    texts = (text, unquote(text), *_decoded(text))
    forms = (*map(_bare, texts), _bare(text)[::-1])
    for secret, place in secrets.items():
        bare = _bare(secret)
        # A short one would be met by accident once all spaces are gone.
        found = any(bare in one for one in forms) if len(bare) >= _TELLING else any(holds(one, secret) for one in texts)
        if found:
            return place
    return None


def without_secrets(value: Any, secrets: Iterable[str]) -> Any:
    """JSON with every secret written over."""
    hidden = sorted(secrets, key=len, reverse=True)
    if isinstance(value, str):
        for secret in hidden:
            value = value.replace(secret, HIDDEN)
        return value
    if isinstance(value, Mapping):
        return {without_secrets(key, hidden): without_secrets(item, hidden) for key, item in value.items()}
    return [without_secrets(item, hidden) for item in value] if isinstance(value, (list, tuple)) else value


def holds(text: str, secret: str) -> bool:
    """Whether a text has that value, as words of its own."""
    return bool(re.search(rf"(?<!\w){re.escape(secret)}(?!\w)", text, re.I))


def _is_telling(text: str) -> bool:
    """Whether a text can be told from a word or a number that anybody may write."""
    return len(text) >= _TELLING or (len(text) >= _SHORTEST_SECRET and not text.isalpha())


def _statement(call: StoredCall) -> Statement | None:
    try:
        return parse((call.result or {}).get("sql") or "")
    except InvalidArguments:
        return None


def _read(call: StoredCall) -> ReadRows:
    result, statement = call.result or {}, _statement(call)
    return ReadRows(
        statement=statement, sources=_sources(statement, result.get("columns") or []), rows=result.get("rows") or []
    )  # fmt: skip


def _seen(call: StoredCall, trusted: DenyList, user_words: UserWords) -> Iterator[ShownText]:
    """A cell of a trusted column counts as trusted in a row that the user named: not whoever happens to stand there."""
    read, columns = _read(call), (call.result or {}).get("columns") or []
    for named, row in read.named(user_words):
        for name, source, cell in zip(columns, read.sources, row, strict=False):
            if cell is not None and not isinstance(cell, bool):
                where = f"{source or f'column {name}'} in a result of {call.tool}"
                yield ShownText(where=where, text=_text(cell), trusted=named and _is_trusted(source, trusted))
    for part, text in _told(call):
        yield ShownText(where=f"the {part} of {call.tool}", text=text)


def _told(call: StoredCall) -> Iterator[tuple[str, str]]:
    """What a result says beside its rows."""
    result: Mapping[str, Any] = call.result or {}
    for part in ("message", "error", "data"):
        if result.get(part) and not (part == "message" and call.tool in _OWN_MESSAGES):
            yield part, _text(result[part])


def _sources(statement: Statement | None, columns: Sequence[str]) -> list[Column | None]:
    """Which column each column of a result shows as it is."""
    unknown: list[Column | None] = [None] * len(columns)
    if statement is None or statement.kind != "SelectStmt":
        return unknown
    node = statement.node
    tables = {(name.schema, name.name) for name in statement.names.relations}
    star = len(node.target_list) == 1 and _is_star(node.target_list[0])
    if star and len(tables) == 1 and column_sources(node) is not None:
        return [Column(*next(iter(tables)), name) for name in columns]
    sources = column_sources(node)
    return sources if sources is not None and len(sources) == len(columns) else unknown


def _is_star(target: Any) -> bool:
    value = target.res_target.val
    return value.WhichOneof("node") == "column_ref" and any(part.HasField("a_star") for part in value.column_ref.fields)


def _is_trusted(source: Column | None, trusted: DenyList) -> bool:
    return source is not None and trusted.column(source.schema or "public", source.table, source.name)


def _is_trusted_copy(value: Value, runtime: Runtime) -> bool:
    parts = value.text.split(".")
    if value.kind != "copy" or not 2 <= len(parts) <= 3:
        return False
    globs = DenyList.parse(runtime.settings.trusted_sources)
    return globs.column(parts[-3] if len(parts) == 3 else "public", *parts[-2:])


def _secrets(call: StoredCall) -> dict[str, str]:
    result = call.result or {}
    columns, rows = result.get("columns") or [], result.get("rows") or []
    found = dict.fromkeys(
        keys_in(_text([rows, result.get("message"), result.get("error")])), f"a result of {call.tool}"
    )
    if "secrets" in result:
        return found | _of_columns(result["secrets"], rows)
    statement = _statement(call) if rows else None
    sources = _sources(statement, columns)
    suspect = statement is not None and any(looks_secret(name) for name in _columns_named(statement))
    for place, (name, source) in enumerate(zip(columns, sources, strict=False)):
        where = str(source or name)
        cells = [row[place] for row in rows if place < len(row)]
        if looks_secret(source.name) if source else suspect or looks_secret(name):
            texts = [text for cell in cells for text in _leaves(cell)]
        else:
            texts = [text for cell in cells for text in _keyed_secrets(cell)]
        found |= {text: where for text in texts if _is_telling(text)}
    return found


def _of_columns(secrets: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, str]:
    """Secrets by the columns that the cells are made of, as the server's own tree says; in other cells those under a secret key."""
    found: dict[str, str] = {}
    for row in rows:
        for source, cell in zip((*secrets, *[""] * (len(row) - len(secrets))), row, strict=False):
            if source:
                found |= {text: source for text in _all_texts(cell) if text != HIDDEN}
            else:
                found |= {text: "a key of JSON" for text in _keyed_secrets(cell) if _is_telling(text)}
    return found


def _all_texts(cell: Any) -> Iterator[str]:
    """Every value of a cell as it would be written, and the telling parts of those that are several."""
    if isinstance(cell, (dict, list)):
        for item in cell.values() if isinstance(cell, dict) else cell:
            yield from _all_texts(item)
    elif cell is not None and not isinstance(cell, bool):
        text = str(cell)
        if len(text) >= _SHORTEST_KNOWN:
            yield text
        yield from (part for part in _SEPARATORS.split(text) if part != text and _is_telling(part))


def _columns_named(statement: Statement) -> Iterator[str]:
    for kind, part in statement.parts:
        if kind == "ColumnRef":
            yield from (one.string.sval for one in part.fields if one.HasField("string"))
    yield from statement.names.attributes


def _leaves(cell: Any) -> Iterator[str]:
    if isinstance(cell, dict):
        cell = list(cell.values())
    if isinstance(cell, list):
        for item in cell:
            yield from _leaves(item)
    elif isinstance(cell, str):
        yield cell


def _keyed_secrets(cell: Any) -> Iterator[str]:
    """Secrets in a JSON cell, by the names of its keys."""
    if isinstance(cell, dict):
        for key, value in cell.items():
            yield from _leaves(value) if looks_secret(key) else _keyed_secrets(value)
    elif isinstance(cell, list):
        for item in cell:
            yield from _keyed_secrets(item)


async def _remembered(value: Value, runtime: Runtime) -> list[ShownText]:
    found = await semantic_search.search_memories(value.text, _MEMORIES, mode="lexical", runtime=runtime)
    return [
        ShownText(
            where=f"memory {memory.id} ({memory.trust})", text=memory.content, place="memory",
            trusted=memory.trust == "human",
        )
        for memory in found
    ]  # fmt: skip


async def _in_schema(value: Value, runtime: Runtime) -> Origin | None:
    structure = await auto_discovery.get_cached_structure(runtime=runtime)
    text = json.dumps(structure, ensure_ascii=False, default=str)
    if value.text.casefold() not in text.casefold():
        return None
    return Origin(value=value, place="data", where="the schema (a name, a comment, a label or a definition)")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _bare(text: str) -> str:
    return re.sub(r"[\W_]", "", text).casefold()


def _decoded(text: str) -> Iterator[str]:
    for token in re.findall(r"[A-Za-z0-9+/_=-]{8,}", text):
        if re.fullmatch(r"(?:[0-9a-fA-F]{2})+", token):
            yield bytes.fromhex(token).decode("latin-1")
        plain = token.rstrip("=").replace("-", "+").replace("_", "/")
        if len(plain) % 4 != 1:
            yield base64.b64decode(plain + "=" * (-len(plain) % 4)).decode("latin-1")
