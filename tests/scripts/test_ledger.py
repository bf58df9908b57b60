"""Checkpoints and trimming: nothing is dropped that an account is made of."""

from collections.abc import Callable
from typing import Any

import pytest

from bursar.budgets.audit import audit_budgets
from bursar.budgets.checkpoints import Checkpoint, Trimmed, make_checkpoint, trim_ledger
from bursar.budgets.ledger import walk_ledger
from bursar.budgets.periods import reset_now
from bursar.errors import Conflict
from bursar.leases import Lease
from bursar.store.codec import text
from bursar.store.scripts import ledger as scripts
from support.purse import account, end, ledger, money
from support.schema import undocumented
from support.stage import Stage, unchanged


async def spend(stage: Stage, lease: Lease, *amounts: int) -> None:
    for amount in amounts:
        hold = await stage.reserve(lease, amount, hold_id=f"h/{await _count(stage)}")
        await end(stage, "commit", hold, actual=amount)


async def _count(stage: Stage) -> int:
    return int(await stage.store.redis.call("XLEN", stage.ws.ledger))


async def ids(stage: Stage) -> list[str]:
    entries = await stage.store.redis.call("XRANGE", stage.ws.ledger, "-", "+")
    return [text(entry) for entry, _ in entries]


async def test_a_checkpoint_says_what_each_account_has_spent(stage: Stage, lease: Lease) -> None:
    await spend(stage, lease, 300, 200)
    await reset_now(stage.store, "acme", "user:u1")
    made = await make_checkpoint(stage.store, "acme")
    begin, *carried = (await ledger(stage))[-3:]
    assert begin["op"] == "checkpoint"
    assert made == Checkpoint((await ids(stage))[-3], 2)
    assert [
        (one["op"], one["id"], one["account"], one["posted"], one["tokens"], one["overrun"])
        for one in carried
    ] == [
        ("carried_forward", begin["id"], "ws", "500", "0", "0"),
        ("carried_forward", begin["id"], "s:ses1", "500", "0", "0"),
    ]
    assert await stage.hash(stage.ws.hash) | {"checkpoint": made.checkpoint} == await stage.hash(
        stage.ws.hash
    )
    assert (await audit_budgets(stage.store, "acme")).ok


async def test_what_is_before_a_checkpoint_goes_and_the_sums_stay(
    stage: Stage, lease: Lease
) -> None:
    await spend(stage, lease, 300, 200)
    made = await make_checkpoint(stage.store, "acme")
    await spend(stage, lease, 7)
    left = [entry for entry in await ids(stage) if entry >= made.checkpoint]
    assert await trim_ledger(stage.store, "acme", made.checkpoint) == Trimmed(2, more=False)
    assert await ids(stage) == left
    assert await money(stage) == (507, 0)
    audit = await audit_budgets(stage.store, "acme")
    assert (audit.ok, audit.entries) == (True, 4)
    if stage.store.redis.real:
        assert await undocumented(stage.store) == []


async def test_a_trimmed_ledger_still_shows_what_is_wrong(stage: Stage, lease: Lease) -> None:
    await spend(stage, lease, 300)
    made = await make_checkpoint(stage.store, "acme")
    await trim_ledger(stage.store, "acme", made.checkpoint)
    await spend(stage, lease, 5)
    key = stage.ws.account("s:ses1")
    await stage.store.redis.call("HINCRBY", key, "posted", 1)
    ((difference,)) = (await audit_budgets(stage.store, "acme")).differences
    assert (difference.account, difference.expected, difference.found) == ("s:ses1", 305, 306)
    await stage.store.redis.call("HINCRBY", key, "posted", -1)


async def test_a_checkpoint_does_not_hide_what_is_wrong_unless_forced(
    stage: Stage, lease: Lease
) -> None:
    await spend(stage, lease, 300)
    await stage.store.redis.call("HINCRBY", stage.ws.account("ws"), "posted", 9)
    async with unchanged(stage.store):
        with pytest.raises(Conflict) as caught:
            await make_checkpoint(stage.store, "acme")
    assert caught.value.code == "accounts_differ"
    await make_checkpoint(stage.store, "acme", force=True)
    assert (await audit_budgets(stage.store, "acme")).ok


async def _begun(stage: Stage, lease: Lease) -> str:
    """A checkpoint whose maker died: it has begun, and one of the accounts had its turn."""
    begun, _ = await scripts.carry_forward(stage.store, stage.ws, checkpoint_id="chk1")
    carry = scripts.carry_forward(stage.store, stage.ws, ["ws"], checkpoint_id="chk1", begun=begun)
    assert await carry == (begun, 1)
    return begun


