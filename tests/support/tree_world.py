"""A tree of sessions and the hands that drive them, for a model of failure.

A hand does as a worker does, one script at a time, and knows nothing after a crash but what Redis
says. Whoever claims a session that rests has been rung for by a bell or by the sweeper.
"""

import asyncio
import itertools
import time
from dataclasses import dataclass, field
from typing import Any

from bursar.leases import Claimed, InboxItem, Lease
from bursar.store.codec import text, text_list
from bursar.store.scripts import leases, sessions
from bursar.store.scripts.inputs import Facts
from bursar.store.scripts.leases import Ring
from bursar.store.scripts.parking import Parking
from bursar.store.scripts.turns import Commit, Finished, Started
from bursar.store.store import Store
from bursar.turns import ENDED
from support.family import Family
from support.stage import Stage, claimant

__all__ = ["Hand", "Plan", "Shape", "TreeWorld"]

ROUNDS_MAX = 100
STEPS_MAX = 200


@dataclass(frozen=True)
class Shape:
    """What a join is to be like, as far as it fits."""

    count: int
    need: int
    window: int
    detached: bool


@dataclass(frozen=True)
class Plan:
    """A join that was given, as its driver would keep it."""

    count: int
    need: int
    window: int


@dataclass(eq=False)
class Hand:
    """A worker that holds one session's lease, and what it knows of it."""

    stage: Stage
    lease: Lease
    inbox: list[InboxItem]
    seen_seq: int
    turn: str
    verdict: str = ""
    stopped: set[str] = field(default_factory=set)
    tried: bool = False
    """It tried to end the turn, and was told that children live."""


