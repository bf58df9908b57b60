"""Whatever order things come in: accounts, holds and ledger agree with a model of twenty lines."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from bursar.embedded import EmbeddedServer
from bursar.errors import BudgetRefused, Conflict
from bursar.leases import Lease
from bursar.settings import Settings
from bursar.store.codec import text
from bursar.store.opening import open_store
from bursar.store.scripts import budgets
from bursar.store.scripts.budgets import EndOp, HoldRef, Path, end_hold
from bursar.store.store import Store
from support.invariants import check_accounts
from support.stage import Stage

T = TypeVar("T")

NAMES = ("ws", "user:u1", "s:root", "s:ses1")
COSTS = st.integers(0, 60)
LIMIT = 100
PER_ACTION = 50


@dataclass
class Account:
    """What an account should hold; ``limit`` None is unlimited."""

    limit: int | None
    posted: int = 0
    pending: int = 0
    floor: int = 0
    overrun: int = 0

    def fits(self, cost: int) -> bool:
        return self.limit is None or self.posted + self.pending + cost <= self.limit

    def settle(self, cost: int, actual: int) -> None:
        self.pending -= cost
        self.posted += actual
        if self.limit is not None:
            bound = max(self.limit, self.floor) + self.overrun
            self.overrun += max(0, self.posted + self.pending - bound)

    def change(self, limit: int | None) -> None:
        if limit == self.limit:
            return
        used = self.posted + self.pending
        self.floor = max(used, self.floor) if limit is not None and used > limit else 0
        self.limit = limit


@dataclass
class Purse:
    """The accounts of one path, and the holds on it that are open."""

    store: Store
    accounts: dict[str, Account] = field(default_factory=dict)
    open: dict[str, tuple[HoldRef, bool]] = field(default_factory=dict)
    ended: list[HoldRef] = field(default_factory=list)
    per_action: int = PER_ACTION

    async def build(self) -> None:
        await self.store.redis.call("FLUSHALL")
        self.stage = await Stage.build(
            self.store, sid="root", session_limit=LIMIT, per_action=LIMIT
        )
        child = self.stage.other("ses1")
        await child.open(limit=LIMIT, per_action=PER_ACTION, parent="root")
        self.stage = child
        lease, _ = await child.running()
        self.lease: Lease = lease
        self.path = Path.of(child.session, user="u1", ancestors=("root",))
        limits = {"ws": None, "user:u1": None, "s:root": LIMIT, "s:ses1": LIMIT}
        self.accounts = {name: Account(limit) for name, limit in limits.items()}

    def refusing(self, cost: int) -> str:
        if cost > self.per_action:
            return "per_action"
        return next((name for name in NAMES if not self.accounts[name].fits(cost)), "")

    async def reserve(self, number: int, cost: int, *, sent: bool) -> None:
        expected = self.refusing(cost)
        try:
            hold = await self.stage.reserve(
                self.lease, cost, hold_id=f"h/{number}", path=self.path, sent=sent
            )
        except BudgetRefused as refused:
            kind, name = refused.details["kind"], refused.details["account"]
            assert (kind if kind == "per_action" else name) == expected
            if kind in {"contended", "exhausted"}:
                account = self.accounts[name]
                assert account.limit is not None
                assert (kind == "contended") == (account.posted + cost <= account.limit)
            return
        assert not expected
        for account in self.accounts.values():
            account.pending += cost
        self.open[hold.id] = (hold, sent)

    async def end(self, hold: HoldRef, op: EndOp, actual: int) -> None:
        was_open = self.open.pop(hold.id, None)
        ended = await end_hold(
            self.store,
            self.stage.session,
            op=op,
            hold_id=hold.id,
            names=hold.names,
            turn="trn1",
            secret=hold.secret,
            actual_microusd=actual,
        )
        assert ended is not None
        if was_open is None:
            return
        sent = was_open[1]
        booked = {"commit": actual, "release": 0, "expire": hold.cost_microusd if sent else 0}[op]
        assert ended.actual_microusd == booked
        for account in self.accounts.values():
            account.settle(hold.cost_microusd, booked)
        self.ended.append(hold)

    async def limit(self, number: int, name: str, limit: int | None) -> None:
        await budgets.set_limit(
            self.store,
            "acme",
            name,
            change_id=f"c{number}",
            limit="unlimited" if limit is None else str(limit),
        )
        self.accounts[name].change(limit)
        if name == "s:ses1" and limit is not None:
            # A lower limit takes the limit of a single action down with it.
            self.per_action = min(self.per_action, limit)

    async def compare(self) -> None:
        """Redis holds what the model holds, field by field; the fixture's invariants hold too."""
        for name, account in self.accounts.items():
            fields = await self.stage.hash(self.stage.ws.account(name))
            wanted = "unlimited" if account.limit is None else str(account.limit)
            assert fields["limit"] == wanted
            for what in ("posted", "pending", "floor", "overrun"):
                assert int(fields[what]) == getattr(account, what), (name, what)
        await check_accounts(self.store)
        entries = await self.store.redis.call("XRANGE", self.stage.ws.ledger, "-", "+")
        ends = [fields for _, fields in entries if text(fields[b"op"]) != "limit"]
        assert len(ends) == len(self.ended)


