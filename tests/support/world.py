"""An installation with two sessions and the hands that drive them, for models of failure.

The sweeper is only trusted to look at the indexes ``ready``, ``leases``, ``timers`` and
``blocked``: whatever is runnable has to be found there, or in somebody's hands.
"""

import asyncio
import itertools
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import msgspec

from bursar.errors import Conflict
from bursar.events import TERMINAL
from bursar.leases import Claimed, ClaimRefused, InboxItem, Lease
from bursar.messages import Message, UserMessage
from bursar.store.codec import decode_message, text
from bursar.store.keys import STATES
from bursar.store.scripts import leases, sessions
from bursar.store.scripts.leases import Ring
from bursar.store.scripts.turns import Commit, Finished, Started
from bursar.store.store import Store
from bursar.turns import ENDED
from support.stage import LEASE_MS, Stage, claimant

__all__ = ["Hand", "World", "check_inputs", "check_log", "check_world", "turn_states"]

ROUNDS_MAX = 200


@dataclass(eq=False)
class Hand:
    """A worker that holds, or believes that it holds, one session."""

    stage: Stage
    lease: Lease
    inbox: list[InboxItem]
    seen_seq: int
    turn: str
    waiting: bool
    """The turn was parked and has not been resumed."""
    taken: set[InboxItem] = field(default_factory=set)
    """Inputs that joined the turn and that a step took in; they stay in ``inbox`` until a look."""
    zombie: bool = False
    yields: bool = False
    """It has ended a turn under this lease: the next comes after others that wait."""


