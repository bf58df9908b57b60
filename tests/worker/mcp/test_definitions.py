"""What a server says of its tools: bounded, cleaned, and hashed as it was said."""

from typing import Any

import pytest
from mcp_types import Tool, ToolAnnotations

from bursar.errors import InvalidInput
from bursar_worker.mcp import definitions
from bursar_worker.mcp.cleaning import clean, clip, one_line
from bursar_worker.mcp.definitions import define, define_all, hash_of
from support.mcp_lines import connected, odd

BIDI = "\u202e"


def tool(name: str = "convert", **says: Any) -> Tool:
    return Tool(**({"name": name, "input_schema": {"type": "object"}} | says))


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"items": schema}
    return {"type": "object", "properties": {"a": schema}}


def test_descriptions_are_clean_and_short() -> None:
    said = f"Delete{BIDI}\u200b\x1b[31m\x00 all.\u2028Next\tline\nübrig\U000e0041"
    assert define(tool(description=said)).description == "Delete[31m all.\nNext\tline\nübrig"
    long = define(tool(description="ü" * 5000)).description
    assert len(long.encode()) <= definitions.MAX_DESCRIPTION_BYTES
    assert long.endswith("ü …")


def test_texts_of_a_schema_are_clean_and_what_is_compared_is_not_touched() -> None:
    schema = {
        "type": "object",
        "properties": {
            "a": {"description": f"x{BIDI}", "enum": [f"y{BIDI}"], "default": f"y{BIDI}"},
            "default": {"description": f"z{BIDI}"},
        },
    }
    assert define(tool(input_schema=schema)).parameters["properties"] == {
        "a": {"description": "x", "enum": [f"y{BIDI}"], "default": f"y{BIDI}"},
        "default": {"description": "z"},
    }


@pytest.mark.parametrize(
    ("says", "field"),
    [
        ({"name": "a b"}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": "n" * 65}, "name"),
        ({"name": ""}, "name"),
        ({"input_schema": {"type": "string"}}, "inputSchema"),
        ({"input_schema": {"type": "object", "properties": 5}}, "inputSchema"),
        ({"input_schema": {"type": "object", "title": "x" * 70_000}}, "inputSchema"),
        ({"input_schema": deep(40)}, "inputSchema"),
    ],
)
def test_what_cannot_be_used_is_refused(says: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        define(tool(**says))
    assert refused.value.field == field


def test_as_deep_as_is_allowed_is_checked() -> None:
    assert define(tool(input_schema=deep(29))).arguments.parse("{}") == {}


@pytest.mark.parametrize(
    "other",
    [
        {"description": "Other."},
        {"description": f"Same.{BIDI}"},
        {"title": "Other"},
        {"input_schema": {"type": "object", "properties": {"a": {}}}},
        {"output_schema": {"type": "object"}},
        {"annotations": ToolAnnotations(read_only_hint=True)},
    ],
)
def test_the_hash_is_over_all_that_is_said(other: dict[str, Any]) -> None:
    assert hash_of(tool(description="Same.")) == hash_of(tool(description="Same."))
    assert hash_of(tool(description="Same.")) != hash_of(tool(**({"description": "Same."} | other)))


def test_the_order_of_a_schemas_parts_changes_no_hash() -> None:
    one = {"type": "object", "properties": {"a": {}, "b": {}}}
    other = {"properties": {"b": {}, "a": {}}, "type": "object"}
    assert hash_of(tool(input_schema=one)) == hash_of(tool(input_schema=other))


def test_a_list_is_bounded_and_names_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definitions, "MAX_TOOLS", 3)
    tools = [tool("a"), tool("a", description="second"), *(tool(f"t{i}") for i in range(5))]
    found, left_out = define_all(tools, {})
    assert [each.name for each in found] == ["a", "t0", "t1"]
    assert found[0].description == ""
    assert set(left_out) == {"a", "t2", "t3", "t4"}


def test_all_schemas_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(definitions, "MAX_SCHEMAS_BYTES", 1500)
    large = {"type": "object", "title": "x" * 600}
    found, left_out = define_all([tool(f"t{i}", input_schema=large) for i in range(3)], {})
    assert [each.name for each in found] == ["t0", "t1"]
    assert list(left_out) == ["t2"]


def test_what_is_known_is_not_checked_again() -> None:
    known = define(tool())
    found, _ = define_all([tool()], {known.sha256: known})
    assert found[0] is known


async def test_an_evil_server_is_taken_for_what_can_be_used(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with connected(odd("evil")) as line:
        assert line.connection.listing is not None
        listed = line.connection.listing.by_name
        assert len(listed) == definitions.MAX_TOOLS
        assert {"reads_backwards", "hidden"} <= set(listed)
        assert not {"name with blanks", "no_schema", "large_schema"} & set(listed)
        assert len(listed["reads_backwards"].description.encode()) <= 4096
        assert BIDI not in str([each.parameters for each in listed.values()])
    assert "tools left out: name with blanks" in caplog.text
    assert len(caplog.text) < 5000


def test_texts_are_cut_at_characters_and_kept_on_one_line() -> None:
    assert clip("äöü", 6) == "äöü"
    assert clip("äöüäöü", 8) == "äö …"
    assert one_line("a\n\tb\x1b c" + "d" * 99, 10) == "a b cdddd…"
    assert clean("plain") == "plain"
