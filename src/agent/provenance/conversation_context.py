"""Reads the conversation of a tool call: the user's words, the texts that the model was shown, and the secrets among them.

One query reads the stored thread; everything that is derived from the transcript is pure.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from agent.approval.records import Approval
from agent.db import load_queries
from agent.errors import InvalidArguments
from agent.learning.auto_discover import auto_discovery
from agent.learning.memory import Memory
from agent.learning.semantic_search import semantic_search
from agent.privacy.sensitive import HIDDEN, DenyList, keys_in, looks_secret
from agent.provenance.columns import is_author, kind_of_column
from agent.provenance.named_rows import Key, ReadRows, UserWords, is_known, is_said, named_keys, user_named_row
from agent.provenance.origins import Kind, Origin, ShownText, Value, origin_of
from agent.provenance.second_hand import contains_words, is_second_hand
from agent.provenance.written_values import Column, column_sources
from agent.runtime import Runtime
from agent.statements.parser import Statement, parse
from agent.text.words import stems
from agent.threads import TURNS_WITH_CALLS, StoredCall, Transcript
from agent.types import CallKey, Trust

_QUERIES = load_queries(__package__)
_SHORTEST_SECRET, _DISTINCTIVE_LENGTH = 6, 12
# The shortest value of a known secret column that counts: shorter ones occur in other texts by accident.
_SHORTEST_KNOWN = 4
_SEPARATORS = re.compile(r"[\s,;|(){}\[\]\"'<>]+")
# Words for sending something back to whoever a row comes from.
_MESSAGES = frozenset(stems("mail email message inbox chat letter comment post"))
_TO_AUTHORS = frozenset(
    stems(
        "reply respond answer back return refund reimburse sender author owner organizer organiser antworte antworten reponds repondre responde responder rispondi antwoord svara"
    )
)
_MOST_MEMORIES = 10
_MOST_TURNS = 20
# Tools whose messages are sentences of this program, not data.
_OWN_MESSAGES = frozenset({"execute_sql", "query_data", "update_client_status", "remember", "send_email"})
# Tools whose results are the program's own altogether.
_OWN_RESULTS = frozenset({"remember", "send_email", "create_new_tool"})
_WORDS = re.compile(r"[^\W\d_]{2,}")
_NO_WORDS = re.compile(
    r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b\d{4}-\d\d-\d\d(?:[T ][\d:.]+)?(?:Z|[+-][\d:]+)?(?!\w)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationContext:
    """The conversation of one call, up to its turn.

    `secrets` maps each secret value that was read to where it was read. `trusted` are the globs of AGENT_TRUSTED_SOURCES.
    """

    user_words: tuple[str, ...] = ()
    secrets: Mapping[str, str] = field(default_factory=dict)
    calls: tuple[StoredCall, ...] = ()
    trusted: str = ""
    until: CallKey | None = None

    @property
    def turn_calls(self) -> tuple[StoredCall, ...]:
        """The calls of the turn that the conversation ends with."""
        turn = self.until.turn if self.until else max((call.key.turn for call in self.calls), default=0)
        return tuple(call for call in self.calls if call.key.turn == turn)

    def shown_texts(self) -> list[ShownText]:
        """Return every text of the results that the model was shown."""
        globs, user_words = DenyList.parse(self.trusted), UserWords.of(self.user_words)
        known, texts = frozenset[Key](), list[ShownText]()
        for call in self.calls:
            texts += _shown_texts(call, globs, user_words, known)
            known |= frozenset(_read_rows(call).keys(user_words, known))
        return texts

    def user_named_row(self, statement: Statement) -> bool:
        """Return whether the user named the row that a change of one row is about, or gave its key."""
        return user_named_row(statement, self.known_keys(), UserWords.of(self.user_words))

    def known_keys(self) -> frozenset[Key]:
        """Return the cells of the rows that the user named."""
        return named_keys([_read_rows(call) for call in self.calls], UserWords.of(self.user_words))


def call_key_of(approval: Approval) -> CallKey | None:
    """Return the place of a request in its conversation; None if it belongs to none.

    A request that was opened again is no longer a call, but it still belongs to the same turn.
    """
    if approval.thread_id is None or approval.turn is None:
        return None
    round_, ordinal = approval.place
    return CallKey(thread_id=approval.thread_id, turn=approval.turn, round=round_, ordinal=ordinal)


async def context_of_call(
    call: CallKey | None, *, turns: int = TURNS_WITH_CALLS, runtime: Runtime
) -> ConversationContext:
    """Return the conversation up to a call, with the results of the last `turns` turns; an empty context if there is none.

    The answer does not change when the thread goes on, even when that turn is only left in the thread's summary.
    """
    if call is None:
        return ConversationContext()
    row = await runtime.one(
        _QUERIES["conversation"],
        thread_id=call.thread_id,
        turn=call.turn,
        most_turns=_MOST_TURNS,
        turns_with_calls=turns,
    )
    if row is None or not row["transcript"]["turns"]:  # the caller chose the key; no thread is stored
        return ConversationContext()
    transcript = Transcript.from_row(call.thread_id, row)
    return context_of_transcript(transcript, trusted=runtime.settings.trusted_sources, until=call)


async def longer_context(conversation: ConversationContext, *, runtime: Runtime) -> ConversationContext:
    """Return the conversation with the results of more turns, for actions with an effect.

    A value may come from a text that the model read long ago, because an answer repeated it since.
    """
    if conversation.until is None or conversation.until.turn <= TURNS_WITH_CALLS:
        return conversation
    return await context_of_call(conversation.until, turns=_MOST_TURNS, runtime=runtime)


def context_of_transcript(
    transcript: Transcript, *, trusted: str = "", until: CallKey | None = None
) -> ConversationContext:
    """Return the context that a transcript holds; secrets that the user said are not among its `secrets`."""
    calls = tuple(call for turn in transcript.turns for call in turn.calls if call.result)
    # Who may decide about a request says with a correction what is wanted, as the user does with a question.
    corrections = (call.result.get("correction") for call in calls if call.result)
    user_words = (*filter(None, corrections), *(turn.question for turn in transcript.turns))
    user_text = "\n".join(user_words)
    secrets: dict[str, str] = {}
    for call in calls:
        secrets |= _secrets_in_result(call)
    return ConversationContext(
        user_words=user_words, calls=calls, trusted=trusted, until=until,
        secrets={secret: source for secret, source in secrets.items() if secret not in user_text},
    )  # fmt: skip


async def untrusted_origins(
    values: Sequence[Value], conversation: ConversationContext, *, runtime: Runtime
) -> list[Origin]:
    """Return the origins of those `values` that neither the user said nor a trusted source holds."""
    untrusted, shown_texts = [], conversation.shown_texts() if values else []
    for value in values:
        origin = origin_of(value, user_words=conversation.user_words, shown_texts=shown_texts)
        if origin.place in {"nowhere", "data"} and value.kind != "copy":
            in_memories = origin_of(value, user_words=(), shown_texts=await _memories_with(value, runtime))
            origin = in_memories if in_memories.known or origin.place == "nowhere" else origin
        if origin.place == "nowhere":
            origin = await _origin_in_schema(value, runtime) or origin
        is_copy = value.kind == "copy" and _is_trusted_copy(value, conversation, runtime.settings.trusted_sources)
        if not is_copy and not origin.known:
            untrusted.append(origin)
    return untrusted


def texts_of(conversation: ConversationContext) -> list[str]:
    """Return the texts of all results; cells that are too short to hold a phrase are left out."""
    texts = []
    for call in conversation.calls:
        result = call.result or {}
        cells = (cell for row in result.get("rows") or [] for cell in row if isinstance(cell, (str, dict, list)))
        texts += [text for cell in cells if len(text := _text(cell)) >= _SHORTEST_SECRET]
        texts += [text for _, text in _texts_beside_rows(call)]
    return texts


async def trust_of(content: str, conversation: ConversationContext, *, runtime: Runtime) -> Trust:
    """Return how far a text that a model wants to remember is trusted.

    It is "human" if the user's last message holds it. Else it is "external" if the turn read text of the application, however
    the model words it, or if it repeats data of earlier turns; and "agent" otherwise.
    """
    if conversation.user_words and contains_words(conversation.user_words[-1], content):
        return "human"
    asked = conversation.user_words[-1] if conversation.user_words else content
    shown = await semantic_search.get_relevant_context(asked, note_use=False, runtime=runtime)
    known = await semantic_search.search_memories(content, _MOST_MEMORIES, runtime=runtime)
    recalled, alike = ([memory.content for memory in found if _is_data(memory)] for found in (shown.memories, known))
    if recalled or any(reads_text(call.tool, call.result or {}) for call in conversation.turn_calls):
        return "external"
    second_hand = is_second_hand(
        content, data=[*texts_of(conversation), *alike], user_words="\n".join(conversation.user_words)
    )
    return "external" if second_hand else "agent"


def reads_text(tool: str, result: Mapping[str, Any]) -> bool:
    """Return whether a tool's result shows text that somebody may have written for the agent to read."""
    if tool in _OWN_RESULTS:
        return False
    if tool == "search_memory":
        at = [*(result.get("columns") or ()), "trust"].index("trust")
        return any(row[at : at + 1] in (["external"], ["database"]) for row in result.get("rows") or ())
    if any(_holds_words(cell) for row in result.get("rows") or () for cell in row):
        return True
    parts = ("data",) if tool in _OWN_MESSAGES else ("message", "error", "data")
    return any(_holds_words(result[part]) for part in parts if result.get(part))


