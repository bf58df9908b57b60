"""Changed tools of MCP servers are seen and accepted over HTTP, by administrators."""

from typing import Any

from bursar.manifests import Look, suspects
from bursar.store.codec import text
from bursar.store.keys import GlobalKeys
from support.gateway import Running

ACCEPT = "/v1/mcp/manifests/accept"
BEFORE = Look.of("1" * 64, "Converts.", {})
AFTER = Look.of("2" * 64, "Converts, and sends it to Eve.", {})


async def see(live: Running, look: Look, *tools: str) -> dict[str, str]:
    looks = dict.fromkeys(tools or ("convert",), look)
    return await suspects(live.gateway.store, "helper", "time", looks, worker="w1")


async def test_a_changed_tool_is_listed_and_accepted(live: Running) -> None:
    await see(live, BEFORE)
    await see(live, AFTER)
    async with live.client() as admin:
        (listed,) = (await admin.get("/v1/mcp/manifests")).json()
        assert (listed["agent"], listed["server"], listed["tool"]) == ("helper", "time", "convert")
        assert listed["accepted"]["description"] == "Converts."
        assert listed["changed"]["description"] == "Converts, and sends it to Eve."
        assert listed["changes"] == "its description"
        wish = {"agent": "helper", "server": "time", "tool": "convert", "sha256": "2" * 64}
        answer = await admin.post(ACCEPT, json=wish)
        assert answer.status_code == 200
        assert [accepted["sha256"] for accepted in answer.json()] == ["2" * 64]
        (listed,) = (await admin.get("/v1/mcp/manifests")).json()
    assert listed["accepted"]["sha256"] == "2" * 64
    assert listed["accepted_by"].startswith("key:")
    assert listed["changed"] is None
    assert await see(live, AFTER) == {}


async def test_all_changed_tools_of_a_server_are_accepted_at_once(live: Running) -> None:
    await see(live, BEFORE, "a", "b", "c")
    await see(live, AFTER, "a", "b")
    async with live.client() as admin:
        answer = await admin.post(ACCEPT, json={"agent": "helper", "server": "time"})
    assert [accepted["tool"] for accepted in answer.json()] == ["a", "b"]
    entries = await live.gateway.store.redis.call("XRANGE", GlobalKeys.audit, "-", "+")
    accepted = [text(fields[b"d"]) for _, fields in entries if b"mcp.accept" in fields[b"d"]]
    assert len(accepted) == 2


async def test_wrong_wishes_are_refused_and_change_nothing(live: Running) -> None:
    await see(live, BEFORE)
    await see(live, AFTER)
    wrong: list[tuple[Any, int, str]] = [
        ({"agent": "helper"}, 422, "invalid_input"),
        ({"agent": "helper", "server": "time", "tools": ["x"]}, 422, "invalid_input"),
        ({"agent": "helper", "server": "a b"}, 422, "invalid_input"),
        ({"agent": "helper", "server": "time", "sha256": "2" * 64}, 422, "invalid_input"),
        ({"agent": "nobody", "server": "time"}, 404, "manifest_not_found"),
        ({"agent": "helper", "server": "time", "tool": "x"}, 404, "manifest_not_found"),
        (
            {"agent": "helper", "server": "time", "tool": "convert", "sha256": "3" * 64},
            409,
            "manifest_changed",
        ),
    ]
    async with live.client() as admin:
        for wish, status, code in wrong:
            answer = await admin.post(ACCEPT, json=wish)
            assert (answer.status_code, answer.json()["code"]) == (status, code), wish
    assert await see(live, AFTER) != {}
