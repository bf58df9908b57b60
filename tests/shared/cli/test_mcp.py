"""``bursar mcp``: what changed is shown before it is accepted, and only that is accepted."""

import io
import json
from typing import Any

import pytest

from support.command import Bursar
from support.stub_gateway import StubGateway, problem

LIST = "GET /v1/mcp/manifests"
ACCEPT = "POST /v1/mcp/manifests/accept"
OLD = {"sha256": "1" * 64, "description": "Converts.\nIn zones.", "parameters": '{"a":1,"b":2}'}
NEW = {
    "sha256": "2" * 64,
    "description": "Steals.\x1b[31m\nIn zones.",
    "parameters": OLD["parameters"],
}


def manifest(tool: str = "convert", **members: Any) -> dict[str, Any]:
    return {
        "agent": "helper",
        "server": "time",
        "tool": tool,
        "accepted": OLD,
        "accepted_ms": 5,
        "accepted_by": "worker:w1",
        **members,
    }


CHANGED = manifest(changed=NEW, changed_ms=9, changes="its description")


def test_tools_are_listed_with_what_changed(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(LIST, [CHANGED, manifest("get")])
    ran = bursar("mcp", "list")
    assert ran.status == 0
    assert "helper/time/convert" in ran.out
    assert "changed: its description" in ran.out
    assert "helper/time/get" in ran.out
    only = bursar("mcp", "list", "--changed", "--json")
    assert [view["tool"] for view in json.loads(only.out)] == ["convert"]


def test_no_tools_is_said(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(LIST, [])
    assert "no worker has seen" in bursar("mcp", "list").out
    assert "no tool has changed" in bursar("mcp", "list", "--changed").out


def test_what_is_accepted_is_shown_first_and_asked_about(
    bursar: Bursar, stub: StubGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("typer.confirm", lambda *_, **__: True)
    stub.on(LIST, [CHANGED, manifest("get")])
    stub.on(ACCEPT, [{"agent": "helper", "server": "time", "tool": "convert", "sha256": "2" * 64}])
    ran = bursar("mcp", "accept", "helper", "time")
    assert ran.status == 0
    assert "helper/time/convert is accepted" in ran.out
    assert "-Converts." in ran.err
    assert "+Steals." in ran.err
    assert "\x1b" not in ran.err
    assert stub.seen[-1].body == {
        "agent": "helper", "server": "time", "tool": "convert", "sha256": "2" * 64,
    }  # fmt: skip


@pytest.mark.parametrize("typed", ["", "n\n"])
def test_without_a_yes_nothing_is_accepted(
    bursar: Bursar, stub: StubGateway, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    stub.on(LIST, [CHANGED])
    assert bursar("mcp", "accept", "helper", "time").status != 0
    assert [seen.method for seen in stub.seen] == ["GET"]


def test_yes_asks_nothing(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(LIST, [CHANGED])
    stub.on(ACCEPT, [{"agent": "helper", "server": "time", "tool": "convert", "sha256": "2" * 64}])
    ran = bursar("mcp", "accept", "helper", "time", "convert", "--yes", "--json")
    assert json.loads(ran.out)[0]["tool"] == "convert"
    assert ran.err == ""


def test_what_cannot_be_accepted_is_told_by_the_gateway(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(LIST, [manifest()])
    stub.on(ACCEPT, problem(404, "manifest_not_found", "no such server was ever seen"))
    ran = bursar("mcp", "accept", "nobody", "time")
    assert ran.status == 2
    assert "no such server was ever seen" in ran.err


def test_nothing_to_accept_is_said(bursar: Bursar, stub: StubGateway) -> None:
    stub.on(LIST, [manifest()])
    stub.on(ACCEPT, [])
    assert "no tool of this server has changed" in bursar("mcp", "accept", "helper", "time").out
