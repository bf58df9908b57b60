"""How many of a tree run at once, and how trees share the places of their workspace."""

from typing import Any

import pytest

from bursar.leases import Claimed, ClaimRefused
from bursar.store.codec import text_list
from bursar.store.scripts import leases, sessions
from bursar.store.store import Store
from support.family import Family, end_child, with_settings
from support.stage import Stage, claimant


async def claim(stage: Stage, store: Store, owner: str) -> Claimed | ClaimRefused:
    return await leases.claim(store, stage.session, claimant(), owner=owner)


async def cap(stage: Stage, running: Any) -> None:
    await sessions.open_workspace(
        stage.store, "acme", limit="unlimited", warn_percent=80, settings={"max_running": running}
    )


async def in_line(stage: Stage, key: str) -> list[str]:
    return text_list(await stage.store.redis.call("ZRANGE", key, 0, -1))


@pytest.fixture
async def family(stage: Stage) -> Family:
    return await Family.of(stage)


async def test_children_over_the_trees_cap_wait_in_its_line(family: Family) -> None:
    two = with_settings(family.stage.store, max_tree_running=2)
    rung = await family.give(family.wish(5), two)
    assert rung == [family.child(slot).session.id for slot in (0, 1)]
    line = family.stage.session.tree_blocked
    assert sorted(await in_line(family.stage, line)) == sorted(
        family.child(slot).session.ref for slot in (2, 3, 4)
    )
    for slot in range(5):
        blocked = await family.child(slot).field("blocked")
        assert (blocked, await family.child(slot).is_ready()) == (
            ("", True) if slot < 2 else ("tree", False)
        )
    assert await family.give(family.wish(1, "k"), two) == [], "behind those that wait"


async def test_a_place_that_comes_free_goes_to_the_first_of_the_line(family: Family) -> None:
    two = with_settings(family.stage.store, max_tree_running=2)
    await family.give(family.wish(3), two)
    line = family.stage.session.tree_blocked
    first = await claim(family.child(0), two, "c0")
    second = await claim(family.child(1), two, "c1")
    assert isinstance(first, Claimed)
    assert isinstance(second, Claimed)
    third = family.child(2)
    assert await claim(third, two, "c2") == ClaimRefused("blocked", "tree")
    assert await leases.unblock(two, third.session, why="tree", list_key=line) is None
    assert await leases.release(two, first.lease) is not None
    assert first.lease.next_blocked == [f"tree {third.session.ref}"]
    assert await leases.unblock(two, third.session, why="tree", list_key=line) is not None
    assert isinstance(await claim(third, two, "c2"), Claimed)
    assert await in_line(family.stage, family.stage.ws.shard.blocked) == []
    assert await claim(family.child(0), two, "c3") == ClaimRefused("blocked", "tree")


async def test_a_session_that_is_claimed_out_of_turn_leaves_the_line(family: Family) -> None:
    """Else the next place that comes free would be offered to it, and to nobody behind it."""
    one = with_settings(family.stage.store, max_tree_running=1)
    await family.give(family.wish(3), one)
    early, last = family.child(1), family.child(2)
    claimed = await claim(early, one, "c1")
    assert isinstance(claimed, Claimed)
    line = family.stage.session.tree_blocked
    assert await in_line(family.stage, line) == [last.session.ref]
    assert await leases.release(one, claimed.lease) is not None
    assert claimed.lease.next_blocked == [f"tree {last.session.ref}"]


async def test_a_session_that_is_taken_over_keeps_its_place(family: Family) -> None:
    one = with_settings(family.stage.store, max_tree_running=1)
    await family.give(family.wish(1), one)
    child = family.child(0)
    assert isinstance(await claim(child, one, "c0"), Claimed)
    await child.expire_lease()
    assert isinstance(await claim(child, one, "c1"), Claimed)
    assert await family.stage.field("tree_running") == "1"


async def test_the_root_takes_no_place_of_its_tree(family: Family) -> None:
    assert await family.stage.field("tree_running") == ""
    await family.spawn(1)
    await end_child(family.child(0), "succeeded")
    assert await family.stage.field("tree_running") == "0"


async def test_a_tree_with_a_hundred_in_line_delays_another_by_one(family: Family) -> None:
    """Each tree has one place in a round of the workspace's line."""
    stage, store = family.stage, with_settings(family.stage.store, max_tree_running=1000)
    await cap(stage, 1)
    for start in range(0, 100, 20):
        await family.give(family.wish(20, first=start, total=100), store)
    line = stage.ws.shard.blocked_cap("acme")
    for slot in range(100):
        refused = await claim(family.child(slot), store, "c")
        assert refused == ClaimRefused("blocked", "cap")
    await let_in(stage, line, family.child(0))
    other = stage.other("ses2")
    await other.open()
    await other.put()
    assert await claim(other, store, "c") == ClaimRefused("blocked", "cap")
    order = await in_line(stage, line)
    assert order[0] == family.child(1).session.ref or order[0] == other.session.ref
    assert other.session.ref in order[:2]
    assert [ref for ref in order if ref != other.session.ref] == [
        family.child(slot).session.ref for slot in range(1, 100)
    ]


async def let_in(stage: Stage, line: str, first: Stage) -> None:
    """A place comes free, and goes to the first of the line."""
    await cap(stage, 2)
    assert (await in_line(stage, line))[0] == first.session.ref
    assert await leases.unblock(stage.store, first.session, why="cap", list_key=line) is not None
    await cap(stage, 1)


async def test_trees_take_turns_in_the_line_of_the_workspace(family: Family) -> None:
    stage, store = family.stage, family.stage.store
    await family.spawn(3)
    other = stage.other("ses2")
    await other.open()
    second = await Family.of(other)
    await second.spawn(3)
    await cap(stage, 1)
    children = [family.child(i) for i in range(3)] + [second.child(i) for i in range(3)]
    for child in children:
        assert await claim(child, store, "c") == ClaimRefused("blocked", "cap")
    line = await in_line(stage, stage.ws.shard.blocked_cap("acme"))
    expected = [each.child(slot).session.ref for slot in range(3) for each in (family, second)]
    assert line == expected


async def test_a_late_bell_takes_no_further_place_in_the_line(family: Family) -> None:
    stage, store = family.stage, family.stage.store
    await family.spawn(2)
    await cap(stage, 1)
    for _ in range(10):
        assert await claim(family.child(0), store, "c") == ClaimRefused("blocked", "cap")
    assert await claim(family.child(1), store, "c") == ClaimRefused("blocked", "cap")
    assert await stage.field("cap_round") == "2"