@dataclass
class World:
    """The installation as seen from outside: two sessions, at most one lease at a time."""

    store: Store
    stages: list[Stage] = field(default_factory=list)
    hands: list[Hand] = field(default_factory=list)
    accepted: list[tuple[int, str]] = field(default_factory=list)
    bells: tuple[list[InboxItem], list[InboxItem]] = field(default_factory=lambda: ([], []))
    """The inputs with a turn of their own, by session."""
    joined: list[tuple[int, str, str]] = field(default_factory=list)
    """Session, turn and words of the inputs that joined a turn."""
    epochs: list[int] = field(default_factory=lambda: [0, 0])
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    async def build(self) -> None:
        await self.store.redis.call("FLUSHALL")
        first = await Stage.build(self.store, sid="one", caps={"max_running": "1"})
        second = first.other("two")
        await second.open()
        self.stages = [first, second]

    async def put(self, which: int, *, no_worker: bool = False, if_busy: str = "enqueue") -> None:
        stage = self.stages[which]
        words = f"input {next(self.numbers)}"
        try:
            accepted = await stage.put(words, no_worker=no_worker, if_busy=if_busy)
        except Conflict as error:
            if error.code != "session_ended" or await stage.field("ending") != "1":
                raise
            return
        if accepted.joined:
            self.joined.append((which, accepted.turn, words))
            return
        self.accepted.append((which, accepted.turn))
        self.bells[which].append(InboxItem(accepted.inbox_seq, "input", accepted.turn))

    async def claim(self, which: int, item: InboxItem | None = None) -> Hand | None:
        """Claim a session, perhaps for a bell about ``item``."""
        stage = self.stages[which]
        lease_until = int(await stage.field("lease_until_ms"))
        owner = f"o{next(self.numbers)}"
        claimed = await leases.claim(
            self.store, stage.session, claimant("w", LEASE_MS), owner=owner, item=item
        )
        if isinstance(claimed, ClaimRefused):
            if claimed.status == "blocked":
                assert await stage.field("cancelling") == "0", "a cancel was held up"
            return None
        assert lease_until < time.time() * 1000, "claimed although another holds it"
        assert claimed.lease.epoch > self.epochs[which]
        assert claimed.takeover == (lease_until > 0)
        self.epochs[which] = claimed.lease.epoch
        hand = await self._hand(stage, claimed)
        self.hands.append(hand)
        return hand

    async def _hand(self, stage: Stage, claimed: Claimed) -> Hand:
        turn = claimed.fields["turn"]
        state = (await stage.hash(stage.ws.turn(turn)))["state"] if turn else ""
        return Hand(
            stage,
            claimed.lease,
            claimed.inbox,
            int(claimed.fields["inbox_seq"]),
            turn,
            state == "waiting",
        )

    async def holds_lease(self, hand: Hand) -> bool:
        fields = await hand.stage.hash(hand.stage.session.hash)
        return fields["owner"] == hand.lease.owner and fields["lease_until_ms"] != "0"

    async def step(self, hand: Hand, mood: str = "") -> None:
        """What a driver does next with what it knows.

        Args:
            mood: ``wait`` parks a turn that could end; ``fail`` ends it without its answer.

        """
        mine = [item for item in hand.inbox if item.target == hand.turn]
        cancelled = any(item.kind == "cancel" for item in mine)
        fresh = [item for item in mine if item.kind == "inject" and item not in hand.taken]
        if hand.turn and hand.waiting:
            if mine:
                await self.resume(hand, [item for item in mine if item.kind == "timer"])
            else:
                await self.park(hand)
        elif hand.turn and mood == "wait" and not cancelled:
            await self.park(hand)
        elif hand.turn and fresh and not cancelled and mood != "fail":
            await self.take_in(hand, fresh)
        elif hand.turn:
            await self.finish(hand, mine, "cancelled" if cancelled else mood)
        elif hand.inbox and hand.inbox[0].kind == "input":
            item = hand.inbox.pop(0)
            started = await hand.stage.try_start(hand.lease, item, yields=hand.yields)
            if started is Started.YES:
                hand.turn, hand.waiting = item.target, False
            elif started is Started.BLOCKED:
                await self.release(hand)
        elif hand.inbox:
            await self.look(hand, [hand.inbox[0]])
        else:
            await self.release(hand)

    async def resume(self, hand: Hand, timers: list[InboxItem]) -> None:
        await hand.stage.resume(hand.lease, hand.turn, timers)
        hand.inbox = [item for item in hand.inbox if item not in timers]
        hand.waiting = False

    async def take_in(self, hand: Hand, items: list[InboxItem]) -> None:
        """A step begins with the inputs that joined its turn."""
        commit = Commit(items=items, messages=await self._texts(hand, items))
        await hand.stage.commit(hand.lease, hand.turn, commit)
        hand.taken.update(items)

    async def _texts(self, hand: Hand, items: list[InboxItem]) -> list[Message]:
        """The messages of inputs that joined; those that were taken in before have none."""
        record = hand.stage.ws.turn(hand.turn)
        fields = [f"injected:{item.seq}" for item in items]
        found = await self.store.redis.call("HMGET", record, *fields) if fields else []
        texts = [decode_message(payload) for payload in found if payload is not None]
        return [msgspec.structs.replace(message, turn=hand.turn) for message in texts]

    async def look(self, hand: Hand, done: list[InboxItem]) -> None:
        hand.seen_seq, hand.inbox = await leases.take_inbox(self.store, hand.lease, done)

    async def park(self, hand: Hand) -> None:
        parked = await hand.stage.park(
            hand.lease, hand.turn, seen_seq=hand.seen_seq, wake_ms=3_600_000
        )
        if parked:
            self.hands.remove(hand)
        else:
            await self.look(hand, [])

    async def finish(self, hand: Hand, items: list[InboxItem], mood: str) -> None:
        """End the turn, unless an input joined it that this hand has not seen."""
        outcome = {"cancelled": "cancelled", "fail": "failed"}.get(mood, "succeeded")
        joined = [item for item in items if item.kind == "inject"]
        if outcome == "succeeded":
            # An answer deals with what was taken in before it, and with nothing else.
            items, joined = [item for item in items if item not in joined], []
        commit = Commit(items=items, messages=await self._texts(hand, joined))
        finished = await hand.stage.try_finish(
            hand.lease, hand.turn, outcome=outcome, commit=commit
        )
        if finished is Finished.REST:
            self.hands.remove(hand)
            return
        if finished is Finished.MORE:
            hand.turn, hand.waiting, hand.yields = "", False, True
        await self.look(hand, [])

    async def release(self, hand: Hand) -> None:
        await leases.release(self.store, hand.lease)
        self.hands.remove(hand)

    async def cancel(self, which: int, turn: str) -> None:
        await self.stages[which].cancel(turn)

    async def pause(self, paused: int) -> None:
        await sessions.open_workspace(
            self.store, "acme", limit="unlimited", warn_percent=80, settings={"paused": paused}
        )

    async def lease_runs_out(self, which: int) -> None:
        stage = self.stages[which]
        if await stage.field("lease_until_ms") != "0":
            await stage.expire_lease()

    async def fire_timers(self, which: int) -> None:
        stage = self.stages[which]
        shard = stage.ws.shard
        for member in map(text, await self.store.redis.call("ZRANGE", shard.timers, 0, -1)):
            kind, ref, turn = member.split(" ")
            if kind == "wake" and ref == stage.session.ref:
                await stage.make_due(shard.timers, member)
                await leases.fire_timer(self.store, stage.session, member=member, turn=turn)

    async def sweep(self, which: int) -> bool:
        """All that a sweeper does for one session, each index by itself. True if it rang."""
        stage = self.stages[which]
        shard = stage.ws.shard
        ref = stage.session.ref
        rings: list[Ring | None] = []
        score = await self.store.redis.call("ZSCORE", shard.leases, ref)
        if score is not None and float(score) <= time.time() * 1000:
            rings.append(await leases.reap(self.store, stage.session))
        if await stage.is_ready():
            await stage.make_due(shard.ready, ref)
            rings.append(await leases.ring_again(self.store, stage.session))
        for raw in await self.store.redis.call("ZRANGE", shard.blocked, 0, -1):
            why = text(raw).split(":blocked:")[1].split(":")[0]
            if await self.store.redis.call("ZSCORE", raw, ref) is not None:
                rings.append(
                    await leases.unblock(self.store, stage.session, why=why, list_key=text(raw))
                )
        return any(rings)

    async def drain(self) -> None:
        """Time passes, everybody died, the pause ends: a single new worker finishes everything."""
        self.hands.clear()
        await self.pause(0)
        for which in (0, 1):
            await self.lease_runs_out(which)
        for _ in range(ROUNDS_MAX):
            if await self._all_done():
                return
            for which in (0, 1):
                await self.fire_timers(which)
                hand = await self.claim(which) if await self.sweep(which) else None
                for _ in range(ROUNDS_MAX):
                    if hand is None or hand not in self.hands:
                        break
                    await self.step(hand)
        raise AssertionError("the world does not come to rest")

    async def _all_done(self) -> bool:
        states = await turn_states(self)
        resting = [await stage.field("state") in {"idle", "ended"} for stage in self.stages]
        return all(state in ENDED for state in states.values()) and all(resting)