def _holds_words(cell: Any) -> bool:
    """Return whether a cell holds words, not only a number, a time or a key."""
    if isinstance(cell, (dict, list)):
        return any(map(_holds_words, cell.values() if isinstance(cell, dict) else cell))
    return isinstance(cell, str) and bool(_WORDS.search(_NO_WORDS.sub("", cell)))


def _is_data(memory: Memory) -> bool:
    return memory.trust in {"external", "database"} and memory.kind not in {"schema", "interaction"}


def secret_in(arguments: Any, secrets: Mapping[str, str]) -> str | None:
    """Return where the secret was read that `arguments` repeat; None if they repeat none.

    A secret is also found with other punctuation, URL-encoded, in hexadecimal, in base64 or backwards.
    """
    if not secrets:
        return None
    text = json.dumps(arguments, ensure_ascii=False, default=str)
    texts = (text, unquote(text), *_decoded(text))
    bare_texts = (*map(_bare, texts), _bare(text)[::-1])
    for secret, source in secrets.items():
        bare = _bare(secret)
        # Without spaces and punctuation, a short secret would occur in other texts by accident.
        if len(bare) >= _DISTINCTIVE_LENGTH:
            is_repeated = any(bare in bare_text for bare_text in bare_texts)
        else:
            is_repeated = any(contains_as_word(text, secret) for text in texts)
        if is_repeated:
            return source
    return None


