"""Which columns hold secrets: who knows their values can open, sign or pay something with them. Pure rules.

A column is judged by its name, its type, its comment and its table's name. What only tells something about a secret (when
it was changed, how many there are, whether there is one) is no secret. A comment can make a column a secret, never the
opposite: whoever writes comments is not trusted to open one.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise

from agent.text.words import words


def _words(text: str) -> frozenset[str]:
    return frozenset(words(text))


def _pairs(first: str, second: str) -> frozenset[tuple[str, str]]:
    return frozenset((one, other) for one in words(first) for other in words(second))


_CORE = _words(
    """
    password passwords passwd passwds pwd pwds passphrase passphrases passcode passcodes passkey secret secrets token tokens
    apikey apikeys credential credentials creds jwt jwts bearer otp otps totp cvv cvc psk htpasswd dsn keystore
    privatekey privkey secretkey accesskey signingkey encryptionkey masterkey authkey accesstoken authtoken refreshtoken
    apitoken idtoken bearertoken connectionstring connstr passwort kennwort passwoerter contrasena contrasenas mdp senha
    senhas wachtwoord losenord adgangskode passord haslo hasło heslo jelszo salasana sifre parol parola пароль 密码 密碼 パスワード
    """
)
# Found inside of a word that is written in one: `userpassword`, `clientsecret`.
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
_INNOCENT = _words("passwordless secretary secretaries secretariat")
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
_NUMBERS = frozenset({("cc", "number"), ("pin", "number")})
_ALONE = _words("pin clave pass passphrase pfx kms htaccess cookies")
# `smtp_pass` is a password, a boarding pass is none.
_PASSES = _words(
    "boarding season ski day week month bus hall travel event entry museum train rail guest fast first second 1 2 all by"
)
# A column that holds one of these words tells something about a secret.
_ABOUT = _words(
    """
    required enabled disabled expired count counts attempts tries failures policy length strength expires expiry expiration
    lifetime ttl changed updated rotated limit quota
    """
)
_ABOUT_AT_END = _ABOUT | _words(
    """
    id ids at on by until in status state type types kind date time timestamp name names hint version versions used usage
    uses total totals algorithm alg algo method format prefix label title description scope scopes issuer audience duration
    age sent created requested seconds minutes hours days size level index position order number provider source endpoint
    family public challenge
    """
)
_ABOUT_AT_START = _words(
    "is has can allow allows require requires enable disable use uses force must should needs no num number count total"
)
_PLACES = _words("url uri path link endpoint")
# Tokens of a language model, of a text, and of a chain are counted and traded.
_COUNTED = _words(
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
# A code of few characters may be a number.
_NUMERIC = _words("otp otps totp cvv cvc pin passcode")

_VALUES = _words(
    """
    key value data hash digest code content contents payload body ciphertext encrypted raw plain plaintext text blob value
    """
)
_TABLES = _words("secret secrets credential credentials password passwords vault otps passcodes apikeys")
_TABLE_PAIRS = _pairs("api access private secret encryption signing", "key keys") | _pairs(
    "backup recovery gift upgrade invitation access redemption license", "code codes key keys"
)
_NO_KEYS = _words("idempotency cache partition dedup lock lookup content file row record block transaction message")
_BYTES = _words("key keys secret seed password salt pin hash digest")

_NEVER = re.compile(
    r"^(bool|date|time|interval|ts(vector|query)|regconfig|inet|cidr|macaddr|point|line|lseg|box|path|polygon|circle|bit\b|oid"
    r"|xid|int4range|int8range|numrange|tsrange|tstzrange|daterange|\w*multirange|geometry|geography|vector|void)"
)
_NUMBER = re.compile(r"^(small|big)?(int|serial)|^(numeric|decimal|real|double|float|money)")
DOMAIN_OVER = " over "
_SECRET_TYPE = re.compile(r"^(vault|pgsodium|supabase_vault)\.|^chkpass$")

_NOT_TO_BE = (
    r"(never|not|no one|nobody|\w+n't|niemals|nie|nicht|kein\w*|jamais|pas|nunca|no|mai|nao|não)\b.{0,40}?"
    r"(show|share|disclos|display|expos|log\b|logged|logging|print|leak|reveal|publish|hand(ed)? out|give\w* (out|away)"
    r"|zeigen|anzeigen|herausgeben|weitergeben|divulgu|montr|affich|mostrar|compartir|revel|mostrare|exibir)"
)
_NEVER_SHOWN = re.compile(
    rf"\b{_NOT_TO_BE}|\bkeep\b.{{0,20}}\b(private|safe|hidden|secret|confidential)|\bhide (it |this )?from|\b(top[- ]?secret|geheim halten)",
    re.IGNORECASE,
)
_SAID = re.compile(
    r"\b(secret|confidential|geheim\w*|vertraulich|confidentiel\w*|confidencial|secreto|riservato|segreto"
    r"|passwords?|passphrase|api[- ]?keys?|private keys?|access tokens?|bearer tokens?|credentials?)\b",
    re.IGNORECASE,
)
_TELLS_ABOUT = re.compile(
    r"^\W*(whether|when|if|how (many|often|long)|number of|count of|date|time|true|false|id of|name of|type of|the (id|name|type|number|date|time|kind|status) of"
    r"|references?|refers|foreign key|ob |wann|anzahl|nombre de|quand|cuando|numero de|last|label|title|description|status)\b",
    re.IGNORECASE,
)


@lru_cache(maxsize=50_000)
def is_secret(name: str, *, type_name: str = "", comment: str = "", table: str = "", category: str = "") -> bool:
    """Whether a column holds secrets.

    `type_name` is the type as format_type writes it, for a domain "domain over base type"; `category` is
    pg_type.typcategory of the value. Where they are not known the name decides as for text.
    """
    types = [_plain(one) for one in type_name.split(DOMAIN_OVER)]
    base, kind = types[-1], _kind(types[-1], category)
    if any(_SECRET_TYPE.match(one) for one in (type_name.casefold(), *types)):
        return True
    if comment and _NEVER_SHOWN.search(comment):
        return True
    if kind == "never":
        return False
    own = tuple(words(name))
    if kind == "number":
        return _is_number_secret(own)
    if comment and base != "uuid" and _SAID.search(comment) and not _TELLS_ABOUT.match(comment) and not _is_about(own):
        return True
    return (
        names_secret(own)
        or (base == "bytea" and bool(set(own) & _BYTES) and not set(own) & (_PUBLIC | _NO_KEYS))
        or (bool(types[0]) and category != "E" and types[0] != base and names_secret(tuple(words(types[0]))))
        or _is_value_of_secrets(own, tuple(words(table)))
    )


def names_secret(own: tuple[str, ...]) -> bool:
    """Whether these words of a name are of a secret."""
    if own[-2:] in _NUMBERS or own[-3:] in _TRIPLES:
        return True
    if not own or _is_about(own):
        return False
    if own in {(word,) for word in _ALONE} or _holds(own, _PHRASES, _TRIPLES):
        return not _is_public_key(own)
    return (
        (own[-1] == "pass" and len(own) > 1 and not set(own) & _PASSES)
        or _is_encrypted(own)
        or any(_is_core(own, place) for place in range(len(own)))
    )


def _is_encrypted(own: tuple[str, ...]) -> bool:
    if len(own) < 2 or set(own) & _PUBLIC:  # of something
        return False
    return own[0] == "encrypted" or own[-1] in {"encrypted", "ciphertext"} or (own[-1] == "pem" and "key" in own)


def _is_core(own: tuple[str, ...], place: int) -> bool:
    word, following = own[place], own[place + 1] if place + 1 < len(own) else ""
    if (
        word in _INNOCENT
        or (word, following) in _HARMLESS_PAIRS
        or (place and (own[place - 1], word) in _HARMLESS_PAIRS)
    ):
        return False
    if word in {"token", "tokens"}:
        return not set(own) & _COUNTED and own[-1] not in _PLACES
    if word in _CORE:
        return own[-1] not in _PLACES or word in {"secret", "bearer"}
    return any(stem in word for stem in _STEMS) or (
        len(word) > len("pwd") and word.endswith(_ENDS) and word not in _INNOCENT
    )


def _is_about(own: tuple[str, ...]) -> bool:
    return bool(own) and (own[-1] in _ABOUT_AT_END or own[0] in _ABOUT_AT_START or bool(set(own) & _ABOUT))


def _is_public_key(own: tuple[str, ...]) -> bool:
    return bool(set(own) & _PUBLIC) and not set(own) & {"private", "secret"}


def _holds(own: tuple[str, ...], pairs: frozenset[tuple[str, str]], triples: frozenset[tuple[str, str, str]]) -> bool:
    return any(pair in pairs for pair in pairwise(own)) or any(
        triple in triples for triple in zip(own, own[1:], own[2:], strict=False)
    )


def _is_number_secret(own: tuple[str, ...]) -> bool:
    if own[-2:] in _NUMBERS or own[-3:] in _TRIPLES:
        return True
    if _is_about(own):
        return False
    codes = own[-1:] in {("code",), ("codes",)} and _holds(own, _PHRASES, _TRIPLES)
    pins = own[-1:] in {("pin",), ("pins",)} and (len(own) == 1 or _holds(own, _PHRASES, _TRIPLES))
    return codes or pins or bool(set(own) & (_NUMERIC - {"pin"}))


def _is_value_of_secrets(own: tuple[str, ...], table: tuple[str, ...]) -> bool:
    """Whether it is what a table of secrets is about: `api_keys.key`, `credentials.value`."""
    if len(own) != 1 or own[0] not in _VALUES or set(table) & (_COUNTED | _PUBLIC):
        return False
    return bool(set(table) & _TABLES) or any(pair in _TABLE_PAIRS for pair in pairwise(table))


def _plain(type_name: str) -> str:
    return re.sub(r"\(.*?\)|\[\]", "", type_name).strip().strip('"').casefold()


def _kind(base: str, category: str) -> str:
    if category in {"B", "D", "T", "E", "G", "I", "R"} or _NEVER.match(base):
        return "never"
    return "number" if category == "N" or _NUMBER.match(base) else "text"
