"""What ends a tree or a part of it: cancels, time limits, the end and deletion of its root."""

import pytest

from bursar.errors import Conflict, TreeCancelled
from bursar.ids import new_id
from bursar.leases import Lease
from bursar.store.codec import text
from bursar.store.scripts import budgets, sessions
from bursar.store.scripts.budgets import HoldRef
from bursar.store.scripts.parking import Parking
from bursar.store.scripts.turns import Commit, Finished
from support.family import Family, begin, child_path, end_child
from support.stage import Stage, unchanged
from support.tool_calls import start_tool


@pytest.fixture
async def family(stage: Stage) -> Family:
    return await Family.of(stage)


async def hold(stage: Stage, lease: Lease, *ancestors: str) -> HoldRef:
    """Hold something and give it back."""
    path = child_path(stage, *ancestors)
    held = await stage.reserve(lease, 10, hold_id=new_id("hld"), path=path)
    await budgets.end_hold(
        stage.store, stage.session, op="release", hold_id=held.id, names=held.names, turn="trn1",
        secret=held.secret,
    )  # fmt: skip
    return held


async def chain(family: Family, *, detached: bool = False) -> list[Family]:
    """The turn of the root, one below it, and one below that."""
    await family.spawn(1, detached=detached)
    child = await Family.below(family.child(0), "c1")
    await child.spawn(1)
    return [family, child, await Family.below(child.child(0), "c2")]


@pytest.mark.parametrize("cancelled", [0, 1, 2])
async def test_nothing_is_held_below_a_cancelled_turn(family: Family, cancelled: int) -> None:
    levels = await chain(family)
    sids = [level.stage.session.id for level in levels]
    for depth, level in enumerate(levels):
        await hold(level.stage, level.lease, *sids[:depth])
    await levels[cancelled].stage.cancel(levels[cancelled].turn)
    for depth, level in enumerate(levels):
        if depth < cancelled:
            await budgets.reserve(
                level.stage.store, level.lease, child_path(level.stage, *sids[:depth]),
                level.stage.wish(1, hold_id=f"h/up/{depth}", sent=False),
            )  # fmt: skip
            continue
        with pytest.raises(TreeCancelled):
            await level.stage.reserve(
                level.lease, 1, hold_id="h/late", path=child_path(level.stage, *sids[:depth])
            )


async def test_a_cancelled_turn_starts_no_call_that_costs_something(family: Family) -> None:
    stage = family.stage
    effects: dict[str, str | bytes] = {"call:c:1": "intent"}
    await stage.commit(family.lease, family.turn, Commit(steps=1, effects=effects))
    await stage.cancel(family.turn)
    async with unchanged(stage.store):
        with pytest.raises(TreeCancelled):
            await start_tool(
                stage.store, family.lease, "call:c:1", wish=stage.wish(1), path=stage.path
            )


async def test_children_of_a_later_turn_are_not_cancelled(family: Family) -> None:
    await family.stage.cancel(family.turn)
    items = [i for i in (await family.stage.claim("o1")).inbox if i.kind == "cancel"]
    await family.stage.finish(family.lease, family.turn, outcome="cancelled", items=items)
    lease, turn = await family.stage.running("o2")
    later = Family(family.stage, lease, turn)
    (child,) = await later.spawn(1)
    assert await child.field("born") == "1"
    child_lease, _ = await begin(child)
    await hold(child, child_lease, "ses1")


async def test_a_detached_child_outlives_a_cancel(family: Family) -> None:
    """And so does what it spawns itself, but for its own cancel."""
    levels = await chain(family, detached=True)
    sids = [level.stage.session.id for level in levels]
    await family.stage.cancel(family.turn)
    for depth in (1, 2):
        await hold(levels[depth].stage, levels[depth].lease, *sids[:depth])
    await levels[1].stage.cancel(levels[1].turn)
    for depth in (1, 2):
        with pytest.raises(TreeCancelled):
            await hold(levels[depth].stage, levels[depth].lease, *sids[:depth])


async def test_what_a_session_opened_by_hand_spawns_can_spend(family: Family) -> None:
    by_hand = family.stage.other("ses1~hand")
    await by_hand.open(parent="ses1")
    lease, turn = await by_hand.running("c1")
    (child,) = await Family(by_hand, lease, turn).spawn(1)
    assert await child.field("born") == "- 0"
    child_lease, _ = await begin(child, "c2")
    await hold(child, child_lease, "ses1", "ses1~hand")


async def test_a_cancel_leaves_a_timer_for_what_is_below(family: Family) -> None:
    await family.spawn(1)
    await family.stage.cancel(family.turn)
    timers = family.stage.ws.shard.timers
    member = family.stage.session.timer("tree", family.turn)
    assert await family.stage.store.redis.call("ZSCORE", timers, member) is not None


async def limit_of(child: Stage, turn: str) -> int:
    member = child.session.timer("limit", turn)
    score = await child.store.redis.call("ZSCORE", child.ws.shard.timers, member)
    return int(float(score))


async def shift_clock(child: Stage, by_ms: int) -> None:
    """Let the session have worked for that long already."""
    clock = int(await child.field("clock_ms")) - by_ms
    await child.store.redis.call("HSET", child.session.hash, "clock_ms", clock)


