"""The pure rules of discovery: names on one line, words, masking, the deny-list, listed values, schema text."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.learning.discovery.column_profiles import MAX_VALUES, common_values, listed_values, showable
from agent.learning.discovery.identifiers import one_line, qualified, quote_name, short_type
from agent.learning.discovery.rendering import relation_text
from agent.learning.discovery.structure import AppStructure, Column, ForeignKey, Relation
from agent.learning.schema_linking.index import SchemaIndex
from agent.learning.schema_linking.linking import link
from agent.privacy.sensitive import DenyList, looks_sensitive, looks_sensitive_value
from agent.providers.offline_model.schema_parser import parse_schema
from agent.text.words import related, stem, stems, words

anything = st.text(max_size=60)
names = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1, max_size=30)


def make_column(name: str = "id", **changes: Any) -> Column:
    column = Column(
        name=name, type="text", base="", numeric=False, nullable=True, default=None, identity=False, generated=False, comment="",
        readable=True, masked=False, values=[], more_values=False, null_share=None, distinct=None,
    )  # fmt: skip
    column.update(changes)  # type: ignore[typeddict-item]
    return column


def make_relation(name: str = "t", *columns: Column, **changes: Any) -> Relation:
    relation = Relation(
        schema="public", name=name, qualified=qualified("public", name), kind="TABLE", comment="", rows=None, bytes=0, readable=True,
        row_security="off", partitions=0, partition_key=None, of_partitions=[], inherits=[], columns=list(columns), primary_key=[], unique=[],
        foreign_keys=[], checks=[], indexes=[], triggers=[], policies=[], meant=qualified("public", name), namesakes=[],
        profile={
            "inserted": 0, "updated": 0, "deleted": 0, "analyzed_at": None, "newest_column": None, "newest": None,
            "rows_before": None, "before": None, "statistics": False,
        },
    )  # fmt: skip
    relation.update(changes)  # type: ignore[typeddict-item]
    return relation


@given(anything, st.integers(2, 80))
def test_a_comment_stays_on_one_line_within_its_limit(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert len(line) <= limit
    assert len(line.splitlines()) <= 1
    assert line.isprintable() or not any(ord(c) < 32 or c in "\u2028\u2029\u202e" for c in line)


@given(names)
def test_a_quoted_name_stays_on_one_line(name: str) -> None:
    quoted = quote_name(name)
    assert len(quoted.splitlines()) == 1
    assert re.fullmatch(r'[a-z_][a-z0-9_$]*|(U&)?"(?:[^"]|"")+"', quoted)


@pytest.mark.parametrize(
    ("given", "short"),
    [
        ("timestamp with time zone", "timestamptz"),
        ("timestamp(3) without time zone[]", "timestamp(3)[]"),
        ("character varying(20)", "varchar(20)"),
        ("character(2)", "char(2)"),
        ("double precision[]", "float8[]"),
        ("interval day to second(3)", "interval(3)"),
        ("numeric(12,2)", "numeric(12,2)"),
        ('"odd\ntype"', '"odd type"'),
    ],
)
def test_types_are_short_and_have_no_blanks(given: str, short: str) -> None:
    assert short_type(given) == short


def test_words_split_snake_case_camel_case_digits_and_accents() -> None:
    assert words("OrderItems order_items HTTPServer2 Größe") == [
        "order", "items", "order", "items", "http", "server", "2", "große".replace("ß", "ss"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("invoices", "invoiced"),
        ("companies", "company"),
        ("boxes", "box"),
        ("shipped", "shipment"),
        ("placing", "place"),
    ],
)
def test_forms_of_a_word_share_their_stem(one: str, other: str) -> None:
    assert stem(one) == stem(other)


@pytest.mark.parametrize(("one", "other"), [("status", "state"), ("address", "addresses"), ("news", "new")])
def test_stemming_a_word_twice_changes_nothing_more(one: str, other: str) -> None:
    for word in (one, other):
        assert stem(stem(word)) == stem(word)


def test_customers_and_clients_are_related_both_ways() -> None:
    assert stem("client") in related(stem("customers"))
    assert stem("customer") in related(stem("clients"))


sensitive_words = st.sampled_from(
    ["email", "phone", "ssn", "iban", "password", "token", "secret", "birth_date", "address", "first_name", "api_key"]
)
plain_words = st.sampled_from(["main", "old", "x", "backup", "user", "work", "the"])


@given(sensitive_words, plain_words, st.sampled_from(["snake", "camel", "upper", "kebab"]), st.booleans())
def test_a_sensitive_word_masks_a_column_however_it_is_written(word: str, other: str, style: str, first: bool) -> None:
    parts = [*word.split("_"), other] if first else [other, *word.split("_")]
    name = {
        "snake": "_".join(parts),
        "kebab": "-".join(parts),
        "upper": "_".join(parts).upper(),
        "camel": parts[0] + "".join(part.title() for part in parts[1:]),
    }[style]
    assert looks_sensitive(name)


@pytest.mark.parametrize(
    "name",
    ["status", "total", "created_at", "country", "city", "description", "spinning", "shipping_cost", "emaciated"],
)
def test_ordinary_columns_are_not_masked(name: str) -> None:
    assert not looks_sensitive(name, table="orders")


def test_a_name_is_masked_where_it_is_a_persons() -> None:
    assert looks_sensitive("name", table="employees")
    assert looks_sensitive("name", table="customers", siblings=["id", "email"])
    assert not looks_sensitive("name", table="customers", siblings=["id", "industry"])
    assert not looks_sensitive("name", table="products")


def test_counts_of_tokens_are_not_secrets() -> None:
    assert not looks_sensitive("input_tokens", numeric=True)
    assert looks_sensitive("access_token")


@pytest.mark.parametrize(
    "value",
    [
        "ada@example.org", "DE89 3704 0044 0532 0130 00", "078-05-1120", "+49 40 1234567", "4111 1111 1111 1111", "10.0.0.17",
        "eyJhbGciOiJIUzI1NiJ9.x", "postgres://u:pw@host/db", "$2b$12$abcdefghijklmnopqrstuv", "d41d8cd98f00b204e9800998ecf8427e",
    ],
)  # fmt: skip
def test_values_of_a_personal_or_secret_shape_are_recognised(value: str) -> None:
    assert looks_sensitive_value(value)


@pytest.mark.parametrize("value", ["paid", "2026-11-20", "Hamburg", "1234", "12.50", "not started yet"])
def test_ordinary_values_are_not_recognised_as_personal(value: str) -> None:
    assert not looks_sensitive_value(value)


def test_the_deny_list_takes_tables_columns_and_globs() -> None:
    deny = DenyList.parse("salaries, hr.*, orders.Total, *.secret_*, public.logs.body")
    assert deny.table("public", "salaries")
    assert deny.table("hr", "anything")
    assert deny.column("public", "Orders", "total")
    assert deny.column("x", "y", "secret_key")
    assert deny.column("public", "logs", "body")
    assert not deny.table("public", "orders")
    assert not deny.column("public", "orders", "id")
    assert not deny.column("other", "logs", "body")
    assert not DenyList.parse("pub*").table("public", "orders")
    assert DenyList.parse(" , Payroll ").table("public", "PAYROLL")


@given(names, names, names)
def test_a_denied_table_denies_all_its_columns(schema: str, table: str, column: str) -> None:
    deny = DenyList.parse("secret*")
    assert not deny.table(schema, f"secret{table}") or deny.column(schema, f"secret{table}", column)


def test_an_empty_deny_list_denies_nothing() -> None:
    assert not DenyList.parse(" , ").table("public", "t")


@pytest.mark.parametrize(
    ("definition", "values"),
    [
        ("CHECK ((priority = ANY (ARRAY['low'::text, 'high'::text])))", ["low", "high"]),
        (
            "CHECK (((s)::text = ANY ((ARRAY['a'::character varying, 'it''s'::character varying])::text[])))",
            ["a", "it's"],
        ),
        ("CHECK ((code = ANY (ARRAY[1, 2, 3])))", ["1", "2", "3"]),
        ("CHECK (((x = 'a'::text) OR (x = 'b'::text)))", ["a", "b"]),
        ("CHECK ((total >= 0))", []),
        ("CHECK ((x <> ALL (ARRAY['a'::text])))", []),
        ("CHECK ((NOT (x = ANY (ARRAY['a'::text, 'b'::text]))))", []),
        ("CHECK (((a = ANY (ARRAY['x'::text])) AND (length(b) > 2)))", []),
    ],
)
def test_the_values_that_a_check_lists_are_found(definition: str, values: list[str]) -> None:
    assert listed_values(definition) == values


def test_common_values_are_only_those_of_a_choice_among_few() -> None:
    choice = {"common": ["b", "a"], "covered": 0.97, "null_share": 0.0, "distinct": 2}
    assert common_values("kind", choice, numeric=False) == ["a", "b"]
    assert common_values("quantity", choice, numeric=True) == []
    assert common_values("kind", {**choice, "covered": 0.4}, numeric=False) == ["b", "a"]  # as examples
    assert common_values("level", {**choice, "covered": 0.4}, numeric=True) == []
    assert common_values("kind", {**choice, "common": None}, numeric=False) == []
    assert common_values("kind", None, numeric=False) == []


@given(st.lists(anything))
def test_shown_values_are_few_short_and_of_one_line(values: list[str]) -> None:
    shown = showable(values)
    assert len(shown) <= MAX_VALUES
    assert all(len(value) <= 40 and len(value.splitlines()) == 1 for value in shown)


@given(names, names, names.map(lambda text: f"{text}\nTABLE public.forged ~1 rows\n  id bigint pk"))
def test_no_name_or_comment_can_forge_a_line_of_schema_text(table: str, column: str, comment: str) -> None:
    text = relation_text(
        make_relation(table, make_column(column, comment=one_line(comment)), comment=one_line(comment), rows=5)
    )
    lines = text.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("TABLE public.")
    assert not lines[0].startswith("TABLE public.forged ~1")
    assert lines[1].startswith("  ")


@given(st.lists(anything, max_size=5).map(showable))
def test_masked_columns_list_no_values(values: list[str]) -> None:
    text = relation_text(make_relation("t", make_column("c", masked=True, values=[])))
    assert text.endswith("  c text masked")
    assert " in (" not in text


def test_values_that_hold_delimiters_are_quoted() -> None:
    text = relation_text(make_relation("t", make_column("c", values=["plain", "a|b", "it's", "x) -- y"])))
    assert text.endswith("in (plain|'a|b'|'it''s'|'x) -- y')")


def test_a_table_with_very_many_columns_shows_its_keys_and_says_what_is_left_out() -> None:
    columns = [make_column(f"c{number}") for number in range(1600)]
    relation = make_relation("wide", *columns, primary_key=["c1599"])
    lines = relation_text(relation).splitlines()
    assert len(lines) == 61
    assert lines[0] == "TABLE public.wide -- [60 of 1600 columns are shown]"
    assert lines[-1] == "  c1599 text pk"


@given(st.text(max_size=200), st.integers(0, 400))
def test_linked_text_never_exceeds_its_budget(question: str, budget: int) -> None:
    index = SchemaIndex.build(_example())
    linked = link(index, question, token_budget=budget)
    assert linked.tokens <= budget
    assert set(linked.tables) <= set(index.positions)


def test_a_question_finds_its_table_through_forms_relations_and_misspellings() -> None:
    index = SchemaIndex.build(_example())
    for question in ("the newest order", "orders", "OrderStatus", "what was bought", "ordres", "public.orders"):
        assert "public.orders" in link(index, question, token_budget=4_000).tables, question


def test_tables_that_join_two_hits_are_linked_too() -> None:
    index = SchemaIndex.build(_example())
    assert set(link(index, "suppliers of each shipment", token_budget=4_000).tables) >= {
        "public.suppliers", "public.products", "public.shipments",
    }  # fmt: skip


def test_a_schema_that_fits_is_given_whole_and_in_the_same_order_for_every_question() -> None:
    index = SchemaIndex.build(_example())
    linked = link(index, "flabbergasting unheard products", token_budget=4_000)
    assert linked.text.startswith("7 of 7 tables shown.\n\nTABLE public.orders\n")
    assert set(linked.tables) == set(index.positions)
    assert linked.tables[0] == "public.products"
    assert "public.logs" not in linked.chosen
    assert link(index, "newest order", token_budget=4_000).text == linked.text


def _orchard() -> SchemaIndex:
    columns = [make_column(name) for name in ("id", "score", *(f"remark{number}" for number in range(20)))]
    tables = [make_relation(f"apple_{letter}", *columns, primary_key=["id"]) for letter in "abcdefghijklmnopqrst"]
    return SchemaIndex.build(AppStructure(tables=tables, views=[], functions=[]))


def test_of_a_schema_that_does_not_fit_every_table_is_dense_with_its_columns_and_keys() -> None:
    fields = [
        make_column(name) for name in ("id", "tree_id", "other_code", *(f"remark{number}" for number in range(12)))
    ]
    keys = [
        ForeignKey(
            name="k",
            columns=[column],
            target=target,
            target_columns=[theirs],
            on_delete="",
            on_update="",
            partitions=[],
        )
        for column, target, theirs in [("tree_id", "public.trees", "id"), ("other_code", 'other."Code, all"', "code")]
    ]
    tables = [
        make_relation(f"apple_{letter}", *fields, primary_key=["id"], foreign_keys=keys)
        for letter in "abcdefghijklmnopqrst"
    ]
    linked = link(SchemaIndex.build(AppStructure(tables=tables, views=[], functions=[])), "pears", token_budget=1_200)
    first, *others = linked.text.split("\n\n")
    assert first == f"{len(others)} of 20 tables shown; describe_schema shows each in full."
    assert len(others) == len(linked.tables) > 10
    assert re.fullmatch(
        r'TABLE public\.apple_\w\n  \(id pk, tree_id -> trees, other_code -> other\."Code, all"\(code\), remark0, .*, remark11\)',
        others[0],
    )
    relations = parse_schema([linked.text])
    assert [relation.key for relation in relations] == [("id",)] * len(others)
    assert {key.target for key in relations[0].foreign_keys} == {("public", "trees"), ("other", "Code, all")}
    assert [key.targets for key in relations[0].foreign_keys] == [("id",), ("code",)]


def test_tables_after_the_first_are_compact_and_become_full_when_there_is_room() -> None:
    index = _orchard()
    whole = link(index, "score of the apples", token_budget=4_000)
    assert whole.text.startswith("20 of 20 tables shown.")
    tight = link(index, "score of the apples", token_budget=whole.tokens - 350)
    assert len(tight.tables) == 20
    compact, dense = (
        tight.text.count("\n  score text\n  (also remark0, "),
        tight.text.count("\n  (id pk, score, remark0, "),
    )
    columns = [len(relation.columns) for relation in parse_schema([tight.text])]
    assert columns[:6] == [22] * 6
    assert (columns.count(2), columns.count(0)) == (compact, dense)
    assert 0 < compact + dense <= 14


@pytest.mark.parametrize(
    ("question", "table"),
    [("commits per repo", "repository"), ("the config", "configuration"), ("organizations", "orga")],
)
def test_a_word_of_three_letters_counts_as_one_that_is_three_letters_longer(question: str, table: str) -> None:
    tables = [make_relation(name, make_column()) for name in ("repository", "configuration", "orga", "other")]
    index = SchemaIndex.build(AppStructure(tables=tables, views=[], functions=[]))
    assert [index.relations[position]["name"] for position, _ in index.rank(question)] == [table]


def test_neighbours_are_ordered_by_their_references_and_not_by_their_names() -> None:
    to_users = {"columns": ["user_id"], "target": "public.users", "target_columns": ["id"], "partitions": []}
    keys = [ForeignKey(name="f", on_delete="no action", on_update="no action", **to_users)]
    small = [make_relation(f"a{number}", make_column("user_id"), foreign_keys=keys) for number in range(15)]
    orders = make_relation("zorders", make_column("user_id"), foreign_keys=keys, rows=50_000)
    index = SchemaIndex.build(AppStructure(tables=[make_relation("users", make_column()), *small, orders], views=[]))
    assert index.relations[index.neighbours[0][0]]["name"] == "zorders"


def _explained() -> SchemaIndex:
    meaning = "1 means draft, 2 means sent, " + "and so on, " * 10 + "9 means lost"
    key = ForeignKey(
        name="f", columns=["owner_id"], target="public.owners", target_columns=["id"], on_delete="cascade",
        on_update="no action", partitions=[],
    )  # fmt: skip
    letters = make_relation(
        "letters", make_column("owner_id"), make_column("phase", comment=meaning), make_column("pin", masked=True),
        make_column("color", values=["red", "blue"], more_values=True), make_column("size", values=["s", "m"]),
        foreign_keys=[key],
    )  # fmt: skip
    others = [make_relation(f"other_{number}", *[make_column(f"c{n}") for n in range(30)]) for number in range(40)]
    return SchemaIndex.build(AppStructure(tables=[letters, make_relation("owners", make_column()), *others], views=[]))


def test_a_long_comment_is_whole_where_its_column_is_asked_for() -> None:
    index = _explained()
    assert "9 means lost" in link(index, "phase of the letters", token_budget=2_000).text
    assert "9 means lost" not in link(index, "letters", token_budget=2_000).text
    assert "9 means lost" in link(index, "letters", token_budget=90_000).text


def test_the_text_says_what_a_deletion_takes_along_that_values_are_not_all_and_what_masked_means() -> None:
    text = link(_explained(), "letters", token_budget=2_000).text
    assert "owner_id text -> public.owners(id) on delete cascade\n" in text
    assert "color text in (red|blue) among others\n" in text
    assert "size text in (s|m)\n" in text
    assert "masked: personal or secret" in text.splitlines()[0]
    letters = next(relation for relation in parse_schema([text]) if relation.name == "letters")
    assert {column.name: column.type for column in letters.columns} == dict.fromkeys(
        ["owner_id", "phase", "pin", "color", "size"], "text"
    )
    assert letters.foreign_keys[0].target == ("public", "owners")
    assert letters.column("color").more_values
    assert letters.column("color").values == ("red", "blue")


def test_tables_used_earlier_in_the_thread_are_linked_too() -> None:
    index = SchemaIndex.build(_example())
    assert "public.regions" in link(index, "orders", token_budget=4_000, also=["public.regions"]).tables


def test_a_table_whose_whole_name_is_said_comes_before_a_longer_one() -> None:
    index = SchemaIndex.build(_example())
    assert link(index, "orders", token_budget=4_000).tables[0] == "public.orders"
    assert link(index, "items of an order", token_budget=4_000).tables[0] == "public.order_items"


@given(st.text(st.characters(whitelist_categories=["Lo"]), max_size=30))
def test_questions_in_any_script_are_taken(question: str) -> None:
    link(SchemaIndex.build(_example()), question, token_budget=500)


def test_a_name_without_spaces_around_it_is_found_in_such_scripts() -> None:
    index = SchemaIndex.build(
        AppStructure(tables=[make_relation("顧客", make_column()), make_relation("x", make_column())])
    )
    assert link(index, "顧客は何人ですか", token_budget=500).tables[0] == 'public."顧客"'


def test_stop_words_alone_name_nothing() -> None:
    assert stems("what is the most of it?") == []


def _reference(column: str, target: str) -> dict[str, Any]:
    return {
        "name": f"{column}_fkey", "columns": [column], "target": target, "target_columns": ["id"], "on_delete": "no action",
        "on_update": "no action", "partitions": [],
    }  # fmt: skip


def _example() -> AppStructure:
    orders = make_relation("orders", make_column(), make_column("status", values=["paid"]), make_column("region_id"))
    items = make_relation("order_items", make_column("order_id"), make_column("product_id"))
    items["foreign_keys"] = [_reference("order_id", "public.orders"), _reference("product_id", "public.products")]  # type: ignore[list-item]
    products = make_relation("products", make_column(), make_column("supplier_id"))
    products["foreign_keys"] = [_reference("supplier_id", "public.suppliers")]  # type: ignore[list-item]
    shipments = make_relation("shipments", make_column("product_id"))
    shipments["foreign_keys"] = [_reference("product_id", "public.products")]  # type: ignore[list-item]
    others = [make_relation(name, make_column()) for name in ("suppliers", "regions", "logs")]
    return AppStructure(tables=[orders, items, products, shipments, *others])
