"""Policies, in both clients."""

from typing import Any

import pytest

from bursar.errors import Conflict
from support.both_clients import Make, ask
from support.stub_gateway import Answer, StubGateway, problem

POLICY = "/v1/workspaces/acme/policy"
VIEW: dict[str, Any] = {"agent": "", "version": 3, "by": "key:k", "ask": ["net://**"]}


async def test_a_policy_is_read_set_and_removed(stub: StubGateway, make: Make) -> None:
    stub.on(f"GET {POLICY}", VIEW)
    stub.on(f"PUT {POLICY}", VIEW)
    stub.on(f"DELETE {POLICY}", Answer(status=204))
    client = make(stub.url)
    assert (await ask(client.get_policy())).ask == ("net://**",)
    assert (await ask(client.set_policy(ask=["net://**"], expected_version=2))).version == 3
    assert await ask(client.remove_policy(expected_version=3)) is None
    _, put, removed = stub.seen
    assert put.body == {"blocked": [], "ask": ["net://**"], "allow": [], "expected_version": 2}
    assert removed.query == "expected_version=3"


async def test_that_for_an_agent_has_its_own_place(stub: StubGateway, make: Make) -> None:
    place = f"{POLICY}/agents/support"
    stub.on(f"GET {place}", {**VIEW, "agent": "support"})
    stub.on(f"PUT {place}", {**VIEW, "agent": "support"})
    stub.on(f"DELETE {place}", Answer(status=204))
    client = make(stub.url)
    assert (await ask(client.get_agent_policy("support"))).agent == "support"
    assert (await ask(client.set_agent_policy("support", blocked=["x"]))).version == 3
    assert await ask(client.remove_agent_policy("support")) is None
    assert stub.seen[-1].query == ""


async def test_versions_are_listed_and_shown(stub: StubGateway, make: Make) -> None:
    stub.on(f"GET {POLICY}/history", [VIEW, {"agent": "", "version": 1, "removed": True}])
    stub.on(f"GET {POLICY}/history/1", VIEW)
    client = make(stub.url)
    found = await ask(client.list_policy_versions(agent="support"))
    assert [view.removed for view in found] == [False, True]
    assert (await ask(client.get_policy_version(1))).version == 3
    assert [seen.query for seen in stub.seen] == ["agent=support", ""]


async def test_a_change_that_came_too_late_is_a_conflict_with_the_version(
    stub: StubGateway, make: Make
) -> None:
    stub.on(f"PUT {POLICY}", problem(409, "policy_changed", version=7))
    with pytest.raises(Conflict) as caught:
        await ask(make(stub.url).set_policy(expected_version=2))
    assert (caught.value.code, caught.value.details["version"]) == ("policy_changed", 7)


async def test_an_action_is_explained(stub: StubGateway, make: Make) -> None:
    rule = {"layer": "workspace policy", "version": 3, "listed": "ask", "pattern": "x"}
    stub.on(
        f"POST {POLICY}/explain",
        {
            "action": "tool://local/x", "agent": "a", "effect": "pure", "risk": "low",
            "verdict": "ask", "reason": "r", "needed": "n", "rules": [{**rule, "decides": True}],
        },
    )  # fmt: skip
    found = await ask(make(stub.url).explain_policy("x", agent="a", effect="pure"))
    assert (found.verdict, found.rules[0].decides) == ("ask", True)
    assert stub.seen[0].body == {"action": "x", "agent": "a", "effect": "pure"}
