"""Sub-agents are opened all or not at all, once, and each with all that a session has."""

from typing import Any

import pytest

from bursar.errors import BursarError, Fenced, LimitReached, TreeCancelled
from bursar.events import read_log
from bursar.leases import Lease
from bursar.messages import UserMessage
from bursar.store.codec import text, text_list
from bursar.store.scripts import budgets, sessions, turns
from bursar.store.scripts.above import Above
from bursar.store.scripts.turns import Commit
from bursar.store.store import Store
from support.family import Family, begin, child_path, end_child, with_settings
from support.stage import Stage, unchanged

CALL: dict[str, str | bytes] = {"call:c:1": "sent"}


@pytest.fixture
async def family(stage: Stage) -> Family:
    return await Family.of(stage)


async def refused(family: Family, error: type[BursarError], code: str, **how: Any) -> None:
    """Nothing at all is changed by a refusal."""
    limits = how.pop("limits", {})
    wish = family.wish(how.pop("count", 3), **how)
    async with unchanged(family.stage.store):
        with pytest.raises(error) as caught:
            await family.give(wish, with_settings(family.stage.store, **limits))
    assert caught.value.code == code


async def test_a_child_has_all_that_a_session_has(family: Family) -> None:
    stage = family.stage
    (child,) = await family.spawn(1, limit_microusd=5000)
    record = await stage.hash(child.session.hash)
    expected = {
        "id": child.session.id, "root": "ses1", "parent": "ses1", "depth": "1", "is_subagent": "1",
        "state": "queued", "agent": "echo", "ending": "1", "parent_turn": family.turn,
        "join": "j 0", "born": "0", "time_left_ms": "60000", "blocked": "", "inbox_seq": "1",
    }  # fmt: skip
    assert record.items() >= expected.items()
    assert int(record["deadline_ms"]) - int(record["created_ms"]) == 86_400_000
    assert await stage.hash(child.session.text) == {"system_prompt": "do it"}
    account = await stage.hash(child.session.account)
    assert (account["limit"], account["per_action"], account["kept"]) == ("5000", "1000", "0")
    turn = family.new(0).turn
    assert await child.items() == [f"1 input {turn}"]
    assert (await stage.hash(stage.ws.turn(turn)))["state"] == "queued"
    assert [event.kind for event in await child.events()] == ["session.created", "turn.queued"]
    assert [event.kind for event in await stage.events()][-1] == "child.spawned"
    assert await child.is_ready()
    call = stage.store.redis.call
    for index in sessions.index_keys(child.session, "u1", ""):
        assert await call("ZSCORE", index, child.session.id) is not None
    assert text_list(await call("SMEMBERS", child.session.live)) == [child.session.id]
    assert text_list(await call("ZRANGE", child.session.members, 0, -1)) == [child.session.id]
    limit = child.session.timer("limit", turn)
    assert await call("ZSCORE", stage.ws.shard.timers, limit) == float(record["deadline_ms"])


async def test_children_are_counted_and_audited(family: Family) -> None:
    await family.spawn(3)
    stats = await family.stage.stats()
    assert (stats["sessions:live"], stats["sessions:queued"], stats["turns:queued"]) == (4, 3, 3)
    record = await family.record()
    assert (record["children"], record["joins_open"]) == ("3", "1")
    entries = await family.stage.store.redis.call("XRANGE", family.stage.ws.audit, "-", "+")
    created = [e for _, e in entries if b'"action":"session.create"' in e[b"d"]]
    assert len([e for e in created if b'"actor":"session:ses1"' in e[b"d"]]) == 3


async def test_the_call_waits_for_the_join_of_its_children(family: Family) -> None:
    await family.stage.commit(family.lease, family.turn, Commit(steps=1, effects=CALL))
    await family.spawn(2, call="call:c:1", plan={"j:single": b"1"})
    effects = await family.stage.hash(family.stage.session.effects)
    assert effects["call:c:1"] == "children j"
    joins = await family.joins()
    ids = {f"j:{slot}": family.child(slot).session.id for slot in range(2)}
    counts = {"j:n": "2", "j:need": "2", "j:window": "2", "j:opened": "2", "j:ended": "0"}
    assert joins == {**ids, **counts, "j:ok": "0", "j:single": "1"}


async def test_a_child_works_on_its_task(family: Family) -> None:
    (child,) = await family.spawn(1)
    _, turn = await begin(child)
    assert await child.messages() == [UserMessage("task 0", turn=turn)]
    assert await family.stage.field("tree_running") == "1"


