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
from bursar.leases import InboxItem
from bursar.settings import Settings
from bursar.store.codec import text
from bursar.store.opening import open_store
from bursar.store.store import Store
from bursar.turns import ENDED
from support.family import with_settings
from support.invariants import check_trees
from support.stage import Stage
from support.tree_world import Shape, TreeWorld

T = TypeVar("T")
INDEX = st.integers(0, 20)
MOOD = st.sampled_from(["spawn", "spawn", "succeeded", "failed", "quarantined"])
SHAPE = st.builds(
    Shape, st.integers(1, 5), st.integers(1, 5), st.integers(1, 4), st.integers(0, 5).map(bool).map(
        lambda often: not often
    ),
)
STEP = st.tuples(MOOD, SHAPE)


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
    if ok >= before.number(f"{join}:need") or ended == before.number(f"{join}:n"):
        return last or before.turn["joins_open"] == "1"
    opened = before.number(f"{join}:opened")
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

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @rule(index=INDEX, steps=st.lists(STEP, max_size=8))
    def claim(self, index: int, steps: list[tuple[str, Shape]]) -> None:
        """Bells come late, twice or never."""
        sids = list(self.world.stages)
        hand = self.do(self.world.claim(sids[index % len(sids)]))
        if hand is not None:
            self._drive(self.world.hands.index(hand), steps)

    @precondition(lambda self: self.world.hands)
    @rule(index=INDEX, steps=st.lists(STEP, min_size=1, max_size=8))
    def drive(self, index: int, steps: list[tuple[str, Shape]]) -> None:
        self._drive(index, steps)

    def _drive(self, index: int, steps: list[tuple[str, Shape]]) -> None:
        hand = self.world.hands[index % len(self.world.hands)]
        for mood, shape in steps:
            if hand not in self.world.hands:
                return
            self.do(self.world.step(hand, mood, shape))
            self.holds()

    @precondition(lambda self: self.world.hands)
    @rule(index=INDEX, dies=st.booleans())
    def crash_or_release(self, index: int, dies: bool) -> None:
        hand = self.world.hands[index % len(self.world.hands)]
        self.do(self.world.crash(hand) if dies else self.world.release(hand))

    @rule(index=INDEX, timed_out=st.booleans())
    def cancel(self, index: int, timed_out: bool) -> None:
        turns = self.do(self.world.open_turns())
        if turns:
            turn = turns[index % len(turns)]
            below = "~" in self.world.turns[turn]
            self.do(self.world.cancel(turn, timed_out=timed_out and below))
        else:
            self.do(self.world.put())

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


def check(redis_server: EmbeddedServer, *, examples: int = 60) -> None:
    with asyncio.Runner() as runner:
        opened = runner.run(open_store(Settings(redis_url=redis_server.url)))
        store = with_settings(opened, max_tree_running=2)
        machine = type("Machine", (Trees,), {"runner": runner, "store": store})
        try:
            run_state_machine_as_test(
                machine,
                settings=settings(
                    max_examples=examples,
                    stateful_step_count=30,
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
