"""Plays a ledger and its model side by side: every call goes to both, and both answer alike."""

from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from bursar.errors import BudgetRefused, Conflict, Fenced, InvalidInput
from bursar.leases import Lease
from bursar.store.scripts import accounts, budgets, parking, waiters
from bursar.store.scripts.accounts import LimitWish
from bursar.store.scripts.budgets import EndOp, HoldRef, HoldWish, Path
from bursar.store.scripts.leases import Ring
from bursar.store.scripts.parking import MoneyWait, Parking
from bursar.store.scripts.waiters import How
from bursar.store.store import Store
from support.money import Account, Hold, Purse, Refusal
from support.stage import LEASE_MS, Stage

__all__ = ["LIMIT", "NAMES", "SECRET", "WAITERS", "Till"]

NAMES = ("ws", "user:u1", "s:root", "s:ses1")
WAITERS = ("w0", "w1", "w2")
LIMIT = 200
SECRET = "s3cret"
_WEIGHT = {"freed": 1, "raised": 2}
Again = Callable[[], Coroutine[Any, Any, None]]


@dataclass
class Guest:
    """A session of its own, whose turn may stand in an account's line."""

    stage: Stage
    lease: Lease
    turn: str
    account: str = ""
    """Where its turn waits; empty while it runs."""
    woken: str = ""

    @property
    def name(self) -> str:
        return self.stage.session.id


