"""Everything at once, for some minutes: producers, kills, pauses, restarts, flushes, poison."""

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field

from bench.chaos.audit import Findings, audit
from bench.chaos.client import Producer
from bench.chaos.site import BrokenSite

__all__ = ["Mix", "run"]

_EVERY_S = 0.25
_CHANCES = {
    "kill a worker": 0.08,
    "pause a worker beyond its lease": 0.04,
    "kill a gateway": 0.03,
    "kill and restart Redis": 0.01,
    "flush the queue": 0.02,
}
_SESSIONS = 12  # of each producer
_EFFECTS = ("pure", "idempotent", "at_most_once")


@dataclass
class Mix:
    """What was done, and what the auditor found."""

    deeds: Counter[str] = field(default_factory=Counter)
    findings: Findings = field(default_factory=Findings)
    accepted: int = 0
    repeats: int = 0
    seconds: float = 0.0


async def run(site: BrokenSite, *, seconds: float, seed: int, producers: int = 3) -> Mix:
    """Break things for so long, then let all turns end, and audit."""
    mix = Mix()
    began = time.monotonic()
    over = asyncio.Event()
    people = [_producer(site, seed, number) for number in range(producers)]
    async with asyncio.TaskGroup() as group:
        for person in people:
            group.create_task(_produce(person, over))
        group.create_task(_break(site, random.Random(f"{seed}/deeds"), mix.deeds, over))
        await asyncio.sleep(seconds)
        over.set()
    for worker in site.workers:
        if not worker.alive:
            worker.start()
    accepted = [each for person in people for each in person.accepted]
    for person in people:
        await asyncio.gather(*(person.ended(each.turn) for each in person.accepted))
    await asyncio.sleep(1)  # what an ended turn leaves to others, such as a lease, is given back
    async with site.redis() as redis:
        mix.findings = await audit(redis, accepted, site.effects, quarantine=True)
    mix.accepted, mix.repeats = len(accepted), sum(person.repeats for person in people)
    mix.seconds = time.monotonic() - began
    return mix


def _producer(site: BrokenSite, seed: int, number: int) -> Producer:
    chance = random.Random(f"{seed}/producer/{number}")
    return Producer(site.urls, site.key, f"chaos-{number}", chance)


async def _produce(producer: Producer, over: asyncio.Event) -> None:
    """Conversations side by side; each waits for a turn now and then, and sometimes does not."""
    await producer.open_workspace()

    async def converse(poisonous: bool) -> None:
        session = await producer.session("poison" if poisonous else "worker")
        if poisonous:
            await producer.put(session, "die", poison=True)
            return
        while not over.is_set():
            effect = producer.chance.choice(_EFFECTS)
            steps, delay_ms = producer.chance.randint(1, 3), producer.chance.choice((0, 20, 200))
            text = f"steps={steps} calls=2 effect={effect} delay_ms={delay_ms}"
            turn = await producer.put(session, text)
            if producer.chance.random() < 0.8:
                await producer.ended(turn)

    await asyncio.gather(*(converse(number == 0) for number in range(_SESSIONS)))


async def _break(
    site: BrokenSite, chance: random.Random, deeds: Counter[str], over: asyncio.Event
) -> None:
    pauses: set[asyncio.Task[None]] = set()
    while not over.is_set():
        await asyncio.sleep(_EVERY_S)
        for worker in site.workers:
            if not worker.alive:
                worker.start()
        for deed, probability in _CHANCES.items():
            if chance.random() > probability:
                continue
            deeds[deed] += 1
            worker = chance.choice(site.workers)
            if deed == "kill a worker":
                worker.kill()
            elif deed == "pause a worker beyond its lease":
                pauses.add(asyncio.create_task(site.pause(worker, 4 + 2 * chance.random())))
            elif deed == "kill a gateway":
                await site.restart_gateway(chance.choice(site.gateways))
            elif deed == "flush the queue":
                await site.flush_queue()
            else:
                await site.restart_server()
    await asyncio.gather(*pauses)
