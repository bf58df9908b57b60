"""No wake-up is ever lost: a model of workers that crash, bells that vanish and time that runs out.

Every rule runs one script after the other and the world is checked in between, so a crash can come
after any of them.
"""

import asyncio
from collections.abc import Coroutine
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
from bursar.errors import Fenced
from bursar.settings import Settings
from bursar.store.opening import open_store
from bursar.store.scripts import leases, sessions
from bursar.store.store import Store
from bursar.turns import ENDED
from support.stage import LEASE_MS
from support.world import Hand, World, check_inputs, check_log, check_world, turn_states

T = TypeVar("T")
Steps = list[tuple[str, str | None]]

WHICH = st.integers(0, 1)
OPEN_TURNS_MAX = 3
MOOD = st.sampled_from(["", "", "wait", "fail"])
IF_BUSY = st.sampled_from(["enqueue", "inject", "inject", "inject", "interrupt"])
STEP = st.tuples(MOOD, st.none() | IF_BUSY)
"""A driver's step, and the input that comes right before it, which the driver has not seen."""
MORTAL = 1
"""Only one of the two sessions is ever ended, so that there is always something to do."""
MOVES = (
    *("lease_runs_out", "fire_timers", "sweep", "unpause", "unpause"),
    *("cancel", "pause", "force_end", "end"),
)


class WakeUps(RuleBasedStateMachine):
    """Rules are what clients, workers, the sweeper and bad luck do."""

    runner: asyncio.Runner
    store: Store

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.store)
        self.do(self.world.build())

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def live(self) -> list[Hand]:
        return [hand for hand in self.world.hands if not hand.zombie]

    def pick(self, index: int, *, zombie: bool = False) -> Hand:
        hands = [hand for hand in self.world.hands if hand.zombie == zombie]
        return hands[index % len(hands)]

    def open_turns(self) -> list[tuple[int, str]]:
        states = self.do(turn_states(self.world))
        return [place for place in self.world.accepted if states[place[1]] not in ENDED]

    @precondition(lambda self: len(self.open_turns()) < OPEN_TURNS_MAX)
    @rule(which=WHICH, no_worker=st.integers(0, 4), if_busy=IF_BUSY)
    def put(self, which: int, no_worker: int, if_busy: str) -> None:
        self.do(self.world.put(which, no_worker=no_worker == 0, if_busy=if_busy))

    @precondition(lambda self: self.world.accepted)
    @rule(which=WHICH, steps=st.lists(STEP, max_size=3), about=st.integers(0, 3))
    def claim(self, which: int, steps: Steps, about: int) -> None:
        """Bells come late, twice or never: a claim may come at any time.

        ``about`` one of the newest inputs, or none.
        """
        if self.do(self.world.stages[which].field("state")) == "idle":
            self.do(self.world.put(which))
        bells = self.world.bells[which]
        item = bells[-about] if 0 < about <= len(bells) else None
        hand = self.do(self.world.claim(which, item))
        if hand:
            self._steps(hand, steps)

    @precondition(lambda self: self.live())
    @rule(index=WHICH, steps=st.lists(STEP, min_size=1, max_size=6))
    def drive(self, index: int, steps: Steps) -> None:
        self._steps(self.pick(index), steps)

    def _steps(self, hand: Hand, steps: Steps) -> None:
        for mood, news in steps:
            if hand not in self.world.hands:
                return
            joins = news == "inject" and hand.turn
            if news and (joins or len(self.open_turns()) < OPEN_TURNS_MAX):
                self.do(self.world.put(self.world.stages.index(hand.stage), if_busy=news))
            self._drive(hand, lambda h, mood=mood: self.world.step(h, mood))

    @precondition(lambda self: self.live())
    @rule(index=WHICH, act=st.sampled_from(["release", "look", "renew", "commit"]))
    def hold_on_or_release(self, index: int, act: str) -> None:
        hand = self.pick(index)
        if act == "release":
            self._drive(hand, self.world.release)
        elif act == "commit":
            if hand.turn:
                self._drive(hand, lambda h: h.stage.commit(h.lease, h.turn))
        elif act == "look":
            self._drive(hand, lambda h: self.world.look(h, []))
        else:
            keys, args = leases.renew_command([hand.lease], lease_ms=LEASE_MS)
            reply = self.do(self.store.run(leases.RENEW, keys, args))
            assert (reply[1] != [b"fenced"]) == self.do(self.world.holds_lease(hand))

    def _drive(self, hand: Hand, work: Any) -> None:
        mine = self.do(self.world.holds_lease(hand))
        try:
            self.do(work(hand))
        except Fenced:
            assert not mine, "a worker was fenced that holds the lease"
            self.world.hands.remove(hand)
        else:
            assert mine, "a worker wrote without the lease"

    @precondition(lambda self: self.live())
    @rule(index=WHICH, then=st.sampled_from(["", "sweep", "cancel", "pause", "force_end"]))
    def crash(self, index: int, then: str) -> None:
        """Whatever the hand did last was its last script; its lease runs out."""
        hand = self.pick(index)
        hand.zombie = True
        which = self.world.stages.index(hand.stage)
        self.do(self.world.lease_runs_out(which))
        if then:
            self._move(which, then)

    @precondition(lambda self: any(hand.zombie for hand in self.world.hands))
    @rule(index=WHICH)
    def zombie_writes(self, index: int) -> None:
        """It was only slow, and goes on where it stopped."""
        hand = self.pick(index, zombie=True)
        self._drive(hand, self.world.step)
        hand.zombie = False

    @precondition(lambda self: self.world.accepted)
    @rule(which=WHICH, what=st.sampled_from(MOVES))
    def world_moves(self, which: int, what: str) -> None:
        self._move(which, what)

    def _move(self, which: int, what: str) -> None:
        world = self.world
        if what in {"pause", "unpause"}:
            self.do(world.pause(int(what == "pause")))
        elif what in {"cancel", "end", "force_end"}:
            if what != "cancel" and which == MORTAL:
                self.do(sessions.end_session(self.store, world.stages[which].session))
            if what != "end":
                for place in self.open_turns():
                    if place[0] == which:
                        self.do(world.cancel(*place))
        else:
            self.do(getattr(world, what)(which))

    @invariant()
    def holds(self) -> None:
        self.do(check_world(self.world))

    def teardown(self) -> None:
        if not self.world.stages:
            return
        self.do(self.world.drain())
        self.do(check_inputs(self.world))
        for stage in self.world.stages:
            self.do(check_log(stage))
            if self.do(stage.field("ending")) == "1":
                assert self.do(stage.field("state")) == "ended"
        self.do(check_world(self.world))


@pytest.mark.timeout(120)
def test_no_wake_up_is_lost_whatever_crashes(redis_server: EmbeddedServer) -> None:
    with asyncio.Runner() as runner:
        store = runner.run(open_store(Settings(redis_url=redis_server.url)))
        machine = type("Machine", (WakeUps,), {"runner": runner, "store": store})
        try:
            run_state_machine_as_test(
                machine,
                settings=settings(
                    max_examples=120,
                    stateful_step_count=40,
                    deadline=None,
                    phases=[Phase.generate],  # shrinking takes longer than a test may
                    derandomize=True,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(store.aclose())
