"""Calls that try to start on approvals that are not theirs, or not for them as they are now.

Each question is put and answered as workers and gateways do it, and then the script that starts
calls is tried with everything that the approval does not cover. In the end the call itself has to
start, once: otherwise it would be no wonder that the others do not.
"""

import json
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from bench.approvals.mutants import MUTATORS, SPELLINGS, arguments
from bench.approvals.rig import MANIFEST, POLICY, Asked, Rig, Seat, opened
from bursar.embedded import EmbeddedServer
from bursar.errors import BursarError
from bursar.gate.canonical import Canonical, canonical
from bursar.gate.requests import Use
from bursar.store.scripts import approvals as scripts

__all__ = ["Starts", "run"]

_FATES = ("approve",) * 6 + ("deny", "expire", "cancel", "void", "defer", "leave")


@dataclass
class Starts:
    """What was tried, by kind, and what got through."""

    tried: Counter[str] = field(default_factory=Counter)
    controls: int = 0
    """Calls that started as they were approved."""
    executed: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Controls that did not start, and spellings that were taken for another call."""

    @property
    def mutations(self) -> int:
        return self.tried.total()


async def run(url: str, *, mutations: int, seed: int, plant: str = "") -> Starts:
    found, chance = Starts(), random.Random(f"{seed}/starts")
    async with opened(url, chance=chance, plant=plant) as rig:
        while found.mutations < mutations:
            await _Round(rig, found, chance.choice(rig.seats), chance).run()
    return found


async def run_alone(*, mutations: int, seed: int, plant: str = "") -> Starts:
    """On a server of its own."""
    with EmbeddedServer() as server:
        return await run(server.url, mutations=mutations, seed=seed, plant=plant)


@dataclass
class _Round:
    """One question, and all that is tried on it."""

    rig: Rig
    found: Starts
    seat: Seat
    chance: random.Random

    async def run(self) -> None:
        given = arguments(self.chance)
        plain = canonical(json.dumps(given))
        self._check_spellings(given, plain)
        asked = await self.rig.ask(self.seat, plain)
        await self._try("not answered yet", asked)
        fate = self.chance.choice(_FATES)
        await self._answer_wrongly(asked, given)
        try:
            await self._bring_about(asked, fate)
        except BursarError as error:
            self.found.refused.append(f"{fate} of {asked.id}: {error}")
            return
        if fate != "approve":
            await self._try(f"after {fate}", asked)
            await self._replay(asked, fate)
            await self._try(f"after {fate}, answered again", asked)
            return
        await self._mutate(asked, given)
        await self._elsewhere(asked)
        await self._control(asked)
        await self._again(asked)

    # -- before the start

    def _check_spellings(self, given: dict[str, Any], plain: Canonical) -> None:
        for name, spell in SPELLINGS.items():
            if canonical(spell(given, self.chance)).sha256 != plain.sha256:
                self.found.refused.append(f"{name} is taken for another call")

    async def _answer_wrongly(self, asked: Asked, given: dict[str, Any]) -> None:
        """Say yes to what was not asked."""
        for name in self.chance.sample(sorted(MUTATORS), 2):
            other = canonical(json.dumps(MUTATORS[name](given, self.chance)))
            if other.sha256 == asked.arguments.sha256:
                continue
            await self._refused_answer(f"answer echoes {name}", asked, "approve", other.sha256)
        await self._try("answered with another hash", asked)

    async def _replay(self, asked: Asked, fate: str) -> None:
        if fate in {"leave", "defer"}:
            return
        sha256 = asked.arguments.sha256
        await self._refused_answer(f"answer after {fate}", asked, "approve", sha256)

    async def _refused_answer(self, what: str, asked: Asked, decision: str, sha256: str) -> None:
        self.found.tried[what] += 1
        try:
            await self.rig.answer(asked, decision, sha256)
        except BursarError:
            return
        self.found.executed.append(f"{what} was taken")

    async def _bring_about(self, asked: Asked, fate: str) -> None:
        rig, sha256 = self.rig, asked.arguments.sha256
        if fate in {"approve", "deny", "defer"}:
            await rig.answer(asked, fate, sha256)
        elif fate == "expire":
            record = await rig.record(asked)
            await rig.store.redis.call(
                "HSET", self.seat.workspace.approval(record.id), "fallback", "skip"
            )
            await rig.answer(asked, "defer", sha256)
        elif fate in {"cancel", "void"}:
            await scripts.close(
                rig.store,
                self.seat.lease.session,
                asked.id,
                state="cancelled" if fate == "cancel" else "void",
                why="of the benchmark",
                told=b"{}",
                audit=b"{}",
            )

    # -- the start

    async def _mutate(self, asked: Asked, given: dict[str, Any]) -> None:
        for name, mutate in MUTATORS.items():
            other = canonical(json.dumps(mutate(given, self.chance)))
            if other.sha256 == asked.arguments.sha256:
                continue
            await self._try(name, asked, sha256=other.sha256)
        await self._try("another tool", asked, manifest="n" * 64)
        await self._try("no tool", asked, manifest="")
        await self._try("another policy", asked, policy="q" * 64)
        await self._try("before a change of the rules", asked, behind=1)
        await self._try("after a change of the rules", asked, behind=-1)

    async def _elsewhere(self, asked: Asked) -> None:
        """The approval is good, but not for this call, session or workspace."""
        rig = self.rig
        other = self.chance.choice([seat for seat in rig.seats if seat is not self.seat])
        for name, seat in (("session", other), ("workspace", rig.abroad), ("call", self.seat)):
            call = await rig.intend(seat)
            await self._try(f"approval of another {name}", asked, seat=seat, call=call)
            twin = await rig.ask(seat, asked.arguments)
            await self._try(
                f"approval of another {name}, asked itself", asked, seat=seat, call=twin.call
            )
            await rig.set_state(seat, twin.call, "sent")
            await self._try(
                f"approval of another {name}, sent itself", asked, seat=seat, call=twin.call
            )
        await self._try("an approval that is none", asked, approval="apr_of_nobody")
        await self._try("a call that is none", asked, call="call_of_nobody")

    async def _control(self, asked: Asked) -> None:
        try:
            status = await self._start(asked)
        except BursarError as error:
            status = str(error)
        if status == "ok":
            self.found.controls += 1
        else:
            self.found.refused.append(f"call {asked.call} as it was approved: {status}")

    async def _again(self, asked: Asked) -> None:
        """It was used, whatever is said now."""
        await self._try("a second start", asked)
        twin = await self.rig.ask(self.seat, asked.arguments)
        await self._try("used by another call", asked, call=twin.call)
        await self.rig.set_state(self.seat, twin.call, "sent")
        await self._try("used by another call that was sent", asked, call=twin.call)
        await self.rig.set_state(self.seat, asked.call, "intent")
        await self._try("a second start of a call that is new again", asked)
        await self._replay(asked, "approve")
        await self._try("a second start after a replayed answer", asked)

    async def _try(self, what: str, asked: Asked, **changes: Any) -> None:
        self.found.tried[what] += 1
        try:
            status = await self._start(asked, **changes)
        except BursarError:
            return
        if status == "ok":
            self.found.executed.append(f"{what}: call {changes.get('call', asked.call)} started")

    async def _start(
        self,
        asked: Asked,
        *,
        seat: Seat | None = None,
        call: str = "",
        approval: str = "",
        sha256: str = "",
        manifest: str | None = None,
        policy: str = POLICY,
        behind: int = 0,
    ) -> str:
        place = seat or self.seat
        parts = (
            sha256 or asked.arguments.sha256,
            MANIFEST if manifest is None else manifest,
            policy,
            approval or asked.id,
        )
        version = str(int(await self.rig.version(place)) - behind)
        use = Use("approval", approval or asked.id, parts)
        permit = self.rig.permit(place, version, use=use, once=True)
        return await self.rig.start(place, call or asked.call, permit)
