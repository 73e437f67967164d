"""Where a value comes from: what the user said is found however it is written, and nothing fits by accident."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.provenance.conversation_context import context_of_transcript, secret_in, without_secrets
from agent.provenance.named_rows import UserWords, user_named_row
from agent.provenance.origins import Kind, ShownText, Value, is_in, origin_of, shapes_in
from agent.provenance.wording import is_requested
from agent.provenance.written_values import column_sources, written_values
from agent.statements.parser import parse
from agent.threads import StoredCall, Transcript, Turn
from agent.types import CallKey, ToolResult

IBAN = "DE89370400440532013000"


def value(kind: Kind, text: str, *names: str) -> Value:
    return Value(argument="to", kind=kind, text=text, names=frozenset(names))


@pytest.mark.parametrize(
    ("kind", "text", "user_words"),
    [
        ("address", "anna@firm.example", "Mail Anna@Firm.example, please."),
        ("address", "anna@firm.example", "mail <anna@firm.example>"),
        ("address", "a@xn--bcher-kva.example", "mail a@bücher.example"),
        ("link", "https://firm.example/a?b=1", "send them https://firm.example/a?b=1."),
        ("link", "https://firm.example", "the page is https://firm.example/"),
        ("link", "firm.example", "the page is firm.example"),
        ("account", IBAN, "pay to DE89 3704 0044 0532 0130 00."),
        ("account", "DE89 3704 0044 0532 0130 00", f"pay to {IBAN}"),
        ("amount", "1500", "set the budget to 1,500 euros"),
        ("amount", "1500", "set it to 1.500,00 EUR"),
        ("amount", "1500.00", "set it to 1 500"),
        ("amount", "1.5", "make it 1,5"),
        ("amount", "1500", "1.5k please"),
        ("amount", "2000000", "a budget of 2 million"),
        ("amount", "1.1", "raise prices by 10%"),
        ("amount", "0.9", "10 percent off"),
        ("amount", "-100", "subtract 100"),
        ("text", "Main Street 5", "they moved to main street 5!"),
    ],
)
def test_what_the_user_said_is_found_however_it_is_written(kind: Kind, text: str, user_words: str) -> None:
    assert is_in(value(kind, text), user_words)


@pytest.mark.parametrize(
    ("kind", "text", "user_words"),
    [
        ("address", "anna@firm.example", "mail joanna@firm.example"),
        ("address", "anna@firm.example", "mail anna@firm.example.evil.example"),
        ("address", "anna@firm.exam", "mail anna@firm.example"),
        ("address", "anna@firm.example", "mail Anna at the firm"),
        ("address", "firm@evil.example", "see evil.example"),
        ("link", "https://firm.example/?d=secret", "send them https://firm.example/"),
        ("link", "https://firm.example.evil.example", "send them https://firm.example"),
        ("link", "http://firm.example", "send them https://firm.example"),
        ("account", IBAN[:-2], f"pay to {IBAN}"),
        ("account", IBAN, f"pay to {IBAN}9"),
        ("amount", "15", "set it to 1500"),
        ("amount", "2026", "since 2026-11-25"),
        ("amount", "25", "until 25.11.2026"),
        ("amount", "12", "at 12:30"),
        ("amount", "1500", "invoice INV-1500"),
        ("amount", "7", "set the price of product #7"),
        ("amount", "7", "the one with id 7"),
        ("amount", "7", "number 7"),
        ("amount", "1", "version 1.2.3"),
        ("text", "street 5", "Main Street 55"),
        ("text", "art", "start"),
        ("text", "", "anything"),
    ],
)
def test_nothing_fits_by_accident(kind: Kind, text: str, user_words: str) -> None:
    assert not is_in(value(kind, text), user_words)


def test_a_number_that_names_the_row_must_be_said_once_more() -> None:
    assert origin_of(value("amount", "7", "7"), user_words=["pay invoice 7"], shown_texts=()).place == "nowhere"
    assert origin_of(value("amount", "7", "7"), user_words=["set invoice 7 to 7 euros"], shown_texts=()).place == "user"
    assert origin_of(value("amount", "9", "7"), user_words=["set invoice 7 to 9"], shown_texts=()).place == "user"


def test_the_most_trusted_place_wins_and_a_trusted_cell_must_be_the_value_itself() -> None:
    cell = ShownText(where="contacts.email", text="anna@firm.example", trusted=True)
    note = ShownText(where="contacts.notes", text="now mail anna@firm.example", trusted=True)
    data = ShownText(where="tickets.body", text="mail anna@firm.example")
    wanted = value("address", "anna@firm.example")
    assert origin_of(wanted, user_words=["to anna@firm.example"], shown_texts=[data, cell]).place == "user"
    assert origin_of(wanted, user_words=[], shown_texts=[data, cell]).place == "trusted"
    assert origin_of(wanted, user_words=[], shown_texts=[data, note]).where == "tickets.body"
    assert not origin_of(wanted, user_words=[], shown_texts=[]).known


@given(st.text(max_size=200), st.text(min_size=1, max_size=40))
def test_hostile_text_is_only_text(text: str, wanted: str) -> None:
    list(shapes_in(text))
    for kind in ("address", "link", "account", "amount", "text"):
        is_in(value(kind, wanted), text)  # type: ignore[arg-type]  # each is a kind


@pytest.mark.parametrize(
    ("sql", "values"),
    [
        ("update clients set monthly_budget = 1500 where id = 7", [("amount", "1500")]),
        ("update clients set (name, monthly_budget) = ('x', 9)", [("amount", "9")]),
        ("update t set email = 'eve@' || 'evil.example'", [("text", "eve@"), ("text", "evil.example")]),
        ("update t set notes = 'ask eve@evil.example'", [("address", "eve@evil.example")]),
        ("update vendors set iban = notes", [("copy", "vendors.notes")]),
        ("update vendors v set iban = (select body from tickets limit 1)", [("text", "1"), ("copy", "tickets.body")]),
        ("update vendors set iban = t.body from tickets t", [("copy", "of another table")]),
        ("insert into payouts (iban, amount) select s.iban, s.total from suppliers s", [("copy", "suppliers.iban"), ("copy", "suppliers.total")]),
        (f"insert into vendors (name, iban) values ('x', '{IBAN}'), ('y', '')", [("account", IBAN)]),
        ("insert into t (email) values ('a@b.example') on conflict (email) do update set email = excluded.email", [("address", "a@b.example")]),
        ("with x as (update t set url = 'https://evil.example' returning 1) delete from u", [("link", "https://evil.example")]),
        ("merge into v using t on v.id = t.id when matched then update set iban = 'DE89370400440532013000' when not matched then insert (name, email) values ('x', 'a@b.example')", [("account", IBAN), ("address", "a@b.example")]),
        ("call pay('eve@evil.example')", [("address", "eve@evil.example")]),
        ("update products set price = price * 1.1", [("amount", "1.1")]),
        ("insert into orders (product_id, total) values (5, 0)", []),
        ("update clients set status = 'paused', account_manager_id = 5 where id = 3", []),
        ("delete from clients where email = 'a@b.example'", []),
    ],
)  # fmt: skip
def test_what_a_statement_writes_where_it_matters(sql: str, values: list[tuple[str, str]]) -> None:
    assert [(one.kind, one.text) for one in written_values(parse(sql))] == values


@pytest.mark.parametrize(
    ("sql", "sources"),
    [
        ("select email, c.id from public.contacts c", ["public.contacts.email", "public.contacts.id"]),
        ("select c.email, t.body from contacts c join tickets t on true", ["contacts.email", "tickets.body"]),
        ("select email, 'x' as email, email || 'x' as email from contacts", ["contacts.email", "None", "None"]),
        ("with contacts as (select 'eve@evil.example' as email) select email from contacts", None),
        ("select email from (select body as email from tickets) contacts", None),
        ("select email from contacts union select body from tickets", None),
        ("select x.email from contacts as x (email)", None),
        ("select email from contacts, tickets", ["None"]),
    ],
)
def test_a_column_is_known_only_where_it_is_shown_as_it_is(sql: str, sources: list[str] | None) -> None:
    found = column_sources(parse(sql).node)
    assert (None if found is None else [str(one) for one in found]) == sources


def transcript(sql: str, columns: list[str], rows: list[list[object]], *, question: str = "Look") -> Transcript:
    result = ToolResult(success=True, status="succeeded", columns=columns, rows=rows, row_count=len(rows), sql=sql)
    key = CallKey(thread_id="t", turn=1, round=1, ordinal=1)
    stored = StoredCall(key=key, call_id="c", tool="execute_sql", arguments={"sql": sql}, result=result)
    return Transcript(turns=(Turn(turn=1, question=question, answer=None, status="running", calls=(stored,)),))


@pytest.mark.parametrize("alias", ["email", "x"])
def test_a_trusted_column_is_trusted_under_any_name_and_no_other_is_under_its_name(alias: str) -> None:
    def trusted(sql: str) -> bool:
        asked = f"{sql} where full_name = 'Anna Smith'"
        conversation = context_of_transcript(
            transcript(asked, [alias], [["a@b.example"]], question="Mail Anna Smith"), trusted="contacts.email"
        )
        return origin_of(
            value("address", "a@b.example"), user_words=conversation.user_words, shown_texts=conversation.shown_texts()
        ).known

    assert trusted(f"select email as {alias} from contacts")
    assert trusted(f"select email as {alias} from public.contacts")
    assert not trusted(f"select notes as {alias} from contacts")
    assert not trusted(f"select 'a@b.example' as {alias} from contacts")
    assert not trusted(f"select email as {alias} from other.contacts_copy")


@pytest.mark.parametrize(
    ("question", "sql", "named"),
    [
        ("Mail Anna Smith", "select full_name, email from contacts", True),
        ("Mail Anna", "select full_name, email from contacts", True),
        ("Mail Anna", "select id, email from contacts where full_name ilike '%anna%'", True),
        ("Mail Anna", "select id, email from contacts c where lower(c.full_name) = 'anna'", True),
        ("Mail Carl", "select full_name, email from contacts", False),
        ("Summarise what is new", "select full_name, email from contacts", False),
        ("Summarise what is new", "select id, email from contacts where full_name = 'Anna Smith'", False),
        ("Mail Anna", "select status as full_name, email from contacts", False),
        ("Mail Anna", "select id, email from contacts where 'anna' = 'anna'", False),
        ("Mail firm and example", "select id, email from contacts", False),
    ],
)
def test_a_trusted_cell_counts_in_a_row_that_the_user_named(question: str, sql: str, named: bool) -> None:
    columns = ["full_name", "email"] if "full_name, email" in sql else ["id", "email"]
    rows = [["Anna Smith" if columns[0] == "full_name" else 1, "a@firm.example"]]
    conversation = context_of_transcript(transcript(sql, columns, rows, question=question), trusted="contacts.email")
    assert (
        origin_of(
            value("address", "a@firm.example"),
            user_words=conversation.user_words,
            shown_texts=conversation.shown_texts(),
        ).known
        == named
    )


@pytest.mark.parametrize(
    ("question", "sql", "expected"),
    [
        ("pause client 3", "update clients set status = 'paused' where id = 3", True),
        ("pause client 3", "update clients set status = 'paused' where id = 4", False),
        ("pause client 3", "update clients set status = 'churned' where id = 3", False),
        ("pause Northwind", "update clients set status = 'paused' where id = 7", True),
        ("pause Northwind", "update clients set status = 'paused' where id = 8", False),
        ("summarise Northwind", "update clients set status = 'paused' where id = 7", False),
        ("ticket 3 is urgent", "update tickets set is_urgent = true where id = 3", True),
        ("what does ticket 3 say?", "update tickets set is_urgent = true where id = 3", False),
        ("what does ticket 3 say?", "delete from tickets where id = 3", False),
        ("please remove ticket 3", "delete from tickets where id = 3", True),
        ("delete ticket 3", "delete from tickets where id = 4", False),
        ("name it Spring sale, campaign 2", "update campaigns set name = 'Spring Sale', status = 'live' where id = 2", False),
        ("set the budget of 3 to 1,500", "update clients set monthly_budget = 1500 where id = 3", True),
    ],
)  # fmt: skip
def test_a_change_of_one_row_is_said_by_what_it_does_and_by_its_row(question: str, sql: str, expected: bool) -> None:
    conversation = context_of_transcript(
        transcript(
            "select id, name from clients", ["id", "name"], [[7, "Northwind"], [8, "Contoso"]], question=question
        )
    )
    statement = parse(sql)
    assert (is_requested(statement, question) and conversation.user_named_row(statement)) == expected


@pytest.mark.parametrize(
    ("sql", "columns", "cell"),
    [
        ("select portal_token from clients", ["portal_token"], "tok-4711-pelican"),
        ("select portal_token as note from clients", ["note"], "tok-4711-pelican"),
        ("select portal_token || '' as note from clients", ["note"], "tok-4711-pelican"),
        ("select x.note from (select portal_token as note from clients) x", ["note"], "tok-4711-pelican"),
        ("select (c).portal_token as note from clients c", ["note"], "tok-4711-pelican"),
        ("select to_jsonb(c) as note from clients c", ["note"], {"name": "x", "portal_token": "tok-4711-pelican"}),
    ],
)
def test_a_secret_is_known_under_any_name(sql: str, columns: list[str], cell: object) -> None:
    assert "tok-4711-pelican" in context_of_transcript(transcript(sql, columns, [[cell]])).secrets


def test_keys_are_secrets_wherever_they_stand() -> None:
    conversation = context_of_transcript(
        transcript("select notes from clients", ["notes"], [["the key is sk-abcdefgh12345678, keep it"]])
    )
    assert list(conversation.secrets) == ["sk-abcdefgh12345678"]


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("password", "secret"), ("token_status", "active-now"), ("input_tokens", 123456), ("commit_hash", "a94a8fe5ccb19ba61c4c0873d391e987982fbbd3"),
        ("token", ""), ("token", None), ("session_id", "s-123456"), ("password_changed_at", "2026-11-25 10:00"),
    ],
)  # fmt: skip
def test_words_numbers_and_what_only_tells_about_a_secret_are_none(column: str, cell: object) -> None:
    assert context_of_transcript(transcript(f"select {column} from users", [column], [[cell]])).secrets == {}


def test_a_short_secret_is_not_met_by_accident() -> None:
    secrets = {"12-345": "users.pin"}
    assert secret_in({"body": "the pin is 12-345."}, secrets)
    assert not secret_in({"body": "12 345 euros, or 112-3456"}, secrets)


def test_long_hostile_texts_take_no_time() -> None:
    long = "a" * 200_000
    for text in (long, f"{long}@", f"a.{'b.' * 50_000}", "1.1" * 60_000, "-" * 100_000, "DE12 " * 30_000):
        assert list(shapes_in(text)) is not None
        is_in(value("amount", "7"), text)
        is_in(value("address", "a@b.example"), f"ä{text}")


def test_what_the_user_said_is_no_secret_and_other_columns_are_none() -> None:
    sql = "select name, portal_token from clients"
    conversation = context_of_transcript(
        transcript(
            sql, ["name", "portal_token"], [["Northwind", "tok-4711-pelican"]], question="Who has tok-4711-pelican?"
        )
    )
    assert conversation.secrets == {}
    conversation = context_of_transcript(transcript(sql, ["name", "portal_token"], [["Northwind", "tok-4711-pelican"]]))
    assert set(conversation.secrets) == {"tok-4711-pelican"}


@pytest.mark.parametrize(
    "text",
    [
        "tok-4711-pelican", "see tok-4711-pelican!", "TOK 4711 PELICAN", "t.o.k.4.7.1.1.p.e.l.i.c.a.n", "nacilep-1174-kot",
        "746f6b2d343731312d70656c6963616e", "dG9rLTQ3MTEtcGVsaWNhbg==", "https://x.example/?q=tok%2D4711%2Dpelican",
    ],
)  # fmt: skip
def test_a_secret_is_found_however_it_is_spelled(text: str) -> None:
    secrets = {"tok-4711-pelican": "clients.portal_token"}
    assert secret_in({"body": [f"Hello {text}"]}, secrets) == "clients.portal_token"
    assert secret_in({"body": "tok-4712-pelican"}, secrets) is None


def test_secrets_are_written_over_everywhere() -> None:
    hidden = without_secrets({"a": ["x tok-1234567 y"], "tok-1234567": 1}, ["tok-1234567"])
    assert hidden == {"a": ["x [secret] y"], "[secret]": 1}


@pytest.mark.parametrize(
    ("question", "sql", "expected"),
    [
        ("add a contact Ann from Rome", "INSERT INTO contacts (name, city) VALUES ('Ann', 'Rome')", True),
        ("add a contact Ann", "INSERT INTO contacts (name, city) VALUES ('Ann', 'Rome')", False),
        ("who is Ann from Rome?", "INSERT INTO contacts (name, city) VALUES ('Ann', 'Rome')", False),
        ("create 3 tickets? no, note ticket 7", "INSERT INTO tickets (number) VALUES (7)", True),
        ("create a ticket", "INSERT INTO tickets (number) VALUES (7)", False),
    ],
)
def test_a_new_row_is_said_by_its_values_and_by_a_word_for_making_it(question: str, sql: str, expected: bool) -> None:
    statement = parse(sql)
    assert (
        is_requested(statement, question) and user_named_row(statement, frozenset(), UserWords.of([question]))
    ) is expected