class Money(RuleBasedStateMachine):
    runner: asyncio.Runner
    store: Store

    def __init__(self) -> None:
        super().__init__()
        self.purse = Purse(self.store)
        self.number = 0
        self.do(self.purse.build())

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def next(self) -> int:
        self.number += 1
        return self.number

    def pick(self, index: int) -> HoldRef:
        holds = [hold for hold, _ in self.purse.open.values()]
        return holds[index % len(holds)]

    @rule(cost=COSTS, sent=st.booleans())
    def reserve(self, cost: int, sent: bool) -> None:
        self.do(self.purse.reserve(self.next(), cost, sent=sent))

    @precondition(lambda self: self.purse.open)
    @rule(index=st.integers(0, 9), actual=st.integers(0, 120))
    def commit(self, index: int, actual: int) -> None:
        self.do(self.purse.end(self.pick(index), "commit", actual))

    @precondition(lambda self: self.purse.open)
    @rule(index=st.integers(0, 9), op=st.sampled_from(["release", "expire"]))
    def give_up(self, index: int, op: EndOp) -> None:
        self.do(self.purse.end(self.pick(index), op, 0))

    @precondition(lambda self: self.purse.ended)
    @rule(op=st.sampled_from(["commit", "release", "expire"]), actual=st.integers(0, 99))
    def end_again(self, op: EndOp, actual: int) -> None:
        self.do(self.purse.end(self.purse.ended[-1], op, actual))

    @precondition(lambda self: self.purse.open)
    @rule(more=st.integers(0, 1))
    def reserve_again(self, more: int) -> None:
        hold = self.pick(0)
        again = self.purse.stage.reserve(
            self.purse.lease, hold.cost_microusd + more, hold_id=hold.id, path=self.purse.path
        )
        try:
            assert self.do(again).secret == hold.secret
            assert not more
        except Conflict:
            assert more

    @rule(name=st.sampled_from(NAMES), limit=st.none() | st.integers(1, 250))
    def change_limit(self, name: str, limit: int | None) -> None:
        if limit is not None or not name.startswith("s:"):
            self.do(self.purse.limit(self.next(), name, limit))

    @invariant()
    def agrees(self) -> None:
        self.do(self.purse.compare())


def test_money_adds_up_in_any_order(redis_server: EmbeddedServer) -> None:
    with asyncio.Runner() as runner:
        store = runner.run(open_store(Settings(redis_url=redis_server.url)))
        machine = type("Machine", (Money,), {"runner": runner, "store": store})
        try:
            run_state_machine_as_test(
                machine,
                settings=settings(
                    max_examples=50,
                    stateful_step_count=30,
                    deadline=None,
                    phases=[Phase.generate],  # shrinking takes longer than a test may
                    derandomize=True,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(store.aclose())
