"""Schemas: what fits, what fits together, and what a hostile one cannot do."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis_jsonschema import from_schema
from tests.integration.compatibility_cases import AVRO, JSON_SCHEMA, PROTOBUF

from agent.errors import InvalidInput, NotFound, StateChanged
from agent.integration import integration_manager
from agent.integration.schemas.compatibility import MODES, incompatibilities
from agent.integration.schemas.json_schema import JsonSchema
from agent.integration.schemas.reading import read_schema
from agent.integration.transformation import Transformation
from agent.runtime import Runtime

_CASES = [("json_schema", *one) for one in JSON_SCHEMA] + [("avro", *one) for one in AVRO] + [("protobuf", *one) for one in PROTOBUF]  # fmt: skip
_SUITE = "jsonschema==4.26.0"  # its source distribution carries JSON-Schema-Test-Suite


def test_changes_are_compatible_as_confluent_says() -> None:
    wrong = []
    for kind, what, old, new, backward, forward in _CASES:
        was, now = read_schema(kind, old), read_schema(kind, new)
        for mode, expected in (("BACKWARD", backward), ("FORWARD", forward), ("FULL", backward and forward)):
            if (not incompatibilities(now, [("1", was)], mode)) != expected:  # type: ignore[arg-type]
                wrong.append((kind, what, mode, expected))
    assert wrong == []


def test_transitive_modes_look_at_every_earlier_version() -> None:
    one, two, three = ({"type": "object", "properties": {"a": {"type": kind}}, "additionalProperties": False} for kind in ("integer", "number", "string"))  # fmt: skip
    earlier = [("1", JsonSchema.read(three)), ("2", JsonSchema.read(one))]
    new = JsonSchema.read(two)
    fits = {mode: not incompatibilities(new, earlier, mode) for mode in MODES}
    assert fits == {
        "NONE": True, "BACKWARD": True, "BACKWARD_TRANSITIVE": False, "FORWARD": False, "FORWARD_TRANSITIVE": False, "FULL": False,
        "FULL_TRANSITIVE": False,
    }  # fmt: skip


_LEAVES = st.sampled_from([{"type": "string"}, {"type": "integer"}, {"type": "number"}, {"type": "string", "maxLength": 2}, {"enum": [1, "a"]}, {"type": ["string", "null"]}, {"type": "integer", "minimum": 1}])  # fmt: skip


def _objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({"type": st.just("object"), "properties": st.dictionaries(st.sampled_from("ab"), inner, max_size=2), "additionalProperties": st.booleans()}, optional={"required": st.lists(st.sampled_from("ab"), max_size=1)})  # fmt: skip


_SCHEMAS = st.recursive(_LEAVES, lambda inner: _objects(inner) | st.fixed_dictionaries({"type": st.just("array"), "items": inner, "maxItems": st.integers(0, 2)}) | st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=2)}), max_leaves=3)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(_SCHEMAS, _SCHEMAS, st.data())
def test_what_counts_as_readable_is_read(old: Any, new: Any, data: st.DataObject) -> None:
    writer, reader = JsonSchema.read(old), JsonSchema.read(new)
    if reader.unreadable(writer):
        return
    value = data.draw(from_schema(old))
    assert reader.problems(value) == []


@pytest.fixture(scope="module")
def suite() -> Path:
    """Return the JSON-Schema-Test-Suite, fetched from the package index once for this machine."""
    folder = Path(tempfile.gettempdir()) / "json-schema-test-suite" / _SUITE
    if not (folder / "tests").is_dir():
        with tempfile.TemporaryDirectory() as fetched:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "jsonschema", _SUITE, "-d", fetched]  # fmt: skip
            with suppress(subprocess.TimeoutExpired):
                subprocess.run(command, capture_output=True, timeout=200, check=False)
            archives = list(Path(fetched).glob("*.tar.gz"))
            if not archives:
                pytest.skip("Not run: JSON-Schema-Test-Suite, which pip could not fetch.")
            with tarfile.open(archives[0]) as archive:
                for member in archive:
                    inside = member.name.partition("/json/")[2]
                    if member.isfile() and inside.startswith(("tests/", "remotes/")) and ".." not in inside:
                        file = Path(fetched, "json", inside)
                        file.parent.mkdir(parents=True, exist_ok=True)
                        file.write_bytes(archive.extractfile(member).read())
            folder.mkdir(parents=True, exist_ok=True)
            for name in ("tests", "remotes"):
                target = folder / name
                if not target.exists():
                    Path(fetched, "json", name).rename(target)
    return folder


def test_the_mandatory_suite_of_draft_2020_12_passes(suite: Path) -> None:
    remotes = suite / "remotes"
    shared = [path for path in remotes.rglob("*.json") if path.relative_to(remotes).parts[0] not in {"v1", "draft-next", "draft3", "draft4", "draft6", "draft7", "draft2019-09"}]  # fmt: skip
    resources = {f"http://localhost:1234/{path.relative_to(remotes).as_posix()}": json.loads(path.read_text()) for path in shared}  # fmt: skip
    failures, count = [], 0
    for path in sorted((suite / "tests" / "draft2020-12").glob("*.json")):
        for group in json.loads(path.read_text()):
            needs = "localhost:1234" in json.dumps(group["schema"])
            schema = JsonSchema.read(group["schema"], resources if needs else {})
            count += len(group["tests"])
            failures += [(path.name, group["description"], one["description"]) for one in group["tests"] if (not schema.problems(one["data"])) != one["valid"]]  # fmt: skip
    assert failures == []
    assert count > 1_200


@pytest.fixture
def listener() -> Iterator[tuple[str, list[str]]]:
    """Return the address of a server, and the paths that were asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"true")

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/s.json", asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_nothing_is_fetched_from_the_network_or_a_file(listener: tuple[str, list[str]], tmp_path: Path) -> None:
    url, asked = listener
    secret = tmp_path / "secret.json"
    secret.write_text('{"const": "password"}')
    for target in (url, secret.as_uri(), "file:///etc/passwd"):
        for schema in (
            {"$ref": target}, {"$dynamicRef": target}, {"$schema": target}, {"$schema": target, "$id": target, "$ref": "#"},
            {"properties": {"a": {"$ref": target}}}, {"$id": target, "properties": {"a": {"$ref": "other.json"}}},
        ):  # fmt: skip
            with pytest.raises(InvalidInput) as raised:
                JsonSchema.read(schema)
            assert "password" not in str(raised.value)
        inner = JsonSchema.read({"$defs": {"a": {"$schema": target, "$id": "urn:a"}}, "$ref": "urn:a"})
        assert inner.problems("password") == []
    assert asked == []


