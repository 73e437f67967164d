"""Parses a tree of Postgres (pg_node_tree) into nodes with fields. Pure.

The value of a field follows its name, whatever it looks like, and special characters in it are escaped. So no name in a
statement can begin or end a node.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_PIECE = re.compile(r"\{[A-Z_0-9]*|[(){}]|(?:\\.|[^\s(){}\\])+", re.DOTALL)


@dataclass(slots=True)
class Node:
    """One node. `kind` is Postgres's name for it; `fields` hold nodes, lists, and everything else as text."""

    kind: str
    fields: dict[str, object] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """Return a field that is a word or a number; '' if there is none."""
        value = self.fields.get(name, "")
        return value if isinstance(value, str) else ""

    def number(self, name: str) -> int:
        """Return a field that is a number; 0 if there is none."""
        value = self.text(name)
        return int(value) if value.lstrip("-").isdigit() else 0

    def node(self, name: str) -> Node | None:
        """Return a field that is a node; None if there is none."""
        value = self.fields.get(name)
        return value if isinstance(value, Node) else None

    def items(self, name: str) -> list[object]:
        """Return a field that is a list; an empty list if there is none."""
        value = self.fields.get(name)
        return value if isinstance(value, list) else []

    def nodes(self, name: str) -> list[Node]:
        """Return the nodes of a field that is a list."""
        return [item for item in self.items(name) if isinstance(item, Node)]

    def children(self) -> Iterator[Node]:
        """Yield every node directly below this one, also those in lists."""
        for value in self.fields.values():
            yield from _nodes_in(value)


def parse_tree(text: str) -> list[Node]:
    """Return the nodes at the top of a tree. Raises `ValueError` if `text` is no tree."""
    top: list[object] = []
    # Each open list or node, and the name of the field that waits for its value.
    stack: list[tuple[list[object] | Node, str]] = [(top, "")]
    pieces = iter(_PIECE.findall(text))
    for piece in pieces:
        holder, name = stack[-1]
        if piece[0] == "{":
            node = Node(piece[1:])
            _put(stack, node)
            stack.append((node, ""))
        elif piece == "(":
            items: list[object] = []
            _put(stack, items)
            stack.append((items, ""))
        elif piece in {"}", ")"}:
            if len(stack) == 1 or isinstance(holder, Node) != (piece == "}"):
                raise ValueError("The tree is not balanced.")
            stack.pop()
        elif isinstance(holder, Node) and not name:
            if piece[0] == ":":
                stack[-1] = (holder, piece[1:])
            # Other words continue a value that was already stored, such as the bytes of a constant.
            elif piece == "[" and "constvalue" in holder.fields:
                holder.fields["constvalue"] = " ".join(_until_bracket(pieces))
        else:
            _put(stack, piece)
    if len(stack) != 1:
        raise ValueError("The tree is not complete.")
    return list(_nodes_in(top))


def _put(stack: list[tuple[list[object] | Node, str]], value: object) -> None:
    holder, name = stack[-1]
    if isinstance(holder, Node):
        if not name:
            raise ValueError("A tree's node has a value without a name.")
        holder.fields[name] = value
        stack[-1] = (holder, "")
    else:
        holder.append(value)


def _until_bracket(pieces: Iterator[str]) -> Iterator[str]:
    for piece in pieces:
        if piece == "]":
            return
        yield piece


def _nodes_in(value: object) -> Iterator[Node]:
    if isinstance(value, Node):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _nodes_in(item)
