"""Decides whether a change is as the user worded it: what it does, to which rows, with which values. Pure.

A fooled model does something else than the user asked for, to another row, or with values out of a text that it read. An
honest one also writes what nobody said: the date of "tomorrow", a subject for a mail, the status of a new row. So a value
need not be said if the model made it: it fits the user's words, and no text in the data holds it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from agent.provenance.columns import is_author, is_code, is_key, is_name, is_power, is_prose, is_subject
from agent.provenance.moments import Moments, is_asked_for, is_moment
from agent.provenance.named_rows import Key, UserWords, is_known, is_picking, is_ranked
from agent.provenance.origins import ShownText, decimal_of, folded, numbers_in, shapes_in
from agent.provenance.second_hand import is_second_hand
from agent.provenance.written_values import (
    amounts_in,
    columns_in,
    compares_values,
    conditions_of,
    constants_in,
    written_values,
)
from agent.statements.parser import Message, Statement, kind_of, walk
from agent.text.words import stem, stems, words

# Verbs by what they ask for; the later lines of each are German, French, Spanish, Italian, Dutch and Swedish.
_ADDING = frozenset(
    stem(word)
    for word in words(
        """
        add append book create enter insert log make new note open put record register save schedule store send reply respond
        answer write message mail email tell forward invite pay transfer wire refund order buy purchase reserve share upload
        copy plan remind post draft compose subscribe give grant assign donate reimburse settle notify inform arrange organize
        organise block setup prepare generate submit request report duplicate attach include track start deposit return thank
        congratulate apologise apologize rent tag label comment
        erstelle erstellen lege anlegen hinzu sende senden schicke schicken schreibe schreib schreiben antworte antworten
        uberweise uberweisen zahle zahlen bezahle buche buchen reserviere trage eintragen lade einladen speichere teile neu neue neuen
        cree creer ajoute ajouter envoie envoyer ecris reponds repondre paie payer reserve reserver invite vire partage
        crea crear anade agrega agregar envia enviar escribe responde responder paga pagar reserva reservar invita transfiere
        aggiungi invia scrivi rispondi prenota voeg maak stuur schrijf betaal boek antwoord
        skapa lagg skicka skriv svara betala boka spara bjud
        """
    )
)
_DELETING = frozenset(
    stem(word)
    for word in words(
        """
        delete remove erase drop cancel purge discard clear clean trash unshare revoke unsubscribe dismiss withdraw uninvite
        empty rid stop kick throw scrap void undo
        losche loschen losch entferne entfernen storniere stornieren sage supprime supprimer efface effacer annule annuler enleve
        borra borrar elimina eliminar cancela cancelar quita anula cancella rimuovi annulla verwijder wis annuleer
        radera ta avboka
        """
    )
)
# Ways of saying that something is to go, without such a verb.
_GOES = re.compile(
    r"\b(?:(?:take|get|throw|kick|cross|strike|leave)\b.{1,60}\b(?:out|off)|no longer|not\b.{1,40}\bany ?more|off (?:my|the|our)|away with)\b",
    re.I,
)
# Words of `_ADDING` that are also nouns: "what is in my mail" asks for none.
_NOUNS = frozenset(
    stem(word)
    for word in words(
        "mail message email book order note report record share plan comment post draft track label tag copy request answer wire "
        "schedule transfer reserve block purchase return start deposit rent refund open new store message buch transfer neu neue neuen"
    )
)
_LET_KNOW = re.compile(r"\blet (?!me\b|us\b)\w+\b.{0,40}\bknow\b", re.I)
# A message that only agrees to what the agent proposed.
_AGREES = re.compile(
    r"(?:(?:yes|yep|yeah|ok|okay|sure|fine|right|correct|exactly|go ahead|do it|do that|do so|please|please do|confirm|confirmed|thanks|ja|oui|si|"
    r"bitte)[\s,.!]*){1,4}",
    re.I,
)
# A request without a verb: "the flight to Paris, please".
_PLEASE = re.compile(r"\bplease\b|\bbitte\b", re.I)
_READING = re.compile(
    r"\?|\b(?:what|which|who|when|where|why|how|show|list|read|summari[sz]e|summary|check|find|look|search|explain|compare|count|tell me)\b",
    re.I,
)
_CHANGING = frozenset(
    stem(word)
    for word in words(
        """
        move reschedule postpone change set update rename edit correct fix mark shift push bring extend shorten prolong adjust
        raise lower increase decrease reduce switch replace append add remove turn cancel confirm accept decline archive assign
        swap delay rewrite modify put make cut double halve upgrade downgrade complete close reopen start stop pause resume
        approve reject transfer pay delete trash star flag pin unarchive unstar rebook relocate tick check resolve block unblock
        andere andern verschiebe verschieben setze setzen stelle markiere benenne aktualisiere erhohe
        deplace deplacer modifie modifier reporte reporter mets change changer marque renomme cambia cambiar mueve mover pon marca
        actualiza sposta modifica segna verplaats wijzig zet andra flytta satt byt markera
        """
    )
)
_SEVERAL = frozenset(["all", "every", "each", "both", "any", "everything", "everyone", "everybody", "these", "those"])
# Columns that a change keeps up to date by the way.
_KEPT = frozenset(
    {
        "updated at",
        "modified at",
        "changed at",
        "edited at",
        "last modified",
        "last updated",
        "last edited",
        "updated on",
        "modified on",
        "updated",
        "modified",
    }
)
# What a mail program puts before a subject.
_REPLY = re.compile(r"^\s*(?:(?:re|fwd?|aw|wg|sv|vs|tr|rv)\s*:\s*)+", re.I)
_NUMBERS = dict(
    zip(
        ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"],
        range(1, 13),
        strict=True,
    )
)
_MOST_OF_A_TEXT = 0.5


NOTHING_SAID = UserWords.of(())


@dataclass(frozen=True)
class Wording:
    """What the user said, the `known` cells of the rows that the user named, and the texts that the model was shown.

    `request` holds the words that ask for something now: an earlier message may say a value, but asks for nothing any more.
    """

    user: UserWords
    known: frozenset[Key] = frozenset()
    shown: Sequence[ShownText] = ()
    request: UserWords = NOTHING_SAID

    @classmethod
    def of(
        cls, messages: Sequence[str], known: frozenset[Key] = frozenset(), shown: Sequence[ShownText] = ()
    ) -> Wording:
        """Return the wording of a conversation; a message that only agrees stands for the one before it too."""
        last = messages[-2:] if messages and _AGREES.fullmatch(messages[-1].strip()) else messages[-1:]
        return cls(UserWords.of(messages), known, shown, UserWords.of(last))

    def objection(self, statement: Statement) -> str | None:
        """Return what about an INSERT, UPDATE or DELETE is not as the user worded it; None if all of it is."""
        node = statement.node
        if statement.kind == "InsertStmt":
            return self._of_insert(statement) if self._asks_to_add else "that something is to be added"
        if statement.kind == "DeleteStmt" and not self._asks_to_delete:
            return "that something is to be deleted"
        table = node.relation.relname
        if not node.HasField("where_clause") or not self._picks(node.where_clause, table):
            return "which rows are meant"
        return self._of_update(statement) if statement.kind == "UpdateStmt" else None

    @property
    def _asks_to_add(self) -> bool:
        without_verb = _PLEASE.search(self.request.written) and not _READING.search(self.request.written)
        return bool(without_verb or _LET_KNOW.search(self.request.written)) or any(
            stem(word) in _ADDING and (stem(word) not in _NOUNS or starts) for word, starts in self.request.clauses
        )

    @property
    def _asks_to_delete(self) -> bool:
        return bool(self.request.stems & _DELETING or _GOES.search(self.request.written))

    def means_several(self, statement: Statement) -> bool:
        """Return whether the user speaks of more rows than one, or the statement says each of its rows."""
        if statement.kind == "InsertStmt" and len(statement.node.select_stmt.select_stmt.values_lists) > 1:
            return True
        is_list = any(kind == "A_Expr" and part.rexpr.WhichOneof("node") == "list" for kind, part in statement.parts)
        return is_list or bool(self.request.words & _SEVERAL)

    def _of_insert(self, statement: Statement) -> str | None:
        node, select = statement.node, statement.node.select_stmt.select_stmt
        columns = [column.res_target.name for column in node.cols]
        rows = [list(row.list.items) for row in select.values_lists]
        rows = rows or [[target.res_target.val for target in select.target_list]]
        if select.HasField("where_clause") and not self._picks(select.where_clause, ""):
            return "which rows are meant"
        if not select.values_lists and select.from_clause and not select.HasField("where_clause"):
            return "which rows are meant"
        checked = _checked_elsewhere(statement)
        for row in rows:
            for place, value in enumerate(row):
                column = columns[place] if place < len(columns) else ""
                if _is_true(value) and is_power(column) and not any(map(self.user.say, stems(column))):
                    return f"{column} 'true'"
                for text in self._unsaid(value, column, checked):
                    if not self._is_made(text, column, is_new=True):
                        return f"{column or 'the value'} {text[:100]!r}"
        return None

    def _of_update(self, statement: Statement) -> str | None:
        checked, targets = _checked_elsewhere(statement), [part.res_target for part in statement.node.target_list]
        own = [target for target in targets if " ".join(words(target.name)) not in _KEPT]
        is_said_somewhere = False
        for target in own or targets:
            constants = [text for text in amounts_in(target.val) if text.strip()]
            is_named = any(self.user.say(word) for word in stems(target.name))
            for text in self._unsaid(target.val, target.name, checked):
                if not self.request.stems & _CHANGING or not self._is_made(text, target.name, is_new=False):
                    return f"{target.name} {text[:100]!r}"
            if not constants and not is_named and not (columns_in(target.val) and len(own) > 1):
                return f"a change of {target.name}"
            is_said_somewhere = is_said_somewhere or bool(constants) or is_named
        return None if is_said_somewhere else "what is changed"

    def _unsaid(self, value: Message, column: str, checked: frozenset[str]) -> Iterator[str]:
        """Yield the constants of a new value that the user did not say, without those that are checked as addresses or amounts."""
        queries = [part for part in walk(value) if kind_of(part) == "SelectStmt"]
        for query in queries:
            if not (query.HasField("where_clause") and self._picks(query.where_clause, "")):
                yield "of rows that the user did not name"
        if queries:
            return
        for text in amounts_in(value):
            rest = _without_shapes(text)
            if text in checked or not folded(rest) or self._is_said(text, column):
                continue
            if decimal_of(text) is None and self.user.holds(rest):
                continue
            yield rest

    def _is_said(self, text: str, column: str) -> bool:
        if decimal_of(text) is not None:
            return self._is_number_said(text) or is_known(self.known, text, column=column)
        own = set(stems(text))
        return self.user.holds(text) or (bool(own) and all(map(self.user.say, own)))

    def _is_number_said(self, text: str) -> bool:
        number = decimal_of(text)
        spoken = {_NUMBERS[word] for word in self.user.words if word in _NUMBERS}
        return self.user.holds(text) or number in spoken or number in self._said_numbers

    def _is_made(self, text: str, column: str, *, is_new: bool) -> bool:
        """Return whether the model made a value from the user's words, or found it in the right place of a row that they named."""
        if is_moment(text):
            return is_asked_for(text, self.request.moments, self._told)
        number = decimal_of(text)
        if number is not None:
            return is_new and not is_key(column) and number not in self._told_numbers
        if is_known(self.known, text, column=column) and not is_prose(column):
            return True
        return self._is_made_text(text, column, is_new=is_new)

    def _is_made_text(self, text: str, column: str, *, is_new: bool) -> bool:
        if is_code(column) or is_author(column):
            return is_new and (is_author(column) or not self._is_from_data(text, column))
        if not is_new and not (is_prose(column) or is_name(column)):
            return False
        fits = (
            is_subject(column)
            or any(map(self.user.say, stems(text)))
            or (is_prose(column) and self._is_from_named_row(text))
        )
        return fits and not self._is_from_data(text, column)

    def _is_from_data(self, text: str, column: str) -> bool:
        """Return whether a text repeats what a row says that the user did not name, or what prose says in any row."""
        if is_prose(column):
            strange = [shown.text for shown in self.shown if not shown.named]
            return is_second_hand(text, data=strange, user_words=self.user.written)
        own = stems(text)
        told = [word for word in own if word not in self.user.stems and word in self._data_stems]
        return len(told) > _MOST_OF_A_TEXT * len(own)

    def _is_from_named_row(self, text: str) -> bool:
        return is_second_hand(text, data=[shown.text for shown in self.shown if shown.named], user_words="")

    def _picks(self, where: Message, table: str) -> bool:
        """Return whether a condition means the rows that the user named.

        Each part of it must; parts that only narrow the choice do not count.
        """
        is_picked = False
        for condition in conditions_of(where):
            inner = [part for part in walk(condition) if kind_of(part) == "SelectStmt"]
            if inner:
                picks = all(self._query_picks(query) for query in inner)
            else:
                picks = is_picking(condition, self.user, self.known, table=table) or self._is_flag_said(condition)
            if not picks and not _narrows(condition):
                return False
            is_picked = is_picked or picks
        return is_picked

    def _query_picks(self, query: Message) -> bool:
        if query.HasField("where_clause"):
            return self._picks(query.where_clause, "")
        return bool(query.sort_clause) and query.HasField("limit_count") and is_ranked(self.request)

    def _is_flag_said(self, condition: Message) -> bool:
        """Return whether a condition without constants tests a column that the user spoke of: is_spam, NOT is_read."""
        columns = columns_in(condition)
        return (
            bool(columns)
            and not any(constants_in(condition))
            and all(any(self.user.say(own) for own in stems(column)) for column in columns)
        )

    @cached_property
    def _said_numbers(self) -> frozenset[object]:
        return frozenset(number for readings in numbers_in(self.user.written) for number in readings)

    @cached_property
    def _prose(self) -> tuple[str, ...]:
        return tuple(shown.text for shown in self.shown if not _is_typed(shown))

    @cached_property
    def _told(self) -> Moments:
        return Moments.of("\n".join(self._prose))

    @cached_property
    def _told_numbers(self) -> frozenset[object]:
        return frozenset(number for text in self._prose for readings in numbers_in(text) for number in readings)

    @cached_property
    def _data_stems(self) -> frozenset[str]:
        return frozenset(
            word for shown in self.shown if not (shown.named and _is_typed(shown)) for word in stems(shown.text)
        )


