"""The audit: nothing to find on a busy workspace, and every planted fault by its name."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bursar import sessions
from bursar.budgets.audit import BudgetAudit, Difference, audit_budgets
from bursar.budgets.checkpoints import make_checkpoint, trim_ledger
from bursar.budgets.periods import reset_now
from bursar.errors import BudgetRefused, Conflict
from bursar.leases import Lease
from bursar.store.scripts.accounts import LimitWish, set_limit
from bursar.store.scripts.budgets import EndOp, HoldRef, Path
from bursar.store.scripts.turns import Commit
from bursar.store.store import Store
from support.purse import end, money
from support.stage import Stage


@pytest.fixture
async def stage(store: Store) -> Stage:
    return await Stage.build(store)


@pytest.fixture
async def spent(stage: Stage) -> Stage:
    """500 of tokens 1 was booked, and a hold of 70 is open."""
    lease, turn = await stage.running()
    hold = await stage.reserve(lease, 600)
    await stage.commit(lease, turn, Commit(hold=hold, actual_microusd=500, actual_tokens=3))
    await stage.reserve(lease, 70, hold_id="h/2")
    return stage


async def test_it_looks_at_the_workspace_its_users_and_its_sessions(spent: Stage) -> None:
    audit = await audit_budgets(spent.store, "acme")
    assert (audit.ok, audit.differences) == (True, [])
    assert (audit.workspace, audit.accounts, audit.holds, audit.entries) == ("acme", 3, 1, 1)


async def _bend(stage: Stage, account: str, field: str, by: int) -> None:
    await stage.store.redis.call("HINCRBY", stage.ws.account(account), field, by)


FAULTS = [
    ("user:u1", "posted", 7, 500, 507),
    ("s:ses1", "posted", -1, 500, 499),
    ("ws", "pending", -70, 70, 0),
    ("ws", "tokens_posted", 4, 3, 7),
    ("s:ses1", "tokens_pending", 1, 1, 2),
    ("user:u1", "waiting", 2, 0, 2),
]


@pytest.mark.parametrize(("account", "field", "by", "expected", "found"), FAULTS)
async def test_a_bent_figure_is_named(
    spent: Stage, account: str, field: str, by: int, expected: int, found: int
) -> None:
    await _bend(spent, account, field, by)
    audit = await audit_budgets(spent.store, "acme")
    assert not audit.ok
    assert audit.differences == [Difference(account, field, expected, found)]
    await _bend(spent, account, field, -by)


async def test_more_spent_than_a_limit_allows_is_named(spent: Stage) -> None:
    await spent.store.redis.call("HSET", spent.ws.account("s:ses1"), "limit", 569)
    audit = await audit_budgets(spent.store, "acme")
    assert audit.differences == [Difference("s:ses1", "posted + pending", 569, 570)]
    await spent.store.redis.call("HSET", spent.ws.account("s:ses1"), "limit", 570)
    assert (await audit_budgets(spent.store, "acme")).ok


async def test_what_was_overdrawn_or_allowed_before_is_no_fault(spent: Stage) -> None:
    await set_limit(
        spent.store, "acme", "s:ses1", LimitWish(limit="100", per_action="100"), change_id="c1"
    )
    hold = await _open_hold(spent, Lease(spent.session, 1, "o1"))
    await end(spent, "commit", hold, actual=5000)
    assert (await audit_budgets(spent.store, "acme")).ok


async def _open_hold(stage: Stage, lease: Lease) -> HoldRef:
    """The hold that is open, once more: a repeat is answered as the first one was."""
    return await stage.reserve(lease, 70, hold_id="h/2")


async def test_an_account_that_is_gone_is_named(spent: Stage) -> None:
    call, key = spent.store.redis.call, spent.ws.account("user:u1")
    fields = await call("HGETALL", key)
    await call("DEL", key)
    audit = await audit_budgets(spent.store, "acme")
    assert audit.differences == [Difference("user:u1", "account", 1, 0)]
    await call("HSET", key, *[part for pair in fields.items() for part in pair])


async def test_a_hold_without_a_record_and_one_without_a_timer_are_named(spent: Stage) -> None:
    call, ws = spent.store.redis.call, spent.ws
    timer = spent.session.timer("hold", "h/2")
    due = await call("ZSCORE", ws.shard.timers, timer)
    await call("ZREM", ws.shard.timers, timer)
    audit = await audit_budgets(spent.store, "acme")
    assert {(one.field, one.expected, one.found) for one in audit.differences} == {
        ("pending", 0, 70), ("tokens_pending", 0, 1),
    }  # fmt: skip
    await call("ZADD", ws.shard.timers, int(due), timer)
    await call("ZADD", ws.shard.timers, 1, "hold acme/ses1 h/3")
    audit = await audit_budgets(spent.store, "acme")
    assert audit.differences == [Difference("", "hold h/3", 1, 0)]
    await call("ZREM", ws.shard.timers, "hold acme/ses1 h/3")


async def test_holds_of_a_workspace_whose_name_begins_alike_are_not_counted(
    store: Store, stage: Stage
) -> None:
    shard = stage.ws.shard.shard
    name = next(
        name
        for number in itertools.count()
        if store.workspace(name := f"acme{number}").shard.shard == shard
    )
    other = await Stage.build(store, workspace=name)
    lease, _ = await other.running()
    await other.reserve(lease, 5)
    audit = await audit_budgets(store, "acme")
    assert (audit.ok, audit.holds) == (True, 0)


async def test_a_missing_entry_shows_in_every_account_of_its_path(spent: Stage) -> None:
    call = spent.store.redis.call
    ((entry, fields),) = await call("XRANGE", spent.ws.ledger, "-", "+")
    await call("XDEL", spent.ws.ledger, entry)
    audit = await audit_budgets(spent.store, "acme")
    assert [(one.account, one.field) for one in audit.differences] == [
        (account, field)
        for account in ("ws", "user:u1", "s:ses1")
        for field in ("posted", "tokens_posted")
    ]
    await call("XADD", spent.ws.ledger, "*", *[part for pair in fields.items() for part in pair])


async def test_a_session_that_took_the_id_of_a_deleted_one_starts_from_zero(
    spent: Stage,
) -> None:
    await end(spent, "release", await _open_hold(spent, Lease(spent.session, 1, "o1")))
    await spent.expire_lease()
    turn = await spent.field("turn")
    await spent.finish((await spent.claim("o2")).lease, turn)
    await asyncio.sleep(0.002)
    await sessions.delete(spent.store, "acme", "ses1")
    audit = await audit_budgets(spent.store, "acme")
    assert (audit.ok, audit.accounts) == (True, 2)
    await asyncio.sleep(0.002)
    await spent.open()
    audit = await audit_budgets(spent.store, "acme")
    assert (audit.ok, audit.accounts) == (True, 3)


async def test_a_reset_and_a_correction_from_before_it_add_up(spent: Stage) -> None:
    hold = await _open_hold(spent, Lease(spent.session, 1, "o1"))
    await end(spent, "expire", hold)
    await reset_now(spent.store, "acme", "ws")
    await end(spent, "commit", hold, actual=20)
    audit = await audit_budgets(spent.store, "acme")
    assert audit.differences == []
    assert (await money(spent, "ws"), await money(spent)) == ((0, 0), (520, 0))


class Crowd:
    """Five sessions of two trees in which everything happens at once."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.rng = random.Random(20261125)
        self.number = 0
        self.over = False
        self.counted = 0

    async def build(self) -> None:
        root = await Stage.build(self.store, limit="400000", session_limit=100_000)
        self.ws = root.ws
        self.hands: list[tuple[Stage, Lease, Path]] = []
        for sid, parent in (("ses1", ""), ("kid1", "ses1"), ("kid2", "ses1"), ("ses2", "")):
            stage = root.other(sid)
            if sid != "ses1":
                await stage.open(limit=50_000, per_action=50_000, parent=parent)
            lease, _ = await stage.running()
            above = (parent,) if parent else ()
            self.hands.append((stage, lease, Path.of(stage.session, user="u1", ancestors=above)))

    async def spend(self, hand: tuple[Stage, Lease, Path]) -> None:
        stage, lease, path = hand
        while not self.over:
            self.number += 1
            cost = self.rng.randrange(0, 400)
            try:
                hold = await stage.reserve(
                    lease, cost, hold_id=f"h/{self.number}", path=path, sent=self.rng.random() < 0.5
                )
            except BudgetRefused:
                name = self.rng.choice(path.names)
                await reset_now(self.store, "acme", name)
                if name.startswith("s:"):
                    await self.acknowledge(name)
                continue
            await asyncio.sleep(0)
            op: EndOp = self.rng.choice(["commit", "commit", "release", "expire"])
            await end(stage, op, hold, actual=self.rng.randrange(0, cost + 20))
            if op == "expire" and self.rng.random() < 0.5:
                await end(stage, "commit", hold, actual=cost // 2)
            self.counted += 1

    async def acknowledge(self, name: str) -> None:
        self.number += 1
        limit = str(self.rng.randrange(20_000, 60_000))
        wish = LimitWish(limit=limit, acknowledge=True)
        await set_limit(self.store, "acme", name, wish, change_id=f"c{self.number}")

    @asynccontextmanager
    async def busy(self, *, checkpoints: bool) -> AsyncIterator[None]:
        work = [asyncio.create_task(self.spend(hand)) for hand in self.hands]
        if checkpoints:
            work.append(asyncio.create_task(self.checkpoint()))
        try:
            yield
        finally:
            self.over = True
            await asyncio.gather(*work)

    async def checkpoint(self) -> None:
        while not self.over:
            made = await make_checkpoint(self.store, "acme", force=True)
            if self.rng.random() < 0.7:
                await trim_ledger(self.store, "acme", made.checkpoint)
            await asyncio.sleep(0.05)


@pytest.fixture
async def crowd(store: Store) -> Crowd:
    crowd = Crowd(store)
    await crowd.build()
    return crowd


@pytest.mark.parametrize("checkpoints", [False, True])
async def test_it_is_exact_while_everything_happens_at_once(
    crowd: Crowd, checkpoints: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One account a lot, so that each is read at a moment of its own."""
    monkeypatch.setattr("bursar.budgets.audit._LOT", 1)
    monkeypatch.setattr("bursar.budgets.checkpoints._LOT", 1)
    audits, moved = 0, 0
    async with crowd.busy(checkpoints=checkpoints):
        # So much has to happen meanwhile that something is shown.
        while audits < 10 or moved < 500:
            before = crowd.counted
            audit = await _audit(crowd)
            assert audit.differences == []
            moved += crowd.counted - before
            audits += 1
        await _bend_and_find(crowd, "kid1")
    assert (await audit_budgets(crowd.store, "acme")).ok


async def _audit(crowd: Crowd) -> BudgetAudit:
    """An audit, begun anew where checkpoints come faster than it reads."""
    while True:
        try:
            return await audit_budgets(crowd.store, "acme")
        except Conflict as conflict:
            if conflict.code != "ledger_busy":
                raise


async def _bend_and_find(crowd: Crowd, sid: str) -> None:
    """A fault planted while all goes on is found, and no other."""
    key = crowd.ws.account(f"s:{sid}")
    await crowd.store.redis.call("HINCRBY", key, "tokens_pending", 1)
    audit = await _audit(crowd)
    ((account, field, off),) = {
        (one.account, one.field, one.found - one.expected) for one in audit.differences
    }
    assert (account, field, off) == (f"s:{sid}", "tokens_pending", 1)
    await crowd.store.redis.call("HINCRBY", key, "tokens_pending", -1)
