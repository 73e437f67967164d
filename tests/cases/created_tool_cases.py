"""Tools as a model proposes them."""

from __future__ import annotations

from typing import Any

INTEGER = {"type": "integer"}


def proposal(name: str = "double", **changes: Any) -> dict[str, Any]:
    """Return the arguments of create_new_tool for a small tool that calls nothing."""
    return {
        "name": name,
        "description": "Doubles a whole number.",
        "parameters": {"type": "object", "properties": {"n": INTEGER}, "required": ["n"]},
        "code": "def run(n: int) -> int:\n    return 2 * n\n",
        "tests": [{"arguments": {"n": 2}, "expected": 4}, {"code": "assert run(n=0) == 0"}],
        **changes,
    }


def closing(name: str = "close_account", **changes: Any) -> dict[str, Any]:
    """Return the arguments of create_new_tool for a tool that reads, and then changes one row for each number."""
    code = """
def run(numbers: list[int]) -> list[str]:
    done = []
    before = query_data(table="accounts")["row_count"]
    for number in numbers:
        try:
            answer = execute_sql(sql=f"update accounts set state = 'closed' where id = {number}")
            done.append(f"{number}: {answer['row_count']} of {before}")
        except RuntimeError as error:
            done.append(f"{number}: {error}")
    return done
"""
    answers = [
        {"function": "query_data", "value": {"row_count": 9}},
        {"function": "execute_sql", "value": {"row_count": 1}},
    ]
    whole: dict[str, Any] = {
        "description": "Closes accounts by number, one after the other.",
        "parameters": {
            "type": "object", "properties": {"numbers": {"type": "array", "items": INTEGER, "maxItems": 20}},
            "required": ["numbers"],
        },
        "code": code,
        "tests": [{"arguments": {"numbers": [1]}, "expected": ["1: 1 of 9"], "answers": answers}],
        "capabilities": ["query_data", "execute_sql"],
    }  # fmt: skip
    return proposal(name, **{**whole, **changes})
