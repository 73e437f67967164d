"""Finds what a statement does with secret columns: which cells of its result show them, and what else it reveals. Pure.

the server's tree, the relations behind it, the settings -> SecretUse -> the assessment: run masked, or ask a human
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from agent.learning.discovery.secret_columns import SecretRules, column_is_secret
from agent.privacy.secret_names import is_secret
from agent.settings import Settings
from agent.statements import allow_list as allowed
from agent.statements.parser import Name
from agent.statements.resolver import FIRST_USER_OBJECT, Relation, Resolution
from agent.statements.result_columns import CatalogFacts, Functions, Marks, ResultColumns, result_columns
from agent.types import RISK_LEVELS, Assessment

TESTED, READS, COPIES, GUESSED = "secret:tested", "secret:read", "secret:copied", "secret:guessed"
# Columns of the views of statistics that show values of any column.
_STATISTICS = frozenset(
    {"most_common_vals", "histogram_bounds", "most_common_elems", "range_bounds_histogram", "range_length_histogram"}
)
_MOST_NAMED = 8
_COMPARING = frozenset({"citext"})
_IDENTIFIER = re.compile(r"[^\W\d]\w*")
_HEADER = 4
_TEXTS = frozenset({25, 1042, 1043, 705})
_NUMBERS = frozenset({20, 21, 23})


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretUse:
    """What a statement does with secret columns.

    For each column of the result, `names` has its name, `sources` the secret columns behind it, and `bare` whether its cells
    are values of a secret column. `revealed` are columns about which the statement reveals something in another way, `copied`
    those whose values a write stores in another column. `looked_up` are the values that one is compared with, None for a value
    that cannot be read here. If the statement was not `followed`, any column may show them.
    """

    sources: tuple[tuple[str, ...], ...] = ()
    bare: tuple[bool, ...] = ()
    names: tuple[str, ...] = ()
    revealed: tuple[str, ...] = ()
    copied: tuple[str, ...] = ()
    looked_up: tuple[str | None, ...] = ()
    followed: bool = True

    @property
    def shown(self) -> tuple[str, ...]:
        """Return the secret columns that the result shows."""
        return tuple(sorted({name for source in self.sources for name in source})) if self.followed else self.revealed


_NONE = SecretUse()


def secret_use(resolution: Resolution, settings: Settings) -> SecretUse:
    """Return what a statement does with secret columns; the answer is cached in its resolution."""
    key = (settings.secret_columns, settings.open_columns)
    if key not in resolution.secrets:
        resolution.secrets[key] = _use(resolution, SecretRules.of(settings))
    use: SecretUse = resolution.secrets[key]
    return use


def with_secrets(assessment: Assessment, use: SecretUse, *, show: bool) -> Assessment:
    """Return the assessment of a statement that uses secrets so; `show` says that the model is to see their values."""
    uses = [
        (
            TESTED,
            use.revealed,
            "tests values of {}, which hold secrets, in another way than by equality with a value: its result reveals something about them",
        )
    ]
    if show:
        uses.append(
            (
                READS,
                use.shown,
                "shows the values of {}, which hold secrets, to the model; parts and digests of them cannot be traced afterwards",
            )
        )
    uses.append((COPIES, use.copied, "puts values of {}, which hold secrets, into other columns"))
    dangers = [(reason, columns, words) for reason, columns, words in uses if columns]
    assessment = replace(assessment, secrets=use)
    if not dangers or assessment.verdict == "refuse":
        return assessment
    sentences = " ".join(f"It {words.format(listed(columns))}." for _, columns, words in dangers)
    reasons = tuple(reason for reason in assessment.reasons if reason != "read")
    return replace(
        assessment, verdict="ask", risk=max(assessment.risk, "HIGH", key=RISK_LEVELS.index),
        reasons=(*reasons, *(reason for reason, _, _ in dangers)), sentence=f"{assessment.sentence} {sentences}",
    )  # fmt: skip


def listed(columns: Iterable[str]) -> str:
    """Return the names of some columns for a sentence; of more than eight, the number of the others."""
    columns = list(columns)
    more = f" and {len(columns) - _MOST_NAMED} more" if len(columns) > _MOST_NAMED else ""
    return ", ".join(columns[:_MOST_NAMED]) + more


def _use(resolution: Resolution, rules: SecretRules) -> SecretUse:
    body = resolution.body
    if body is None or not body.text:
        return SecretUse(followed=body is not None)
    views = {inner.relation: inner.tree for inner in resolution.inner if inner.kind in {"view", "source"}}
    marked = {number: _marked(number, relation, rules) for number, relation in resolution.relations.items()}
    read = body.columns.union(*(tree.columns for tree in views.values()))
    touched = frozenset(_touched(read, marked))
    users_functions = _functions_with_secrets(resolution, rules) if resolution.users_functions else ()
    marked_functions = frozenset((-number, 0) for number in users_functions)
    if not touched and not marked_functions:
        return _NONE
    columns = {number: sorted(relation.numbers) for number, relation in resolution.relations.items()}
    texts = {number: tree.text for number, tree in views.items()}
    facts = CatalogFacts(
        marked=touched, columns=columns, views=texts, functions=_functions(resolution), marked_functions=marked_functions,
        opened=frozenset(_opened(resolution, views, rules)),
    )  # fmt: skip
    return _named_use(result_columns(body.text, facts), resolution)


def _marked(number: int, relation: Relation, rules: SecretRules) -> frozenset[int]:
    """Return the numbers of a relation's secret columns."""
    if number < FIRST_USER_OBJECT:
        secret = _STATISTICS if relation.name.name in allowed.VALUE_CATALOGS else frozenset[str]()
        return frozenset(place for place, name in relation.numbers.items() if name in secret)
    family = [relation.name, *(name for name, _ in relation.kin)]
    return frozenset(place for place, name in relation.numbers.items() if _is_secret(name, relation, family, rules))