@dataclass
class TreeWorld:
    """One root session, all below it, and who drives which of them."""

    store: Store
    stages: dict[str, Stage] = field(default_factory=dict)
    hands: list[Hand] = field(default_factory=list)
    turns: dict[str, str] = field(default_factory=dict)
    """Every turn that ever was, with its session."""
    plans: dict[tuple[str, str], Plan] = field(default_factory=dict)
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    async def build(self) -> None:
        await self.store.redis.call("FLUSHALL")
        root = await Stage.build(self.store, caps={"max_running": "unlimited"})
        self.stages = {root.session.id: root}
        await self.put()

    @property
    def root(self) -> Stage:
        return next(iter(self.stages.values()))

    async def put(self) -> None:
        accepted = await self.root.put()
        self.turns[accepted.turn] = self.root.session.id

    async def claim(self, sid: str) -> Hand | None:
        stage = self.stages[sid]
        owner = f"o{next(self.numbers)}"
        claimed = await leases.claim(self.store, stage.session, claimant(), owner=owner)
        if not isinstance(claimed, Claimed):
            return None
        fields = claimed.fields
        hand = Hand(stage, claimed.lease, claimed.inbox, int(fields["inbox_seq"]), fields["turn"])
        self.hands.append(hand)
        return hand

    async def step(self, hand: Hand, mood: str, shape: Shape) -> None:
        """What a driver does next.

        Args:
            mood: ``spawn``, ``again`` to give the tasks of a join that is open once more, or how
                the turn is to end.

        """
        if not hand.turn:
            await self._begin(hand)
            return
        record = await hand.stage.hash(hand.stage.ws.turn(hand.turn))
        mine = [item for item in hand.inbox if item.target == hand.turn]
        if record["state"] == "waiting":
            await self._look_at_wait(hand, record, mine)
            return
        hand.verdict = record.get("verdict", hand.verdict)
        if "cancel_ms" in record:
            hand.verdict = "cancelled"
        joins = await hand.stage.hash(hand.stage.session.joins)
        if hand.verdict:
            await self._end(hand, joins, mine)
        elif int(record.get("joins_open", 0)):
            await self._wait(hand, joins, again=mood == "again")
        elif (mood == "spawn" or not joins) and await self._may_spawn(hand, joins):
            await self._give(hand, joins, shape)
        else:
            hand.verdict = mood if mood in ENDED else "succeeded"

    async def _begin(self, hand: Hand) -> None:
        if not hand.inbox:
            await self.release(hand)
        elif hand.inbox[0].kind == "input":
            item = hand.inbox.pop(0)
            if await hand.stage.try_start(hand.lease, item) is Started.YES:
                hand.turn = item.target
        else:
            await self.look(hand, [hand.inbox[0]])

    async def _look_at_wait(
        self, hand: Hand, record: dict[str, str], mine: list[InboxItem]
    ) -> None:
        if not mine:
            await self._park(hand, record["waiting_for"])
            return
        news = [item for item in mine if item.kind == "join"]
        await hand.stage.resume(hand.lease, hand.turn, news)
        hand.inbox = [item for item in hand.inbox if item not in news]

    async def _end(self, hand: Hand, joins: dict[str, str], mine: list[InboxItem]) -> None:
        """Stop what the turn spawned, one after the other, then end it as soon as that has."""
        alive = [
            sid
            for key, sid in joins.items()
            if key.rpartition(":")[2].isdigit() and " " not in sid and sid not in hand.stopped
        ]
        if alive:
            hand.stopped.add(alive[0])
            await self.cancel(f"trn_{alive[0].partition('~')[2]}")
            return
        if hand.tried:
            await self._park(hand, "stopping")
            return
        finished = await hand.stage.try_finish(
            hand.lease, hand.turn, outcome=hand.verdict, commit=Commit(items=mine)
        )
        if finished is Finished.CHILDREN:
            settled = Commit(verdict=hand.verdict.encode())
            await hand.stage.commit(hand.lease, hand.turn, settled)
            hand.tried = True
        elif finished is Finished.REST:
            self.hands.remove(hand)
        else:
            hand.turn, hand.verdict, hand.tried = "", "", False
            await self.look(hand, [])

    async def _wait(self, hand: Hand, joins: dict[str, str], *, again: bool) -> None:
        """Open more children where there is room, or let go."""
        sid = hand.stage.session.id
        for (owner, name), plan in self.plans.items():
            if owner != sid or f"{name}:n" not in joins or f"{name}:decided" in joins:
                continue
            opened, ended = int(joins[f"{name}:opened"]), int(joins[f"{name}:ended"])
            room = min(plan.count - opened, plan.window - (opened - ended))
            if again:
                await self._spawn(hand, name, plan, 0, min(plan.count, plan.window))
                return
            if room > 0:
                await self._spawn(hand, name, plan, opened, room)
                return
        await self._park(hand, "children")

    async def _may_spawn(self, hand: Hand, joins: dict[str, str]) -> bool:
        given = sum(key.endswith(":n") for key in joins)
        return given < 3 and int(await hand.stage.field("depth")) < 2 and len(self.stages) < 16

    async def _give(self, hand: Hand, joins: dict[str, str], shape: Shape) -> None:
        """Two joins of one step, so that a turn waits for both."""
        given = sum(key.endswith(":n") for key in joins)
        name = f"{hand.turn[-6:]}{'d' if shape.detached else 'j'}{given}"
        plan = Plan(shape.count, min(shape.need, shape.count), shape.window)
        if shape.detached:
            await self._spawn(hand, name, Plan(1, 1, 1), 0, 1, detached=True)
            hand.verdict = "succeeded"
            return
        self.plans[hand.stage.session.id, name] = plan
        await self._spawn(hand, name, plan, 0, min(plan.count, plan.window))
        if shape.need % 2:
            other = Plan(1, 1, 1)
            self.plans[hand.stage.session.id, f"{name}b"] = other
            await self._spawn(hand, f"{name}b", other, 0, 1)

    async def _spawn(
        self, hand: Hand, name: str, plan: Plan, first: int, count: int, *, detached: bool = False
    ) -> None:
        family = Family(hand.stage, hand.lease, hand.turn)
        children = await family.spawn(
            count, name, first=first, total=plan.count, need=plan.need, window=plan.window,
            detached=detached,
        )  # fmt: skip
        for child in children:
            sid = child.session.id
            child.facts = Facts("u1", "", "echo", "background")
            self.stages[sid] = child
            self.turns[f"trn_{sid.partition('~')[2]}"] = sid

    async def _park(self, hand: Hand, reason: str) -> None:
        parked = await hand.stage.try_park(
            hand.lease, hand.turn, seen_seq=hand.seen_seq, reason=reason
        )
        hand.tried = False
        if parked is Parking.DONE:
            self.hands.remove(hand)
        elif parked is Parking.NEWS:
            await self.look(hand, [])

    async def look(self, hand: Hand, done: list[InboxItem]) -> None:
        hand.seen_seq, hand.inbox = await leases.take_inbox(self.store, hand.lease, done)

    async def release(self, hand: Hand) -> None:
        await leases.release(self.store, hand.lease)
        self.hands.remove(hand)

    async def crash(self, hand: Hand) -> None:
        """Whatever it did last was its last script."""
        self.hands.remove(hand)
        await hand.stage.expire_lease()

    async def cancel(self, turn: str, *, timed_out: bool = False) -> None:
        stage = self.stages[self.turns[turn]]
        if timed_out:
            await stage.make_due(stage.ws.shard.timers, stage.session.timer("limit", turn))
        await stage.cancel(turn, if_timed_out=timed_out)

    async def open_turns(self) -> list[str]:
        keys = [self.root.ws.turn(turn) for turn in self.turns]
        states = await asyncio.gather(*(self.store.redis.call("HGET", k, "state") for k in keys))
        return [t for t, s in zip(self.turns, states, strict=True) if text(s) not in ENDED]

    async def sweep(self, sid: str) -> bool:
        """All that a sweeper does for one session; True if it rang."""
        stage, call = self.stages[sid], self.store.redis.call
        shard, ref = stage.ws.shard, stage.session.ref
        rings: list[Ring | None] = []
        score = await call("ZSCORE", shard.leases, ref)
        if score is not None and float(score) <= time.time() * 1000:
            rings.append(await leases.reap(self.store, stage.session))
        for name in text_list(await call("ZRANGE", shard.blocked, 0, -1)):
            why = name.split(":blocked:")[1].split(":")[0]
            if await call("ZSCORE", name, ref) is not None:
                ring = await leases.unblock(self.store, stage.session, why=why, list_key=name)
                rings.append(ring)
        if await stage.is_ready():
            await stage.make_due(shard.ready, ref)
            rings.append(await leases.ring_again(self.store, stage.session))
        return any(rings)

    async def _gives_up(self, hand: Hand) -> str:
        """A turn that has spawned nothing yet ends, so that all comes to rest."""
        joins = await hand.stage.hash(hand.stage.session.joins)
        return "" if joins else "failed"

    async def drain(self) -> None:
        """Everybody died; one worker after the other finishes what the sweeper finds."""
        for mortal in list(self.hands):
            await self.crash(mortal)
        for _ in range(ROUNDS_MAX):
            states = {sid: await stage.field("state") for sid, stage in self.stages.items()}
            if set(states.values()) <= {"idle", "ended"}:
                await sessions.end_session(self.store, self.root.session)
                return
            for sid in list(self.stages):
                hand = await self.claim(sid) if await self.sweep(sid) else None
                for _ in range(STEPS_MAX):
                    if hand is None or hand not in self.hands:
                        break
                    hand.verdict = hand.verdict or await self._gives_up(hand)
                    await self.step(hand, "succeeded", Shape(1, 1, 1, detached=False))
        raise AssertionError(f"the tree does not come to rest: {await self.open_turns()}")