async def test_before_one_that_was_not_finished_nothing_goes(stage: Stage, lease: Lease) -> None:
    await spend(stage, lease, 300)
    begun = await _begun(stage, lease)
    async with unchanged(stage.store):
        with pytest.raises(Conflict) as caught:
            await trim_ledger(stage.store, "acme", begun)
    assert caught.value.code == "no_checkpoint"
    assert "checkpoint" not in await stage.hash(stage.ws.hash)
    await spend(stage, lease, 20)
    assert (await audit_budgets(stage.store, "acme")).ok
    made = await make_checkpoint(stage.store, "acme")
    assert await trim_ledger(stage.store, "acme", made.checkpoint) == Trimmed(4, more=False)
    assert (await audit_budgets(stage.store, "acme")).ok


PLACES: list[tuple[str, Callable[[str], str]]] = [
    ("the newest entry", lambda checkpoint: f"{int(checkpoint.split('-')[0]) + 9999}-0"),
    ("one behind it", lambda checkpoint: f"{checkpoint.split('-')[0]}-9"),
]


@pytest.mark.parametrize(("what", "place"), PLACES, ids=[what for what, _ in PLACES])
async def test_nothing_behind_a_checkpoint_goes(
    stage: Stage, lease: Lease, what: str, place: Callable[[str], str]
) -> None:
    await spend(stage, lease, 300)
    made = await make_checkpoint(stage.store, "acme")
    async with unchanged(stage.store):
        with pytest.raises(Conflict):
            await trim_ledger(stage.store, "acme", place(made.checkpoint))


async def test_an_older_checkpoint_is_as_good_and_the_newer_one_counts(
    stage: Stage, lease: Lease
) -> None:
    await spend(stage, lease, 1)
    older = await make_checkpoint(stage.store, "acme")
    await spend(stage, lease, 2)
    newer = await make_checkpoint(stage.store, "acme")
    late, carried = await scripts.carry_forward(
        stage.store, stage.ws, checkpoint_id="chk1", begun=older.checkpoint, last=True
    )
    assert (late, carried) == (older.checkpoint, 0)
    assert (await stage.hash(stage.ws.hash))["checkpoint"] == newer.checkpoint
    assert (await trim_ledger(stage.store, "acme", older.checkpoint)).entries == 1
    assert (await audit_budgets(stage.store, "acme")).ok


@pytest.mark.parametrize("at_most", [2, 3, 5, 6])
async def test_trimming_goes_in_parts_and_can_stop_after_each(
    stage: Stage, lease: Lease, at_most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bursar.budgets.checkpoints._AT_ONCE", 2)
    await spend(stage, lease, 1, 2, 3, 4, 5)
    made = await make_checkpoint(stage.store, "acme")
    dropped, rounds = 0, 0
    more = True
    while more:
        done = await trim_ledger(stage.store, "acme", made.checkpoint, at_most=at_most)
        dropped, more, rounds = dropped + done.entries, done.more, rounds + 1
        assert (await audit_budgets(stage.store, "acme")).ok, "also half way"
        assert rounds < 10
    assert dropped == 5
    assert (await ids(stage))[0] == made.checkpoint
    assert (rounds > 1) == (at_most < 5)


async def test_accounts_come_a_lot_at_a_time_and_all_of_them(
    stage: Stage, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bursar.budgets.checkpoints._LOT", 2)
    await spend(stage, lease, 5)
    made = await make_checkpoint(stage.store, "acme")
    names = [one["account"] for one in await ledger(stage) if one["op"] == "carried_forward"]
    assert (names, made.accounts) == (["ws", "user:u1", "s:ses1"], 3)
    assert (await account(stage, "ws"))["posted"] == "5"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0, 1, 2, 3]),
        ({"after": 1}, [2, 3]),
        ({"before": 2}, [0, 1]),
        ({"after": 0, "before": 3}, [1, 2]),
        ({"after": 3}, []),
    ],
)
async def test_the_ledger_is_walked_page_by_page_between_two_entries(
    stage: Stage, lease: Lease, options: dict[str, int], expected: list[int]
) -> None:
    await spend(stage, lease, 1, 2, 3, 4)
    entries = await ids(stage)
    named: dict[str, Any] = {name: entries[index] for name, index in options.items()}
    pages = [page async for page in walk_ledger(stage.store, "acme", at_once=2, **named)]
    assert all(len(page) <= 2 for page in pages)
    assert [one["entry"] for page in pages for one in page] == [entries[i] for i in expected]


async def test_a_walk_begins_at_a_moment(stage: Stage, lease: Lease) -> None:
    await spend(stage, lease, 1, 2)
    first, second = await ids(stage)
    since_ms = int(second.split("-")[0])
    pages = [page async for page in walk_ledger(stage.store, "acme", since_ms=since_ms)]
    found = [one["entry"] for page in pages for one in page]
    assert found[-1] == second
    assert (first in found) == (int(first.split("-")[0]) == since_ms)
    late = [page async for page in walk_ledger(stage.store, "acme", since_ms=since_ms + 1)]
    assert late == []
    both = walk_ledger(stage.store, "acme", after=first, since_ms=since_ms + 1)
    assert [page async for page in both] == []
