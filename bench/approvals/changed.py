"""The same with workers as they ship: what changes between a person's yes and the call.

Questions are asked, then all workers are killed. While nobody works, people answer, and tools,
rules and records are changed. Then other workers come. No call may run that was changed; those
beside, which nobody touched, have to.
"""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from redis.asyncio import Redis

from bench.approvals.effects import read_effects
from bench.approvals.office import Office, Question
from bench.approvals.site import AskingSite
from bursar.store.keys import SessionKeys, WorkspaceKeys

__all__ = ["KINDS", "Changed", "run"]

_STUCK_S = 60.0


@dataclass
class Changed:
    """Calls by what was changed about them, and each that ran all the same."""

    calls: Counter[str] = field(default_factory=Counter)
    controls: int = 0
    executed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    took_s: float = 0.0


@dataclass(frozen=True)
class _Place:
    """A workspace of its own for each kind of change."""

    office: Office
    redis: Redis
    shards: int

    def session(self, question: Question) -> SessionKeys:
        return WorkspaceKeys(self.office.workspace, self.shards).session(question["session"])

    def record(self, question: Question) -> str:
        return WorkspaceKeys(self.office.workspace, self.shards).approval(question["id"])

    async def approve(self, question: Question) -> None:
        reply = await self.office.answer(question)
        if reply.status != 200:
            raise RuntimeError(f"not approved: {reply}")


Change = Callable[[_Place, list[Question]], Awaitable[None]]


async def _nothing(place: _Place, asked: list[Question]) -> None:
    for question in asked:
        await place.approve(question)


async def _rules(place: _Place, asked: list[Question]) -> None:
    """A rule that says no more than the default, and so another policy."""
    for question in asked:
        await place.approve(question)
    wish = {"blocked": [], "ask": ["tool://local/mark"], "allow": []}
    reply = await place.office.insist("PUT", f"{place.office.path}/policy", wish)
    if reply.status != 200:
        raise RuntimeError(f"no policy: {reply}")


async def _arguments_on_record(place: _Place, asked: list[Question]) -> None:
    for question in asked:
        await place.approve(question)
        other = json.dumps(json.loads(question["arguments"]) | {"what": "something-else"})
        await place.redis.hset(place.record(question), "arguments", other)  # type: ignore[misc]


async def _hash_on_record(place: _Place, asked: list[Question]) -> None:
    for question in asked:
        await place.approve(question)
        record = place.record(question)
        await place.redis.hset(record, "arguments_sha256", "0" * 64)  # type: ignore[misc]


async def _wrong_echo(place: _Place, asked: list[Question]) -> None:
    """Only answers that speak of other arguments; a no in the end."""
    for question in asked:
        for sha256 in ("0" * 64, question["arguments_sha256"].upper(), question["manifest"], ""):
            reply = await place.office.answer(question | {"arguments_sha256": sha256})
            if reply.status not in {409, 422}:
                raise RuntimeError(f"an answer with another hash was taken: {reply}")
        await place.office.answer(question, "deny")


async def _denied_first(place: _Place, asked: list[Question]) -> None:
    for question in asked:
        await place.office.answer(question, "deny")
        for decision in ("approve", "deny", "defer"):
            reply = await place.office.answer(question, decision)
            if reply.status != 409:
                raise RuntimeError(f"a second answer was taken: {reply}")


async def _others_approval(place: _Place, asked: list[Question]) -> None:
    """Each call is made to wait for the next one's question, and that alone is approved once."""
    for question, other in zip(asked, [*asked[1:], asked[0]], strict=True):
        effects = place.session(question).effects
        field_name = f"call:{question['call']}"
        await place.redis.hset(effects, field_name, f"waiting {other['id']}")  # type: ignore[misc]
    for question in asked:
        await place.approve(question)


async def _foreign_workspace(place: _Place, asked: list[Question]) -> None:
    """Answers that come by way of another workspace."""
    for question in asked:
        path = f"/workspaces/{place.office.workspace}x"
        await place.office.insist("POST", "/workspaces", {"id": path.rpartition("/")[2]})
        wish = {"decision": "approve", "arguments_sha256": question["arguments_sha256"]}
        reply = await place.office.insist("POST", f"{path}/approvals/{question['id']}", wish)
        if reply.status != 404:
            raise RuntimeError(f"an answer from elsewhere was taken: {reply}")
        await place.office.answer(question, "deny")


CONTROL = "nothing"
KINDS: dict[str, tuple[str, Change]] = {
    CONTROL: ("asker", _nothing),
    "the tool": ("changer", _nothing),
    "the rules": ("asker", _rules),
    "arguments on record": ("asker", _arguments_on_record),
    "hash on record": ("asker", _hash_on_record),
    "hash of the answer": ("asker", _wrong_echo),
    "denied first": ("asker", _denied_first),
    "approval of another session": ("asker", _others_approval),
    "workspace of the answer": ("asker", _foreign_workspace),
}
"""By what is changed: the agent that is asked of, and how."""


async def run(folder: Path, *, calls: int, seed: int, workers: int = 2, plant: str = "") -> Changed:
    """So many calls of each kind."""
    found, chance = Changed(), random.Random(f"{seed}/changed")
    began = time.monotonic()
    env = {"BENCH_TOOL_VERSION": "1"}
    async with (
        AskingSite(folder, workers=workers, plant=plant, env=env) as site,
        site.redis() as redis,
    ):
        shards = int(await redis.hget("bursar:{g}:install", "shards") or 16)  # type: ignore[misc]
        places = {}
        for number, (kind, (agent, _)) in enumerate(KINDS.items()):
            office = Office(site.urls, site.key, f"changed-{number}", chance)
            await office.open()
            places[kind] = _Place(office, redis, shards)
            for call in range(calls):
                await office.put(await office.session(agent), f"tag=k{number}x{call}")
        asked = {kind: await place.office.asked(calls) for kind, place in places.items()}
        # They are to be parked: whoever still drives one would be told of its answer.
        await asyncio.sleep(0.5)
        site.kill_workers()
        for kind, (_, change) in KINDS.items():
            found.calls[kind] = len(asked[kind])
            await change(places[kind], asked[kind])
        site.change({"BENCH_TOOL_VERSION": "2"})
        await site.restart(workers=workers)
        for kind, place in places.items():
            await _settle(place.office, kind, found)
            await place.office.close()
        ran = Counter(effect.workspace for effect in read_effects(site.effects))
        _compare({k: ran[p.office.workspace] for k, p in places.items()}, found)
    found.took_s = time.monotonic() - began
    return found


async def _settle(office: Office, kind: str, found: Changed) -> None:
    """Say no to whatever is asked anew, until all turns have ended."""
    deadline = time.monotonic() + _STUCK_S
    while left := await office.stuck(timeout_s=0.3):
        for question in await office.questions():
            await office.answer(question, "deny")
        if time.monotonic() > deadline:
            found.wrong += [f"{kind}: turn {turn} goes on" for turn in left]
            return


def _compare(ran: dict[str, int], found: Changed) -> None:
    found.controls = ran.pop(CONTROL)
    if found.controls != found.calls[CONTROL]:
        found.wrong.append(f"{found.controls} of {found.calls[CONTROL]} ran that nobody changed")
    for kind, count in ran.items():
        found.executed += [f"{kind}: a call ran"] * count
