"""MCP servers as agents name them: checked when made, and silent about their secrets."""

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from bursar import Agent, McpServer
from bursar.errors import InvalidInput
from bursar.mcp import HttpEndpoint, StdioEndpoint

URL = "https://mcp.example.org/mcp"


def stdio(**options: Any) -> McpServer:
    return McpServer.stdio("time", **({"command": "python"} | options))


def http(**options: Any) -> McpServer:
    return McpServer.http("web", **({"url": URL} | options))


def agent(*servers: Any) -> Agent:
    return Agent(name="assistant", model="local:echo", mcp=servers)


def test_a_program_and_its_options() -> None:
    server = stdio(
        args=["-m", "mcp_server_time"],
        env={"B": "2", "A": "env:FROM_WORKER"},
        tools=["convert_time"],
        effect="idempotent",
        risk="low",
        timeout_s=5,
        cost_usd="0.002",
        overrides={"convert_time": {"effect": "pure", "action": "net://time.example.org:443"}},
        manifest={"convert_time": "a" * 64},
    )
    assert server.endpoint == StdioEndpoint(
        command="python",
        args=("-m", "mcp_server_time"),
        env=(("A", "env:FROM_WORKER"), ("B", "2")),
    )
    assert (server.rules.effect, server.rules.cost_microusd) == ("idempotent", 2000)
    assert server.overrides["convert_time"].effect == "pure"
    assert server.takes("convert_time")
    assert not server.takes("get_current_time")


def test_an_address_and_its_headers() -> None:
    server = http(headers={"Authorization": "env:TOKEN"})
    assert server.endpoint == HttpEndpoint(url=URL, headers=(("Authorization", "env:TOKEN"),))
    assert server.takes("anything")


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: McpServer.stdio("local", command="x"), "mcp.name"),
        (lambda: McpServer.stdio("a b", command="x"), "mcp.name"),
        (lambda: McpServer.stdio(5, command="x"), "mcp.name"),  # type: ignore[arg-type]
        (lambda: stdio(command=""), "mcp.time.command"),
        (lambda: stdio(command="a\nb"), "mcp.time.command"),
        (lambda: stdio(args="-m x"), "mcp.time.args"),
        (lambda: stdio(args=["a", 5]), "mcp.time.args"),
        (lambda: stdio(args=["a", "b\0"]), "mcp.time.args[1]"),
        (lambda: stdio(env={"A-B": "x"}), "mcp.time.env"),
        (lambda: stdio(env={"A": 5}), "mcp.time.env.A"),
        (lambda: stdio(env={"A": "env:"}), "mcp.time.env.A"),
        (lambda: stdio(env=["A"]), "mcp.time.env"),
        (lambda: http(url="ftp://example.org"), "mcp.web.url"),
        (lambda: http(url="example.org"), "mcp.web.url"),
        (lambda: http(url="https://user:word@example.org"), "mcp.web.url"),
        (lambda: http(url="https://example.org:port"), "mcp.web.url"),
        (lambda: http(url="https://exämple.org"), "mcp.web.url"),
        (lambda: http(url=None), "mcp.web.url"),
        (lambda: http(headers={"A B": "x"}), "mcp.web.headers"),
        (lambda: http(headers={"A": "x\r\nB: y"}), "mcp.web.headers.A"),
        (lambda: http(efect="pure"), "mcp.web.efect"),
        (lambda: http(effect="none"), "mcp.web.effect"),
        (lambda: http(risk="none"), "mcp.web.risk"),
        (lambda: http(timeout_s=0), "mcp.web.timeout_s"),
        (lambda: http(timeout_s=True), "mcp.web.timeout_s"),
        (lambda: http(cost_usd=0.5), "mcp.web.cost_usd"),
        (lambda: http(action="tool://web/x"), "mcp.web.action"),
        (lambda: http(tools="all"), "mcp.web.tools"),
        (lambda: http(tools=["a b"]), "mcp.web.tools[0]"),
        (lambda: http(overrides={"a b": {}}), "mcp.web.overrides"),
        (lambda: http(overrides={"a": 5}), "mcp.web.overrides.a"),
        (lambda: http(overrides={"a": {"efect": "pure"}}), "mcp.web.overrides.a.efect"),
        (lambda: http(overrides={"a": {"action": "what"}}), "mcp.web.overrides.a.action"),
        (lambda: http(overrides={"a": {"unanswered": "x"}}), "mcp.web.overrides.a.unanswered"),
        (lambda: http(tools=["a"], overrides={"b": {}}), "mcp.web.overrides.b"),
        (lambda: http(manifest="a" * 64), "mcp.web.manifest"),
        (lambda: http(manifest={"a": "x"}), "mcp.web.manifest.a"),
        (lambda: http(trust_annotations="yes"), "mcp.web.trust_annotations"),
        (lambda: agent("time"), "agent.mcp[0]"),
        (lambda: agent(stdio(), stdio(command="other")), "agent.mcp[1]"),
    ],
)
def test_what_is_wrong_names_its_field(make: Callable[[], object], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        make()
    assert refused.value.field == field


def test_no_secret_is_shown_or_part_of_a_hash() -> None:
    for one, other in (
        (stdio(env={"TOKEN": "s3cret"}), stdio(env={"TOKEN": "another"})),
        (http(headers={"Authorization": "s3cret"}), http(headers={"Authorization": "another"})),
    ):
        assert "s3cret" not in repr(one) + repr(agent(one)) + str(one.endpoint)
        assert one.manifest_hash == other.manifest_hash
        assert one != other


def test_a_wrong_secret_is_not_shown_by_the_error() -> None:
    with pytest.raises(InvalidInput) as refused:
        http(headers={"Authorization": "s3cret\n"})
    assert "s3cret" not in str(refused.value)


def test_a_server_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        stdio().name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    "other",
    [
        {"args": ["-m", "other"]},
        {"tools": ["a"]},
        {"effect": "pure"},
        {"overrides": {"a": {"risk": "high"}}},
        {"trust_annotations": True},
        {"manifest": {"a": "a" * 64}},
    ],
)
def test_all_that_is_said_of_servers_is_part_of_the_agents_hash(other: dict[str, Any]) -> None:
    assert agent(stdio()).manifest_hash != agent(stdio(**other)).manifest_hash


def test_naming_a_server_loads_no_protocol() -> None:
    program = (
        "import sys; from bursar import Agent, McpServer;"
        "Agent(name='a', model='m', mcp=[McpServer.stdio('time', command='x')]);"
        "print([m for m in ('mcp', 'pydantic', 'anyio', 'jsonschema') if m in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"