HOSTILE = [
    ("json_schema", {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}, {"a": 1}),
    ("json_schema", {"type": "string", "pattern": "^(a+)+$"}, "a" * 50_000 + "!"),
    ("json_schema", {"type": "string", "pattern": "^(?=(a|aa)+$)(a|aa)+b$"}, "a" * 5_000),
    ("json_schema", {"type": "array", "uniqueItems": True}, list(range(20_000))),
    ("json_schema", {"type": "string", "pattern": "(a{1000}){1000}"}, "a"),
    ("avro", {"type": "record", "name": "R", "fields": [{"name": "next", "type": "R"}]}, {"next": {}}),
    ("protobuf", 'syntax = "proto3"; message M { M next = 1; }', {"next": {"next": {"next": 5}}}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "definition", "data"), HOSTILE)
def test_a_hostile_schema_costs_little(kind: str, definition: Any, data: Any) -> None:
    began = time.process_time()
    try:
        schema = read_schema(kind, definition)
        schema.problems(data)
        schema.unreadable(schema)  # type: ignore[arg-type]
    except InvalidInput:
        pass
    assert time.process_time() - began < 5  # without a bound, each of these takes hours


def test_what_is_no_schema_is_refused_with_a_sentence() -> None:
    deep: Any = {}
    for _ in range(5_000):
        deep = {"not": deep}
    nested = 'syntax = "proto3"; ' + "message A {" * 500 + "}" * 500
    for kind, definition in (
        ("json_schema", deep), ("json_schema", {"type": "text"}), ("json_schema", "no json"), ("json_schema", [1]),
        ("json_schema", {"pattern": "("}), ("json_schema", {"$schema": "https://example.com/own"}),
        ("avro", {"type": "record"}), ("avro", {"type": "record", "name": "R", "fields": [{"name": "a", "type": "Nothing"}]}), ("avro", "{"),
        ("avro", 5), ("avro", {"type": "enum", "name": "E", "symbols": [1]}), ("avro", ["string", ["null"]]), ("avro", {"type": "fixed", "name": "F"}),
        ("protobuf", ""), ("protobuf", "message"), ("protobuf", nested), ("protobuf", {"a": 1}), ("protobuf", 'syntax = "proto9"; message M {}'),
        ("protobuf", 'syntax = "proto3"; message M { int32 a = 1; int32 b = 1; }'), ("protobuf", 'syntax = "proto3"; message M { int32 a = 19500; }'),
        ("protobuf", 'syntax = "proto3"; message M { map<float, int32> a = 1; }'), ("xml", "<a/>"), ("json_schema", "x" * 300_000),
    ):  # fmt: skip
        with pytest.raises(InvalidInput):
            read_schema(kind, definition)


