"""Arguments are checked strictly against a server's schema, however evil that is."""

import json
from typing import Any

import pytest

from bursar.errors import InvalidInput
from bursar.schemas import SchemaArguments, bounded

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "count": {"type": "integer", "minimum": 3},
        "kind": {"enum": ["a", "b"]},
        "when": {"type": "string", "pattern": "^[0-9]{2}:[0-9]{2}$"},
        "tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        "filter": {"type": "object", "properties": {"of": {"$ref": "#/$defs/of"}}},
    },
    "patternProperties": {"^x-": {"type": "string"}},
    "required": ["count"],
    "additionalProperties": False,
    "$defs": {"of": {"type": "array", "items": {"type": "object", "required": ["id"]}}},
}


def parse(schema: dict[str, Any], arguments: str) -> dict[str, Any]:
    return SchemaArguments(schema).parse(arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"count": 3},
        {"count": 3.0, "kind": "a", "when": "12:00", "tags": ["a", "b"], "x-note": "n"},
        {"count": 9, "filter": {"of": [{"id": None}]}},
    ],
)
def test_what_the_schema_allows_is_taken_as_it_is(arguments: dict[str, Any]) -> None:
    assert parse(SCHEMA, json.dumps(arguments)) == arguments


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ("", "arguments"),
        ("[]", "arguments"),
        ('{"count": 3', "arguments"),
        ("{}", "count"),
        ('{"count": 2}', "count"),
        ('{"count": "3"}', "count"),
        ('{"count": true}', "count"),
        ('{"count": 3, "kind": "c"}', "kind"),
        ('{"count": 3, "when": "noon"}', "when"),
        ('{"count": 3, "tags": ["a", 5]}', "tags[1]"),
        ('{"count": 3, "tags": ["a", "a"]}', "tags"),
        ('{"count": 3, "x-note": 5}', "x-note"),
        ('{"count": 3, "other": 1}', "other"),
        ('{"count": 3, "filter": {"of": [{"id": 1}, {}]}}', "filter.of[1].id"),
    ],
)
def test_what_it_forbids_is_refused_and_named(arguments: str, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse(SCHEMA, arguments)
    assert refused.value.field == field


def chain(length: int) -> dict[str, Any]:
    """Each part refers to the next one twice: 2^length checks."""
    parts: dict[str, Any] = {
        f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(length)
    }
    return {"type": "object", "$defs": parts | {f"d{length}": {}}, "$ref": "#/$defs/d0"}


TRAPS: list[tuple[dict[str, Any], str]] = [
    (chain(40), "{}"),
    ({"type": "object", "$ref": "#"}, "{}"),
    ({"type": "object", "properties": {"a": {"$ref": "#"}}, "allOf": [{"$ref": "#"}]}, "{}"),
    ({"type": "object", "properties": {"a": {"pattern": "^(a+)+$"}}}, '{"a": "%s!"}' % ("a" * 60)),
    (
        {
            "type": "object",
            "properties": {
                "a": {
                    "$schema": "http://json-schema.org/draft-07/schema#",
                    "pattern": "^(a+)+$",
                }
            },
        },
        '{"a": "%s!"}' % ("a" * 60),
    ),
    (
        {"type": "object", "patternProperties": {"^(a+)+$": False}, "additionalProperties": False},
        '{"%s!": 1}' % ("a" * 60),
    ),
    (
        {"type": "object", "properties": {"a": {"anyOf": [{"type": "integer"}] * 3000}}},
        '{"a": "%s"}' % ("a" * 60_000),
    ),
    ({"type": "object", "$ref": "https://example.org/schema"}, "{}"),
    ({"type": "object", "$ref": "#/nowhere"}, "{}"),
]


@pytest.mark.timeout(20)
@pytest.mark.parametrize(("schema", "arguments"), TRAPS)
def test_a_trap_costs_a_bounded_amount_of_work(schema: dict[str, Any], arguments: str) -> None:
    with pytest.raises(InvalidInput):
        parse(schema, arguments)


@pytest.mark.timeout(10)
def test_a_long_list_is_compared_in_no_time() -> None:
    schema = {"type": "object", "properties": {"a": {"uniqueItems": True}}}
    items = {"a": [{"b": i} for i in range(20_000)]}
    assert parse(schema, json.dumps(items)) == items


def test_patterns_that_look_around_are_left_to_the_server() -> None:
    schema = {"type": "object", "properties": {"a": {"pattern": "^(?!b)"}}}
    assert parse(schema, '{"a": "b"}') == {"a": "b"}


@pytest.mark.timeout(10)
@pytest.mark.parametrize("draft", ["draft-04", "draft-07"])
def test_a_schema_with_many_words_is_made_in_no_time(draft: str) -> None:
    many = {"$schema": f"http://json-schema.org/{draft}/schema#", "enum": [{"a": 0}]}
    many["enum"] = [{"a": number} for number in range(6000)]
    assert len(bounded(many, "output")) > 60_000
    SchemaArguments(many)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "objekt"},
        {"properties": 5},
        {"required": "a"},
        {"required": ["a", "a"]},
        {"properties": {"a": {"pattern": "("}}},
        {"$schema": []},
        {"$schema": 5},
        {"$schema": "http://["},
    ],
)
def test_what_is_no_schema_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refused:
        SchemaArguments(schema)
    assert refused.value.field == "inputSchema"


def test_older_dialects_are_understood() -> None:
    schema = {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "type": "object",
        "properties": {"a": {"type": "integer", "minimum": 3, "exclusiveMinimum": True}},
    }
    assert parse(schema, '{"a": 4}') == {"a": 4}
    with pytest.raises(InvalidInput):
        parse(schema, '{"a": 3}')
