"""A turn is told once that its sub-agents have ended: by the end that decides, whatever it is."""

import itertools

import pytest

from bursar.leases import InboxItem
from bursar.store.scripts.parking import Parking
from bursar.store.scripts.turns import Finished
from support.family import Family, begin, end_child
from support.stage import Stage, unchanged

WAYS = ("succeeded", "failed", "queued", "running", "quarantined", "timed_out")
ENDS = {
    "queued": ("cancelled", "cancelled"),
    "running": ("cancelled", ""),
    "timed_out": ("cancelled", "timed_out"),
}


@pytest.fixture
async def family(stage: Stage) -> Family:
    return await Family.of(stage)


async def seq(family: Family) -> int:
    return int(await family.stage.field("inbox_seq"))


@pytest.mark.parametrize("way", WAYS)
async def test_the_end_of_the_only_child_is_told_once(family: Family, way: str) -> None:
    (child,) = await family.spawn(1)
    await end_child(child, way)
    outcome, code = ENDS.get(way, (way, ""))
    joins = await family.joins()
    assert joins["j:0"] == f"{child.session.id} {outcome} {code}"
    assert (joins["j:ended"], joins["j:ok"]) == ("1", "1" if way == "succeeded" else "0")
    assert await family.news() == [f"2 join {family.turn}"]
    record = await family.record()
    assert (record["children"], record["joins_open"]) == ("0", "0")
    (told,) = [e.decode() for e in await family.stage.events() if e.kind == "child.finished"]
    assert (told["child"], told["outcome"], told["code"]) == (child.session.id, outcome, code)
    assert (told["cost_microusd"], told["steps"]) == (0, 0)
    assert await child.field("state") == "ended"


@pytest.mark.parametrize("need", [1, 2, 3])
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
async def test_the_success_that_is_enough_decides(
    family: Family, need: int, order: tuple[int, ...]
) -> None:
    children = await family.spawn(3, need=need)
    for ended, slot in enumerate(order, 1):
        await end_child(children[slot], "succeeded")
        assert len(await family.news()) == (ended >= need), f"after {ended}"


@pytest.mark.parametrize("ways", list(itertools.product(("succeeded", "failed"), repeat=3)))
async def test_the_last_end_decides_when_too_many_fail(
    family: Family, ways: tuple[str, ...]
) -> None:
    children = await family.spawn(3, need=2)
    for ended, (child, way) in enumerate(zip(children, ways, strict=True), 1):
        await end_child(child, way)
        decided = ways[:ended].count("succeeded") >= 2 or ended == 3
        assert len(await family.news()) == decided


async def test_ends_after_the_deciding_one_wake_nobody(family: Family) -> None:
    children = await family.spawn(len(WAYS), need=1)
    await end_child(children[0], "succeeded")
    for child, way in zip(children[1:], WAYS[1:], strict=True):
        await end_child(child, way)
    assert await family.news() == [f"2 join {family.turn}"]
    joins, record = await family.joins(), await family.record()
    assert (joins["j:ended"], joins["j:ok"]) == ("6", "1")
    assert (record["children"], record["joins_open"]) == ("0", "0")


async def test_the_last_join_of_a_turn_to_be_decided_wakes_it(family: Family) -> None:
    """The calls of a step go on together."""
    (one,), (two,) = await family.spawn(1, "a"), await family.spawn(1, "b")
    await end_child(two, "failed")
    assert await family.news() == []
    await end_child(one, "failed")
    assert len(await family.news()) == 1


async def test_a_parked_turn_is_rung_for(family: Family) -> None:
    stage = family.stage
    (child,) = await family.spawn(1)
    parked = await stage.try_park(family.lease, family.turn, seen_seq=1, reason="children")
    assert parked is Parking.DONE
    lease, turn = await begin(child)
    assert await child.try_finish(lease, turn) is Finished.REST
    (told,) = lease.told
    assert (told.outcome, told.ring.session.id, told.ring.inbox_seq) == ("ring", "ses1", 2)
    assert await stage.is_ready()


async def test_a_driven_turn_is_told_through_its_worker(family: Family) -> None:
    (child,) = await family.spawn(1)
    lease, turn = await begin(child)
    await child.try_finish(lease, turn)
    (told,) = lease.told
    assert (told.outcome, told.worker) == ("held", "w1")
    parked = await family.stage.try_park(family.lease, family.turn, seen_seq=1)
    assert parked is Parking.NEWS


