"""Every script on a Redis Cluster, for workspaces on each of its nodes.

Redis refuses a script there that touches a key of another slot, so what passes here keeps to the
keys that it declares.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any

import pytest

from bursar.budgets.audit import audit_budgets
from bursar.budgets.checkpoints import make_checkpoint, trim_ledger
from bursar.gate.policy_store import PolicyLists, set_policy
from bursar.ids import new_id
from bursar.leases import ClaimRefused
from bursar.manifests import Look, accept_manifests, suspects
from bursar.messages import AssistantMessage
from bursar.settings import Settings
from bursar.store.keys import WorkspaceKeys
from bursar.store.opening import open_store
from bursar.store.scripts import accounts, leases, sessions, turns, waiters
from bursar.store.scripts.accounts import LimitWish
from bursar.store.scripts.loader import LUA, Script
from bursar.store.scripts.parking import Parking
from bursar.store.scripts.timers import defer_timer
from bursar.store.scripts.turns import Commit, Finished
from bursar.store.store import Store
from support.audit_life import live_through_the_audit
from support.capability_life import live_with_capabilities
from support.family import Family, end_child
from support.gate_life import live_through_the_gate
from support.invariants import check_accounts
from support.longer_life import live_as_a_job, live_through_copies, shorten_the_context
from support.purse import end, money
from support.stage import Stage, claimant
from support.tool_calls import start_tool
from support.topologies import ClusterServers
from support.webhook_life import live_with_webhooks

QUEUE = {"queue_claim", "queue_put"}
"""The queue has a Redis of its own, which is no Cluster."""


@pytest.fixture
async def store(cluster: ClusterServers) -> AsyncIterator[Store]:
    cluster.empty()
    opened = await open_store(
        Settings(
            redis_url=cluster.url, queue_url="redis://127.0.0.1:1/0", closing_microusd=0,
            durability="strict", wait_replicas=0,
        )
    )  # fmt: skip
    yield opened
    await check_accounts(opened)
    await opened.aclose()


def workspaces(cluster: ClusterServers) -> list[str]:
    """One on each node."""
    found: dict[int, str] = {}
    for number in range(40):
        name = f"ws{number}"
        found.setdefault(cluster.owner(WorkspaceKeys(name, 16).hash).port, name)
    assert len(found) == 3
    return list(found.values())


async def a_turn_to_its_end(stage: Stage) -> None:
    """Put, claim, renew, start, reserve, commit, tools, park, wake, resume, finish, release."""
    store, session = stage.store, stage.session
    accepted = await stage.put()
    (item,) = (await stage.claim()).inbox
    await stage.expire_lease()
    assert await leases.reap(store, session) is not None
    await stage.make_due(stage.ws.shard.ready, session.ref)
    assert await leases.ring_again(store, session) is not None
    lease = (await stage.claim("o2")).lease
    assert await stage.start(lease, item)
    keys, args = leases.renew_command([lease], lease_ms=60_000)
    assert (await store.run(leases.RENEW, keys, args))[1] == [b"1"]
    assert await turns.append_events(store, lease, [stage.event("text.delta", accepted.turn)]) > 0

    hold = await stage.reserve(lease, 100)
    effects: dict[str, str | bytes] = {"call:c:1": "intent"}
    answer = Commit(
        steps=1, hold=hold, actual_microusd=60, effects=effects,
        messages=[AssistantMessage("a", turn=accepted.turn)],
    )  # fmt: skip
    await stage.commit(lease, accepted.turn, answer)
    await start_tool(store, lease, "call:c:1", once=True)
    await stage.commit(lease, accepted.turn, Commit(effects_done=["call:c:1"]))
    assert await stage.park(lease, accepted.turn, seen_seq=1, wake_ms=60_000)
    timer = session.timer("wake", accepted.turn)
    await stage.make_due(stage.ws.shard.timers, timer)
    assert await leases.fire_timer(store, session, member=timer, turn=accepted.turn) is not None
    woken = await stage.claim("o3")
    _, left = await leases.take_inbox(store, woken.lease, [])
    await stage.resume(woken.lease, accepted.turn, left)
    assert not await stage.finish(woken.lease, accepted.turn)
    assert await money(stage) == (60, 0)


async def waiting_for_money(stage: Stage) -> None:
    lease, turn = await stage.running("o4")
    held = await stage.reserve(lease, 999_000, hold_id="h/all")
    own, seen = f"s:{stage.session.id}", int(await stage.field("inbox_seq"))
    parked = await stage.park_for_money(lease, turn, account=own, cost=500_000, seen_seq=seen)
    assert parked is Parking.DONE
    assert await end(stage, "release", held) is not None
    (waiter,) = await waiters.may_go_on(stage.store, stage.ws, own, [])
    ring = await waiters.wake(stage.store, stage.ws, waiter, "freed")
    assert isinstance(ring, leases.Ring)
    woken = await stage.claim("o5")
    await stage.resume(woken.lease, turn, woken.inbox)
    assert not await stage.finish(woken.lease, turn, outcome="failed")


async def stops(stage: Stage) -> None:
    """A cancel of a queued turn and of one under way, a pause, the kill switch."""
    queued = await stage.put()
    assert (await stage.cancel(queued.turn)).status == "cancelled"
    lease, turn = await stage.running("o6")
    assert (await stage.cancel(turn)).status == "asked"
    _, items = await leases.take_inbox(stage.store, lease, [])
    assert await stage.try_finish(lease, turn, outcome="cancelled", items=items) is Finished.REST

    await stage.put()
    blocked = stage.ws.shard.blocked_paused(stage.ws.id)
    await stage.store.redis.call("HSET", stage.ws.hash, "paused", 1)
    refused = await leases.claim(stage.store, stage.session, claimant(), owner="o7")
    assert isinstance(refused, ClaimRefused)
    await stage.store.redis.call("HSET", stage.ws.hash, "paused", 0)
    unblocked = await leases.unblock(stage.store, stage.session, why="paused", list_key=blocked)
    assert unblocked is not None
    lease = (await stage.claim("o8")).lease
    assert await leases.release(stage.store, lease) is not None
    await sessions.kill_workspace(stage.store, stage.ws, "enough")


async def limits(stage: Stage) -> None:
    store, ws = stage.store, stage.ws.id
    await accounts.set_limit(store, ws, "ws", LimitWish(limit="5000000"), change_id="c1")
    await accounts.set_period(
        store, ws, "ws", change_id="c2", period="day", time_zone="UTC", resets_ms=10**14
    )
    await accounts.reset_account(store, ws, "user:u1", change_id="c3")


async def the_ledger(stage: Stage) -> None:
    assert (await audit_budgets(stage.store, stage.ws.id)).ok
    done = await make_checkpoint(stage.store, stage.ws.id, force=True)
    assert (await trim_ledger(stage.store, stage.ws.id, done.checkpoint)).entries > 0


async def a_session_and_its_end(stage: Stage) -> None:
    other = stage.other(new_id("ses"))
    await other.open(parent=stage.session.id)
    await sessions.update_session(stage.store, other.session, {"title": "t"}, {})
    await sessions.add_message(
        stage.store, other.session, AssistantMessage("hi"), role="assistant", user="u1",
        workspace_path="", idempotency=sessions.Idempotency("messages", "k", "f"),
    )  # fmt: skip
    assert await sessions.clear_session(stage.store, other.session) == 1
    assert await sessions.end_session(stage.store, other.session) == "ended"
    await sessions.delete_session(stage.store, other.session, user="u1", workspace_path="")


async def rules_tools_and_timers(stage: Stage) -> None:
    store = stage.store
    await set_policy(store, stage.ws, PolicyLists(ask=("x",)), by="key:k")
    look = {"convert_time": Look.of("1" * 64, "Converts.", {"type": "object"})}
    await suspects(store, "echo", stage.ws.id, look, worker="w1")
    changed = {"convert_time": Look.of("2" * 64, "Converts.", {"type": "object"})}
    await suspects(store, "echo", stage.ws.id, changed, worker="w1")
    assert await accept_manifests(store, "echo", stage.ws.id, actor="key:k")
    await store.redis.call("ZADD", stage.ws.shard.timers, 1, "hooks x/y z")
    assert await defer_timer(store, stage.ws, "hooks x/y z", for_ms=60_000)


async def sub_agents(stage: Stage) -> None:
    """Tasks are given, one is worked on, one is cancelled; the turn waits and is told."""
    lease, turn = await stage.running("o9")
    family = Family(stage, lease, turn)
    children = await family.spawn(2)
    below = await Family.below(children[0])
    (grandchild,) = await below.spawn(1)
    await end_child(grandchild, "failed")
    items = (await children[0].claim(below.lease.owner)).inbox
    await children[0].finish(below.lease, below.turn, items=items)
    await end_child(children[1], "queued")
    items = (await stage.claim("o9")).inbox
    assert not await stage.finish(lease, turn, items=items)


async def copies_contexts_and_jobs(stage: Stage) -> None:
    lease, turn = await stage.running("o10")
    await shorten_the_context(stage, lease, turn)
    await stage.finish(lease, turn)
    await live_through_copies(stage)
    await live_as_a_job(stage)


PARTS: Sequence[Callable[[Stage], Awaitable[None]]] = (
    a_turn_to_its_end, waiting_for_money, limits, the_ledger, a_session_and_its_end,
    live_through_the_gate, live_with_capabilities, live_through_the_audit,
    live_with_webhooks, rules_tools_and_timers, sub_agents,
    copies_contexts_and_jobs, stops,
)  # fmt: skip


async def test_all_scripts_work_on_every_node(
    cluster: ClusterServers, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = {"install_open", "barrier"}  # at the store's opening, and behind what must be safe
    run = store.redis.run

    async def noted(script: Script, keys: Sequence[str], args: Iterable[Any], **more: Any) -> Any:
        ran.add(script.name)
        return await run(script, keys, args, **more)

    monkeypatch.setattr(store.redis, "run", noted)
    for name in workspaces(cluster):
        stage = await Stage.build(store, workspace=name, limit="unlimited")
        for part in PARTS:
            await part(stage)
    assert ran == {path.stem for path in LUA.glob("*.lua")} - QUEUE
