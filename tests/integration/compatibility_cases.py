"""Pairs of schemas, and whether the new one is backward and forward compatible with the old one, by the rules that Confluent documents.

Each case is (what changes, old, new, backward, forward).
"""

from __future__ import annotations

from typing import Any

Case = tuple[str, Any, Any, bool, bool]


def _open(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _closed(*required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False, "required": list(required)}


def _if(then: Any) -> dict[str, Any]:
    return {"type": "object", "if": {"required": ["a"]}, "then": then}


def _cycle(first: str, second: str) -> dict[str, Any]:
    """Two alternatives, both of which lead to a third that leads back to the first."""
    kinds = {"A": (first, "C"), "B": (second, "C"), "C": ("integer", "A")}
    defined = {
        name: _open(id={"type": kind}, next={"oneOf": [{"$ref": f"#/$defs/{other}"}]})
        for name, (kind, other) in kinds.items()
    }
    return {"$defs": defined, "oneOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}]}


DRAFT_7 = "http://json-schema.org/draft-07/schema#"
TEXT, NUMBER, INTEGER = {"type": "string"}, {"type": "number"}, {"type": "integer"}
PARTLY = {"type": "object", "properties": {"a": TEXT}, "additionalProperties": TEXT}
PARTLY_B = {"type": "object", "properties": {"a": TEXT, "b": TEXT}, "additionalProperties": TEXT}
PARTLY_NUMBER = {"type": "object", "properties": {"a": TEXT, "b": INTEGER}, "additionalProperties": TEXT}

JSON_SCHEMA: tuple[Case, ...] = (
    ("nothing", _open(a=TEXT), _open(a=TEXT), True, True),
    ("words about it", _open(a=TEXT), {**_open(a={"type": "string", "description": "A"}), "title": "T"}, True, True),
    ("an optional property is added to a closed object", _closed(a=TEXT), _closed(a=TEXT, b=TEXT), True, False),
    ("an optional property is removed from a closed object", _closed(a=TEXT, b=TEXT), _closed(a=TEXT), False, True),
    ("an optional property is added to an open object", _open(a=TEXT), _open(a=TEXT, b=TEXT), False, True),
    ("an optional property is removed from an open object", _open(a=TEXT, b=TEXT), _open(a=TEXT), True, False),
    ("a property of any value is added to an open object", _open(a=TEXT), _open(a=TEXT, b={}), True, True),
    ("a property that may not be there is removed from a closed object", _closed(a=TEXT, b=False), _closed(a=TEXT), True, True),
    ("a property is added that the partly open object covers", PARTLY, PARTLY_B, True, True),
    ("a property is added that the partly open object does not cover", PARTLY, PARTLY_NUMBER, False, False),
    ("a required property is added to a closed object", _closed("a", a=TEXT), _closed("a", "b", a=TEXT, b=TEXT), False, False),
    ("a required property with a default is added to a closed object", _closed("a", a=TEXT), _closed("a", "b", a=TEXT, b={"type": "string", "default": ""}), True, False),
    ("a property becomes required", _closed(a=TEXT), _closed("a", a=TEXT), False, True),
    ("a property with a default becomes required", _closed(a={"type": "string", "default": "x"}), _closed("a", a={"type": "string", "default": "x"}), True, True),
    ("a property is not required any more", _closed("a", a=TEXT), _closed(a=TEXT), True, False),
    ("the object is closed", _open(a=TEXT), _closed(a=TEXT), False, True),
    ("the object is opened", _closed(a=TEXT), _open(a=TEXT), True, False),
    ("further properties are narrowed", {"type": "object", "additionalProperties": NUMBER}, {"type": "object", "additionalProperties": INTEGER}, False, True),
    ("integer becomes number", _closed(a=INTEGER), _closed(a=NUMBER), True, False),
    ("number becomes integer", _closed(a=NUMBER), _closed(a=INTEGER), False, True),
    ("a type becomes another", _closed(a=TEXT), _closed(a=NUMBER), False, False),
    ("a type is added", TEXT, {"type": ["string", "null"]}, True, False),
    ("a type is removed", {"type": ["string", "null"]}, TEXT, False, True),
    ("everything is accepted", TEXT, True, True, False),
    ("an empty schema accepts everything", TEXT, {}, True, False),
    ("a value is added to an enum", {"enum": ["a"]}, {"enum": ["a", "b"]}, True, False),
    ("a value is removed from an enum", {"enum": ["a", "b"]}, {"enum": ["a"]}, False, True),
    ("the values of an enum are others", {"enum": ["a"]}, {"enum": ["b"]}, False, False),
    ("const becomes an enum with it", {"const": 1}, {"enum": [1, 2]}, True, False),
    ("maxLength is added", TEXT, {"type": "string", "maxLength": 5}, False, True),
    ("maxLength is removed", {"type": "string", "maxLength": 5}, TEXT, True, False),
    ("maxLength grows", {"type": "string", "maxLength": 5}, {"type": "string", "maxLength": 9}, True, False),
    ("maxLength shrinks", {"type": "string", "maxLength": 5}, {"type": "string", "maxLength": 3}, False, True),
    ("minLength is added", TEXT, {"type": "string", "minLength": 1}, False, True),
    ("minLength grows", {"type": "string", "minLength": 1}, {"type": "string", "minLength": 2}, False, True),
    ("minLength shrinks", {"type": "string", "minLength": 2}, {"type": "string", "minLength": 1}, True, False),
    ("a pattern is added", TEXT, {"type": "string", "pattern": "^a"}, False, True),
    ("a pattern is removed", {"type": "string", "pattern": "^a"}, TEXT, True, False),
    ("a pattern changes", {"type": "string", "pattern": "^a"}, {"type": "string", "pattern": "^b"}, False, False),
    ("maximum is added", NUMBER, {"type": "number", "maximum": 5}, False, True),
    ("maximum grows", {"type": "number", "maximum": 5}, {"type": "number", "maximum": 6}, True, False),
    ("maximum excludes its value", {"type": "number", "maximum": 5}, {"type": "number", "exclusiveMaximum": 5}, False, True),
    ("minimum shrinks", {"type": "number", "minimum": 5}, {"type": "number", "minimum": 4}, True, False),
    ("minimum grows", {"type": "number", "minimum": 5}, {"type": "number", "minimum": 6}, False, True),
    ("exclusiveMinimum is removed", {"type": "number", "exclusiveMinimum": 0}, NUMBER, True, False),
    ("multipleOf is added", NUMBER, {"type": "number", "multipleOf": 2}, False, True),
    ("multipleOf is reduced", {"type": "number", "multipleOf": 10}, {"type": "number", "multipleOf": 5}, True, False),
    ("multipleOf is expanded", {"type": "number", "multipleOf": 5}, {"type": "number", "multipleOf": 10}, False, True),
    ("multipleOf changes", {"type": "number", "multipleOf": 5}, {"type": "number", "multipleOf": 3}, False, False),
    ("maxItems shrinks", {"type": "array", "maxItems": 5}, {"type": "array", "maxItems": 3}, False, True),
    ("minItems is removed", {"type": "array", "minItems": 1}, {"type": "array"}, True, False),
    ("items become unique", {"type": "array"}, {"type": "array", "uniqueItems": True}, False, True),
    ("items are narrowed", {"type": "array", "items": NUMBER}, {"type": "array", "items": INTEGER}, False, True),
    ("items are extended", {"type": "array", "items": INTEGER}, {"type": "array", "items": NUMBER}, True, False),
    ("an item is added to a closed tuple", {"type": "array", "prefixItems": [TEXT], "items": False}, {"type": "array", "prefixItems": [TEXT, TEXT], "items": False}, True, False),
    ("an item is added to an open tuple", {"type": "array", "prefixItems": [TEXT]}, {"type": "array", "prefixItems": [TEXT, TEXT]}, False, True),
    ("an item is removed from a closed tuple", {"type": "array", "prefixItems": [TEXT, TEXT], "items": False}, {"type": "array", "prefixItems": [TEXT], "items": False}, False, True),
    ("an item is removed from an open tuple", {"type": "array", "prefixItems": [TEXT, TEXT]}, {"type": "array", "prefixItems": [TEXT]}, True, False),
    ("an item is added to a closed tuple of draft 7", {"$schema": "http://json-schema.org/draft-07/schema#", "type": "array", "items": [TEXT], "additionalItems": False}, {"$schema": "http://json-schema.org/draft-07/schema#", "type": "array", "items": [TEXT, NUMBER], "additionalItems": False}, True, False),
    ("maxProperties is added", {"type": "object"}, {"type": "object", "maxProperties": 3}, False, True),
    ("minProperties shrinks", {"type": "object", "minProperties": 3}, {"type": "object", "minProperties": 1}, True, False),
    ("one property needs another", _open(a=TEXT, b=TEXT), {**_open(a=TEXT, b=TEXT), "dependentRequired": {"a": ["b"]}}, False, True),
    ("one property needs another no more", {**_open(a=TEXT, b=TEXT), "dependentRequired": {"a": ["b"]}}, _open(a=TEXT, b=TEXT), True, False),
    ("one property needs more", {"type": "object", "dependentRequired": {"a": ["b"]}}, {"type": "object", "dependentRequired": {"a": ["b", "c"]}}, False, True),
    ("names are narrowed", {"type": "object"}, {"type": "object", "propertyNames": {"maxLength": 3}}, False, True),
    ("an alternative is added", {"oneOf": [TEXT]}, {"oneOf": [TEXT, INTEGER]}, True, False),
    ("an alternative is removed", {"anyOf": [TEXT, INTEGER]}, {"anyOf": [TEXT]}, False, True),
    ("alternatives change their order", {"oneOf": [TEXT, INTEGER]}, {"oneOf": [INTEGER, TEXT]}, True, True),
    ("a schema becomes one of two alternatives", TEXT, {"oneOf": [TEXT, {"type": "null"}]}, True, False),
    ("two alternatives become one", {"oneOf": [TEXT, {"type": "null"}]}, TEXT, False, True),
    ("two types become two alternatives", {"type": ["string", "integer"]}, {"anyOf": [TEXT, INTEGER]}, True, True),
    ("a part is added to allOf", {"allOf": [TEXT]}, {"allOf": [TEXT, {"maxLength": 3}]}, False, True),
    ("a part is removed from allOf", {"allOf": [TEXT, {"maxLength": 3}]}, {"allOf": [TEXT]}, True, False),
    ("not is added", {}, {"not": TEXT}, False, True),
    ("not excludes less", {"not": NUMBER}, {"not": INTEGER}, True, False),
    ("not excludes more", {"not": INTEGER}, {"not": NUMBER}, False, True),
    ("a reference stands for what stood there", _closed(a=TEXT), {**_closed(a={"$ref": "#/$defs/t"}), "$defs": {"t": TEXT}}, True, True),
    ("what a reference stands for is narrowed", {**_closed(a={"$ref": "#/$defs/t"}), "$defs": {"t": NUMBER}}, {**_closed(a={"$ref": "#/$defs/t"}), "$defs": {"t": INTEGER}}, False, True),
    ("a schema that holds itself grows", {"$defs": {"n": _closed(next={"$ref": "#/$defs/n"})}, "$ref": "#/$defs/n"}, {"$defs": {"n": _closed(next={"$ref": "#/$defs/n"}, v=TEXT)}, "$ref": "#/$defs/n"}, True, False),
    ("a deep property is narrowed", _closed(a=_closed(b=_closed(c=NUMBER))), _closed(a=_closed(b=_closed(c=INTEGER))), False, True),
    ("a pattern of names is added to a closed object", _closed(a=TEXT), {**_closed(a=TEXT), "patternProperties": {"^x": TEXT}}, True, False),
    ("if is added", {"type": "object"}, {"type": "object", "if": {"required": ["a"]}, "then": {"required": ["b"]}}, False, True),
    ("what holds under a condition is widened", _if({"required": ["b", "c"]}), _if({"required": ["b"]}), True, False),
    ("a tuple without a dialect is closed", {"type": "array", "items": [TEXT], "additionalItems": False}, {"type": "array", "items": [TEXT, NUMBER], "additionalItems": False}, True, False),
    ("an item is removed from a partly open tuple that does not cover it", {"type": "array", "items": [TEXT, NUMBER], "additionalItems": TEXT}, {"type": "array", "items": [TEXT], "additionalItems": TEXT}, False, False),
    ("additional items are refused where there is no tuple", {"additionalItems": True}, {"additionalItems": False}, False, True),
    ("an optional property is added to an object without unevaluated ones", {**_open(a=TEXT), "unevaluatedProperties": False}, {**_open(a=TEXT, b=TEXT), "unevaluatedProperties": False}, True, False),
    ("a property is removed from a part of an object without unevaluated ones", {"allOf": [_open(a=TEXT)], "unevaluatedProperties": False}, {"allOf": [_open()], "unevaluatedProperties": False}, False, True),
    ("an item is removed that unevaluated ones do not cover", {"type": "array", "prefixItems": [TEXT, NUMBER], "unevaluatedItems": TEXT}, {"type": "array", "prefixItems": [TEXT], "unevaluatedItems": TEXT}, False, False),
    ("what is contained is widened", {"type": "array", "contains": INTEGER}, {"type": "array", "contains": NUMBER}, True, False),
    ("less must be contained", {"type": "array", "contains": NUMBER, "minContains": 2}, {"type": "array", "contains": NUMBER, "minContains": 1}, True, False),
    ("more may be contained", {"type": "array", "contains": NUMBER, "maxContains": 2}, {"type": "array", "contains": NUMBER, "maxContains": 3}, True, False),
    ("several alternatives may fit, and only one later", {"anyOf": [{"maximum": 100}, {"multipleOf": 6}]}, {"oneOf": [{"maximum": 100}, {"multipleOf": 6}]}, False, True),
    ("a reference goes to an anchor", {**_closed(a={"$ref": "#t"}), "$defs": {"x": {"$anchor": "t", "type": "number"}}}, {**_closed(a={"$ref": "#t"}), "$defs": {"x": {"$anchor": "t", "type": "integer"}}}, False, True),
    ("a reference goes to an address inside", {"$id": "https://example.com/a", **_closed(a={"$ref": "t"}), "$defs": {"x": {"$id": "t", **NUMBER}}}, {"$id": "https://example.com/a", **_closed(a={"$ref": "t"}), "$defs": {"x": {"$id": "t", **TEXT}}}, False, False),
    ("an encoding is demanded, which draft 7 checks", {"$schema": DRAFT_7, "type": "string"}, {"$schema": DRAFT_7, "type": "string", "contentEncoding": "base64"}, False, True),
    ("an encoding is noted, which draft 2020-12 does not check", TEXT, {"type": "string", "contentEncoding": "base64"}, True, True),
    ("words change beside a reference to alternatives that hold each other", {**_cycle("integer", "boolean"), "title": "A"}, {**_cycle("integer", "boolean"), "title": "B", "x-order": {"$ref": "#/$defs/A"}}, False, True),
    ("words change, and what is not understood refers to the same", {**_cycle("integer", "boolean"), "x": {"$ref": "#/$defs/A"}}, {**_cycle("integer", "boolean"), "x": {"$ref": "#/$defs/A", "description": "A"}}, True, True),
    ("what is not understood refers to something else", {"$defs": {"A": TEXT}, "x": {"$ref": "#/$defs/A"}}, {"$defs": {"A": NUMBER}, "x": {"$ref": "#/$defs/A"}}, False, False),
    ("alternatives that hold each other change a type deep inside", _cycle("integer", "boolean"), _cycle("boolean", "number"), False, False),
)  # fmt: skip


def _record(*fields: Any, name: str = "R", **more: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [one if isinstance(one, dict) else {"name": one[0], "type": one[1]} for one in fields], **more}  # fmt: skip


A = ("a", "string")
AVRO: tuple[Case, ...] = (
    ("nothing", _record(A), _record(A), True, True),
    ("documentation", _record(A), _record(A, doc="What it is."), True, True),
    ("a field with a default is added", _record(A), _record(A, {"name": "b", "type": "int", "default": 0}), True, True),
    ("a field without a default is added", _record(A), _record(A, ("b", "int")), False, True),
    ("a field with a default is removed", _record(A, {"name": "b", "type": "int", "default": 0}), _record(A), True, True),
    ("a field without a default is removed", _record(A, ("b", "int")), _record(A), True, False),
    ("fields change their order", _record(A, ("b", "int")), _record(("b", "int"), A), True, True),
    ("a field is renamed", _record(A), _record(("b", "string")), False, False),
    ("a field is renamed with an alias", _record(A), _record({"name": "b", "type": "string", "aliases": ["a"]}), True, False),
    ("the record is renamed", _record(A), _record(A, name="S"), False, False),
    ("the record is renamed with an alias", _record(A), _record(A, name="S", aliases=["R"]), True, False),
    ("the namespace changes", _record(A, namespace="x"), _record(A, namespace="y"), True, True),
    ("int becomes long", _record(("a", "int")), _record(("a", "long")), True, False),
    ("int becomes double", _record(("a", "int")), _record(("a", "double")), True, False),
    ("long becomes float", _record(("a", "long")), _record(("a", "float")), True, False),
    ("float becomes double", _record(("a", "float")), _record(("a", "double")), True, False),
    ("long becomes int", _record(("a", "long")), _record(("a", "int")), False, True),
    ("string becomes bytes", _record(("a", "string")), _record(("a", "bytes")), True, True),
    ("int becomes string", _record(("a", "int")), _record(("a", "string")), False, False),
    ("boolean becomes int", _record(("a", "boolean")), _record(("a", "int")), False, False),
    ("a field may be null", _record(A), _record(("a", ["null", "string"])), True, False),
    ("a field may not be null any more", _record(("a", ["null", "string"])), _record(A), False, True),
    ("an alternative is added", _record(("a", ["null", "string"])), _record(("a", ["null", "string", "int"])), True, False),
    ("an alternative is removed", _record(("a", ["null", "string", "int"])), _record(("a", ["null", "string"])), False, True),
    ("alternatives change their order", _record(("a", ["null", "string"])), _record(("a", ["string", "null"])), True, True),
    ("an alternative is promoted", _record(("a", ["null", "int"])), _record(("a", ["null", "long"])), True, False),
    ("a symbol is added", {"type": "enum", "name": "E", "symbols": ["A"]}, {"type": "enum", "name": "E", "symbols": ["A", "B"]}, True, False),
    ("a symbol is removed", {"type": "enum", "name": "E", "symbols": ["A", "B"]}, {"type": "enum", "name": "E", "symbols": ["A"]}, False, True),
    ("a symbol is removed, with a default", {"type": "enum", "name": "E", "symbols": ["A", "B"]}, {"type": "enum", "name": "E", "symbols": ["A"], "default": "A"}, True, True),
    ("symbols change their order", {"type": "enum", "name": "E", "symbols": ["A", "B"]}, {"type": "enum", "name": "E", "symbols": ["B", "A"]}, True, True),
    ("the enum is renamed", {"type": "enum", "name": "E", "symbols": ["A"]}, {"type": "enum", "name": "F", "symbols": ["A"]}, False, False),
    ("the size of fixed changes", {"type": "fixed", "name": "F", "size": 4}, {"type": "fixed", "name": "F", "size": 8}, False, False),
    ("items are promoted", {"type": "array", "items": "int"}, {"type": "array", "items": "long"}, True, False),
    ("values are promoted", {"type": "map", "values": "int"}, {"type": "map", "values": "long"}, True, False),
    ("array becomes map", {"type": "array", "items": "int"}, {"type": "map", "values": "int"}, False, False),
    ("a record becomes a simple type", _record(A), "string", False, False),
    ("an inner record grows with a default", _record(("i", _record(A, name="I"))), _record(("i", _record(A, {"name": "b", "type": "int", "default": 1}, name="I"))), True, True),
    ("an inner record grows without a default", _record(("i", _record(A, name="I"))), _record(("i", _record(A, ("b", "int"), name="I"))), False, True),
    ("a record that holds itself grows", _record(("n", ["null", "R"])), _record(("n", ["null", "R"]), {"name": "v", "type": "int", "default": 0}), True, True),
    ("a logical type is added", _record(("a", "long")), _record(("a", {"type": "long", "logicalType": "timestamp-millis"})), True, True),
)  # fmt: skip


def _proto(body: str, *, head: str = 'syntax = "proto3";') -> str:
    return f"{head} message M {{ {body} }}"


PROTOBUF: tuple[Case, ...] = (
    ("nothing", _proto("int32 a = 1;"), _proto("int32 a = 1;"), True, True),
    ("comments and order", _proto("int32 a = 1; int32 b = 2;"), _proto("int32 b = 2; /* why */ int32 a = 1;"), True, True),
    ("a field is added", _proto("int32 a = 1;"), _proto("int32 a = 1; string b = 2;"), True, True),
    ("a field is removed", _proto("int32 a = 1; string b = 2;"), _proto("int32 a = 1;"), True, True),
    ("a field is renamed", _proto("int32 a = 1;"), _proto("int32 z = 1;"), True, True),
    ("a field gets another number", _proto("int32 a = 1;"), _proto("int32 a = 2;"), True, True),
    ("int32 becomes int64", _proto("int32 a = 1;"), _proto("int64 a = 1;"), True, True),
    ("int32 becomes bool", _proto("int32 a = 1;"), _proto("bool a = 1;"), True, True),
    ("int32 becomes sint32", _proto("int32 a = 1;"), _proto("sint32 a = 1;"), False, False),
    ("sint32 becomes sint64", _proto("sint32 a = 1;"), _proto("sint64 a = 1;"), True, True),
    ("fixed32 becomes sfixed32", _proto("fixed32 a = 1;"), _proto("sfixed32 a = 1;"), True, True),
    ("fixed32 becomes fixed64", _proto("fixed32 a = 1;"), _proto("fixed64 a = 1;"), False, False),
    ("string becomes bytes", _proto("string a = 1;"), _proto("bytes a = 1;"), True, True),
    ("string becomes int32", _proto("string a = 1;"), _proto("int32 a = 1;"), False, False),
    ("float becomes double", _proto("float a = 1;"), _proto("double a = 1;"), False, False),
    ("an enum becomes int32", _proto("E a = 1; enum E { X = 0; }"), _proto("int32 a = 1;"), True, True),
    ("a value is added to an enum", _proto("E a = 1; enum E { X = 0; }"), _proto("E a = 1; enum E { X = 0; Y = 1; }"), True, True),
    ("a value is removed from an enum", _proto("E a = 1; enum E { X = 0; Y = 1; }"), _proto("E a = 1; enum E { X = 0; }"), True, True),
    ("a number is repeated now", _proto("int32 a = 1;"), _proto("repeated int32 a = 1;"), False, False),
    ("a text is repeated now", _proto("string a = 1;"), _proto("repeated string a = 1;"), True, True),
    ("a field becomes optional", _proto("int32 a = 1;"), _proto("optional int32 a = 1;"), True, True),
    ("a message is added", _proto("int32 a = 1;"), _proto("int32 a = 1;") + " message N { int32 x = 1; }", True, False),
    ("a message is removed", _proto("int32 a = 1;") + " message N { int32 x = 1; }", _proto("int32 a = 1;"), False, True),
    ("an inner message is removed", _proto("message I { int32 x = 1; }"), _proto("int32 a = 1;"), False, True),
    ("a field's message becomes another", _proto("A a = 1;") + " message A {} message B {}", _proto("B a = 1;") + " message A {} message B {}", False, False),
    ("a message becomes a text", _proto("A a = 1;") + " message A {}", _proto("string a = 1;") + " message A {}", False, False),
    ("a field is added to a oneof", _proto("oneof o { int32 a = 1; }"), _proto("oneof o { int32 a = 1; int32 b = 2; }"), True, False),
    ("a field is removed from a oneof", _proto("oneof o { int32 a = 1; int32 b = 2; }"), _proto("oneof o { int32 a = 1; }"), False, True),
    ("one field is moved into a new oneof", _proto("int32 a = 1; int32 b = 2;"), _proto("oneof o { int32 a = 1; } int32 b = 2;"), True, True),
    ("two fields are moved into a new oneof", _proto("int32 a = 1; int32 b = 2;"), _proto("oneof o { int32 a = 1; int32 b = 2; }"), False, True),
    ("a field is moved into a oneof that was there", _proto("int32 a = 1; oneof o { int32 b = 2; }"), _proto("oneof o { int32 a = 1; int32 b = 2; }"), False, True),
    ("a required field is added", _proto("optional int32 a = 1;", head='syntax = "proto2";'), _proto("optional int32 a = 1; required int32 b = 2;", head='syntax = "proto2";'), False, False),
    ("the package changes", _proto("A a = 1;", head='syntax = "proto3"; package x;') + " message A {}", _proto("A a = 1;", head='syntax = "proto3"; package y;') + " message A {}", False, False),
    ("a field is moved out of a oneof", _proto("oneof o { int32 a = 1; int32 b = 2; }"), _proto("oneof o { int32 a = 1; } int32 b = 2;"), True, False),
    ("a field is moved to a oneof of its own", _proto("oneof o { int32 a = 1; int32 b = 2; }"), _proto("oneof o { int32 b = 2; } oneof p { int32 a = 1; }"), True, False),
    ("two oneofs become one", _proto("oneof o { int32 a = 1; } oneof p { int32 b = 2; }"), _proto("oneof q { int32 a = 1; int32 b = 2; }"), False, True),
    ("a oneof is renamed, and takes in a field", _proto("int32 a = 1; oneof o { int32 b = 2; int32 c = 3; }"), _proto("oneof p { int32 a = 1; int32 b = 2; int32 c = 3; }"), False, True),
    ("a oneof is renamed", _proto("oneof o { int32 a = 1; int32 b = 2; }"), _proto("oneof p { int32 a = 1; int32 b = 2; }"), True, True),
    ("a oneof is renamed, and loses a field", _proto("oneof o { int32 a = 1; int32 b = 2; }"), _proto("oneof p { int32 a = 1; }"), False, True),
    ("a oneof is removed", _proto("int32 x = 9; oneof o { int32 a = 1; int32 b = 2; }"), _proto("int32 x = 9;"), True, True),
    ("a type is written in full", _proto("I a = 1; message I { int32 x = 1; }"), _proto(".M.I a = 1; message I { int32 x = 1; }"), True, True),
    ("the values of a map change", _proto("map<string, int32> a = 1;"), _proto("map<string, string> a = 1;"), False, False),
    ("a map becomes a field", _proto("map<string, int32> a = 1;"), _proto("int32 a = 1;"), False, False),
)  # fmt: skip
