"""Workers, gateways and the server are killed while people are asked and answer. What did calls do?

Conversations go on, questions are answered soon after they were asked, and all the while something
is killed and started anew. In the end every turn has to end, no call may have run that nobody
approved, none twice that must not run twice, and what began and was cut off has to be shown. What
was decided has to stand in the audit log, once each.
"""

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from bench.approvals.effects import Effect, read_effects, write_for_chaos
from bench.approvals.office import Office, Question
from bench.approvals.records import check_records
from bench.approvals.site import AskingSite
from bench.chaos.audit import Findings, audit
from bench.chaos.client import Accepted

__all__ = ["Crashes", "run"]

_EVERY_S = 0.25
_CHANCES = {"kill a worker": 0.25, "kill a gateway": 0.03, "kill and restart Redis": 0.01}
_SESSIONS = 16
_STUCK_S = 90.0
_REST_S = 1.5  # what an ended turn leaves to others, such as a lease, is given back


@dataclass
class Crashes:
    """What was done, and each thing that is wrong."""

    deeds: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    ran: Counter[str] = field(default_factory=Counter)
    findings: Findings = field(default_factory=Findings)
    asked: int = 0
    turns: int = 0
    unapproved: list[str] = field(default_factory=list)
    """Calls that ran though nobody had approved them."""
    stuck: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Answers that were not taken although nobody else had answered."""
    records: list[str] = field(default_factory=list)
    """What is missing in the audit log, or stands there too often."""
    took_s: float = 0.0

    @property
    def wrong(self) -> list[str]:
        lists = (self.unapproved, self.stuck, self.refused, self.records, self.findings.wrong)
        return [line for each in lists for line in each]

    @property
    def twice(self) -> int:
        return sum("happened twice" in line for line in self.findings.wrong)

    @property
    def hidden(self) -> int:
        return sum("is not shown" in line for line in self.findings.wrong)


async def run(
    folder: Path, *, seconds: float, seed: int, workers: int = 3, plant: str = "",
    failpoints: str = "", stuck_after_s: float = _STUCK_S,
) -> Crashes:  # fmt: skip
    """Break things for so long, then let all turns end, and audit.

    Args:
        failpoints: as ``BURSAR_FAILPOINTS``, while things are broken.

    """
    found, chance = Crashes(), random.Random(f"{seed}/crashes")
    began = time.monotonic()
    env = {"BURSAR_FAILPOINTS": failpoints}
    async with AskingSite(folder, workers=workers, plant=plant, env=env) as site:
        office = Office(site.urls, site.key, "crashes", chance)
        await office.open()
        over, ended = asyncio.Event(), asyncio.Event()
        answered: dict[str, Question] = {}
        async with asyncio.TaskGroup() as group:
            answering = group.create_task(_answer_all(office, answered, found, ended))
            for number in range(_SESSIONS):
                group.create_task(_converse(office, number, over))
            group.create_task(_break(site, random.Random(f"{seed}/deeds"), found.deeds, over))
            await asyncio.sleep(seconds)
            over.set()
            site.change({"BURSAR_FAILPOINTS": ""})
            await asyncio.sleep(_EVERY_S * 2)
            await site.restart(workers=workers)
            found.stuck = [
                f"turn {turn} goes on" for turn in await office.stuck(timeout_s=stuck_after_s)
            ]
            ended.set()
            await answering
        await asyncio.sleep(_REST_S)
        await _judge(site, office, answered, folder, found)
        await office.close()
    found.took_s = time.monotonic() - began
    return found


async def _converse(office: Office, number: int, over: asyncio.Event) -> None:
    session = await office.session("asker")
    count = 0
    while not over.is_set():
        tool = office.chance.choice(("mark", "mark", "keep"))
        delay_ms, calls = office.chance.choice((0, 20, 200)), office.chance.randint(1, 3)
        turn = await office.put(
            session, f"tag=k{number}x{count} calls={calls} tool={tool} delay_ms={delay_ms} steps=2"
        )
        count += 1
        while (await office.turn(turn)).get("state") in {"queued", "running", "waiting"}:
            if over.is_set():
                return
            await asyncio.sleep(0.1)


async def _answer_all(
    office: Office, answered: dict[str, Question], found: Crashes, ended: asyncio.Event
) -> None:
    """Look at what is open, and answer it after a while."""
    taken: set[str] = set()
    async with asyncio.TaskGroup() as group:
        while not ended.is_set():
            for question in await office.questions():
                if question["id"] not in taken:
                    taken.add(question["id"])
                    group.create_task(_answer(office, question, answered, found))
            await asyncio.sleep(0.1)
    found.asked = len(taken)


async def _answer(
    office: Office, question: Question, answered: dict[str, Question], found: Crashes
) -> None:
    decision = "deny" if office.chance.random() < 0.25 else "approve"
    await asyncio.sleep(office.chance.random() * 0.4)
    answered[question["id"]] = question | {"said": decision}
    reply = await office.answer(question, decision)
    if reply.code == "already_answered" and reply.body["decision"] == decision:
        found.answers["repeated"] += 1  # nobody else answers: the first try was heard
    elif reply.status != 200:
        found.refused.append(f"{decision} of {question['id']}: {reply}")
    found.answers[decision] += 1


async def _break(
    site: AskingSite, chance: random.Random, deeds: Counter[str], over: asyncio.Event
) -> None:
    while not over.is_set():
        await asyncio.sleep(_EVERY_S)
        for worker in site.workers:
            if not worker.alive:
                worker.start()
        for deed, probability in _CHANCES.items():
            if chance.random() > probability:
                continue
            deeds[deed] += 1
            if deed == "kill a worker":
                chance.choice(site.workers).kill()
            elif deed == "kill a gateway":
                await site.restart_gateway(chance.choice(site.gateways))
            else:
                await site.restart_server()


async def _judge(
    site: AskingSite, office: Office, answered: dict[str, Question], folder: Path, found: Crashes
) -> None:
    effects = read_effects(site.effects)
    found.ran.update(effect.kind for effect in effects)
    found.unapproved = _unapproved(effects, answered)
    accepted = [Accepted(office.workspace, sid, turn) for turn, sid in office.turns.items()]
    found.turns = len(accepted)
    path = write_for_chaos(effects, folder / "effects-for-chaos")
    async with site.redis() as redis:
        # Workers that die again and again may take a turn with them.
        found.findings = await audit(redis, accepted, path, quarantine=True)
        found.records = await check_records(redis, office.workspace, answered, effects)
    if found.findings.turns["failed"]:
        found.stuck.append(f"{found.findings.turns['failed']} turns failed")


def _unapproved(effects: list[Effect], answered: dict[str, Question]) -> list[str]:
    approved = {
        (each["session"], each["turn"], each["call"])
        for each in answered.values()
        if each["said"] == "approve"
    }
    return [
        f"call {effect.call} of {effect.turn} ran and was not approved"
        for effect in effects
        if (effect.session, effect.turn, effect.call) not in approved
    ]
