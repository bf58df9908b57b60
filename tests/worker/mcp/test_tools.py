"""What becomes of a server's tool on an agent: its name, its effect and risk, its manifest."""

from typing import Any, cast

import pytest
from mcp_types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
    Tool,
    ToolAnnotations,
)

from bursar.mcp import McpServer
from bursar_worker.mcp.connection import Connection
from bursar_worker.mcp.definitions import define
from bursar_worker.mcp.names import name_for_model
from bursar_worker.mcp.results import render
from bursar_worker.mcp.tools import judge, make_tool

READ_ONLY = {"read_only_hint": True}
WRITES = {"read_only_hint": False}
DESTROYS = {"destructive_hint": True}
REPEATS = {"idempotent_hint": True}
ONCE = {"idempotent_hint": False}


def server(**options: Any) -> McpServer:
    return McpServer.http("web", **({"url": "https://example.org/mcp"} | options))


def made(tool: Tool, taken: McpServer, suspect: str = "") -> Any:
    nobody = cast("Connection", None)
    return make_tool(taken, define(tool), name="web_convert", suspect=suspect, connection=nobody)


def tool(hints: dict[str, bool] | None = None, **says: Any) -> Tool:
    annotations = ToolAnnotations.model_validate(hints, by_name=True) if hints else None
    said = {"name": "convert", "input_schema": {"type": "object"}, "annotations": annotations}
    return Tool(**(said | says))


@pytest.mark.parametrize(
    ("hints", "options", "effect"),
    [
        ({}, {}, "at_most_once"),
        (READ_ONLY, {}, "at_most_once"),
        (REPEATS, {}, "at_most_once"),
        (READ_ONLY, {"trust_annotations": True}, "pure"),
        (REPEATS, {"trust_annotations": True}, "idempotent"),
        ({}, {"trust_annotations": True}, "at_most_once"),
        ({}, {"effect": "pure"}, "pure"),
        (READ_ONLY, {"effect": "pure"}, "pure"),
        (WRITES, {"effect": "pure"}, "at_most_once"),
        (DESTROYS, {"effect": "pure"}, "at_most_once"),
        (ONCE, {"effect": "idempotent"}, "at_most_once"),
        (READ_ONLY, {"effect": "at_most_once", "trust_annotations": True}, "at_most_once"),
        (WRITES, {"overrides": {"convert": {"effect": "pure"}}}, "pure"),
        (READ_ONLY, {"overrides": {"other": {"effect": "pure"}}}, "at_most_once"),
    ],
)
def test_a_server_can_only_make_its_tools_stricter(
    hints: dict[str, bool], options: dict[str, Any], effect: str
) -> None:
    assert judge(server(**options), define(tool(hints)))[0] == effect


@pytest.mark.parametrize(
    ("hints", "options", "risk"),
    [
        ({}, {}, "medium"),
        ({}, {"risk": "low"}, "low"),
        (DESTROYS, {"risk": "low"}, "high"),
        (DESTROYS, {"risk": "critical"}, "critical"),
        (DESTROYS, {"overrides": {"convert": {"risk": "low"}}}, "low"),
        (DESTROYS | READ_ONLY, {}, "medium"),
    ],
)
def test_a_destructive_tool_has_a_high_risk(
    hints: dict[str, bool], options: dict[str, Any], risk: str
) -> None:
    assert judge(server(**options), define(tool(hints)))[1] == risk


def test_options_reach_the_tool() -> None:
    override = {
        "timeout_s": 5, "cost_usd": "0.5", "unanswered": "safe_default", "safe_default": "none",
        "action": "net://example.org:443",
    }  # fmt: skip
    taken = server(timeout_s=9, cost_usd="0.1", overrides={"convert": override})
    found = made(tool(description="Converts."), taken, suspect="it changed")
    assert (found.name, found.description, found.server) == ("web_convert", "Converts.", "web")
    assert (found.timeout_s, found.cost_microusd) == (5, 500_000)
    assert (found.unanswered, found.safe_default) == ("safe_default", "none")
    assert (found.action({}), found.suspect) == ("net://example.org:443", "it changed")
    assert found.spec.name == "web_convert"
    plain = made(tool(name="other"), taken)
    assert (plain.timeout_s, plain.cost_microusd) == (9, 100_000)
    assert plain.action({}) == "tool://web/other"


@pytest.mark.parametrize(
    ("says", "options"),
    [
        ({"description": "Other."}, {}),
        ({"input_schema": {"type": "object", "properties": {"a": {}}}}, {}),
        ({"output_schema": {"type": "object"}}, {}),
        ({}, {"url": "https://example.com/mcp"}),
        ({}, {"effect": "pure"}),
        ({}, {"risk": "high"}),
    ],
)
def test_the_manifest_covers_what_the_server_says_and_what_the_operator_does(
    says: dict[str, Any], options: dict[str, Any]
) -> None:
    before = made(tool(), server()).manifest_hash
    assert before == made(tool(), server()).manifest_hash
    assert before != made(tool(**says), server(**options)).manifest_hash


@pytest.mark.parametrize(
    ("of_server", "name", "taken", "expected"),
    [
        ("time", "convert", set(), "time_convert"),
        ("a-b", "c", set(), "a-b_c"),
        ("9", "c", set(), "_9_c"),
        ("time", "convert", {"time_convert"}, "time_convert_"),
        ("s" * 40, "t" * 40, set(), "s" * 40 + "_" + "t" * 14 + "_"),
    ],
)
def test_models_see_a_short_and_unique_name(
    of_server: str, name: str, taken: set[str], expected: str
) -> None:
    found = name_for_model(of_server, name, taken)
    assert found.startswith(expected)
    assert len(found) <= 64
    assert found not in taken
    assert found == name_for_model(of_server, name, taken)


def text(words: str) -> TextContent:
    return TextContent(type="text", text=words)


@pytest.mark.parametrize(
    ("content", "structured", "expected"),
    [
        ([], None, ""),
        ([text("a"), text("b")], None, "a\nb"),
        ([], {"sum": 3}, '{"sum":3}'),
        ([text('{"sum": 3}')], {"sum": 3}, '{"sum": 3}'),
        ([text("hello")], {"result": "hello"}, "hello"),
        ([text("5")], {"result": 5}, "5"),
        ([text("three")], {"sum": 3}, 'three\n{"sum":3}'),
        (
            [ImageContent(type="image", data="AAAA", mime_type="image/png")],
            None,
            "[image: image/png, 3 bytes, not shown]",
        ),
        (
            [AudioContent(type="audio", data="AAAA", mime_type="audio/\u202ewav")],
            None,
            "[audio: audio/wav, 3 bytes, not shown]",
        ),
        (
            [ResourceLink(type="resource_link", uri="file:///a\n", name="n" * 300)],
            None,
            f"[link: file:///a, {'n' * 199}…]",
        ),
        (
            [
                EmbeddedResource(
                    type="resource", resource=TextResourceContents(uri="a://b", text="inside")
                )
            ],
            None,
            "inside",
        ),
        (
            [
                EmbeddedResource(
                    type="resource", resource=BlobResourceContents(uri="a://b", blob="AAAA")
                )
            ],
            None,
            "[resource: a://b, unknown kind, 3 bytes, not shown]",
        ),
    ],
)
def test_what_a_model_reads_of_a_result(content: Any, structured: Any, expected: str) -> None:
    assert render(CallToolResult(content=content, structured_content=structured)) == expected
