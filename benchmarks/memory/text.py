"""Many different memories, for measuring how a store behaves when it is full: turns of chats, and facts.

Two fifths are turns, most of them a turn that was there before with another name, number, date, order of words or slip of
the finger. The rest are facts on thousands of subjects; how often their words occur follows Zipf's law.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Literal

Kind = Literal["fact", "interaction"]

TURNS = 0.4
WORDS = 20_000
_ZIPF = 1.05


def _words(text: str) -> list[str]:
    return text.split()


BUSINESS = _words("""
    account order customer invoice price delivery product supplier payment contract report team office project
    market budget region store warehouse discount return shipment stock margin revenue cost tax quarter month week
    year manager department employee salary meeting deadline campaign channel voucher refund carrier parcel pallet
    truck driver route depot batch lot serial barcode label catalogue category brand variant size colour weight
    volume unit carton currency rate fee charge deposit balance ledger audit journal entry asset liability loan
    interest bank branch transfer receipt bill quote offer tender bid vendor partner reseller agent broker dealer
    lead prospect visit call ticket incident complaint claim warranty repair spare part tool machine line plant
    shift maintenance outage sensor meter reading alarm threshold sample test defect recall certificate standard
    policy rule exception approval request form document archive folder version draft signature clause term renewal
    notice penalty bonus commission target forecast plan actual variance trend peak season holiday closing opening
    counter desk register drawer till queue slot booking reservation guest room floor building site campus gate
    badge visitor parking fleet vehicle fuel mileage lease insurance premium policyholder risk damage accident
    witness patient doctor nurse ward bed clinic appointment referral diagnosis treatment therapy prescription dose
    vaccine allergy lab result scan implant surgery discharge record consent relative school class teacher pupil
    course lesson exam grade semester tuition library book author loaner reader edition shelf reminder ticketing
    event concert stage seat row member membership club donor donation volunteer campaigner petition vote council
    permit licence inspection fine appeal hearing court case lawyer judge tenant landlord rent heating water
    electricity gas solar panel grid tariff harvest field tractor seed fertiliser crop cattle dairy milk cheese
    bakery flour recipe menu kitchen waiter table dish allergen breakfast buffet laundry towel linen server database
    backup password release sprint backlog feature bug deployment cluster latency quota subscription upgrade trial
    churn cohort funnel session click banner newsletter segment audience survey score feedback rating review comment
    post thread
""")

_GLUE = _words("""
    the of and to in a is for on that with as by from at it are be this not or which until only before after every
""")
_ONSETS = _words("""
    b bl br d dr f fl g gl gr h j k kl kr l m n p pl pr r s sch sk sl sp st str t tr v w z
""")
_NUCLEI = _words("""
    a e i o u ei au ie oa ö ü ä
""")
_CODAS = ["", "", "l", "m", "n", "r", "s", "t", "nd", "rk", "st", "ck", "lt"]  # a word ends so
FIRST = _words("""
    Anna Ben Carla David Eve Farid Greta Hiro Ines Jürgen Katja Luis Mara Nils Olga Pedro Quinn Rosa Seán Tilda Umut
    Vera Wei Ximena Yusuf Zoë Amélie Björn Chidi Dana Emil Fatma Gábor Helga Ivan Jana Kofi Lena Mehmet Noor
""")
LAST = _words("""
    Weber Okafor Núñez Šimek O'Dowd Rahman Lindqvist Tanaka Ferreira Größer Novak Rojas Brandt Iversen Petrova
    Almeida Murphy Bianchi O'Neill Haddad Yilmaz Schäfer Chen Ortega Demir Wałęsa Dubois Berg Eze Kowalska Lang
    Lange Müller Möller Horváth Fischer Smirnov Jansen Mensah Krüger Öztürk Nakamura
""")
MONTHS = _words("""
    January February March April May June July August September October November December
