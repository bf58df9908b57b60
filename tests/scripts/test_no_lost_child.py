"""No end of a sub-agent is lost: a model of trees whose drivers crash after any script."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
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
from bursar.errors import BursarError
from bursar.leases import InboxItem
from bursar.settings import Settings
from bursar.store.codec import text
from bursar.store.opening import open_store
from bursar.store.store import Store
from bursar.turns import ENDED
from support.family import with_settings
from support.invariants import check_trees
from support.planted import BuggyStore
from support.stage import Stage
from support.tree_world import Hand, Shape, TreeWorld

T = TypeVar("T")
INDEX = st.integers(0, 20)
MOOD = st.sampled_from(["spawn", "spawn", "spawn", "again", "succeeded", "failed"])
SHAPE = st.builds(
    Shape,
    st.integers(1, 5),
    st.sampled_from([1, 1, 2, 4]),
    st.integers(1, 4),
    st.sampled_from([False] * 5 + [True]),
)
ALONE = Shape(1, 1, 1, detached=False)
BETWEEN = st.sampled_from([None, None, 0, 1, 2])
"""Which other driver does something right before a step, which this one has not seen."""
STEP = st.tuples(MOOD, SHAPE, BETWEEN)
STEPS = st.lists(STEP, min_size=2, max_size=8)
FIRST = st.lists(STEP, min_size=1, max_size=3)
"""Few, so that many are under way at a time."""
Steps = list[tuple[str, Shape, int | None]]


@dataclass
class Seen:
    """One session as it stands in Redis."""

    session: dict[str, str]
    turn: dict[str, str]
    """The record of its newest turn."""
    joins: dict[str, str]
    inbox: list[InboxItem]
    found: bool
    """It stands where the sweeper looks."""

    def slots(self) -> dict[str, str]:
        return {k: v for k, v in self.joins.items() if k.rpartition(":")[2].isdigit()}

    def number(self, name: str) -> int:
        return int(self.joins.get(name, 0))

    @property
    def news(self) -> set[int]:
        return {item.seq for item in self.inbox if item.kind == "join"}


def wakes(before: Seen, slot: str, outcome: str) -> bool:
    """Whether an end is one by which the turn above has something to do."""
    join = slot.rpartition(":")[0]
    ended = before.number(f"{join}:ended") + 1
    ok = before.number(f"{join}:ok") + (outcome == "succeeded")
    last = before.turn["children"] == "1" and before.turn.get("waiting_for") == "stopping"
    if f"{join}:decided" in before.joins:
        return last
    opened = before.number(f"{join}:opened")
    if ok >= before.number(f"{join}:need") or ended == before.number(f"{join}:n"):
        return last or before.turn["joins_open"] == "1" or opened > ended
    half = before.number(f"{join}:window") // 2
    return last or (opened < before.number(f"{join}:n") and opened - ended in {0, half})


def check_news(before: Seen, after: Seen) -> None:
    """Each end that has to wake wakes once, and nothing else does."""
    ends = [
        (slot, value.split(" ")[1])
        for slot, value in after.slots().items()
        if " " in value and before.slots().get(slot) == value.partition(" ")[0]
    ]
    came = len(after.news - before.news)
    assert len(ends) <= 1, ends
    assert came == sum(wakes(before, *end) for end in ends), (before, ends, after)


def check_joins(seen: Seen, children: list[Seen]) -> None:
    """The counts of joins and turn are what counting gives."""
    slots, turn = seen.slots(), seen.turn
    names = {key.removesuffix(":n") for key in seen.joins if key.endswith(":n")}
    for name in names:
        own = [value for slot, value in slots.items() if slot.rpartition(":")[0] == name]
        ended = [value.split(" ")[1] for value in own if " " in value]
        counted = len(own), len(ended), ended.count("succeeded")
        assert counted == tuple(seen.number(f"{name}:{c}") for c in ("opened", "ended", "ok"))
    undecided = sum(f"{name}:decided" not in seen.joins for name in names)
    assert int(turn.get("joins_open", 0)) == undecided or turn.get("state") in ENDED
    alive = sum(child.turn["state"] not in ENDED for child in children)
    assert int(turn.get("children", 0)) == alive
    assert len(set(slots.values())) == len(slots), "a child is in two places"
    assert turn.get("state") not in ENDED or not alive, "ended before its children"


def check_rest(seen: Seen) -> None:
    """A turn that waits waits for something, and what is to go on will be found."""
    session, turn = seen.session, seen.turn
    if session["state"] == "waiting":
        woken = int(session["inbox_seq"]) > int(session["seen_seq"])
        if turn["waiting_for"] == "children":
            assert woken or turn["joins_open"] != "0", "nobody will wake it"
            assert woken or turn["children"] != "0", "nobody is left to wake it"
        if turn["waiting_for"] == "stopping":
            assert woken or turn["children"] != "0", "nobody will wake it"
        runnable = woken
    else:
        runnable = bool(seen.inbox) or turn.get("state") == "running"
    assert not runnable or seen.found, f"nobody will find {session}"


class Trees(RuleBasedStateMachine):
    runner: asyncio.Runner
    store: Store

    def __init__(self) -> None:
        super().__init__()
        self.world = TreeWorld(self.store)
        self.do(self.world.build())
        self.seen: dict[str, Seen] = {}
        self.do(self._begin())

    async def _begin(self) -> None:
        """The root waits for the first of four, two of which are under way, and for another one."""
        first = Shape(4, 1, 4, detached=False)
        for sid in range(3):
            hand = await self.world.claim(list(self.world.stages)[sid])
            assert hand is not None
            await self.world.step(hand, "spawn", first)
            if sid == 0:
                await self.world.step(hand, "spawn", first)

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @rule(index=INDEX, steps=FIRST, late=st.integers(0, 5))
    def claim(self, index: int, steps: Steps, late: int) -> None:
        """Bells come late, twice or never; most of them are about what is to be driven."""
        held = {hand.stage.session.id for hand in self.world.hands}
        wanted = [sid for sid, seen in self.seen.items() if seen.found and sid not in held]
        sids = list(self.world.stages) if late == 0 or not wanted else wanted
        hand = self.do(self.world.claim(sids[index % len(sids)]))
        if hand is not None:
            self._drive(hand, steps)

    @precondition(lambda self: self.world.hands)
    @rule(index=INDEX, steps=STEPS)
    def drive(self, index: int, steps: Steps) -> None:
        self._drive(self.world.hands[index % len(self.world.hands)], steps)

    def _drive(self, hand: Hand, steps: Steps) -> None:
        for mood, shape, between in steps:
            if hand not in self.world.hands:
                return
            if between is not None:
                self._drive_others(hand, between)
            self.do(self.world.step(hand, mood, shape))
            self.holds()

    def _drive_others(self, hand: Hand, index: int) -> None:
        """One step of another; if a turn cannot end for its children, as many as end one."""
        others = [other for other in self.world.hands if other is not hand]
        if not others:
            return
        other = others[index % len(others)]
        for _ in range(6 if hand.tried else 1):
            if other in self.world.hands:
                self.do(self.world.step(other, "succeeded", ALONE))
                self.holds()

    @precondition(lambda self: self.world.hands)
    @rule(index=INDEX, dies=st.booleans())
    def crash_or_release(self, index: int, dies: bool) -> None:
        hand = self.world.hands[index % len(self.world.hands)]
        self.do(self.world.crash(hand) if dies else self.world.release(hand))

    @rule(index=INDEX, timed_out=st.booleans())
    def cancel(self, index: int, timed_out: bool) -> None:
        """Mostly something below the root, whose cancel ends all."""
        turns = self.do(self.world.open_turns())
        below = [turn for turn in turns if "~" in self.world.turns[turn]]
        if not turns:
            self.do(self.world.put())
        elif below and index % 5:
            self.do(self.world.cancel(below[index % len(below)], timed_out=timed_out))
        elif below:
            self.do(self.world.cancel(turns[0]))

    @rule(index=INDEX)
    def sweep(self, index: int) -> None:
        sids = list(self.world.stages)
        self.do(self.world.sweep(sids[index % len(sids)]))

    @invariant()
    def holds(self) -> None:
        before, self.seen = self.seen, self.do(self._look())
        for sid, seen in self.seen.items():
            children = [
                other
                for other in self.seen.values()
                if other.session["parent"] == sid
                and other.session.get("parent_turn", "") == seen.turn.get("id")
            ]
            check_joins(seen, children)
            check_rest(seen)
            if sid in before and before[sid].turn.get("id") == seen.turn.get("id"):
                check_news(before[sid], seen)
        self.do(check_trees(self.store))

    async def _look(self) -> dict[str, Seen]:
        stages = self.world.stages
        newest = {sid: turn for turn, sid in self.world.turns.items()}
        found = await asyncio.gather(*(self._see(s, newest[sid]) for sid, s in stages.items()))
        return dict(zip(stages, found, strict=True))

    async def _see(self, stage: Stage, turn: str) -> Seen:
        call, shard, ref = self.store.redis.call, stage.ws.shard, stage.session.ref
        session, record, joins, items, *scores = await asyncio.gather(
            stage.hash(stage.session.hash),
            stage.hash(stage.ws.turn(turn)),
            stage.hash(stage.session.joins),
            call("LRANGE", stage.session.inbox, 0, -1),
            call("ZSCORE", shard.ready, ref),
            call("ZSCORE", shard.leases, ref),
            call("ZSCORE", stage.session.tree_blocked, ref),
        )
        inbox = [InboxItem.parse(item) for item in items]
        return Seen(session, record, joins, inbox, any(score is not None for score in scores))

    def teardown(self) -> None:
        self.do(self.world.drain())
        self.seen = {}
        self.holds()
        for stage in self.world.stages.values():
            assert self.do(stage.field("turn_count")) in {"0", "1"} or stage is self.world.root
        assert self.do(self.world.root.field("state")) == "ended"
        self.do(self._check_log())

    async def _check_log(self) -> None:
        """Numbers without gaps, and each child's turn ends once."""
        log = self.world.root.session.tree_log
        entries = await self.store.redis.call("XRANGE", log, "-", "+")
        assert [text(no) for no, _ in entries] == [f"{i + 1}-0" for i in range(len(entries))]
        kinds = [text(fields[b"t"]) for _, fields in entries]
        ended = sum(kind.removeprefix("turn.") in ENDED for kind in kinds)
        assert ended == len(self.world.stages) - 1


