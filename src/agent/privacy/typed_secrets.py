"""Finds the passwords, card numbers and keys in what people type, so that no memory keeps them. Pure.

Nobody says which words are secret, so three things give them away: their form (a key of a known service, a card number), the
word beside them ("the password is ..."), and a look that no word has. A plain word that is hidden by mistake costs little.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise

from agent.privacy.sensitive import HIDDEN, keys_in
from agent.text.words import word_set

_NAMES = (
    r"(?:pass ?words?|pass ?phrases?|pass ?codes?|passwd|pwd|pw|passwort|kennwort|mot de passe|contrase(?:n|ñ)a|senha|pins?|cvv2?|cvc2?|"
    r"otp|tan|security codes?|access codes?|secrets?|(?:api|access|private|secret|licen[cs]e|encryption|signing|recovery)[ _-]?keys?|"
    r"(?:\w+ )?tokens?|credentials?)"
)
_NAME = rf"\b{_NAMES}(?: (?:code|number|phrase|key|value|string))?\b"
_VALUE = r"""(?P<value>"[^"\n]{3,200}"|'[^'\n]{3,200}'|`[^`\n]{3,200}`|\u201c[^\u201d\n]{3,200}\u201d|[^\s"'`\u201c\u201d]{3,200})"""
_OF = r"(?: (?:of|for|on|at|to|from|in)(?: [\w@.'\u2019-]+){1,5}?)?"
_IS = r"(?: ?(?::|=|:=|=>|->)\s*|,? (?:is|was|will be|reads|now is|is now|ist|lautet|est|es|to|as|into) (?:now |still |currently )?(?:set to |changed to )?:? ?)"
_NAMED = (
    re.compile(rf"{_NAME}{_OF}{_IS}{_VALUE}", re.I),
    re.compile(rf"{_NAME}[,.;:]? (?:it is|it's|it\u2019s|namely) {_VALUE}", re.I),
    re.compile(rf"\bpass ?phrase{_OF}{_IS}(?P<value>[^\"'.,;\n]{{3,200}})", re.I),
    # password hunter2: without a verb, only what looks like no word
    re.compile(rf"{_NAME} (?P<value>(?=\S*[\d!@#$%^&*+=?~])[^\s\"'(),;]{{3,200}})", re.I),
    # hunter2 is my password
    re.compile(rf"(?:^|[\s(]){_VALUE} (?:is|was) (?:my|our|the|his|her|their|your)(?: \w+){{0,3}}? {_NAMES}\b", re.I),
    # password_hash = '...', "apiKey": "..." and other names of columns and settings
    re.compile(rf"\b\w*(?:passw(?:or)?d|passphrase|pwd|secret|token|api_?key|private_?key)\w*[\"'`]?\s*(?::|=|:=|=>)\s*{_VALUE}", re.I),
    re.compile(r"\b(?:bearer|basic)\s+(?P<value>[\w+/=.~-]{12,})", re.I),
)  # fmt: skip
_SERVICE_KEYS = re.compile(
    r"\b(?:AKIA|ASIA)[0-9A-Z]{12,}|\bAIza[\w-]{20,}|\b(?:github_pat|glpat|gsk|hf|npm|sb_secret|sbp|shpat|dop_v1|whsec|xapp|rpa|SG)[_.-][\w.-]{10,}"
    r"|\b(?:sk|pk|rk)[-_](?:live|test|proj|ant)[-_][\w-]{8,}|\b[0-9a-fA-F]{32,}\b"
)
_CARD = re.compile(r"(?<![\d.])\d(?:[ -]?\d){12,18}(?![\d.]\d|\d)")
_TOKEN = re.compile(r"(?<![\w/.@-])[A-Za-z0-9+/_-]{20,}={0,2}(?![\w/.@-])")
# What follows "the password is" without being one.
_PLAIN = word_set(
    """
    a an the not no never always too very so also still only now here there this that these those in on at for from of with without by
    and or but if when where which who what how expired required optional wrong right missing stored hashed encrypted hidden masked
    null none empty invalid valid reset changed unknown given known secret personal kept long short correct incorrect needed used
    set unset lost stolen leaked case be been being my our your his her its their it one text string column columns field rotated
    issued sent generated
    """
)


def typed_secrets(text: str) -> list[str]:
    """Return the passwords, card numbers and keys in a text that somebody typed, each once, the longest first."""
    found = [*keys_in(text), *_named(text), *_SERVICE_KEYS.findall(text), *_cards(text), *_random_tokens(text)]
    return sorted({secret for secret in found if secret.strip()}, key=len, reverse=True)


def without_typed_secrets(text: str, *, known: Iterable[str] = ()) -> str:
    """Return a text with `HIDDEN` in place of its secrets, and of those `known` from what was said with it."""
    for secret in sorted({*typed_secrets(text), *known}, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)" if secret.isalnum() else re.escape(secret), HIDDEN, text)
    return text


def _named(text: str) -> Iterator[str]:
    for form in _NAMED:
        for match in form.finditer(text):
            value = match["value"]
            bare = value[1:-1] if value[0] in "\"'`\u201c" else value.rstrip(".,;:!?)]}")
            if len(bare) > 2 and bare.casefold() not in _PLAIN and HIDDEN not in value and not bare.startswith("$"):
                yield bare


def _cards(text: str) -> Iterator[str]:
    for match in _CARD.finditer(text):
        digits = [int(character) for character in match.group() if character.isdigit()]
        doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
        if (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0:
            yield match.group()


def _random_tokens(text: str) -> Iterator[str]:
    """Yield what mixes capitals, small letters and figures like no name: the kinds change often."""
    for token in _TOKEN.findall(text):
        kinds = ["d" if c.isdigit() else "u" if c.isupper() else "l" if c.islower() else "s" for c in token]
        changes = sum(one != other for one, other in pairwise(kinds))
        if {"d", "u", "l"} <= set(kinds) and changes * 3 >= len(token):
            yield token
