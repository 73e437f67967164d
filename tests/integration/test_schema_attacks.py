"""Schemas and data that were written to hurt: an answer with a sentence, no endless work, and nothing stored of what is refused."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from tests.integration.served import serving

from agent.integration.schemas.compatibility import incompatibilities
from agent.integration.schemas.reading import read_schema
from agent.runtime import Runtime


@pytest.fixture
async def client(runtime: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(runtime) as client:
        yield client


def _ladder(word: str, steps: int) -> dict[str, Any]:
    """Return a schema whose steps each look twice at the next one: 2 ** steps looks at one value."""
    rungs = {f"d{at}": {word: [{"$ref": f"#/$defs/d{at + 1}"}] * 2} for at in range(steps)}
    return {"$defs": {**rungs, f"d{steps}": {"type": "string"}}, "$ref": "#/$defs/d0"}


def _message(body: str) -> str:
    return f'syntax = "proto3"; message M {{ {body} }}'


DEEP = 100_000
# Kind, and a definition as JSON text.
REFUSED = (
    ("json_schema", '{"items":' * DEEP + "{}" + "}" * DEEP), ("json_schema", "[" * DEEP + "]" * DEEP), ("json_schema", '{"maximum":' + "9" * 4_000 + "}"),
    ("json_schema", '{"maximum":' + "9" * 1_000_000 + "}"), ("json_schema", '{"maximum":NaN}'), ("json_schema", '{"maximum":1e400}'),
    ("json_schema", '{"title":"\\ud800"}'), ("json_schema", '{"properties":{"\\udfff":{}}}'), ("json_schema", json.dumps({"enum": list(range(60_000))})),
    ("json_schema", json.dumps({"$ref": "http://169.254.169.254/latest/meta-data/"})), ("json_schema", json.dumps({"$ref": "file:///etc/passwd"})),
    ("json_schema", json.dumps({"$dynamicRef": "http://169.254.169.254/x#a"})), ("json_schema", json.dumps({"pattern": "(a{1000}){1000}"})),
    ("json_schema", json.dumps(json.dumps({"$schema": "http://169.254.169.254/"}))), ("json_schema", json.dumps('{"type":"string","type":"integer"}')),
    ("avro", '{"type":"array","items":' * DEEP + '"int"' + "}" * DEEP), ("avro", '[["null"],"int"]'), ("avro", '{"type":"fixed","name":"F","size":-1}'),
    ("avro", '{"type":"record","name":"../x","fields":[]}'), ("avro", '{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}'),
    ("protobuf", json.dumps(_message("".join(f"int32 f{at} = {at};" for at in range(20_000, 120_000))))), ("protobuf", json.dumps("/*" * 60_000)),
    ("protobuf", json.dumps('"\\' * 60_000)), ("protobuf", json.dumps("message A {" * DEEP + "}" * DEEP)), ("protobuf", json.dumps(";" * 65_000)),
    ("protobuf", json.dumps(_message("option " * 9_000))), ("protobuf", json.dumps('syntax = "proto3"; import "/etc/passwd"; message M {}')),
    ("protobuf", json.dumps("\ud800")), ("protobuf", json.dumps(_message("int32 a = 0x7fffffffffffffff;"))),
)  # fmt: skip
# These are schemas; what matters is what they do to data.
TAKEN = (
    {"$ref": "#"}, {"$dynamicAnchor": "a", "$dynamicRef": "#a"}, {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}, _ladder("anyOf", 40), _ladder("allOf", 40), _ladder("oneOf", 40),
    {"anyOf": [{"required": [f"a{at}"]} for at in range(5_000)]}, {"properties": {"a": {"pattern": "^(a|a)*(?=b)\\1$"}}}, {"patternProperties": {"^(a+)+$": {"type": "integer"}}},
    {"allOf": [{"properties": {"a": {"$ref": "#"}}}, {"additionalProperties": {"$ref": "#"}}]}, {"enum": list(range(20_000))},
)  # fmt: skip


def _nested(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels):
        value = {"a": value}
    return value


# Data, as JSON text.
DATA = (
    json.dumps({"a": "a" * 150_000 + "!"}), json.dumps({f"a{at}": 1 for at in range(5_000)}), json.dumps(_nested(50)), json.dumps(_nested(500)), "[" * DEEP + "]" * DEEP,
    "9" * 4_000, "9" * 1_000_000, "[NaN,Infinity]", '"\\ud800"', '{"\\ud800":1}', '"\\u0000"',
)  # fmt: skip


def test_schemas_that_lead_to_each_other_twice_are_compared_and_judged() -> None:
    def ladder(leaf: str, at: int = 0) -> Any:
        inner, name = (ladder(leaf, at + 1), f"R{at + 1}") if at < 18 else (leaf, leaf)
        return {
            "type": "record",
            "name": f"R{at}",
            "fields": [{"name": "a", "type": inner}, {"name": "b", "type": name}],
        }

    small, large = read_schema("avro", ladder("int")), read_schema("avro", ladder("long"))
    assert (
        incompatibilities(large, [("1", small)], "BACKWARD"),
        len(incompatibilities(small, [("1", large)], "BACKWARD")) > 0,
    ) == ([], True)
    either = {"type": "record", "name": "B", "fields": [{"name": "x", "type": ["null", "A", "B"]}]}
    tree = read_schema(
        "avro", {"type": "record", "name": "A", "fields": [{"name": "x", "type": ["null", "A", either]}]}
    )
    value: Any = "leaf"
    for _ in range(40):
        value = {"x": value}
    assert "alternatives" in tree.problems(value)[0]
    assert tree.completed(value) == value
    files = {
        f"{at}.proto": f'syntax = "proto3"; import "{at + 1}.proto"; message M{at} {{ M{at + 1} a = 1; M{at + 1} b = 2; }}'
        for at in range(30)
    }
    files["30.proto"] = 'syntax = "proto3"; message M30 {}'
    top = read_schema("protobuf", 'syntax = "proto3"; import "0.proto"; message X { M0 a = 1; }', files)
    assert incompatibilities(top, [("1", top)], "FULL") == []


def _told(answer: httpx.Response) -> bool:
    return answer.status_code in (400, 413, 422) and len(answer.json()["detail"]) > 20


async def test_a_hostile_schema_is_refused_and_not_stored(client: httpx.AsyncClient) -> None:
    for at, (kind, definition) in enumerate(REFUSED):
        body = f'{{"schema_name":"s{at}","schema_type":"{kind}","definition":{definition}}}'
        answer = await client.post("/schema/register", content=body, headers={"Content-Type": "application/json"})
        assert _told(answer), (kind, definition[:80], answer.text[:300])
    for name in ("migration", "metadata", "references", "mappings"):
        hostile = {"metadata": {"a": "\x00"}, "migration": {"set": {"a": "\x00"}}, "mappings": {"studio": {"set": {"a": "\x00"}}}, "references": {"a\x00": {"schema_name": "b", "version": "1"}}}  # fmt: skip
        answer = await client.post("/schema/register", json={"schema_name": "n", "definition": {}, name: hostile[name]})
        assert answer.status_code in (404, 422), (name, answer.text[:300])
    for one in (
        {"schema": "\x00"},
        {"schema": "n", "version": "\x00"},
        {"schema": "n", "platform": "\x00"},
        {"schema": "n" * 5_000},
    ):
        assert _told(await client.post("/agents/schema_validator/tasks/validate", json={**one, "data": 1}))
    assert (await client.post("/agents/schema_validator/tasks/list", json={})).json()["result"] == {"schemas": []}


async def test_hostile_data_is_answered_by_any_schema(client: httpx.AsyncClient) -> None:
    for at, definition in enumerate(TAKEN):
        kept = await client.post("/schema/register", json={"schema_name": f"t{at}", "definition": definition})
        assert kept.status_code == 201, (definition, kept.text[:300])
        for data in DATA:
            body = f'{{"schema":"t{at}","data":{data}}}'
            answer = await client.post("/agents/schema_validator/tasks/validate", content=body, headers={"Content-Type": "application/json"})  # fmt: skip
            assert answer.status_code == 200 or _told(answer), (at, data[:40], answer.text[:300])
            assert len(answer.text) < 10_000
        moved = {"schema_name": f"t{at}", "from_version": "1", "data": _nested(50)}
        for task, more in (("migrate", {}), ("transform", {"source_platform": "backend", "target_platform": "backend"})):  # fmt: skip
            body = {
                key: value for key, value in {**moved, **more}.items() if task == "migrate" or key != "from_version"
            }  # type: ignore[assignment]
            answer = await client.post(f"/agents/schema_validator/tasks/{task}", json=body)
            assert answer.status_code == 200 or _told(answer), (task, at, answer.text[:300])
        wider = {"type": "object", "properties": {"a": {"type": "string"}}}
        answer = await client.post("/schema/register", json={"schema_name": f"t{at}", "compatibility": "FULL", "definition": wider})  # fmt: skip
        assert _told(answer), (definition, answer.text[:300])
