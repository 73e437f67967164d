"""Finds the reasons why a resolved statement is not a plain read, or is refused. Pure.

Every function that could run must be known: the system's functions by their numbers, those of known extensions by their names
within the extension, and a user's function only if a human registered it and it has not changed since.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from agent.statements import allow_list as allowed
from agent.statements.known_extensions import KNOWN, is_pure
from agent.statements.node_trees import Tree
from agent.statements.parser import Name
from agent.statements.resolver import FIRST_USER_OBJECT, Code, Inner, Relation, Resolution
from agent.statements.trusted_functions import body_hash

# Settings in which PostgREST tells a transaction who the caller is: a function may show them.
_CLAIMS = re.compile(r"request\.jwt\.claims?(\.\w+)?")
# The query of a materialised view does not run when the view is read.
_NOT_RUN = frozenset({"source"})
# The kind that a code names, where it differs from the kind of the expression.
_CODE_PREFIXES = {"index condition": "index", "default": "column"}


def resolved_problems(
    resolution: Resolution,
    trusted: Mapping[int, str],
    *,
    fired: Mapping[int, frozenset[str]],
    writes: bool,
    bypass_rls: bool,
    any_function: bool = False,
    defaults: bool = True,
) -> Iterator[str]:
    """Yield the codes of what is not known to be harmless.

    `writes` says that the statement is a write by its grammar, `defaults` that it may store columns' defaults. `fired` are the
    triggers that run with it, by the number of their relation.
    """
    if resolution.body is None:
        yield f"unresolved:{resolution.unresolved or 'kind'}"
        return
    judge = _Judge(resolution, trusted, any_function=any_function)
    yield from judge.of_tree(resolution.body, policy=False, query=not writes)
    not_run = _NOT_RUN if defaults or _sets_defaults(resolution) else _NOT_RUN | {"default"}
    for inner in resolution.inner:
        if inner.kind not in not_run and not (bypass_rls and inner.kind == "policy" and _is_direct(inner, resolution)):
            problems = judge.of_tree(inner.tree, policy=inner.kind == "policy", query=True, unfolded=inner.unfolded)
            for problem in problems:
                # A sequence's number is not rolled back, but a gap in a new row's numbers harms nobody.
                if (inner.kind, problem) != ("default", "function:nextval"):
                    yield f"{_CODE_PREFIXES.get(inner.kind, inner.kind)}:{inner.name}:{problem}"
    for number, relation in resolution.relations.items():
        yield from judge.of_relation(relation, fired.get(number, frozenset()))
    for (kind, _), code in resolution.code.items():
        yield from judge.of_code(kind, code)


def _sets_defaults(resolution: Resolution) -> bool:
    """Return whether a write may store defaults that its text does not mention: by a foreign key or a rule."""
    by_key = any(
        "d" in (deleted, updated)
        for relation in resolution.relations.values()
        for _, deleted, updated in relation.written
    )
    return by_key or any(inner.kind == "rule" for inner in resolution.inner)


def resolved_refusals(resolution: Resolution) -> Iterator[tuple[str, str]]:
    """Yield (code, sentence) for everything that the statement reaches and no statement may."""
    for number, relation in resolution.relations.items():
        if allowed.OUR_SCHEMAS.match(relation.name.schema) and _is_reached(number, resolution):
            yield "schema:agents", "The agent's own schema is not for its tools."
        if number < FIRST_USER_OBJECT and relation.name.name in allowed.SECRET_CATALOGS:
            yield f"catalog:{relation.name.name}", f"{relation.name.name} holds secrets."
    for (kind, number), code in resolution.code.items():
        if kind != "function" or resolution.body is None or number not in resolution.body.functions:
            continue
        if allowed.OUR_SCHEMAS.match(code.name.schema):
            yield "schema:agents", "The agent's own schema is not for its tools."
        if allowed.REFUSED_FUNCTIONS.match(code.name.name):
            yield f"function:{code.name.name}", f"The function {code.name.name} reaches outside the transaction."


def judged_functions(resolution: Resolution) -> frozenset[Name]:
    """Return the names of the users' functions that their body shows to be harmless."""
    judge = _Judge(resolution, {}, any_function=False)
    return frozenset(
        code.name
        for (kind, number), code in resolution.code.items()
        if kind == "function" and code.body is not None and not any(judge.of_function(number, policy=False))
    )


def objects_of(resolution: Resolution) -> tuple[str, ...]:
    """Return the full names of the relations that a statement, and the views and policies behind it, name."""
    if resolution.body is None:
        return ()
    numbers = resolution.body.relations.union(*(inner.tree.relations for inner in resolution.inner))
    return tuple(sorted(str(resolution.relations[number].name) for number in numbers if number in resolution.relations))


def _is_reached(number: int, resolution: Resolution) -> bool:
    trees = [resolution.body, *(inner.tree for inner in resolution.inner)]
    return resolution.body is None or any(number in tree.relations for tree in trees if tree)


def _is_direct(policy: Inner, resolution: Resolution) -> bool:
    """Return whether only the statement itself reads the policy's table, as agent_reader: a view reads as its owner."""
    return not any(policy.relation in inner.tree.relations for inner in resolution.inner if inner.kind == "view")


