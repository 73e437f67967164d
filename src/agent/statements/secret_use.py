"""What a statement does with secret columns: which cells of its result it shows them in, and what else it tells of them. Pure.

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
from agent.statements.result_columns import Functions, Known, Marks, ResultColumns, result_columns
from agent.types import RISK_LEVELS, Assessment

TELLS, READS, COPIES, GUESSED = "secret:tested", "secret:read", "secret:copied", "secret:guessed"
# Of the views that show statistics: values of any column.
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
    """`sources` has for each column of the result the secret columns behind it; `bare` says whether each of its cells is a value of one.

    `names` are the columns' names. `told` are columns that it tells something of, `copied` those whose values a write puts into
    another column; `looked_up` are the values that one is compared with, None for one that cannot be read here. What was not
    `followed` may show them in any column.
    """

    sources: tuple[tuple[str, ...], ...] = ()
    bare: tuple[bool, ...] = ()
    names: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    copied: tuple[str, ...] = ()
    looked_up: tuple[str | None, ...] = ()
    followed: bool = True

    @property
    def shown(self) -> tuple[str, ...]:
        """The secret columns that stand in the result."""
        return tuple(sorted({one for source in self.sources for one in source})) if self.followed else self.told


_NONE = SecretUse()


def secret_use(resolution: Resolution, settings: Settings) -> SecretUse:
    """What a statement does with secrets; kept with its resolution."""
    key = (settings.secret_columns, settings.open_columns)
    if key not in resolution.secrets:
        resolution.secrets[key] = _use(resolution, SecretRules.of(settings))
    found: SecretUse = resolution.secrets[key]
    return found


def with_secrets(assessment: Assessment, use: SecretUse, *, show: bool) -> Assessment:
    """The assessment of a statement that does this with secrets; `show` says that their values are asked for."""
    found = [
        (
            TELLS,
            use.told,
            "tests values of {}, which hold secrets, in another way than by equality with a value: its result tells about them",
        )
    ]
    if show:
        found.append(
            (
                READS,
                use.shown,
                "shows the values of {}, which hold secrets, to the model; of parts and digests of them nobody can follow where they go",
            )
        )
    found.append((COPIES, use.copied, "puts values of {}, which hold secrets, into other columns"))
    asked = [(reason, columns, words) for reason, columns, words in found if columns]
    assessment = replace(assessment, secrets=use)
    if not asked or assessment.verdict == "refuse":
        return assessment
    told = " ".join(f"It {words.format(named(columns))}." for _, columns, words in asked)
    reasons = tuple(one for one in assessment.reasons if one != "read")
    return replace(
        assessment, verdict="ask", risk=max(assessment.risk, "HIGH", key=RISK_LEVELS.index),
        reasons=(*reasons, *(reason for reason, _, _ in asked)), sentence=f"{assessment.sentence} {told}",
    )  # fmt: skip


def named(columns: Iterable[str]) -> str:
    """Some columns by their names, for a sentence."""
    columns = list(columns)
    more = f" and {len(columns) - _MOST_NAMED} more" if len(columns) > _MOST_NAMED else ""
    return ", ".join(columns[:_MOST_NAMED]) + more


def _use(resolution: Resolution, rules: SecretRules) -> SecretUse:
    body = resolution.body
    if body is None or not body.text:
        return SecretUse(followed=body is not None)
    views = {one.relation: one.tree for one in resolution.inner if one.what in {"view", "source"}}
    marked = {number: _marked(number, relation, rules) for number, relation in resolution.relations.items()}
    read = body.columns.union(*(tree.columns for tree in views.values()))
    touched = frozenset(_touched(read, marked))
    makers = (
        frozenset((-number, 0) for number in _makers(resolution, rules)) if resolution.users_functions else frozenset()
    )
    if not touched and not makers:
        return _NONE
    columns = {number: sorted(relation.numbers) for number, relation in resolution.relations.items()}
    texts = {number: tree.text for number, tree in views.items()}
    known = Known(
        marked=touched, columns=columns, views=texts, functions=_functions(resolution), makers=makers,
        opened=frozenset(_opened(resolution, views, rules)),
    )  # fmt: skip
    return _named_use(result_columns(body.text, known), resolution)


def _marked(number: int, relation: Relation, rules: SecretRules) -> frozenset[int]:
    """The numbers of the relation's secret columns."""
    if number < FIRST_USER_OBJECT:
        shown = _STATISTICS if relation.name.name in allowed.VALUE_CATALOGS else frozenset[str]()
        return frozenset(place for place, name in relation.numbers.items() if name in shown)
    family = [relation.name, *(name for name, _ in relation.kin)]
    return frozenset(place for place, name in relation.numbers.items() if _is_secret(name, relation, family, rules))


def _is_secret(column: str, relation: Relation, family: list[Name], rules: SecretRules) -> bool:
    facts = (column, *relation.said.get(column, ("", None, "", "")))
    return any(column_is_secret(one.schema, one.name, facts, rules) for one in family)


def _opened(resolution: Resolution, views: Iterable[int], rules: SecretRules) -> Iterator[tuple[int, int]]:
    """The columns of views that AGENT_OPEN_COLUMNS names: what they show is meant to be seen."""
    for number in views:
        relation = resolution.relations[number]
        for place, name in relation.numbers.items():
            if not rules.is_secret(relation.name.schema, relation.name.name, name, looks_secret=True):
                yield number, place


def _functions(resolution: Resolution) -> Functions:
    """The functions that are known, with those by which extensions that are known compare texts."""
    compared = (
        code.functions
        for (what, _), code in resolution.code.items()
        if what == "operator" and code.extension in _COMPARING and code.name.name in {"=", "<>"}
    )
    known = resolution.functions
    return replace(known, equalities=known.equalities.union(*compared))


def _touched(read: Iterable[tuple[int, int]], marked: Mapping[int, frozenset[int]]) -> Iterator[tuple[int, int]]:
    for number, column in read:
        secret = marked.get(number, frozenset())
        yield from ((number, one) for one in secret if column in {0, one})


def _makers(resolution: Resolution, rules: SecretRules) -> Iterator[int]:
    """Functions of users in whose text, or in that of one they call, a name stands that looks like a secret's."""
    code = {number: resolution.code["function", number] for number in resolution.users_functions}
    texts = {number: {one.name.name, *_IDENTIFIER.findall(one.source)} for number, one in code.items()}
    found = {
        number
        for number, words in texts.items()
        if any(rules.is_secret("", "", one, looks_secret=is_secret(one)) for one in words)
    }
    while callers := {number for number, one in code.items() if number not in found and one.functions & found}:
        found |= callers
    yield from found


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
        names=result.names, told=names(result.told), copied=names(result.copied),
        looked_up=tuple(_value(one) for one in sorted(result.lookups)), followed=result.followed,
    )  # fmt: skip


def _value(constant: str) -> str | None:
    """A constant of a tree, `type:bytes in memory`, as text."""
    kind, _, written = constant.partition(":")
    data = bytes(int(byte) & 0xFF for byte in written.split() if byte.lstrip("-").isdigit())
    if kind.isdigit() and int(kind) in _TEXTS:
        return data[_HEADER:].decode(errors="replace").rstrip()
    if kind.isdigit() and int(kind) in _NUMBERS:
        return str(int.from_bytes(data, "little", signed=True))
    if kind == "2950":  # uuid
        return data.hex()
    return None
