"""Stored policies in whole turns: in force at the next call, and explained as they are applied."""

import json

from bursar import history
from bursar.agents import Agent
from bursar.gate.explain import explain, read_action
from bursar.gate.policy import Policy
from bursar.gate.policy_store import PolicyLists, read_rules, remove_policy, set_policy
from bursar.hooks import PreTool, hook
from bursar.messages import ToolCall, ToolMessage
from bursar.registry import Registry
from bursar.sessions import SessionView
from bursar.testing import ScriptedModel
from bursar.tools import tool
from support.workers import WORKSPACE, Site, wait_until, working


@tool(effect="idempotent")
def note(text: str) -> str:
    """Write something down."""
    return f"noted {text}"


@hook("pre_tool", tools="note", on_error="ignore")
def looks(call: PreTool) -> None:
    del call


def agent(turns: int) -> Agent:
    script: list[object] = []
    for n in range(turns):
        script += [[ToolCall(f"c{n}", "note", json.dumps({"text": str(n)}))], "end"]
    policy = Policy(allow=["note"])
    model = ScriptedModel(script)  # type: ignore[arg-type]
    return Agent(name="writer", model=model, tools=[note], policy=policy, hooks=[looks])


async def output(place: Site, session: SessionView) -> str:
    """What the tool returned in one more turn."""
    await place.ended(await place.put(session))
    messages = await history.read_messages(place.store, WORKSPACE, session.id, last=10)
    return [message.output for message in messages if isinstance(message, ToolMessage)][-1]


async def test_a_policy_is_in_force_at_the_next_call_without_a_restart(place: Site) -> None:
    ws = place.store.workspace(WORKSPACE)
    block = PolicyLists(blocked=("note",))

    async def allowed() -> bool:
        return (await output(place, session)).startswith("noted")

    async with working(place.store, agent(100)):
        session = await place.session("writer")
        assert await allowed()
        await set_policy(place.store, ws, block, by="key:k")
        assert "blocked note (workspace policy, version 1)" in await output(place, session)
        await remove_policy(place.store, ws, by="key:k")
        await set_policy(place.store, ws, block, by="key:k", agent="other")
        # A refusal may rest on rules that are a second old; what starts is always checked.
        await wait_until("call that is allowed again", allowed, timeout_s=5)
        await set_policy(place.store, ws, block, by="key:k", agent="writer")
        reason = "blocked note (workspace policy for agent writer, version 4)"
        assert reason in await output(place, session)


async def test_what_workers_announce_explains_what_they_do(place: Site) -> None:
    ws = place.store.workspace(WORKSPACE)
    async with working(place.store, agent(1)):
        registry = Registry(place.store, max_age_s=0)
        entry = await registry.require("writer")
        assert entry.policy == {"blocked": [], "ask": [], "allow": ["note"]}
        assert entry.hooks == {"pre_tool": ["looks"]}
        rules = await read_rules(place.store, registry, ws, "writer")
        found = explain(rules, read_action("note"), agent="writer", effect="idempotent")
        assert (found.verdict, found.reason) == ("allow", "allow note (code of agent writer)")