def check(redis_server: EmbeddedServer, bug: tuple[str, str] | None = None) -> None:
    with asyncio.Runner() as runner:
        opened = runner.run(open_store(Settings(redis_url=redis_server.url)))
        store = with_settings(opened, max_tree_running=3)
        if bug:
            store = BuggyStore.over(store, *bug)
        machine = type("Machine", (Trees,), {"runner": runner, "store": store})
        try:
            run_state_machine_as_test(
                machine,
                settings=settings(
                    max_examples=60,
                    stateful_step_count=40,
                    deadline=None,
                    phases=[Phase.generate],  # shrinking takes longer than a test may
                    derandomize=True,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(opened.aclose())


@pytest.mark.timeout(180)
def test_no_end_is_lost_whatever_crashes(redis_server: EmbeddedServer) -> None:
    check(redis_server)


BUGS = {
    "an end is not counted off": (
        "local left = redis.call('HINCRBY', r.turn, 'children', -1)",
        "local left = tonumber(redis.call('HGET', r.turn, 'children')) - 1",
    ),
    "the deciding end does not wake": ("if not wakes then", "if wakes or not wakes then"),
    "a failure does not wake": ("if not wakes then", "if not wakes or outcome == 'failed' then"),
    "an end after the deciding one wakes": (
        "if j[5] then return stopped end", "if j[5] then return true end",
    ),
    "a join is decided twice": ("if j[5] then return stopped end", ""),
    "the first join of several wakes": (
        "return redis.call('HINCRBY', r.turn, 'joins_open', -1) == 0 or open > 0 or stopped",
        "redis.call('HINCRBY', r.turn, 'joins_open', -1) return true",
    ),
    "the last end does not wake a turn that stops": (
        "local stopped = left == 0 and", "local stopped = left == 0 and false and",
    ),
    "a turn ends before its children": (
        "if tonumber(t[3] or 0) > 0 then return {'children', t[3]} end", "",
    ),
    "a half-empty window does not wake": (
        "(open == 0 or open == math.floor(tonumber(j[4]) / 2))", "open == 0",
    ),
    "a turn that was woken is not found": (
        "make_ready(r.parent, r.ready, r.ref, now)", "",
    ),
    "a lease given back keeps its place": (
        "redis.call('HINCRBY', tree, 'tree_running', -1)", "",
    ),
    "a place under the tree's cap is not counted": (
        "redis.call('HINCRBY', tree, 'tree_running', 1)", "",
    ),
    "a child opened is not counted": (
        "redis.call('HINCRBY', joins, join .. ':opened', #list)", "",
    ),
    "a child that ended stays alive in its tree": ("redis.call('SREM', live, sid)", ""),
    "a child opened twice": ("if redis.call('EXISTS', o.hash) == 0 then", "if true then"),
    "who waits under the tree's cap stands in no line": (
        "redis.call('ZADD', list, 'NX', place, ref)", "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS.keys())
@pytest.mark.timeout(180)
def test_a_planted_bug_is_found(redis_server: EmbeddedServer, bug: tuple[str, str]) -> None:
    with pytest.raises((AssertionError, BursarError, LookupError)):
        check(redis_server, bug)