REFUSALS: list[tuple[str, dict[str, Any]]] = [
    ("too_deep", {"limits": {"max_depth": 1}}),
    ("tree_full", {"limits": {"max_tree_live": 2}}),
    ("step_full", {"limits": {"max_children_a_step": 2}, "counts": True}),
    ("workspace_busy", {"limits": {"max_queued": 2}}),
]


@pytest.mark.parametrize(("code", "how"), REFUSALS, ids=[code for code, _ in REFUSALS])
async def test_over_a_limit_none_is_opened(family: Family, code: str, how: dict[str, Any]) -> None:
    await refused(family, LimitReached, code, **how)


async def change(stage: Stage, **settings: Any) -> None:
    await sessions.open_workspace(
        stage.store, "acme", limit="unlimited", warn_percent=80, settings=settings
    )


async def test_over_a_cap_of_the_workspace_none_is_opened(family: Family) -> None:
    await change(family.stage, max_sessions=3)
    await refused(family, LimitReached, "workspace_full")
    await change(family.stage, max_sessions="unlimited", max_queued=2)
    await refused(family, LimitReached, "workspace_busy")
    await change(family.stage, max_sessions=4, max_queued=3)
    assert len(await family.spawn(3)) == 3


async def test_a_killed_workspace_opens_none(family: Family) -> None:
    await sessions.kill_workspace(family.stage.store, family.stage.ws, "enough")
    await refused(family, BursarError, "workspace_killed")


async def test_a_turn_that_is_to_be_cancelled_gives_no_tasks(family: Family) -> None:
    await family.stage.cancel(family.turn)
    await refused(family, TreeCancelled, "tree_cancelled")


async def test_a_call_that_is_not_open_gives_no_tasks(family: Family) -> None:
    await refused(family, BursarError, "call_not_open", call="call:c:9")


async def test_a_worker_that_lost_the_session_gives_no_tasks(family: Family) -> None:
    await family.stage.expire_lease()
    await family.stage.claim("o2")
    await refused(family, Fenced, "fenced")


@pytest.mark.parametrize("amount", [-1, "nan", 10**15])
@pytest.mark.parametrize("name", ["limit_microusd", "per_action_microusd"])
async def test_an_amount_that_is_none_opens_none(family: Family, name: str, amount: Any) -> None:
    wish = family.wish(3)
    wish.children[-1:] = [family.new(2, **{name: amount})]  # type: ignore[index]
    async with unchanged(family.stage.store):
        with pytest.raises(BursarError, match="15 digits"):
            await family.give(wish)


async def test_a_lost_reply_is_given_again(family: Family) -> None:
    wish = family.wish(3)
    lost = Lease(family.lease.session, family.lease.epoch, family.lease.owner)
    lost.append_no = family.lease.append_no
    assert len(await family.give(wish)) == 3
    family.lease = lost
    async with unchanged(family.stage.store):
        assert await family.give(wish) == []
    await family.stage.commit(family.lease, family.turn)


@pytest.mark.parametrize("detached", [False, True])
async def test_after_a_take_over_nothing_is_opened_twice(family: Family, detached: bool) -> None:
    """Whoever takes over gives the same tasks again; a child may have ended meanwhile."""
    stage = family.stage
    await stage.commit(family.lease, family.turn, Commit(steps=1, effects=CALL))
    limits = with_settings(stage.store, max_children_a_step=3)
    how: dict[str, Any] = {"call": "call:c:1", "counts": True, "detached": detached}
    await family.give(family.wish(3, **how), limits)
    await end_child(family.child(0), "failed")
    await stage.expire_lease()
    family.lease = (await stage.claim("o2")).lease
    before = await family.joins(), await family.record(), await stage.events()
    assert await family.give(family.wish(3, **how), limits) == []
    assert (await family.joins(), await family.record(), await stage.events()) == before
    assert (await stage.stats())["sessions:live"] == 3


async def test_a_step_gives_no_more_tasks_than_it_may_in_all(family: Family) -> None:
    limits = {"max_children_a_step": 3}
    store = with_settings(family.stage.store, **limits)
    await family.give(family.wish(2, "a", counts=True), store)
    await refused(family, LimitReached, "step_full", count=2, join="b", counts=True, limits=limits)
    await family.give(family.wish(1, "b", counts=True), store)
    await family.give(family.wish(3, "c", counts=True, step=2), store)
    await family.give(family.wish(3, "d", step=2), store)
    assert (await family.record())["children"] == "9"