def without_secrets(value: Any, secrets: Iterable[str]) -> Any:
    """Return JSON with every secret replaced by `HIDDEN`, in keys and in values."""
    longest_first = sorted(secrets, key=len, reverse=True)
    if isinstance(value, str):
        for secret in longest_first:
            value = value.replace(secret, HIDDEN)
        return value
    if isinstance(value, Mapping):
        return {
            without_secrets(key, longest_first): without_secrets(item, longest_first) for key, item in value.items()
        }
    return [without_secrets(item, longest_first) for item in value] if isinstance(value, (list, tuple)) else value


def contains_as_word(text: str, value: str) -> bool:
    """Return whether a text contains `value` as whole words; case does not matter."""
    return bool(re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text, re.I))


def _is_distinctive(text: str) -> bool:
    """Return whether a text is unlike the words and numbers that anybody may write."""
    return len(text) >= _DISTINCTIVE_LENGTH or (len(text) >= _SHORTEST_SECRET and not text.isalpha())


def _statement(call: StoredCall) -> Statement | None:
    try:
        return parse((call.result or {}).get("sql") or "")
    except InvalidArguments:
        return None


def _read_rows(call: StoredCall) -> ReadRows:
    result, statement = call.result or {}, _statement(call)
    columns = result.get("columns") or []
    return ReadRows(
        statement=statement, sources=_sources(statement, columns), rows=result.get("rows") or [], labels=columns
    )