class _Judge:
    """Judges the objects of one resolution; every method yields the codes of what is not known to be harmless."""

    def __init__(self, resolution: Resolution, trusted: Mapping[int, str], *, any_function: bool) -> None:
        self._resolution = resolution
        self._trusted = trusted
        self._any_function = any_function
        # The functions whose bodies are being judged, the outermost first.
        self._inside: tuple[int, ...] = ()

    def of_tree(
        self, tree: Tree, *, policy: bool, query: bool, unfolded: frozenset[int] = frozenset()
    ) -> Iterator[str]:
        """Judge a tree. A function in `unfolded` counts only if planning with a call of it may run something."""
        if query:
            yield from (f"node:{node}" for node in sorted(tree.nodes - allowed.TREE_NODES))
            if tree.writes:
                yield "write:resolved"
        for number in sorted(tree.functions):
            if number not in unfolded or self._is_planned(number):
                yield from self.of_function(number, policy=policy)
        if not policy and not all(self._may_show(setting) for setting in tree.settings):
            yield f"function:{allowed.SETTING_FUNCTION}"
        yield from self._secret_columns(tree)
        for number in sorted(tree.operators):
            if number >= FIRST_USER_OBJECT and ("operator", number) not in self._resolution.code:
                yield f"operator:{number}"

    def _may_show(self, setting: str) -> bool:
        return setting in allowed.SHOWN_SETTINGS or bool(self._inside and _CLAIMS.fullmatch(setting))

    def _secret_columns(self, tree: Tree) -> Iterator[str]:
        for number, column in sorted(tree.columns):
            relation = self._resolution.relations.get(number)
            if number >= FIRST_USER_OBJECT or relation is None or relation.name.schema != "pg_catalog":
                continue
            secret = allowed.SECRET_COLUMNS.get(relation.name.name, frozenset())
            if secret and (column == 0 or relation.numbers.get(column) in secret):
                yield f"catalog:{relation.name}"

    def of_relation(self, relation: Relation, fired: frozenset[str]) -> Iterator[str]:
        """Judge a relation and those of its triggers that are `fired`."""
        # A foreign table reads outside of this database; some wrappers run a program for it.
        if relation.kind == "f" or any(kind == "f" for _, kind in relation.kin):
            yield f"relation:foreign:{relation.name}"
        elif relation.kind not in {"r", "p", "v", "m"}:
            yield f"relation:{relation.kind}:{relation.name}"
        yield from (f"relation:method {method}:{relation.name}" for method in relation.methods)
        open_catalogs = allowed.CATALOGS | allowed.VALUE_CATALOGS
        if relation.name.schema in {"pg_catalog", "pg_toast"} and relation.name.name not in open_catalogs:
            yield f"catalog:{relation.name}"
        if relation.name.schema == "information_schema" and relation.name.name not in allowed.INFORMATION_VIEWS:
            yield f"catalog:{relation.name}"
        for trigger, function, _ in relation.triggers:
            if trigger in fired:
                for problem in self.of_function(function, policy=False, named=False):
                    yield f"trigger:{relation.name}.{trigger}:{problem}"

    def of_code(self, kind: str, code: Code) -> Iterator[str]:
        """Judge an operator, type, cast or support function by the functions that it runs."""
        # A statement does not name the cast that the server chooses, so its function counts like one that is called.
        if kind == "function" or (code.extension in KNOWN and kind != "cast"):
            return
        # A system function, such as current_setting, counts as harmless only if its call and arguments are visible.
        hidden = not self._any_function and any(number < FIRST_USER_OBJECT for number in code.functions)
        if hidden or any(any(self.of_function(number, policy=False, named=False)) for number in code.functions):
            yield f"{'type' if kind == 'support' else kind}:{code.name}"

    def _is_planned(self, number: int) -> bool:
        code = self._resolution.code.get(("function", number))
        return code is None or code.planned

    def of_function(self, number: int, *, policy: bool, named: bool = True) -> Iterator[str]:
        """Judge a function.

        A user's function that is called by its name (`named`) may be harmless by its body: in a policy any body is judged,
        elsewhere only one that shows who the caller is, or is word for word a known one.
        """
        if number in self._resolution.known or self._any_function:
            return
        code = self._resolution.code.get(("function", number))
        if code is None:
            yield f"function:{number}"
        elif number < FIRST_USER_OBJECT:
            yield f"function:{code.name.name}"
        elif code.extension is not None:
            if not is_pure(code.extension, code.name.name) or self._runs_others(code):
                yield f"function:{code.name}"
        elif not (named and self._is_harmless(number, code.body, policy=policy)):
            yield from self._of_users_function(number, code)

    def _is_harmless(self, number: int, body: Tree | None, *, policy: bool) -> bool:
        """Return whether everything in a function's body would be harmless in a statement; a recursive function never is."""
        if body is None or number in self._inside:
            return False
        if not policy and body.nodes and not any(_CLAIMS.fullmatch(setting) for setting in body.settings):
            return False
        self._inside = (*self._inside, number)
        try:
            return not any(self.of_tree(body, policy=policy, query=True))
        finally:
            self._inside = self._inside[:-1]

    def _runs_others(self, code: Code) -> bool:
        """Return whether an extension's function in SQL calls something that is not known to be harmless."""
        if code.language != "sql":
            return False
        return code.hidden or any(any(self.of_function(number, policy=False)) for number in code.functions)

    def _of_users_function(self, number: int, code: Code) -> Iterator[str]:
        registered = self._trusted.get(number)
        if registered is None:
            yield f"function:{code.name}:user-defined"
        elif registered != body_hash(number, self._resolution.code):
            yield f"function:{code.name}:changed"