async def turn_states(world: World) -> dict[str, str]:
    keys = world.stages[0].ws
    turns_ = [turn for _, turn in world.accepted]
    states = [world.store.redis.call("HGET", keys.turn(turn), "state") for turn in turns_]
    return dict(zip(turns_, map(text, await asyncio.gather(*states)), strict=True))


def check_found(
    session: dict[str, str], turn_state: str, items: int, ready: bool, leased: bool, listed: bool
) -> None:
    """Whatever is runnable and in nobody's hands stands where the sweeper looks."""
    until_ms = int(session["lease_until_ms"])
    if session["state"] == "waiting":
        runnable = int(session["inbox_seq"]) > int(session["seen_seq"])
    else:
        runnable = items > 0 or turn_state == "running"
    blocked = session["blocked"] and session["cancelling"] == "0"
    if runnable and until_ms <= time.time() * 1000 and not blocked:
        assert ready or leased, f"nobody will find {session}"
    if until_ms:
        assert ready or leased, f"nobody will reap {session}"
    if session["blocked"]:
        assert listed, f"nobody will unblock {session}"


async def check_indexes(world: World, hashes: list[dict[str, str]], states: dict[str, str]) -> None:
    call = world.store.redis.call
    shard = world.stages[0].ws.shard
    names = [text(name) for name in await call("ZRANGE", shard.blocked, 0, -1)]
    for stage, session in zip(world.stages, hashes, strict=True):
        ref = stage.session.ref
        items, ready, leased, *listed = await asyncio.gather(
            call("LLEN", stage.session.inbox),
            call("ZSCORE", shard.ready, ref),
            call("ZSCORE", shard.leases, ref),
            *(call("ZSCORE", name, ref) for name in names if f":{session['blocked']}:" in name),
        )
        check_found(
            session,
            states.get(session["turn"], ""),
            items,
            ready is not None,
            leased is not None,
            any(score is not None for score in listed),
        )


async def check_log(stage: Stage) -> None:
    """Seqs have no gap, a turn ends at most once, and nothing of it comes later."""
    events = await stage.events()
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    ended: set[str] = set()
    for event in events:
        turn = event.decode()["turn"]
        assert not turn or turn not in ended, f"{event.kind} after the end of {turn}"
        if event.kind in TERMINAL:
            ended.add(turn)
        if event.kind == "session.ended":
            assert event is events[-1]


async def check_inputs(world: World) -> None:
    """No input is lost, doubled or out of order.

    One that joined a turn is in the history once, as one of that turn. The others began their turns
    in the order in which they came.
    """
    joined = {words: (which, turn) for which, turn, words in world.joined}
    found: list[tuple[str, tuple[int, str]]] = []
    for which, stage in enumerate(world.stages):
        own = []
        for message in await stage.messages():
            assert isinstance(message, UserMessage)
            if message.text in joined:
                found.append((message.text, (which, message.turn)))
            else:
                own.append(int(message.text.removeprefix("input ")))
        assert own == sorted(set(own)), f"{own} began in this order"
    missing = [words for words in joined if words not in dict(found)]
    assert sorted(found) == sorted(joined.items()), f"lost {missing}, found {found} of {joined}"


async def check_counters(
    world: World, hashes: list[dict[str, str]], turn_state: dict[str, str]
) -> None:
    """The counters are what counting would give, and each session is in the index of its state."""
    first = world.stages[0]
    states = Counter(s["state"] for s in hashes)
    counted = {f"sessions:{state}": n for state, n in states.items()}
    counted["sessions:live"] = len(hashes) - states["ended"]
    counted["leases"] = sum(s["lease_until_ms"] != "0" for s in hashes)
    counted |= {f"turns:{state}": n for state, n in Counter(turn_state.values()).items()}
    indexes = [first.ws.sessions_in_state(state) for state in STATES]
    counters, *members = await asyncio.gather(
        first.stats(), *(world.store.redis.call("ZRANGE", index, 0, -1) for index in indexes)
    )
    stats = {name: n for name, n in counters.items() if name != "steps"}
    assert stats == {name: n for name, n in counted.items() if n}
    for state, sids in zip(STATES, members, strict=True):
        assert {text(sid) for sid in sids} == {s["id"] for s in hashes if s["state"] == state}


async def check_world(world: World) -> None:
    hashes = await asyncio.gather(*(stage.hash(stage.session.hash) for stage in world.stages))
    states = await turn_states(world)
    await check_indexes(world, hashes, states)
    await check_counters(world, hashes, states)