async def test_time_in_which_a_turn_waits_does_not_count(family: Family) -> None:
    (child,) = await family.spawn(1, time_ms=60_000)
    lease, turn = await begin(child)
    deadline = int(await child.field("deadline_ms"))
    assert await limit_of(child, turn) == int(await child.field("clock_ms")) + 60_000
    await shift_clock(child, 20_000)
    assert await child.park(lease, turn, seen_seq=1)
    left = int(await child.field("time_left_ms"))
    assert 39_000 < left <= 40_000
    assert await limit_of(child, turn) == deadline
    # Woken for something else, it waits on without having worked.
    await child.cancel(turn)
    lease = (await child.claim("c2")).lease
    assert await child.park(lease, turn, seen_seq=2)
    assert int(await child.field("time_left_ms")) == left
    lease = await again(child, turn)
    assert await limit_of(child, turn) == int(await child.field("clock_ms")) + left
    await end_running(child, lease, turn)


async def again(child: Stage, turn: str) -> Lease:
    """Claim a session whose turn waits, and go on with it."""
    await child.store.redis.call("HSET", child.session.hash, "seen_seq", 0)
    claimed = await child.claim("c3")
    await child.resume(claimed.lease, turn, [])
    return claimed.lease


async def end_running(child: Stage, lease: Lease, turn: str) -> None:
    claimed = await child.claim(lease.owner)
    items = [item for item in claimed.inbox if item.target == turn]
    ended = await child.try_finish(lease, turn, outcome="cancelled", items=items)
    assert ended is Finished.REST
    member = child.session.timer("limit", turn)
    timers = child.ws.shard.timers
    assert await child.store.redis.call("ZSCORE", timers, member) is None


async def test_the_deadline_ends_a_turn_that_works_to_the_last(family: Family) -> None:
    (child,) = await family.spawn(1, time_ms=10**12)
    _, turn = await begin(child)
    assert await limit_of(child, turn) == int(await child.field("deadline_ms"))


async def test_a_child_has_no_more_time_than_its_parent_has_left(family: Family) -> None:
    (child,) = await family.spawn(1, time_ms=50_000)
    below = await Family.below(child)
    await shift_clock(child, 20_000)
    (grandchild,) = await below.spawn(1, time_ms=60_000)
    assert 29_000 < int(await grandchild.field("time_left_ms")) <= 30_000
    assert await grandchild.field("deadline_ms") == await child.field("deadline_ms")


async def test_a_limit_that_is_not_due_any_more_ends_nothing(family: Family) -> None:
    (child,) = await family.spawn(1)
    _, turn = await begin(child)
    assert (await child.cancel(turn, if_timed_out=True)).status == "not_due"
    await child.make_due(child.ws.shard.timers, child.session.timer("limit", turn))
    assert (await child.cancel(turn, if_timed_out=True)).status == "asked"
    record = await child.hash(child.ws.turn(turn))
    assert record["cancel_code"] == "timed_out"
    assert (await child.cancel(turn, if_timed_out=True)).status == "not_due"


async def test_a_root_ends_after_all_below_it(family: Family) -> None:
    stage = family.stage
    (child,) = await family.spawn(1, detached=True)
    await stage.finish(family.lease, family.turn)
    assert await sessions.end_session(stage.store, stage.session) == "ending"
    assert await stage.field("state") == "idle"
    timer = stage.session.timer("tree", "-")
    assert await stage.store.redis.call("ZSCORE", stage.ws.shard.timers, timer) is not None
    assert await sessions.end_session(stage.store, stage.session) == "ending"
    await end_child(child, "succeeded")
    assert await sessions.end_session(stage.store, stage.session) == "ended"
    assert [event.kind for event in await stage.events()][-1] == "session.ended"


async def test_a_root_is_deleted_after_all_below_it(family: Family) -> None:
    stage = family.stage
    (child,) = await family.spawn(1)
    await end_child(child, "succeeded")
    claimed = await stage.claim("o1")
    await stage.finish(family.lease, family.turn, items=claimed.inbox)
    with pytest.raises(Conflict, match="1 sessions are below it"):
        await sessions.delete_session(stage.store, stage.session, user="u1", workspace_path="")
    await sessions.delete_session(stage.store, child.session, user="u1", workspace_path="")
    await sessions.delete_session(stage.store, stage.session, user="u1", workspace_path="")
    left = await stage.store.redis.call("KEYS", f"{stage.session.hash}*")
    assert left == [], [text(key) for key in left]


async def test_a_cancelled_child_leaves_the_line_of_its_tree(family: Family) -> None:
    """Or the next input of its session would wait in no list at all."""
    stage = family.stage
    by_hand = stage.other("ses1~hand")
    await by_hand.open(parent="ses1")
    accepted = await by_hand.put()
    call = stage.store.redis.call
    shard, line = stage.ws.shard, stage.session.tree_blocked
    await call("ZREM", shard.ready, by_hand.session.ref)
    await call("HSET", by_hand.session.hash, "blocked", "tree")
    await call("ZADD", line, 1, by_hand.session.ref)
    await call("ZADD", shard.blocked, 1, line)
    await by_hand.cancel(accepted.turn)
    assert await by_hand.field("blocked") == ""
    assert await call("ZCARD", shard.blocked) == 0
    assert (await by_hand.put()).outcome == "ring"


async def test_the_last_end_is_told_between_a_try_to_end_and_a_wait(family: Family) -> None:
    (child,) = await family.spawn(1)
    await end_child(child, "succeeded")
    parked = await family.stage.try_park(family.lease, family.turn, seen_seq=1, reason="children")
    assert parked is Parking.NEWS