@dataclass
class Till:
    """``again`` repeats the last call, as after a lost reply, and checks the answer."""

    store: Store
    again: Again | None = None
    refs: dict[str, HoldRef] = field(default_factory=dict)
    entries: Counter[str] = field(default_factory=Counter)

    async def build(self) -> None:
        await self.store.redis.call("FLUSHALL")
        root = await Stage.build(
            self.store, sid="root", limit=str(3 * LIMIT), session_limit=LIMIT, per_action=LIMIT
        )
        self.stage = root.other("ses1")
        await self.stage.open(limit=LIMIT, per_action=LIMIT // 2, parent="root")
        self.lease, self.turn = await self.stage.running()
        self.path = Path.of(self.stage.session, user="u1", ancestors=("root",))
        kept = self.store.settings.closing_microusd
        self.purse = Purse(
            {
                "ws": Account(3 * LIMIT),
                "user:u1": Account(None),
                "s:root": Account(LIMIT, per_action=LIMIT, kept_max=kept),
                "s:ses1": Account(LIMIT, per_action=LIMIT // 2, kept_max=kept),
            }
        )
        self.guests = []
        for name in WAITERS:
            stage = root.other(name)
            await stage.open()
            self.guests.append(Guest(stage, *await stage.running()))

    @property
    def epoch(self) -> int:
        return self.lease.epoch

    def open_holds(self) -> list[str]:
        return [hold_id for hold_id, hold in self.purse.holds.items() if hold.state == "open"]

    def ended_holds(self) -> list[str]:
        return [hold_id for hold_id, hold in self.purse.holds.items() if hold.state != "open"]

    # Holds

    async def _reserve(
        self, hold_id: str, cost: int, tokens: int, *, sent: bool, closing: bool
    ) -> HoldRef:
        wish = HoldWish(
            hold_id=hold_id,
            secret=SECRET,
            cost_microusd=cost,
            tokens=tokens,
            sent=sent,
            ttl_ms=LEASE_MS,
            turn=self.turn,
            step=1,
            kind="closing:m" if closing else "model:m",
            price="flat",
        )
        return await budgets.reserve(self.store, self.lease, self.path, wish)

    async def reserve(
        self, hold_id: str, cost: int, tokens: int, *, sent: bool, closing: bool
    ) -> None:
        expected = self.purse.refuses(cost, tokens, closing=closing)

        async def call() -> None:
            found: Refusal | None = None
            try:
                ref = await self._reserve(hold_id, cost, tokens, sent=sent, closing=closing)
                assert ref.secret == SECRET
                self.refs[hold_id] = ref
            except BudgetRefused as refused:
                found = _refusal(refused)
            except Conflict as conflict:
                found = Refusal(conflict.code, NAMES[-1], "microusd", 0)
            assert found == expected

        await call()
        if expected is None:
            capped = self.purse.own.per_turn is not None
            hold = Hold(cost, tokens, sent, capped, self.epoch)
            warned = any(account.warned for account in self.purse.accounts.values())
            assert self.refs[hold_id].warned == warned
            self.purse.hold(hold_id, hold, closing=closing)
        self.again = call

    async def reserve_stale(self, *, other_owner: bool) -> None:
        ours = self.lease
        self.lease = replace(ours, owner="thief") if other_owner else replace(ours, epoch=0)
        with pytest.raises(Fenced):
            await self._reserve("stale", 1, 1, sent=True, closing=False)
        self.lease = ours

    async def reserve_other_amount(self, hold_id: str) -> None:
        hold = self.purse.holds[hold_id]
        with pytest.raises(Conflict) as caught:
            await self._reserve(hold_id, hold.cost + 1, hold.tokens, sent=True, closing=False)
        assert caught.value.code == "id_conflict"

    async def end(
        self,
        hold_id: str,
        op: EndOp,
        actual: int = 0,
        tokens: int = 0,
        *,
        only_if_due: bool = False,
    ) -> budgets.EndedHold | None:
        ref = self.refs[hold_id]
        return await budgets.end_hold(
            self.store,
            self.stage.session,
            op=op,
            hold_id=hold_id,
            names=ref.names,
            turn=self.turn,
            secret=SECRET,
            actual_microusd=actual,
            tokens=tokens,
            only_if_due=only_if_due,
        )

    async def end_open(self, hold_id: str, op: EndOp, actual: int, tokens: int) -> None:
        frozen = [name for name, account in self.purse.accounts.items() if account.frozen]
        ended = await self.end(hold_id, op, actual, tokens)
        self.purse.end(hold_id, op, actual, tokens)
        hold = self.purse.holds[hold_id]
        assert ended is not None
        assert (ended.state, ended.actual_microusd) == (hold.state, hold.actual)
        assert set(ended.waiting) == {n for n, a in self.purse.accounts.items() if a.line}
        fresh = [n for n, a in self.purse.accounts.items() if a.frozen and n not in frozen]
        assert ended.overdrawn in {*fresh, *frozen} if ended.overdrawn else not fresh
        self.entries["end"] += 1
        self.again = lambda: self.repeat_end(hold_id, op, actual, tokens)

    async def repeat_end(self, hold_id: str, op: EndOp, actual: int, tokens: int) -> None:
        """One that ended answers as it ended; a late commit lowers one that was booked in full."""
        hold = self.purse.holds[hold_id]
        if op == "commit" and hold.state == "unconfirmed":
            await self.lower(hold_id, op, actual, tokens)
            return
        ended = await self.end(hold_id, op, actual, tokens)
        assert ended is not None
        assert (ended.state, ended.actual_microusd) == (hold.state, hold.actual)

    async def lower(self, hold_id: str, op: EndOp, actual: int, tokens: int) -> None:
        hold = self.purse.holds[hold_id]
        if op == "adjust" and hold.state == "open":
            await self._conflict(self.end(hold_id, op, actual, tokens), "hold_open")
        elif op == "adjust" and hold.state != "released" and actual > hold.actual:
            await self._conflict(self.end(hold_id, op, actual, tokens), "not_lower")
        else:
            changes = hold.actual > actual or hold.actual_tokens > tokens
            ended = await self.end(hold_id, op, actual, tokens)
            if hold.state != "released":
                self.entries["adjust"] += changes
                self.purse.lower(hold_id, actual, tokens)
            assert ended is not None
            assert (ended.state, ended.actual_microusd) == (hold.state, hold.actual)
            self.again = lambda: self.repeat_end(hold_id, op, actual, tokens)

    async def _conflict(self, call: Awaitable[Any], code: str) -> None:
        with pytest.raises(Conflict) as caught:
            await call
        assert caught.value.code == code

    async def sweep(self, hold_id: str, *, due: bool, lease_over: bool) -> None:
        """The sweeper ends a hold whose time has come, unless its lease is alive."""
        session, hold = self.stage.session, self.purse.holds[hold_id]
        if due:
            await self.stage.make_due(self.stage.ws.shard.timers, session.timer("hold", hold_id))
        until = await self.stage.field("lease_until_ms")
        if lease_over:
            await self.stage.expire_lease()
        ended = await self.end(hold_id, "expire", only_if_due=True)
        await self.store.redis.call("HSET", session.hash, "lease_until_ms", until)
        alive = not lease_over and hold.epoch == self.epoch
        assert (ended is None) == (not due or alive)
        if ended is not None:
            self.purse.end(hold_id, "expire", 0, 0)
            self.entries["end"] += 1
            self.again = None

    async def take_over(self) -> None:
        """Another worker goes on: what the one before it held is ended by whoever comes first."""
        stale = self.lease
        await self.stage.expire_lease()
        self.lease = (await self.stage.claim(owner=f"o{stale.epoch}")).lease
        assert self.epoch > stale.epoch

    # Accounts

    async def change(self, change_id: str, name: str, wish: LimitWish) -> bool:
        """False if the change is refused."""
        account = self.purse.accounts[name]
        action_max = self.store.settings.per_action_limit_microusd

        async def call() -> bool:
            return await accounts.set_limit(self.store, "acme", name, wish, change_id=change_id)

        async def again() -> None:
            assert await call()

        if not account.change(wish, action_max):
            with pytest.raises(InvalidInput):
                await call()
            return False
        assert await call() == bool(account.line)
        self.entries["change"] += 1
        self.again = again
        return True

    async def change_otherwise(self, change_id: str, name: str) -> None:
        wish = LimitWish(limit="77", token_limit="77")
        with pytest.raises(Conflict) as caught:
            await accounts.set_limit(self.store, "acme", name, wish, change_id=change_id)
        assert caught.value.code == "id_conflict"

    async def reset(self, change_id: str, name: str, *, due: bool) -> None:
        account = self.purse.accounts[name]
        due_ms = 1000 if due else None
        if due:
            await self.store.redis.call("HSET", self.stage.ws.account(name), "resets_ms", 1000)

        async def call() -> bool:
            return await accounts.reset_account(
                self.store, "acme", name, change_id=change_id, due_ms=due_ms, next_ms=10**14
            )

        async def again() -> None:
            # A period that began twice says nothing; what people asked for twice wakes once more.
            assert await call() != due

        assert await call() == bool(account.line)
        account.reset()
        self.entries["reset"] += 1
        self.again = again

    # Waiting

    async def wait(self, guest: Guest, name: str, cost: int, tokens: int, *, keeps: bool) -> None:
        """A guest's turn is to wait until an amount fits."""
        account = self.purse.accounts[name]
        keeps = keeps and name in {NAMES[2], NAMES[3]}
        asks = guest.stage.event("budget.exhausted", guest.turn)
        parked = await parking.park_for_money(
            self.store,
            guest.lease,
            guest.turn,
            MoneyWait(name, cost, tokens, keeps, asks.body),
            seen_seq=int(await guest.stage.field("inbox_seq")),
            events=[guest.stage.event("turn.waiting", guest.turn)],
        )
        asked = account.asked
        waits = account.queue(guest.name, cost, tokens, keeps=keeps)
        assert parked is (Parking.DONE if waits else Parking.FITS)
        if waits:
            guest.account, guest.woken = name, ""
            newest = [event.kind for event in await guest.stage.events()][-2:]
            assert ("budget.exhausted" in newest) == (account.asked and not asked)

    async def wake(self, name: str, how: How) -> None:
        """Whoever frees money, or the sweeper, wakes those that may go on."""
        found = await waiters.may_go_on(self.store, self.stage.ws, name, [])
        assert [waiter.session for waiter in found] == self.purse.accounts[name].may_go_on()
        for waiter in found:
            guest = next(guest for guest in self.guests if guest.name == waiter.session)
            ring = await waiters.wake(self.store, self.stage.ws, waiter, how)
            told = _WEIGHT.get(guest.woken, 0) >= _WEIGHT[how]
            assert ring is None if told else isinstance(ring, Ring)
            guest.woken = guest.woken if told else how

    async def go_on(self, guest: Guest) -> None:
        """A turn that was woken runs again, and leaves the line."""
        claimed = await guest.stage.claim(owner=f"g{guest.lease.epoch}")
        fields = await guest.stage.hash(guest.stage.ws.turn(guest.turn))
        items = [item for item in claimed.inbox if item.kind == "budget"]
        await parking.resume(
            self.store,
            claimed.lease,
            guest.turn,
            items,
            [guest.stage.event("turn.resumed", guest.turn)],
            account=guest.account,
            waiter=fields["waiter"],
        )
        account = self.purse.accounts[guest.account]
        account.line = [waiter for waiter in account.line if waiter.session != guest.name]
        self.guests[self.guests.index(guest)] = Guest(guest.stage, claimed.lease, guest.turn)


def _refusal(refused: BudgetRefused) -> Refusal:
    found = refused.details
    unit = found["unit"]
    return Refusal(found["kind"], found["account"], unit, found[f"available_{unit}"])
