"""From a person's answer to the call that it allows: how long does that take?

Measured from the moment before the request is sent to the effect of the call, by the clock of this
machine: gateway, inbox, bell, claim, history, gate and the start of the tool lie in between. First
one answer at a time, then many at once; each wakes a session that nobody drives.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.approvals.effects import by_call, read_effects
from bench.approvals.office import Desk, Office, Question
from bench.approvals.site import AskingSite

__all__ = ["Latency", "run"]

_PAUSE_S = 0.04
_BURST = 20
_STUCK_S = 60.0


@dataclass
class Latency:
    """Milliseconds from each answer to its call."""

    alone_ms: list[float] = field(default_factory=list)
    burst_ms: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    took_s: float = 0.0


async def run(
    folder: Path, *, answers: int, seed: int, workers: int = 2, strict: bool = False
) -> Latency:
    found, chance = Latency(), random.Random(f"{seed}/latency")
    began = time.monotonic()
    async with AskingSite(folder, workers=workers, gateways=1, strict=strict) as site:
        office = Office(site.urls, site.key, "latency", chance)
        await office.open()
        for part in ("alone", "burst"):
            for number in range(answers):
                await office.put(await office.session("asker"), f"tag={part}{number}")
        asked = await office.asked(2 * answers)
        await asyncio.sleep(1)  # the last of them park
        sent: dict[str, int] = {}
        alone = [each for each in asked if each["call"].startswith("alone")]
        burst = [each for each in asked if each["call"].startswith("burst")]
        desk = Desk(site.urls[0], site.key)
        for question in alone:
            await _answer(desk, office.path, question, sent, found)
            await asyncio.sleep(_PAUSE_S)
        await _in_bursts(office, burst, sent, found)
        found.wrong += [f"turn {t} goes on" for t in await office.stuck(timeout_s=_STUCK_S)]
        await desk.close()
        await office.close()
        ran = by_call(read_effects(site.effects))
        for questions, times in ((alone, found.alone_ms), (burst, found.burst_ms)):
            for each in questions:
                effects = ran.get((each["session"], each["call"]), [])
                if len(effects) != 1:
                    found.wrong.append(f"call {each['call']} ran {len(effects)} times")
                    continue
                times.append((effects[0].at_ns - sent[each["id"]]) / 1e6)
    found.took_s = time.monotonic() - began
    return found


async def _in_bursts(
    office: Office, burst: Sequence[Question], sent: dict[str, int], found: Latency
) -> None:
    desks = [Desk(office.urls[0], office.key) for _ in range(_BURST)]
    for start in range(0, len(burst), _BURST):
        part = burst[start : start + _BURST]
        pairs = zip(desks, part, strict=False)
        await asyncio.gather(*(_answer(d, office.path, q, sent, found) for d, q in pairs))
        await asyncio.sleep(_PAUSE_S * 5)
    for desk in desks:
        await desk.close()


async def _answer(
    desk: Desk, path: str, question: Question, sent: dict[str, int], found: Latency
) -> None:
    wish = {"decision": "approve", "arguments_sha256": question["arguments_sha256"]}
    sent[question["id"]] = time.monotonic_ns()
    reply = await desk.ask("POST", f"{path}/approvals/{question['id']}", wish)
    if reply is None or reply.status != 200:
        found.wrong.append(f"question {question['id']}: {reply}")