def _shown_texts(
    call: StoredCall, trusted: DenyList, user_words: UserWords, known: Collection[Key]
) -> Iterator[ShownText]:
    """Yield the cells and messages of a result.

    A cell of a trusted column counts as trusted only in a row that the user named: other rows may be anybody's. Where the
    operator has named no trusted columns, a cell counts for the kind of values that its column is for.
    """
    read, columns = _read_rows(call), (call.result or {}).get("columns") or []
    for named, row in read.named(user_words, known):
        for name, source, cell in zip(columns, read.sources, row, strict=False):
            if cell is not None and not isinstance(cell, bool):
                where = f"{source or f'column {name}'} in a result of {call.tool}"
                column = source.name if source else name
                yield ShownText(
                    where=where, text=_text(cell), trusted=named and _is_trusted(source, trusted), named=named,
                    column=column, holds=_held_kind(source, user_words) if named and not trusted.patterns else None,
                )  # fmt: skip
    for part, text in _texts_beside_rows(call):
        yield ShownText(where=f"the {part} of {call.tool}", text=text)


def _texts_beside_rows(call: StoredCall) -> Iterator[tuple[str, str]]:
    """Yield the (name, text) of each part of a result that holds data and is not its rows."""
    result: Mapping[str, Any] = call.result or {}
    for part in ("message", "error", "data"):
        if result.get(part) and not (part == "message" and call.tool in _OWN_MESSAGES):
            yield part, _text(result[part])


def _sources(statement: Statement | None, columns: Sequence[str]) -> list[Column | None]:
    """Return the table's column that each column of a result shows unchanged; None where that is not known."""
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


def _held_kind(source: Column | None, user_words: UserWords) -> Kind | None:
    """Return which kind of values a column is for.

    Whoever wrote a row chose its sender, and the addresses of a message: these count only if the user means to reply.
    """
    if source is None:
        return None
    kind = kind_of_column(source.name) or ("address" if is_author(source.name) else None)
    is_theirs = is_author(source.name) or (kind == "address" and bool(_MESSAGES & set(stems(source.table))))
    return None if is_theirs and not user_words.stems & _TO_AUTHORS else kind


def _is_trusted_copy(value: Value, conversation: ConversationContext, trusted: str) -> bool:
    """Return whether the database copies a value from a trusted column, or a fitting one of rows that the user named."""
    parts = value.text.split(".")
    if not 2 <= len(parts) <= 3:
        return False
    globs, (schema, table, name) = DenyList.parse(trusted), (*["public"][: 3 - len(parts)], *parts)
    if globs.patterns or not value.names:
        return globs.column(schema, table, name)
    user_words, known = UserWords.of(conversation.user_words), conversation.known_keys()
    held, wanted = (
        _held_kind(Column(schema, table, name), user_words),
        kind_of_column(value.argument.rpartition(".")[2]),
    )
    return (
        held is not None
        and held == wanted
        and all(is_said(text, user_words) or is_known(known, text, table=table, column="id") for text in value.names)
    )


def _secrets_in_result(call: StoredCall) -> dict[str, str]:
    """Return the secrets that a result shows, each with where it was read."""
    result = call.result or {}
    columns, rows = result.get("columns") or [], result.get("rows") or []
    keys = keys_in(_text([rows, result.get("message"), result.get("error")]))
    secrets = dict.fromkeys(keys, f"a result of {call.tool}")
    if "secrets" in result:
        return secrets | _secrets_of_columns(result["secrets"], rows)
    statement = _statement(call) if rows else None
    sources = _sources(statement, columns)
    names_secret_column = statement is not None and any(looks_secret(name) for name in _column_names(statement))
    for place, (name, source) in enumerate(zip(columns, sources, strict=False)):
        where = str(source or name)
        cells = [row[place] for row in rows if place < len(row)]
        if looks_secret(source.name) if source else names_secret_column or looks_secret(name):
            texts = [text for cell in cells for text in _strings_in(cell)]
        else:
            texts = [text for cell in cells for text in _keyed_secrets(cell)]
        secrets |= {text: where for text in texts if _is_distinctive(text)}
    return secrets