async def test_a_lost_reply_of_an_end_tells_nobody_twice(family: Family) -> None:
    (child,) = await family.spawn(1)
    lease, turn = await begin(child)
    await child.try_finish(lease, turn)
    lease.append_no -= 1
    async with unchanged(family.stage.store):
        assert await child.try_finish(lease, turn) is Finished.REST
    assert len(lease.told) == 1


@pytest.mark.parametrize("window", [1, 2, 4, 5])
async def test_a_half_empty_window_wakes_the_turn(family: Family, window: int) -> None:
    """And an empty one, should nothing have been opened since."""
    children = await family.spawn(window, total=20, window=window)
    for ended, child in enumerate(children, 1):
        before = len(await family.news())
        await end_child(child, "failed")
        open_ = window - ended
        assert len(await family.news()) - before == (open_ in {0, window // 2})
    assert "j:decided" not in await family.joins()


async def test_the_last_of_a_windowed_join_wakes_once(family: Family) -> None:
    await family.spawn(2, total=3, window=2)
    await end_child(family.child(0), "succeeded")
    assert len(await family.news()) == 1
    await family.spawn(1, first=2, total=3, window=2)
    await end_child(family.child(1), "succeeded")
    assert len(await family.news()) == 1
    await end_child(family.child(2), "succeeded")
    assert len(await family.news()) == 2


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "cancelled", "quarantined"])
async def test_a_turn_does_not_end_before_its_children(family: Family, outcome: str) -> None:
    children = await family.spawn(2, need=1)
    await end_child(children[0], "succeeded")
    stage = family.stage
    async with unchanged(stage.store):
        ended = await stage.try_finish(family.lease, family.turn, outcome=outcome)
    assert ended is Finished.CHILDREN
    await end_child(children[1], "queued")
    items = [InboxItem.parse(item.encode()) for item in await stage.items()]
    ended = await stage.try_finish(family.lease, family.turn, outcome=outcome, items=items)
    assert ended is Finished.REST
    assert await family.joins() == {}
    kinds = [event.kind for event in await stage.events()]
    assert kinds.index(f"turn.{outcome}") > max(
        i for i, kind in enumerate(kinds) if kind == "child.finished"
    )


async def test_a_turn_that_stops_its_children_is_woken_by_the_last(family: Family) -> None:
    stage = family.stage
    children = await family.spawn(3, need=1)
    await end_child(children[0], "succeeded")
    parked = await stage.try_park(
        family.lease, family.turn, seen_seq=await seq(family), reason="stopping"
    )
    assert parked is Parking.DONE
    await end_child(children[1], "queued")
    assert len(await family.news()) == 1
    await end_child(children[2], "queued")
    assert len(await family.news()) == 2


async def test_a_turn_does_not_wait_for_children_that_have_ended(family: Family) -> None:
    """The last ends between the turn's try to end and its wait: nobody would wake it."""
    children = await family.spawn(2, need=1)
    stage = family.stage
    await end_child(children[0], "succeeded")
    assert await stage.try_finish(family.lease, family.turn) is Finished.CHILDREN
    await end_child(children[1], "queued")
    seen = await seq(family)
    async with unchanged(stage.store):
        parked = await stage.try_park(family.lease, family.turn, seen_seq=seen, reason="stopping")
    assert parked is Parking.FITS
    items = [InboxItem.parse(item.encode()) for item in await stage.items()]
    assert await stage.try_finish(family.lease, family.turn, items=items) is Finished.REST


async def test_reports_go_up_level_by_level(family: Family) -> None:
    (child,) = await family.spawn(1)
    below = await Family.below(child)
    (grandchild,) = await below.spawn(1)
    await end_child(grandchild, "failed")
    assert len(await below.news()) == 1
    assert await family.news() == []
    items = [InboxItem.parse(item.encode()) for item in await child.items()]
    assert await child.try_finish(below.lease, below.turn, items=items) is Finished.REST
    assert len(await family.news()) == 1
    assert await family.stage.field("tree_running") == "0"


async def test_who_is_not_in_its_place_tells_nobody(family: Family) -> None:
    """A place that another has, or that has had its end, changes no more."""
    (child,) = await family.spawn(1)
    await family.stage.store.redis.call("HSET", family.stage.session.joins, "j:0", "ses1~other")
    before = await family.joins(), await family.record()
    await end_child(child, "succeeded")
    assert (await family.joins(), await family.record()) == before
    assert await family.news() == []