def is_requested(statement: Statement, user_words: str) -> bool:
    """Return whether the user's words alone ask for what a change does, whichever rows it is about."""
    wording = Wording.of([user_words])
    if statement.kind == "InsertStmt":
        node = statement.node
        numbers = frozenset(Key("", "", text) for text in constants_in(node.select_stmt) if text.isdecimal())
        return Wording.of([user_words], numbers).objection(statement) is None
    if statement.kind == "DeleteStmt":
        return wording._asks_to_delete
    return wording._of_update(statement) is None


def _checked_elsewhere(statement: Statement) -> frozenset[str]:
    return frozenset(value.text for value in written_values(statement))


def _without_shapes(text: str) -> str:
    for _, shape in shapes_in(text):
        text = text.replace(shape, " ")
    return _REPLY.sub("", text)


def _narrows(condition: Message) -> bool:
    """Return whether a condition can only take rows away from a choice: it compares no key and no name."""
    kind = condition.WhichOneof("node")
    if kind == "bool_expr" and len(condition.bool_expr.args) == 1:  # NOT
        condition = condition.bool_expr.args[0]
        kind = condition.WhichOneof("node")
        return kind in {"null_test", "boolean_test", "column_ref"}
    if kind in {"null_test", "boolean_test", "column_ref"}:
        return True
    if kind != "a_expr" or not compares_values(condition.a_expr):
        return False
    return not any(is_key(column) or is_name(column) for column in columns_in(condition))


def _is_true(value: Message) -> bool:
    """Return whether a new value is the constant true."""
    while value.WhichOneof("node") == "type_cast":
        value = value.type_cast.arg
    return bool(value.WhichOneof("node") == "a_const" and value.a_const.boolval.boolval)


def _is_typed(shown: ShownText) -> bool:
    """Return whether a text is a cell of a column that holds something else than sentences."""
    return bool(shown.column) and not is_prose(shown.column) and len(shown.text) <= 100
