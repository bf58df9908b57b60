"""What nobody rang for: paused and full workspaces, absent workers, forgotten holds."""

import asyncio

import pytest

from bursar import sessions, workspaces
from bursar.agents import Agent
from bursar.budgets.accounts import read_accounts
from bursar.budgets.ledger import read_ledger
from bursar.leases import Claimed
from bursar.registry import AgentEntry, announce
from bursar.store.scripts import leases
from bursar.store.scripts.budgets import HoldWish, Path, reserve
from bursar.testing import Reply, ScriptedModel
from support.dead_worker import forget_agent
from support.stage import claimant
from support.workers import WORKSPACE, Site, wait_until, working


def agent(*script: object) -> Agent:
    return Agent(name="worker", model=ScriptedModel(list(script) or ["done"] * 20))  # type: ignore[arg-type]


async def test_an_input_waits_for_a_worker_and_runs_when_one_comes(place: Site) -> None:
    await forget_agent(place.store, "worker")
    session = await place.session("worker")
    tid = await place.put(session)
    (waiting,) = [event for event in await place.log(session) if event.kind == "turn.waiting"]
    assert waiting.decode()["reason"] == "no_worker"
    assert (await sessions.get(place.store, WORKSPACE, session.id)).blocked == "agent"
    async with working(place.store, agent()):
        assert (await place.ended(tid)).state == "succeeded"


async def test_a_paused_workspace_accepts_and_starts_nothing_until_it_goes_on(place: Site) -> None:
    async with working(place.store, agent()):
        await workspaces.update(place.store, WORKSPACE, {"paused": True})
        session = await place.session("worker")
        tid = await place.put(session)
        for _ in range(5):
            await asyncio.sleep(0.1)
            assert (await place.turn(tid)).state == "queued"
        await workspaces.update(place.store, WORKSPACE, {"paused": False})
        assert (await place.ended(tid, timeout_s=5)).state == "succeeded"


async def test_a_cap_on_running_sessions_holds_and_all_of_them_run(place: Site) -> None:
    slow = Agent(name="worker", model=ScriptedModel([Reply(text="x", delay_s=0.1)] * 8))
    most = 0
    async with working(place.store, slow):
        await workspaces.update(place.store, WORKSPACE, {"max_running": 2})
        turns = [await place.put(await place.session("worker")) for _ in range(8)]
        stats = place.store.workspace(WORKSPACE).stats

        async def all_ended() -> bool:
            nonlocal most
            most = max(most, int(await place.store.redis.call("HGET", stats, "leases") or 0))
            return all([(await place.turn(tid)).state == "succeeded" for tid in turns])

        await wait_until("end of all turns", all_ended)
    assert 1 <= most <= 2


@pytest.mark.parametrize(
    ("sent", "op", "posted"), [(True, "unconfirmed", 500), (False, "released", 0)]
)
async def test_a_forgotten_hold_ends_by_itself(
    place: Site, sent: bool, op: str, posted: int
) -> None:
    worker: dict[str, str | int] = {
        "id": "w", "host": "h", "pid": 1, "group": "default", "slots": 1, "busy": 0,
        "agents": "echo", "started_ms": 1,
    }  # fmt: skip
    await announce(place.store, worker, [AgentEntry("echo", "default", "m")])
    session = await place.session("echo")
    tid = await place.put(session)
    keys = sessions.locate(place.store, WORKSPACE, session.id)
    claimed = await leases.claim(place.store, keys, claimant("w", 50), owner="o")
    assert isinstance(claimed, Claimed)
    wish = HoldWish(
        hold_id=f"{session.id}/{tid}/1/1",
        secret="s",
        cost_microusd=500,
        tokens=1,
        sent=sent,
        ttl_ms=50,
        turn=tid,
        step=1,
        kind="model",
        price="flat",
    )
    await reserve(place.store, claimed.lease, Path.of(keys, user="ada"), wish)
    # No worker of ours serves that agent, so only the sweeper can end it.
    async with working(place.store, agent()):

        async def ended() -> bool:
            return bool(await read_ledger(place.store, WORKSPACE))

        await wait_until("end of the hold", ended)
    (entry,) = await read_ledger(place.store, WORKSPACE)
    assert entry["op"] == op
    (account,) = await read_accounts(place.store, WORKSPACE, ["ws"])
    assert (account.posted_microusd, account.pending_microusd) == (posted, 0)