def _secrets_of_columns(sources: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, str]:
    """Return the secrets in the rows, each with where it was read.

    `sources` names, for each column of the result, the secret column that the server contains_words it is made from, or is ''. Of
    the cells without one only what stands under a secret JSON key is returned.
    """
    secrets: dict[str, str] = {}
    for row in rows:
        for source, cell in zip((*sources, *[""] * (len(row) - len(sources))), row, strict=False):
            if source:
                secrets |= {text: source for text in _all_texts(cell) if text != HIDDEN}
            else:
                secrets |= {text: "a key of JSON" for text in _keyed_secrets(cell) if _is_distinctive(text)}
    return secrets


def _all_texts(cell: Any) -> Iterator[str]:
    """Yield every value in a cell as text, and the distinctive parts of a text that holds several."""
    if isinstance(cell, (dict, list)):
        for item in cell.values() if isinstance(cell, dict) else cell:
            yield from _all_texts(item)
    elif cell is not None and not isinstance(cell, bool):
        text = str(cell)
        if len(text) >= _SHORTEST_KNOWN:
            yield text
        yield from (part for part in _SEPARATORS.split(text) if part != text and _is_distinctive(part))


def _column_names(statement: Statement) -> Iterator[str]:
    for kind, node in statement.parts:
        if kind == "ColumnRef":
            yield from (part.string.sval for part in node.fields if part.HasField("string"))
    yield from statement.names.attributes


def _strings_in(cell: Any) -> Iterator[str]:
    if isinstance(cell, dict):
        cell = list(cell.values())
    if isinstance(cell, list):
        for item in cell:
            yield from _strings_in(item)
    elif isinstance(cell, str):
        yield cell


def _keyed_secrets(cell: Any) -> Iterator[str]:
    """Yield the strings in a JSON cell that stand under a key which names a secret."""
    if isinstance(cell, dict):
        for key, value in cell.items():
            yield from _strings_in(value) if looks_secret(key) else _keyed_secrets(value)
    elif isinstance(cell, list):
        for item in cell:
            yield from _keyed_secrets(item)


async def _memories_with(value: Value, runtime: Runtime) -> list[ShownText]:
    memories = await semantic_search.search_memories(value.text, _MOST_MEMORIES, mode="lexical", runtime=runtime)
    return [
        ShownText(
            where=f"memory {memory.id} ({memory.trust})", text=memory.content, place="memory",
            trusted=memory.trust == "human",
        )
        for memory in memories
    ]  # fmt: skip


async def _origin_in_schema(value: Value, runtime: Runtime) -> Origin | None:
    structure = await auto_discovery.get_cached_structure(runtime=runtime)
    text = json.dumps(structure, ensure_ascii=False, default=str)
    if value.text.casefold() not in text.casefold():
        return None
    return Origin(value=value, place="data", where="the schema (a name, a comment, a label or a definition)")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _bare(text: str) -> str:
    """Return the letters and digits of a text, without case."""
    return re.sub(r"[\W_]", "", text).casefold()


def _decoded(text: str) -> Iterator[str]:
    """Yield what each word of a text means as hexadecimal and as base64, where it may be that."""
    for token in re.findall(r"[A-Za-z0-9+/_=-]{8,}", text):
        if re.fullmatch(r"(?:[0-9a-fA-F]{2})+", token):
            yield bytes.fromhex(token).decode("latin-1")
        plain = token.rstrip("=").replace("-", "+").replace("_", "/")
        if len(plain) % 4 != 1:
            yield base64.b64decode(plain + "=" * (-len(plain) % 4)).decode("latin-1")