async def test_a_join_opens_a_window_of_its_children_at_a_time(family: Family) -> None:
    plan = {f"j:in:{slot}": b"task" for slot in (2, 3, 4)}
    await family.spawn(2, total=5, window=2, plan=plan)
    assert (await family.joins())["j:opened"] == "2"
    await end_child(family.child(0), "succeeded")
    await family.spawn(1, first=2, total=5, window=2)
    joins = await family.joins()
    assert (joins["j:opened"], joins["j:ended"], joins["j:n"]) == ("3", "1", "5")
    assert {name for name in joins if ":in:" in name} == {"j:in:3", "j:in:4"}
    record = await family.record()
    assert (record["children"], record["joins_open"]) == ("2", "1")


async def test_nobody_waits_for_a_detached_child(family: Family) -> None:
    (child,) = await family.spawn(1, detached=True)
    record = await family.stage.hash(child.session.hash)
    assert (record["join"], record["parent_turn"]) == ("", "")
    assert "born" not in record
    assert await family.joins() == {}
    assert "children" not in await family.record()
    assert not await family.stage.finish(family.lease, family.turn)
    await end_child(child, "succeeded")
    assert await family.news() == []
    assert await child.field("state") == "ended"


async def test_children_of_a_paused_workspace_wait_for_its_end(family: Family) -> None:
    await change(family.stage, paused=1)
    assert await family.give(family.wish(2)) == []
    child = family.child(0)
    assert await child.field("blocked") == "paused"
    assert not await child.is_ready()


async def test_a_child_whose_agent_nobody_serves_says_so(family: Family) -> None:
    assert await family.give(family.wish(1, no_worker=True)) == []
    child = family.child(0)
    assert await child.field("blocked") == "agent"
    kinds = [event.kind for event in await child.events()]
    assert kinds == ["session.created", "turn.queued", "turn.waiting"]


async def test_a_child_may_spend_what_all_above_have(family: Family) -> None:
    (child,) = await family.spawn(1, limit_microusd=900, per_action_microusd=900)
    lease, _ = await begin(child)
    path = child_path(child, "ses1")
    held = await child.reserve(lease, 900, hold_id="h/c", path=path)
    assert path.names == ("ws", "user:u1", "s:ses1", f"s:{child.session.id}")
    with pytest.raises(BursarError, match="hold the rest"):
        await child.reserve(lease, 100, hold_id="h/d", path=path)
    account = await family.stage.hash(family.stage.session.account)
    assert account["pending"] == "900"
    await budgets.end_hold(
        child.store, child.session, op="release", hold_id="h/c", names=held.names, turn="trn1",
        secret=held.secret,
    )  # fmt: skip


async def tree_log(stage: Stage) -> list[tuple[str, str, bytes]]:
    entries = await stage.store.redis.call("XRANGE", stage.session.tree_log, "-", "+")
    return [(text(no), text(fields[b"t"]), fields[b"d"]) for no, fields in entries]


async def test_the_tree_log_repeats_what_happens_below_the_root(family: Family) -> None:
    """The same bytes in the order of the tree, but for streamed text."""
    stage = family.stage
    one, two = await family.spawn(2)
    lease, turn = await begin(one, "c1")
    other = await Family.below(two, "c2")
    for kind in ("text.delta", "usage", "reasoning.delta"):
        await turns.append_events(stage.store, lease, [one.event(kind, turn)])
    (grandchild,) = await other.spawn(1)
    await one.finish(lease, turn)
    logged = await tree_log(stage)
    assert [no for no, _, _ in logged] == [f"{i + 1}-0" for i in range(len(logged))]
    below = [one, two, grandchild]
    own = {
        child.session.id: [
            (event.kind, event.data)
            for event in await read_log(stage.store, child.session, after=0)
            if not event.kind.endswith(".delta")
        ]
        for child in below
    }
    for sid, events in own.items():
        head = f'"session":"{sid}"'.encode()
        assert [(kind, data) for _, kind, data in logged if head in data] == events
    assert len(logged) == sum(map(len, own.values()))
    assert await stage.store.redis.call("PTTL", stage.session.tree_log) > 80_000_000
    assert await stage.field("tree_seq") == str(len(logged))


async def test_without_memory_none_is_opened(store: Store) -> None:
    """A real server refuses the script as a whole."""
    family = await Family.of(await Stage.build(store))
    wish = family.wish(32)
    async with unchanged(store):
        await store.redis.call("CONFIG", "SET", "maxmemory", 1)
        try:
            with pytest.raises(BursarError, match="maxmemory"):
                await family.give(wish)
        finally:
            await store.redis.call("CONFIG", "SET", "maxmemory", 0)
    assert len(await family.give(wish)) == 16, "as many as may run at once"


def test_a_place_is_read_from_its_end() -> None:
    assert Above.of("p", "t", "1-call 1 0") == Above("p", "t", "1-call 1", "0")
    assert Above.of("p", "t", "job 12") == Above("p", "t", "job", "12")
    assert Above.of("", "", "") == Above()
