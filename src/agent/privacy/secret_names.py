"""Decides which columns hold secrets: whoever knows their values can open, sign or pay something with them. Pure.

A column is judged by its name, its type, its comment and its table's name. A column that only describes a secret (when it
was changed, how many there are, whether there is one) holds none. A comment can make a column a secret, but never the
opposite: whoever writes comments is not trusted to show a secret.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise

from agent.text.words import words


def _words(text: str) -> frozenset[str]:
    return frozenset(words(text))


def _pairs(first: str, second: str) -> frozenset[tuple[str, str]]:
    """Return every pair of a word of `first` and a word of `second`."""
    return frozenset((word, other) for word in words(first) for other in words(second))


_CORE = _words(
    """
    password passwords passwd passwds pwd pwds passphrase passphrases passcode passcodes passkey secret secrets token tokens
    apikey apikeys credential credentials creds jwt jwts bearer otp otps totp cvv cvc psk htpasswd dsn keystore
    privatekey privkey secretkey accesskey signingkey encryptionkey masterkey authkey accesstoken authtoken refreshtoken
    apitoken idtoken bearertoken connectionstring connstr passwort kennwort passwoerter contrasena contrasenas mdp senha
    senhas wachtwoord losenord adgangskode passord haslo hasło heslo jelszo salasana sifre parol parola пароль 密码 密碼 パスワード
    """
)
# Stems that are also found inside of a word: `userpassword`.
_STEMS = (
    "password",
    "passwd",
    "passphrase",
    "credential",
    "apikey",
    "privatekey",
    "motdepasse",
    "kennwort",
    "passwort",
)
_ENDS = ("secret", "token", "apikey", "accesskey", "secretkey", "encryptedkey", "authkey", "pwd")
_HARMLESS_WORDS = _words("passwordless secretary secretaries secretariat")
_PHRASES = (
    _pairs(
        """
        api access private secret auth authentication authorization signing encryption encrypted decryption master service admin
        recovery backup shared preshared hmac aes rsa dsa tls ssl wep wpa wifi stripe stream streaming server license
        licence activation reset confirmation account storage session unlock raw wrapped symmetric data cookie webhook root
        deploy seed
        """,
        "key keys",
    )
    | _pairs(
        """
        auth authorization authentication verification verify confirmation confirm activation security recovery backup
        reset access login signin unlock pairing magic otp mfa totp sms scratch door gate lockbox alarm entry onetime
        """,
        "code codes",
    )
    | _pairs("otp mfa totp wallet master hd backup recovery mnemonic key", "seed seeds phrase phrases mnemonic words")
    | _pairs("seed", "phrase phrases words key")
    | _pairs("remember activation reset authentication auth pin pass login recovery", "digest digests hash hashes salt crypt")
    | _pairs("connection conn database db redis mongo mongodb postgres postgresql mysql amqp jdbc odbc broker", "string str url uri")
    | _pairs("magic login signin reset recovery", "link links")
    | _pairs("security secret", "answer answers stamp")
    | _pairs("session auth login", "cookie cookies data")
    | _pairs("stripe live test secret api", "sk")
    | _pairs("sk rk", "live test")
    | _pairs("card debit atm user login security access wallet sim door new old current transaction encrypted", "pin pins")
    | _pairs("pass", "word words phrase phrases code codes")
    | _pairs("code", "verifier")
    | _pairs("basic", "auth")
    | _pairs("authorization auth", "header headers")
    | {("ssh", "private"), ("pkcs", "12"), ("2", "fa"), ("clave", "acceso"), ("clave", "secreta"),
       ("raw", "jwt"), ("cookie", "jar")}
)  # fmt: skip
_TRIPLES = frozenset({("mot", "de", "passe"), ("credit", "card", "number"), ("debit", "card", "number"), ("one", "time", "code"),
                      ("mots", "de", "passe"), ("palabra", "de", "paso"), ("pre", "shared", "key"), ("one", "time", "pin")})  # fmt: skip
_SECRET_NUMBERS = frozenset({("cc", "number"), ("pin", "number")})
_WHOLE_NAMES = _words("pin clave pass passphrase pfx kms htaccess cookies")
# Words of a name in which `pass` is no password: `smtp_pass` is one, a boarding pass is none.
_HARMLESS_PASSES = _words(
    "boarding season ski day week month bus hall travel event entry museum train rail guest fast first second 1 2 all by"
)
# A column with one of these words describes a secret and holds none.
_DESCRIPTIONS = _words(
    """
    required enabled disabled expired count counts attempts tries failures policy length strength expires expiry expiration
    lifetime ttl changed updated rotated limit quota
    """
)
_DESCRIPTIONS_AT_END = _DESCRIPTIONS | _words(
    """
    id ids at on by until in status state type types kind date time timestamp name names hint version versions used usage
    uses total totals algorithm alg algo method format prefix label title description scope scopes issuer audience duration
    age sent created requested seconds minutes hours days size level index position order number provider source endpoint
    family public challenge
    """
)
_DESCRIPTIONS_AT_START = _words(
    "is has can allow allows require requires enable disable use uses force must should needs no num number count total"
)
_LOCATIONS = _words("url uri path link endpoint")
# With one of these words, tokens are those of a language model, a text or a blockchain: they are counted and traded.
_TOKEN_COUNTS = _words(
    """
    max min maximum minimum input output prompt completion total used usage cached reasoning estimated remaining search
    average avg per context budget consumed generated cost costs balance amount price supply decimals symbol address mint
    standard contract network chain rate stats offset offsets pos lemma reward rewards burned staked sequence nft erc
    """
)
_HARMLESS_PAIRS = _pairs("secret", "santa santas sauce shopper shoppers menu ballot") | _pairs(
    "page search name text", "token tokens"
)
_PUBLIC = _words("public publishable pub anon anonymous")
# Secrets that may be stored as a number.
_SECRETS_AS_NUMBERS = _words("otp otps totp cvv cvc pin passcode")

_VALUES = _words(
    """
    key value data hash digest code content contents payload body ciphertext encrypted raw plain plaintext text blob value
    """
)
_TABLES = _words("secret secrets credential credentials password passwords vault otps passcodes apikeys")
_TABLE_PAIRS = _pairs("api access private secret encryption signing", "key keys") | _pairs(
    "backup recovery gift upgrade invitation access redemption license", "code codes key keys"
)
_HARMLESS_KEYS = _words(
    "idempotency cache partition dedup lock lookup content file row record block transaction message"
)
_SECRET_BYTES = _words("key keys secret seed password salt pin hash digest")

_TYPES_WITHOUT_SECRETS = re.compile(
    r"^(bool|date|time|interval|ts(vector|query)|regconfig|inet|cidr|macaddr|point|line|lseg|box|path|polygon|circle|bit\b|oid"
    r"|xid|int4range|int8range|numrange|tsrange|tstzrange|daterange|\w*multirange|geometry|geography|vector|void)"
)
_NUMBER_TYPES = re.compile(r"^(small|big)?(int|serial)|^(numeric|decimal|real|double|float|money)")
DOMAIN_OVER = " over "
_SECRET_TYPE = re.compile(r"^(vault|pgsodium|supabase_vault)\.|^chkpass$")

_NOT_TO_BE = (
    r"(never|not|no one|nobody|\w+n't|niemals|nie|nicht|kein\w*|jamais|pas|nunca|no|mai|nao|não)\b.{0,40}?"
    r"(show|share|disclos|display|expos|log\b|logged|logging|print|leak|reveal|publish|hand(ed)? out|give\w* (out|away)"
    r"|zeigen|anzeigen|herausgeben|weitergeben|divulgu|montr|affich|mostrar|compartir|revel|mostrare|exibir)"
)
_COMMENT_FORBIDS_SHOWING = re.compile(
    rf"\b{_NOT_TO_BE}|\bkeep\b.{{0,20}}\b(private|safe|hidden|secret|confidential)|\bhide (it |this )?from|\b(top[- ]?secret|geheim halten)",
    re.IGNORECASE,
)
_COMMENT_OF_SECRET = re.compile(
    r"\b(secret|confidential|geheim\w*|vertraulich|confidentiel\w*|confidencial|secreto|riservato|segreto"
    r"|passwords?|passphrase|api[- ]?keys?|private keys?|access tokens?|bearer tokens?|credentials?)\b",
    re.IGNORECASE,
)
_COMMENT_OF_DESCRIPTION = re.compile(
    r"^\W*(whether|when|if|how (many|often|long)|number of|count of|date|time|true|false|id of|name of|type of|the (id|name|type|number|date|time|kind|status) of"
    r"|references?|refers|foreign key|ob |wann|anzahl|nombre de|quand|cuando|numero de|last|label|title|description|status)\b",
    re.IGNORECASE,
)


@lru_cache(maxsize=50_000)
def is_secret(name: str, *, type_name: str = "", comment: str = "", table: str = "", category: str = "") -> bool:
    """Return whether a column holds secrets.

    `type_name` is the type as format_type writes it, for a domain "domain over base type"; `category` is
    pg_type.typcategory of the value. Where both are empty, the column is judged as one of text.
    """
    types = [_plain(part) for part in type_name.split(DOMAIN_OVER)]
    base, kind = types[-1], _kind(types[-1], category)
    if any(_SECRET_TYPE.match(part) for part in (type_name.casefold(), *types)):
        return True
    if comment and _COMMENT_FORBIDS_SHOWING.search(comment):
        return True
    if kind == "never":
        return False
    name_words = tuple(words(name))
    if kind == "number":
        return _is_number_secret(name_words)
    if (
        comment
        and base != "uuid"
        and _COMMENT_OF_SECRET.search(comment)
        and not _COMMENT_OF_DESCRIPTION.match(comment)
        and not _is_description(name_words)
    ):
        return True
    return (
        names_secret(name_words)
        or (
            base == "bytea"
            and bool(set(name_words) & _SECRET_BYTES)
            and not set(name_words) & (_PUBLIC | _HARMLESS_KEYS)
        )
        or (bool(types[0]) and category != "E" and types[0] != base and names_secret(tuple(words(types[0]))))
        or _is_value_of_secrets(name_words, tuple(words(table)))
    )


def names_secret(name_words: tuple[str, ...]) -> bool:
    """Return whether a name of these words names a secret."""
    if name_words[-2:] in _SECRET_NUMBERS or name_words[-3:] in _TRIPLES:
        return True
    if not name_words or _is_description(name_words):
        return False
    if name_words in {(word,) for word in _WHOLE_NAMES} or _has_phrase(name_words, _PHRASES, _TRIPLES):
        return not _is_public_key(name_words)
    return (
        (name_words[-1] == "pass" and len(name_words) > 1 and not set(name_words) & _HARMLESS_PASSES)
        or _is_ciphertext(name_words)
        or any(_is_core(name_words, place) for place in range(len(name_words)))
    )


def _is_ciphertext(name_words: tuple[str, ...]) -> bool:
    if len(name_words) < 2 or set(name_words) & _PUBLIC:  # `encrypted` alone does not say of what
        return False
    return (
        name_words[0] == "encrypted"
        or name_words[-1] in {"encrypted", "ciphertext"}
        or (name_words[-1] == "pem" and "key" in name_words)
    )


def _is_core(name_words: tuple[str, ...], place: int) -> bool:
    """Return whether the word at `place` of a name makes it a secret."""
    word, following = name_words[place], name_words[place + 1] if place + 1 < len(name_words) else ""
    if (
        word in _HARMLESS_WORDS
        or (word, following) in _HARMLESS_PAIRS
        or (place and (name_words[place - 1], word) in _HARMLESS_PAIRS)
    ):
        return False
    if word in {"token", "tokens"}:
        return not set(name_words) & _TOKEN_COUNTS and name_words[-1] not in _LOCATIONS
    if word in _CORE:
        return name_words[-1] not in _LOCATIONS or word in {"secret", "bearer"}
    return any(stem in word for stem in _STEMS) or (
        len(word) > len("pwd") and word.endswith(_ENDS) and word not in _HARMLESS_WORDS
    )


def _is_description(name_words: tuple[str, ...]) -> bool:
    return bool(name_words) and (
        name_words[-1] in _DESCRIPTIONS_AT_END
        or name_words[0] in _DESCRIPTIONS_AT_START
        or bool(set(name_words) & _DESCRIPTIONS)
    )


def _is_public_key(name_words: tuple[str, ...]) -> bool:
    return bool(set(name_words) & _PUBLIC) and not set(name_words) & {"private", "secret"}


def _has_phrase(
    name_words: tuple[str, ...], pairs: frozenset[tuple[str, str]], triples: frozenset[tuple[str, str, str]]
) -> bool:
    return any(pair in pairs for pair in pairwise(name_words)) or any(
        triple in triples for triple in zip(name_words, name_words[1:], name_words[2:], strict=False)
    )


def _is_number_secret(name_words: tuple[str, ...]) -> bool:
    if name_words[-2:] in _SECRET_NUMBERS or name_words[-3:] in _TRIPLES:
        return True
    if _is_description(name_words):
        return False
    codes = name_words[-1:] in {("code",), ("codes",)} and _has_phrase(name_words, _PHRASES, _TRIPLES)
    pins = name_words[-1:] in {("pin",), ("pins",)} and (
        len(name_words) == 1 or _has_phrase(name_words, _PHRASES, _TRIPLES)
    )
    return codes or pins or bool(set(name_words) & (_SECRETS_AS_NUMBERS - {"pin"}))


def _is_value_of_secrets(name_words: tuple[str, ...], table: tuple[str, ...]) -> bool:
    """Return whether a column is the one that holds the secret in a table of secrets: `api_keys.key`, `credentials.value`."""
    if len(name_words) != 1 or name_words[0] not in _VALUES or set(table) & (_TOKEN_COUNTS | _PUBLIC):
        return False
    return bool(set(table) & _TABLES) or any(pair in _TABLE_PAIRS for pair in pairwise(table))


def _plain(type_name: str) -> str:
    """Return a type's name without its modifiers, array brackets and quotes."""
    return re.sub(r"\(.*?\)|\[\]", "", type_name).strip().strip('"').casefold()


def _kind(base: str, category: str) -> str:
    if category in {"B", "D", "T", "E", "G", "I", "R"} or _TYPES_WITHOUT_SECRETS.match(base):
        return "never"
    return "number" if category == "N" or _NUMBER_TYPES.match(base) else "text"
