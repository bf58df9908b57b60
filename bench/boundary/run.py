"""The attacks, and what came of them."""

import asyncio
import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from bench.boundary.corpus import arguments_with, hostile_path, path_that_leads_out
from bench.boundary.subjects import ACTS, Subject
from bench.boundary.world import DEPTH, FLIPPED, World
from bursar.errors import InvalidInput
from bursar.gate.boundary import Boundary
from bursar.gate.pipeline import Gate, GateRequest

__all__ = ["Findings", "ask_gate", "attack", "race"]

_EVERY = 50
"""Acts between two looks at what is outside."""


@dataclass
class Findings:
    """``escapes`` and ``crashes`` say what was done; ``acts`` counts what was done and refused."""

    escapes: list[str] = field(default_factory=list)
    crashes: list[str] = field(default_factory=list)
    acts: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        return self.acts.total()


class _Watch:
    """Does acts and tells escapes: a secret that was read, or a change outside."""

    def __init__(self, subject: Subject, world: World) -> None:
        self._subject = subject
        self._world = world
        self._before = world.state()
        self._recent: list[str] = []
        self.findings = Findings()

    def act(self, act: str, path: str) -> None:
        what = f"{act} {path!r}"
        self._recent.append(what)
        outcome = "done"
        try:
            if self._world.secret in self._subject.act(act, path):
                self.findings.escapes.append(f"{what} gave the secret away")
        except InvalidInput:
            outcome = "refused"
        except Exception as error:  # noqa: BLE001  (any other error is what is looked for)
            self.findings.crashes.append(f"{what} raised {error!r}")
        self.findings.acts[f"{act} {outcome}"] += 1
        if len(self._recent) >= _EVERY:
            self.look()

    def look(self) -> None:
        state = self._world.state()
        if state != self._before:
            changed = sorted(set(state.items()) ^ set(self._before.items()))
            self.findings.escapes.append(
                f"{changed[0][0]} changed by one of {', '.join(self._recent)}"
            )
            self._before = state
        self._recent.clear()


def attack(subject: Subject, world: World, rng: random.Random, paths: int) -> Findings:
    """Do two acts with each of ``paths`` hostile paths."""
    watch = _Watch(subject, world)
    for _ in range(paths):
        path = hostile_path(rng, world)
        watch.act("read", path)
        # Finding goes through whole folders; a little of it is enough.
        acts = ACTS if rng.random() < 0.1 else ACTS[1:5]
        watch.act(rng.choice(acts), path)
    watch.look()
    world.repair()
    return watch.findings


def race(subject: Subject, world: World, rng: random.Random, seconds: float) -> Findings:
    """Act for some seconds on names that another process swaps meanwhile."""
    command = [sys.executable, "-m", "bench.boundary.flipper", str(world.root), str(world.outside)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as flipper:
        try:
            if flipper.stdout is None or flipper.stdout.readline() != "ready\n":
                raise RuntimeError("the flipper did not start")
            watch = _Watch(subject, world)
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                act = rng.choice((*ACTS, *("read", "write", "list") * 6))
                depth = rng.randrange(DEPTH + 1)
                folder = "/".join((FLIPPED, *(f"d{number}" for number in range(depth))))
                leaf = rng.choice(("leaf", "leaf", "canary", "linked", "new"))
                watch.act(act, folder if act in ACTS[4:] else f"{folder}/{leaf}")
                if act == "delete":
                    watch.act("write", f"{folder}/{leaf}")
            watch.look()
        finally:
            flipper.kill()
    world.repair()
    return watch.findings


def ask_gate(world: World, rng: random.Random, calls: int) -> list[str]:
    """Return the calls with a path that leads out which the gate let through."""
    boundary = Boundary(base=world.base, folder=world.root.name)

    async def ask() -> list[str]:
        through = []
        for _ in range(calls):
            arguments = arguments_with(rng, path_that_leads_out(rng, world))
            request = GateRequest(
                workspace="w", session="s", agent="a", tool="t", action="tool://local/t",
                effect="pure", arguments=arguments, boundary=boundary,
            )  # fmt: skip
            if (await Gate().decide(request)).decision == "allow":
                through.append(str(arguments))
        return through

    return asyncio.run(ask())
