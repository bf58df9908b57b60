"""Many open questions, then everything is killed, the server too: is any of them lost?

They are asked by sessions and their children, several in a step, and some more are about to be
asked when the kill comes. After the restart all that were seen have to be there. Half of them are
answered while no worker lives; then gateways and server are killed once more. Only then workers
come, and the other half is answered. Each call that was approved has to have run once, with the
arguments that were approved last; no other one at all.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.approvals.effects import by_call, read_effects
from bench.approvals.office import Office, Question
from bench.approvals.records import check_records
from bench.approvals.site import AskingSite

__all__ = ["Lost", "compare", "run"]

_CALLS = 4  # in a step
_AT_ONCE = 16
_DECISIONS = ("approve", "approve", "approve", "approve", "edit", "deny", "deny", "deny")


@dataclass
class Lost:
    """What was asked and killed, and each thing that is wrong."""

    asked: int = 0
    children: int = 0
    kills: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    """Questions, or acknowledged answers, that were not there any more."""
    not_run: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    denied_ran: list[str] = field(default_factory=list)
    other_arguments: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    records: list[str] = field(default_factory=list)
    """What is missing in the audit log, or stands there too often."""
    took_s: float = 0.0

    @property
    def wrong(self) -> list[str]:
        lists = (self.lost, self.not_run, self.twice, self.denied_ran, self.other_arguments)
        return [line for each in (*lists, self.stuck, self.records) for line in each]


async def run(
    folder: Path, *, questions: int, seed: int, workers: int = 2, gateways: int = 2,
    plant: str = "", stuck_after_s: float = 120.0,
) -> Lost:  # fmt: skip
    found, chance = Lost(), random.Random(f"{seed}/lost")
    began = time.monotonic()
    async with AskingSite(folder, workers=workers, gateways=gateways, plant=plant) as site:
        office = Office(site.urls, site.key, "lost", chance)
        await office.open()
        found.children = await _ask(office, questions + questions // 10)
        asked = await office.asked(questions)
        found.asked = len(asked)
        await _kill(site, chance, found)
        await site.restart(workers=0)
        found.lost += await _missing(office, asked)
        plan = {each["id"]: chance.choice(_DECISIONS) for each in asked}
        half = len(asked) // 2
        await _answer(office, asked[:half], plan, found)
        await _kill(site, chance, found)
        await site.restart(workers=workers)
        found.lost += await _undone(office, asked[:half], plan)
        await _answer(office, asked[half:], plan, found)
        late = await _answer_late(office, plan, chance, found, stuck_after_s)
        await office.close()
        compare(site.effects, [*asked, *late], plan, found)
        async with site.redis() as redis:
            said = {e["id"]: e | {"said": plan[e["id"]]} for e in [*asked, *late]}
            effects = read_effects(site.effects)
            found.records = await check_records(redis, office.workspace, said, effects)
    found.took_s = time.monotonic() - began
    return found


async def _ask(office: Office, questions: int) -> int:
    """Put inputs whose calls need approval, half of them into children; returns how many."""
    steps = -(-questions // _CALLS)
    roots = [await office.session("asker") for _ in range(-(-steps // 2))]
    children = [await office.session("asker", parent=root) for root in roots[: steps // 2]]
    left = questions
    for number, session in enumerate([*roots, *children]):
        calls = min(_CALLS, left)
        left -= calls
        await office.put(session, f"tag=q{number} calls={calls}")
    return len(children)


async def _kill(site: AskingSite, chance: random.Random, found: Lost) -> None:
    found.kills += len([*site.workers, *site.gateways]) + 1
    await site.kill_all(chance)


async def _missing(office: Office, asked: Sequence[Question]) -> list[str]:
    there = {each["id"]: each for each in await office.questions()}
    lost = []
    for each in asked:
        again = there.get(each["id"])
        if again is None:
            lost.append(f"question {each['id']} is gone")
        elif again != each | {"heard": again["heard"]}:
            lost.append(f"question {each['id']} is another one: {again}")
    return lost


async def _answer(
    office: Office, asked: Sequence[Question], plan: dict[str, str], found: Lost
) -> None:
    places = asyncio.Semaphore(_AT_ONCE)

    async def answer(question: Question) -> None:
        parts: dict[str, Any] = {}
        decision = plan[question["id"]]
        if decision == "edit":
            parts["arguments"] = {"what": _edited(question), "delay_ms": 0}
        async with places:
            reply = await office.answer(
                question, "deny" if decision == "deny" else "approve", **parts
            )
        found.answers[decision] += 1
        if reply.status != 200:
            found.lost.append(f"{decision} of {question['id']} was refused: {reply}")

    await asyncio.gather(*map(answer, asked))


async def _answer_late(
    office: Office, plan: dict[str, str], chance: random.Random, found: Lost, stuck_after_s: float
) -> list[Question]:
    """Answer what is asked after the kills, until all turns have ended."""
    late: list[Question] = []
    deadline = time.monotonic() + stuck_after_s
    while left := await office.stuck(timeout_s=0.5):
        fresh = [each for each in await office.questions() if each["id"] not in plan]
        plan |= {each["id"]: chance.choice(_DECISIONS) for each in fresh}
        await _answer(office, fresh, plan, found)
        late += fresh
        if time.monotonic() > deadline:
            found.stuck = [f"turn {turn} goes on" for turn in left]
            break
    return late


async def _undone(office: Office, answered: Sequence[Question], plan: dict[str, str]) -> list[str]:
    """Answers that were acknowledged and are not on record."""
    lost = []
    for each in answered:
        said = "denied" if plan[each["id"]] == "deny" else "approved"
        state = (await office.question(each["id"])).get("state")
        if state != said and not (said == "approved" and state == "consumed"):
            lost.append(f"the answer to {each['id']} is gone: it is {state}, was {said}")
    return lost


def _edited(question: Question) -> str:
    return f"{question['call']}!edited"


def compare(path: Path, asked: Sequence[Question], plan: dict[str, str], found: Lost) -> None:
    ran = by_call(read_effects(path))
    for each in asked:
        decision, place = plan[each["id"]], (each["session"], each["call"])
        effects = ran.pop(place, [])
        name = f"call {each['call']} of {each['session']}"
        if decision == "deny":
            found.denied_ran += [f"{name} was denied and ran"] * len(effects)
            continue
        expected = _edited(each) if decision == "edit" else each["call"]
        if not effects:
            found.not_run.append(f"{name} was approved and did not run")
        if len(effects) > 1:
            found.twice.append(f"{name} ran {len(effects)} times")
        if any(effect.what != expected for effect in effects):
            found.other_arguments.append(f"{name} ran with {effects[0].what}, not {expected}")
    found.denied_ran += [f"{place} ran and nobody was asked" for place in ran]
