"""Thirty-two children on a purse that pays for two worst cases at a time, and for all real costs.

Each hold is many times what its call costs in the end, so most of them wait most of the time. That
is nobody's business: what is in the way is held, not spent.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from bursar import workspaces
from bursar.agents import Agent
from bursar.budgets.accounts import LimitChange, change_limit, read_accounts
from bursar.budgets.audit import audit_budgets
from bursar.budgets.questions import read_questions
from bursar.gate.policy import Policy
from bursar.messages import ToolCall
from bursar.models import ModelEvent, ModelRequest
from bursar.testing import Reply, ScriptedModel
from bursar.tools import tool
from support.workers import WORKSPACE, Site, wait_until, working

CHILDREN = 32
LIMIT = 4000
"""A first call holds some 1,700 and costs less than 10, a second one 500."""


@tool(effect="idempotent")
async def look() -> str:
    """Look something up."""
    return "seen"


@dataclass
class GatedModel(ScriptedModel):
    """A call of the tool, then the end; nothing is answered before the gate is open."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        await self.gate.wait()
        async for event in ScriptedModel.stream(self, request):
            yield event


def answer(request: ModelRequest) -> Reply:
    if len(request.messages) > 1:
        return Reply(text="done", delay_s=0.01)
    return Reply(tool_calls=[ToolCall("c1", "look")], delay_s=0.01)


def worker(model: GatedModel) -> Agent:
    return Agent(
        name="worker",
        model=model,
        max_output_tokens=64,
        tools=(look,),
        policy=Policy(allow=["look"]),
    )


async def questions_meanwhile(place: Site, over: asyncio.Event) -> int:
    """The most accounts that people were asked about at once."""
    most = 0
    key = place.store.workspace(WORKSPACE).questions
    while not over.is_set():
        most = max(most, int(await place.store.redis.call("ZCARD", key)))
        await asyncio.sleep(0.002)
    return most


async def waiting(place: Site, name: str) -> bool:
    """Whether all wait that cannot have begun."""
    (view,) = await read_accounts(place.store, WORKSPACE, [name])
    return view.waiting == CHILDREN - 2


@pytest.mark.parametrize("account", ["ws", "root"])
async def test_children_that_wait_for_what_others_hold_ask_nobody(
    place: Site, account: str
) -> None:
    over = asyncio.Event()
    model = GatedModel([answer] * (4 * CHILDREN))
    agent = worker(model)
    async with working(place.store, agent, slots=16), working(place.store, agent, slots=16):
        await workspaces.ensure(place.store, WORKSPACE)
        limit = LIMIT if account == "root" else 100 * LIMIT
        root = await place.session("worker", limit_microusd=limit)
        name = f"s:{root.id}" if account == "root" else "ws"
        await change_limit(place.store, WORKSPACE, name, LimitChange(limit_microusd=LIMIT))
        children = [await place.session("worker", parent=root.id) for _ in range(CHILDREN)]
        watching = asyncio.create_task(questions_meanwhile(place, over))
        turns = [await place.put(child) for child in children]
        await wait_until("children that wait", lambda: waiting(place, name))
        model.gate.set()
        ended = [await place.ended(tid, timeout_s=60) for tid in turns]
        over.set()
    assert [turn.state for turn in ended] == ["succeeded"] * CHILDREN
    assert await watching == 0
    kinds = [await place.kinds(child) for child in children]
    assert sum("budget.exhausted" in each for each in kinds) == 0
    assert sum("turn.waiting" in each for each in kinds) >= CHILDREN - 2
    assert await read_questions(place.store, WORKSPACE) == []
    (view,) = await read_accounts(place.store, WORKSPACE, [name])
    assert (view.pending_microusd, view.waiting) == (0, 0)
    assert view.posted_microusd < LIMIT
    assert (await audit_budgets(place.store, WORKSPACE)).differences == []