""")

# A question with what it may be about, and the words that may stand before or after it.
_QUESTIONS = [
    ("how many orders did {name} place", "in {month} {year}", "{name} placed {n} orders.", "select count(*) from orders where customer = '{name}'"),
    ("what was the revenue of store {k}", "in {month} {year}", "Store {k} sold {n} euros.", "select sum(total) from orders where store = {k}"),
    ("which products did {name} buy", "since {month}", "{name} bought {k} products, the last for {n}.", "select distinct product from lines where customer = '{name}'"),
    ("when is the next appointment of {name}", "after {day} {month}", "On {day} {month} at {hour}:20.", "select min(starts_at) from appointments where patient = '{name}'"),
    ("how many returns came from region {k}", "between {month} and December", "{n} returns came from there.", "select count(*) from returns where region = {k}"),
    ("show the unpaid invoices of {name}", "of {year}", "There are {k}; together they are {n} euros.", "select id, total from invoices where customer = '{name}' and paid_at is null"),
    ("who is responsible for account {n}", "this {month}", "{name} looks after it.", "select manager from accounts where id = {n}"),
    ("what is the status of order {n}", "from {day} {month}", "It is in state {k} since {day} {month}.", "select status from orders where id = {n}"),
    ("set the phone of customer {n} to +49 30 {n}{k}", "from {month} on", "This change waits for an approval of {name}.", "update customers set phone = '+49 30 {n}{k}' where id = {n}"),
    ("how long did patients of {name} wait", "in {month} {year}", "They waited {k} minutes on average.", "select avg(called_at - arrived_at) from visits where doctor = '{name}'"),
    ("which of our suppliers delivered late", "in {month} {year}", "{k} suppliers did, {name} most often ({n} times).", "select supplier, count(*) from deliveries where late group by 1"),
    ("list the {k} best employees by sales", "for {month}", "{name} leads with {n} euros.", "select employee, sum(total) from orders group by 1 order by 2 desc limit {k}"),
    ("how full is warehouse {k}", "on {day} {month}", "It holds {n} pallets.", "select count(*) from pallets where warehouse = {k}"),
    ("what does the code {n}-{k} mean", "in the table of {month}", "I cannot answer that: no table says what it means.", ""),
    ("how many tickets are open for {name}", "since {day} {month}", "{k} tickets are open, the oldest is number {n}.", "select count(*) from tickets where owner = '{name}' and closed_at is null"),
    ("is there stock of article {n} left", "at the end of {month}", "{k} pieces are left.", "select stock from articles where id = {n}"),
    ("no, that is wrong: what did {name} pay", "in {month} {year}", "You are right, it was {n}.{k} euros.", "select sum(amount) from payments where payer = '{name}'"),
    ("average order value of {name}", "over {year}", "It is {n}.{k} euros.", "select avg(total) from orders where customer = '{name}'"),
    ("which room is free for {name}", "on {day} {month}", "Room {n}.", "select room from rooms where free"),
    ("compare {month} with the month before for branch {k}", "in {year}", "It grew from {n} euros by {k} percent.", "select month, sum(total) from orders where branch = {k} group by 1"),
]  # fmt: skip

_FACTS = [
    "{S} is the {w} that {person} uses for the {w} of {w}.",
    "In {s}, {w} {n} means {w} {w}.",
    "The {s} of the {w} closes on {day} {month}.",
    "{S} counts as {w} only if the {w} is above {n}.",
    "{person} looks after {s} and the {w} of the {w}.",
    "We never send the {s} {w} before the {w} was checked by {person}.",
    "Code {n} in {s} stands for {w} without {w}.",
    "The {w} for {s} went up to {n} in {month} {year}.",
    "{S}: the {w} and the {w} are the same thing.",
    "Since {month} {year} the {s} belongs to {w} {w}.",
    "Leave the {s} out of every {w}, it is a {w} for tests.",
    "Whoever asks for {s} means the {w} {g} the {w}.",
    "A {w} of type {n} has no {s}.",
    "{S} comes from {w}, not from {w}.",
    "For {s} the {w} is measured in {w} per {w}.",
    "The old name of {s} is {w}; it was changed by {person}.",
    "Every {w} with a {s} needs a second {w} within {n} days.",
    "{person} wants the {s} sorted by {w}, then by {w}.",
    "{S} runs {g} {w}, {w} {g} {w} and a {w}.",
    "The {w} at {s} has room for {n} of the {w}.",
]


def vocabulary(rng: random.Random) -> list[str]:
    """Return the words, the most frequent first. Those of business are spread over the first thousand."""
    made: dict[str, None] = {}
    real = list(dict.fromkeys(BUSINESS))
    rng.shuffle(real)
    while len(made) < WORDS:
        if real and len(made) < 1000 and rng.random() < 0.6:
            made[real.pop()] = None
        else:
            parts = range(rng.choice((1, 2, 2, 3, 3, 4)))
            made["".join(rng.choice(_ONSETS) + rng.choice(_NUCLEI) for _ in parts) + rng.choice(_CODAS)] = None
    return list(made)


def texts(count: int, *, seed: int) -> Iterator[tuple[Kind, str]]:
    """Yield `count` memories, no two of them equal; the same ones for the same seed."""
    rng = random.Random(seed)
    fact = _facts(rng, vocabulary(rng))
    turn = _turns(rng)
    seen: set[int] = set()
    while len(seen) < count:
        kind: Kind = "interaction" if rng.random() < TURNS else "fact"
        content = turn() if kind == "interaction" else fact()
        if hash(content) not in seen:
            seen.add(hash(content))
            yield kind, content


def _drawn(rng: random.Random, words: list[str]) -> Iterator[str]:
    """Draw words forever, each as often as its rank has it."""
    weights = list(accumulate(1 / (rank + 2.7) ** _ZIPF for rank in range(len(words))))
    while True:
        yield from rng.choices(words, cum_weights=weights, k=20_000)


def _facts(rng: random.Random, vocabulary: list[str]) -> Callable[[], str]:
    """Facts about subjects that two or three words name; a subject comes again, with something else to say about it."""
    words = _drawn(rng, vocabulary)
    subjects = [" ".join((next(words), rng.choice(vocabulary), next(words))[rng.randrange(2) :]) for _ in range(8_000)]

    def fact() -> str:
        subject = rng.choice(subjects)
        plain = rng.choice(_FACTS)
        while "{w}" in plain:
            plain = plain.replace("{w}", next(words), 1)
        return plain.format(**_values(rng), S=subject.capitalize(), s=subject, g=rng.choice(_GLUE), person=_person(rng))

    return fact


def _turns(rng: random.Random) -> Callable[[], str]:
    """Turns, of which most repeat one of the last thousand and change something in it."""
    asked: list[tuple[int, dict[str, object]]] = []

    def turn() -> str:
        if asked and rng.random() < 0.8:
            number, values = rng.choice(asked)
            fresh = _values(rng)
            changed = rng.sample(sorted(fresh), rng.choice((1, 1, 2, 3)))
            values = {**values, **{name: fresh[name] for name in changed}}
        else:
            number, values = rng.randrange(len(_QUESTIONS)), _values(rng)
        asked[1000:] = []
        asked.insert(rng.randrange(len(asked) + 1), (number, values))
        question, when, answer, sql = (part.format(**values) for part in _QUESTIONS[number])
        said = rng.choice((f"{question} {when}", f"{when}, {question}", question))
        return f"Question: {_typed(rng, said)}\nAnswer: {answer}" + (f"\nSQL: {sql}" if sql else "")

    return turn


def _values(rng: random.Random) -> dict[str, object]:
    return {
        "name": _person(rng), "n": int(10 ** rng.uniform(1, 5)), "k": rng.randint(1, 60), "day": rng.randint(1, 28),
        "month": rng.choice(MONTHS), "year": rng.randint(2019, 2026), "hour": rng.randint(8, 17),
    }  # fmt: skip


def _person(rng: random.Random) -> str:
    return f"{rng.choice(FIRST)} {rng.choice(LAST)}"


def _typed(rng: random.Random, said: str) -> str:
    """Write a question as people do: mostly with a capital and a question mark, sometimes with a slip."""
    if rng.random() < 0.15:
        place = rng.randrange(1, len(said) - 2)
        said = (
            said[:place]
            + rng.choice((said[place + 1] + said[place], said[place] * 2 + said[place + 1], said[place]))
            + said[place + 2 :]
        )
    if rng.random() < 0.7:
        said = said[0].upper() + said[1:]
    return said + rng.choice(("?", "?", "", " please", "?!"))