def test_protobuf_data_is_judged_in_its_json_form() -> None:
    schema = read_schema("protobuf", """
        syntax = "proto3"; package shop;
        import "google/protobuf/timestamp.proto";
        message Order {
          string order_id = 1; int64 total = 2; repeated Line lines = 3; map<string, int32> tags = 4; Status status = 5;
          google.protobuf.Timestamp at = 6; bytes proof = 7;
          oneof pay { string card = 8; string cash = 9; }
          message Line { uint32 count = 1; }
          enum Status { NEW = 0; PAID = 1; }
        }""")  # fmt: skip
    good = {"orderId": "1", "total": "9007199254740993", "lines": [{"count": 1}], "tags": {"a": 1}, "status": "PAID", "at": "2026-01-01T00:00:00Z", "proof": "aGk=", "card": "x"}  # fmt: skip
    assert schema.problems(good) == []
    for wrong, place in (
        ({"orderId": 1}, "orderId"), ({"total": 2**63}, "total"), ({"lines": {}}, "lines"), ({"lines": [{"count": -1}]}, "lines[0].count"),
        ({"tags": {"a": "b"}}, "tags.a"), ({"status": "LOST"}, "status"), ({"at": "yesterday"}, "at"), ({"proof": "%"}, "proof"),
        ({"card": "x", "cash": "y"}, "cash"), ({"other": 1}, "other"), ([], "the data"),
    ):  # fmt: skip
        assert [one.partition(":")[0] for one in schema.problems(wrong)] == [place]


def test_where_no_alternative_fits_the_nearest_is_told() -> None:
    made = {
        "type": "object",
        "properties": {"action": {"const": "made"}, "at": {"type": "object", "required": ["place"]}},
        "required": ["action", "at"],
    }
    gone = {
        "type": "object",
        "properties": {"action": {"const": "gone"}},
        "required": ["action"],
        "additionalProperties": False,
    }
    schema = read_schema("json_schema", {"oneOf": [{"type": "string"}, gone, made]})
    assert schema.problems({"action": "made", "at": {}}) == [
        'at: "place" is a required property (by the nearest of several alternatives)'
    ]
    large = schema.problems({"action": "made", "at": {}, "more": "x" * 5_000})
    assert large == ['at: "place" is a required property (by the nearest of several alternatives)']
    assert "x" * 80 not in str(schema.problems("x" * 5_000) + schema.problems(["x" * 5_000]))


def test_a_dialect_is_known_by_either_address() -> None:
    for dialect in (
        "https://json-schema.org/draft-07/schema#",
        "http://json-schema.org/draft/2020-12/schema",
        "http://json-schema.org/schema#",
        "http://json-schema.org/draft-04/schema",
    ):
        assert read_schema("json_schema", {"$schema": dialect, "type": "string"}).problems(1) == [
            'the data: 1 is not of type "string"'
        ]


def test_protobuf_files_are_read_with_what_they_import() -> None:
    line = 'syntax = "proto3"; package shop.lines; import "shop/unit.proto"; message Line { uint32 count = 1; shop.Unit unit = 2; }'
    files = {"shop/line.proto": line, "shop/unit.proto": 'syntax = "proto3"; package shop; enum Unit { PIECE = 0; }'}
    order = 'syntax = "proto3"; package shop; import "shop/line.proto"; /* its lines */ message Order { repeated lines.Line all = 1; }'
    schema = read_schema("protobuf", order, files)
    assert schema.problems({"all": [{"count": 1, "unit": "PIECE"}]}) == []
    assert schema.problems({"all": [{"count": -1, "unit": "YARD"}]}) == ["all[0].count: this is no uint32", "all[0].unit: shop.Unit has no such value"]  # fmt: skip
    here = order.replace('import "shop/line.proto";', "message Line { uint32 count = 1; Unit unit = 2; } enum Unit { PIECE = 0; }").replace("lines.Line", "Line")  # fmt: skip
    assert not incompatibilities(
        read_schema("protobuf", here), [("1", schema)], "BACKWARD"
    )  # a type that moves here stays what it is
    other = {**files, "shop/line.proto": line.replace("uint32", "string")}
    assert incompatibilities(read_schema("protobuf", order, other), [("1", schema)], "BACKWARD")
    for wrong, brought, why in (
        (order, {}, "shop/line.proto"), (order.replace("lines.Line", "Row"), files, "'Row'"), (order, {"shop/line.proto": line}, "shop/unit.proto"),
        (order.replace("*/", ""), files, "does not end"), (order + " message Line {} message Line {}", files, "twice"),
    ):  # fmt: skip
        with pytest.raises(InvalidInput, match=why):
            read_schema("protobuf", wrong, brought)
    loop = {"a": 'syntax = "proto3"; import "b"; message A {}', "b": 'syntax = "proto3"; import "a"; message B {}'}
    assert read_schema("protobuf", 'syntax = "proto3"; import "a"; message M { A a = 1; B b = 2; }', loop)


