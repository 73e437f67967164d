"""Says whether two statements that an embedder holds for near may be one. Pure, without a model.

Vectors tell what a text is about; they do not tell "never" from "always", 30 from 40, or who owes whom. So everything that decides
what is said must be the same in both, in the same order; only a few other words may differ, and none that are opposites.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

from agent.learning.memory.duplicates import is_value, statement_words
from agent.text.words import stem, word_set

_MOST_OTHER_WORDS = 2
# They decide what is said, wherever they stand.
_DECIDING = word_set(
    """
    not never nolonger without none no neither nor must may might can could should would will shall ought only just even all every each any
    some most many few several both either half always often usually sometimes rarely seldom first last next more less least than and or but
    except unless if when whenever while until till before after since within during above below under over between against because instead
    was were had did is be from to into per via yesterday today tomorrow now already still yet again soon early late daily weekly monthly
    quarterly yearly annual hour day week month quarter year minute second morning evening night spring summer autumn winter north south
    east west euro dollar pound cent percent gross net gram meter metre mile inch foot feet yard liter litre gallon ounce ton tonne byte celsius
    fahrenheit dozen pair who whom whose which i you he she they we my your his her their our new old
    """
)
_OPPOSITES = tuple(
    frozenset(map(stem, pair.split()))
    for pair in (
        "buy sell", "buyer seller", "increase decrease", "rise fall", "import export", "open close", "start end", "begin finish", "high low", "large small", "big small",
        "debit credit", "accept reject", "approve reject", "allow forbid", "allow deny", "grant revoke", "include exclude", "internal external", "income expense", "revenue cost",
        "lend borrow", "lender borrower", "customer supplier", "client vendor", "client supplier", "sender receiver", "send receive", "arrive depart", "parent child",
        "employer employee", "manager report", "public private", "true false", "yes no", "left right", "up down", "win lose", "gain loss", "profit loss", "add remove",
        "enable disable", "create delete", "push pull", "upload download", "encrypt decrypt", "male female", "man woman", "husband wife", "asset liability", "demand supply",
        "online offline", "manual automatic", "optional required", "minimum maximum", "cheap expensive", "fast slow", "hire fire", "paid unpaid", "before after", "read write",
    )
)  # fmt: skip


def may_be_one(one: str, other: str) -> bool:
    """Return whether two statements differ in nothing that decides what they say; their nearness must be known already."""
    first, second = list(statement_words(one)), list(statement_words(other))
    if first[:1] != second[:1]:
        return False  # a capital at the beginning does not tell a name from another word
    if _fixed(first) != _fixed(second):
        return False
    left, right = _content(first), _content(second)
    if not left or not right or left == right or sorted(left) == sorted(right):
        return False  # other words in the same order are for signatures; the same words in another order say who does what to whom
    return _few_differ(left, right)


def _fixed(words: Sequence[str]) -> list[str]:
    """Return what must be the same, in order: numbers, days, names, codes, quotations and the words that decide."""
    return [word for word in words if _is_fixed(word)]


def _is_fixed(word: str) -> bool:
    return is_value(word) or not word.isalpha() or not word.islower() or word in _DECIDING or stem(word) in _DECIDING


def _content(words: Sequence[str]) -> list[str]:
    return [stem(word) for word in words if not _is_fixed(word)]


def _few_differ(left: Sequence[str], right: Sequence[str]) -> bool:
    """Return whether few words stand in the places of few others, most are the same, and none is the opposite of one."""
    changes = [
        change for change in SequenceMatcher(None, left, right, autojunk=False).get_opcodes() if change[0] != "equal"
    ]
    gone = [word for _, begin, end, _, _ in changes for word in left[begin:end]]
    come = [word for _, _, _, begin, end in changes for word in right[begin:end]]
    if set(gone) & set(come) or max(len(gone), len(come)) > _MOST_OTHER_WORDS or not (gone and come):
        return False  # a word moved, too many differ, or one statement says more
    kept = len(left) - len(gone)
    return kept >= 2 * max(len(gone), len(come)) and not any(_opposite(a, b) for a in gone for b in come)


def _opposite(one: str, other: str) -> bool:
    """Return whether a word may say the opposite of another one, or another size of it: "active" and "inactive", "gram" and "kilogram"."""
    shorter, longer = sorted((one, other), key=len)
    return (len(shorter) > 2 and longer != shorter and longer.endswith(shorter)) or frozenset(
        (one, other)
    ) in _OPPOSITES