def _is_secret(column: str, relation: Relation, family: list[Name], rules: SecretRules) -> bool:
    facts = (column, *relation.column_facts.get(column, ("", None, "", "")))
    return any(column_is_secret(name.schema, name.name, facts, rules) for name in family)


def _opened(resolution: Resolution, views: Iterable[int], rules: SecretRules) -> Iterator[tuple[int, int]]:
    """Yield the columns of views that AGENT_OPEN_COLUMNS names: an operator wants their values to be shown."""
    for number in views:
        relation = resolution.relations[number]
        for place, name in relation.numbers.items():
            if not rules.is_secret(relation.name.schema, relation.name.name, name, looks_secret=True):
                yield number, place


def _functions(resolution: Resolution) -> Functions:
    """Return the functions that show or compare values, with those by which known extensions compare texts."""
    compared = (
        code.functions
        for (kind, _), code in resolution.code.items()
        if kind == "operator" and code.extension in _COMPARING and code.name.name in {"=", "<>"}
    )
    known = resolution.functions
    return replace(known, equalities=known.equalities.union(*compared))


def _touched(read: Iterable[tuple[int, int]], marked: Mapping[int, frozenset[int]]) -> Iterator[tuple[int, int]]:
    """Yield the marked columns that are read; reading column 0, the whole row, reads all of them."""
    for number, column in read:
        secret = marked.get(number, frozenset())
        yield from ((number, place) for place in secret if column in {0, place})


def _functions_with_secrets(resolution: Resolution, rules: SecretRules) -> set[int]:
    """Return the users' functions whose text, or that of one they call, holds a name that looks like a secret's."""
    code = {number: resolution.code["function", number] for number in resolution.users_functions}
    texts = {number: {part.name.name, *_IDENTIFIER.findall(part.source)} for number, part in code.items()}
    functions = {
        number
        for number, words in texts.items()
        if any(rules.is_secret("", "", word, looks_secret=is_secret(word)) for word in words)
    }
    while callers := {
        number for number, part in code.items() if number not in functions and part.functions & functions
    }:
        functions |= callers
    return functions


def _named_use(result: ResultColumns, resolution: Resolution) -> SecretUse:
    relations, code = resolution.relations, resolution.code

    def name(number: int, column: int) -> str:
        if number < 0:
            return f"{code['function', -number].name}()"
        return f"{relations[number].name}.{relations[number].numbers.get(column, '')}"

    def names(marks: Marks) -> tuple[str, ...]:
        return tuple(sorted(name(number, column) for number, column in marks))

    return SecretUse(
        sources=tuple(names(cell.marks) for cell in result.cells), bare=tuple(cell.bare for cell in result.cells),
        names=result.names, revealed=names(result.revealed), copied=names(result.copied),
        looked_up=tuple(_value(constant) for constant in sorted(result.lookups)), followed=result.followed,
    )  # fmt: skip


def _value(constant: str) -> str | None:
    """Return the text of a constant in a tree, given as `type:bytes in memory`; None for types that are not known here."""
    kind, _, written = constant.partition(":")
    data = bytes(int(byte) & 0xFF for byte in written.split() if byte.lstrip("-").isdigit())
    if kind.isdigit() and int(kind) in _TEXTS:
        return data[_HEADER:].decode(errors="replace").rstrip()
    if kind.isdigit() and int(kind) in _NUMBERS:
        return str(int.from_bytes(data, "little", signed=True))
    if kind == "2950":  # uuid
        return data.hex()
    return None