def test_avro_schemas_are_read_with_types_of_others() -> None:
    address = {"type": "record", "name": "crm.Address", "fields": [{"name": "street", "type": "string"}]}
    user = {"type": "record", "name": "crm.User", "fields": [{"name": "home", "type": "Address"}, {"name": "work", "type": ["null", "crm.Address"]}]}  # fmt: skip
    schema = read_schema("avro", user, {"crm.Address": address})
    assert schema.problems({"home": {"street": "a"}, "work": None}) == []
    assert "crm.Address.street" in schema.problems({"home": {"street": 1}, "work": None})[0]
    wider = {**address, "fields": [*address["fields"], {"name": "city", "type": "string"}]}  # type: ignore[misc]
    assert "home.city" in incompatibilities(read_schema("avro", user, {"crm.Address": wider}), [("1", schema)], "BACKWARD")[0]  # fmt: skip
    with pytest.raises(InvalidInput, match=r"crm\.Address"):
        read_schema("avro", user)
    assert [read_schema("avro", one).problems(None) for one in ("null", '"null"', ["null", "string"])] == [[], [], []]


def test_a_transformation_is_applied_in_its_order() -> None:
    change = Transformation.model_validate({
        "remove": ["password"], "rename": {"name": "profile.full_name"}, "cast": {"age": "integer", "active": "boolean"},
        "defaults": {"level": 1, "age": 9}, "set": {"source": "backend"}, "case": "camel",
    })  # fmt: skip
    given_data = {"name": "Ana", "password": "x", "age": "12", "active": "no", "list_of": [{"a_b": 1}]}
    assert change.apply(given_data) == {
        "profile": {"fullName": "Ana"}, "age": 12, "active": False, "listOf": [{"aB": 1}], "level": 1, "source": "backend",
    }  # fmt: skip
    assert given_data["password"] == "x"
    with pytest.raises(InvalidInput, match="'age' cannot become integer"):
        change.apply({"age": "ten"})


LESSON = {
    "type": "object", "properties": {"lesson_id": {"type": "string"}, "title": {"type": "string"}, "content": {"type": "string"}},
    "required": ["lesson_id", "title"], "additionalProperties": False,
}  # fmt: skip


async def ask(runtime: Runtime, task: str, **parameters: Any) -> Any:
    return await integration_manager.execute("schema_validator", task, parameters, runtime=runtime)


async def test_versions_are_kept_compared_and_migrated(runtime: Runtime) -> None:
    first = await ask(runtime, "register", schema_name="lesson", platform="backend", version="1.0.0", definition=LESSON)
    assert (first["number"], first["new"], first["compatibility"]) == (1, True, "BACKWARD")
    again = await ask(runtime, "register", schema_name="lesson", platform="backend", definition=json.dumps(LESSON))
    assert (again["number"], again["new"]) == (1, False)
    with pytest.raises(StateChanged, match=r"'1\.0\.0'"):
        await ask(runtime, "register", schema_name="lesson", version="1.0.0", definition={"type": "string"})
    stricter = {**LESSON, "required": ["lesson_id", "title", "content"]}
    with pytest.raises(InvalidInput, match=r"content: it is required now"):
        await ask(runtime, "register", schema_name="lesson", version="1.1.0", definition=stricter)
    assert (await ask(runtime, "check_compatibility", schema_name="lesson", definition=stricter))["compatible"] is False
    more = {
        **LESSON,
        "properties": {
            **LESSON["properties"],
            "level": {"type": "integer", "default": 1},
            "heading": {"type": "string"},
        },
    }  # type: ignore[dict-item]
    second = await ask(
        runtime, "register", schema_name="lesson", version="2.0.0", definition=more, migration={"rename": {"title": "heading"}, "set": {"title": "-"}},
        ruleSet={"domainRules": []}, metadata={"owner": "lessons"}, unknown_field_of_a_newer_client=1,
    )  # fmt: skip
    assert second["number"] == 2
    moved = await ask(runtime, "migrate", schema_name="lesson", from_version="1.0.0", data={"lesson_id": "1", "title": "T"})  # fmt: skip
    assert moved == {"version": "2.0.0", "data": {"lesson_id": "1", "heading": "T", "title": "-", "level": 1}}
    with pytest.raises(InvalidInput, match="migrate forward"):
        await ask(runtime, "migrate", schema_name="lesson", from_version="2.0.0", to_version="1.0.0", data={})
    found = await ask(runtime, "validate", schema="lesson", version="1.0.0", data={"lesson_id": 1})
    assert (found["valid"], len(found["errors"])) == (False, 2)
    with pytest.raises(NotFound, match=r"it has 1\.0\.0, 2\.0\.0"):
        await ask(runtime, "validate", schema="lesson", version="9", data={})
    with pytest.raises(NotFound):  # another tenant has no such schema
        await ask(runtime.for_tenant("other"), "validate", schema="lesson", data={})
    assert [one["versions"] for one in (await ask(runtime, "list"))["schemas"]] == [2]


async def test_data_goes_from_one_platform_to_another_by_a_mapping_or_by_names(runtime: Runtime) -> None:
    shown = {"type": "object", "properties": {"lessonId": {"type": "string"}, "title": {"type": "string"}}, "required": ["lessonId"], "additionalProperties": False}  # fmt: skip
    studio = {"type": "object", "properties": {"Name": {"type": "string"}}, "required": ["Name"]}
    mappings = {"studio": {"keep": ["title"], "rename": {"title": "Name"}}}
    await ask(runtime, "register", schema_name="lesson", platform="backend", definition=LESSON, mappings=mappings)
    await ask(runtime, "register", schema_name="lesson", platform="frontend", definition=shown)
    await ask(runtime, "register", schema_name="lesson", platform="roblox", definition=studio)
    data = {"lesson_id": "1", "title": "T", "content": "C"}
    by_names = await ask(runtime, "transform", schema_name="lesson", source_platform="backend", target_platform="dashboard", data=data)  # fmt: skip
    by_mapping = await ask(runtime, "transform", schema_name="lesson", source_platform="backend", target_platform="roblox", data=data)  # fmt: skip
    assert (by_names["data"], by_mapping["data"]) == ({"lessonId": "1", "title": "T"}, {"Name": "T"})
    with pytest.raises(InvalidInput, match="does not fit lesson"):
        await ask(runtime, "transform", schema_name="lesson", source_platform="backend", target_platform="roblox", data={"title": "T"})  # fmt: skip


async def test_a_schema_refers_to_another_registered_one(runtime: Runtime) -> None:
    await ask(runtime, "register", schema_name="name", version="1", definition={"type": "string", "maxLength": 3})
    references = {"https://example.com/name": {"schema_name": "name", "platform": "backend", "version": "1"}}
    definition = {"type": "object", "properties": {"name": {"$ref": "https://example.com/name"}}}
    await ask(runtime, "register", schema_name="person", definition=definition, references=references)
    assert (await ask(runtime, "validate", schema="person", data={"name": "Anna"}))["valid"] is False
    assert (await ask(runtime, "validate", schema="person", data={"name": "Ana"}))["valid"] is True


async def test_avro_and_protobuf_are_registered_the_same_way(runtime: Runtime) -> None:
    record = {"type": "record", "name": "User", "fields": [{"name": "id", "type": "string"}]}
    assert (await ask(runtime, "register", schema_name="user", schema_type="avro", definition=record))["number"] == 1
    wider = {**record, "fields": [*record["fields"], {"name": "age", "type": "int"}]}  # type: ignore[misc]
    with pytest.raises(InvalidInput, match="has no default"):
        await ask(runtime, "register", schema_name="user", schema_type="avro", definition=wider)
    proto = 'syntax = "proto3"; message User { string id = 1; }'
    assert (await ask(runtime, "register", schema_name="user_proto", schema_type="protobuf", definition=proto))["new"]
    with pytest.raises(InvalidInput, match=r"its type was string"):
        await ask(runtime, "register", schema_name="user_proto", schema_type="protobuf", definition=proto.replace("string", "double"))  # fmt: skip
    with pytest.raises(InvalidInput, match="another kind"):
        await ask(runtime, "register", schema_name="user", schema_type="json_schema", definition={})
