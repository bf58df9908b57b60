"""Many people answer one question at the same moment, through two gateways: whose answer counts?

Exactly one is taken. All others are told who gave it and what it was, and what it says happens.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.approvals.effects import Effect, by_call, read_effects
from bench.approvals.office import Desk, Office, Question, Reply
from bench.approvals.site import AskingSite

__all__ = ["Doubles", "run"]

_CALLS = 8  # in a step
_STUCK_S = 60.0


@dataclass
class Doubles:
    """What was answered, and each thing that is wrong."""

    questions: int = 0
    replies: Counter[str] = field(default_factory=Counter)
    winners: Counter[int] = field(default_factory=Counter)
    """How often each person was the first."""
    not_one: list[str] = field(default_factory=list)
    """Questions that took no answer, or several."""
    untold: list[str] = field(default_factory=list)
    """Answers that were refused without saying who gave the one that counts, and what it was."""
    other: list[str] = field(default_factory=list)
    """Calls that did something else than the answer that counts says."""
    took_s: float = 0.0

    @property
    def wrong(self) -> list[str]:
        return [*self.not_one, *self.untold, *self.other]


@dataclass(frozen=True)
class _Person:
    desk: Desk
    actor: str
    decision: str

    async def answer(self, path: str, question: Question) -> Reply:
        wish = {
            "decision": self.decision,
            "arguments_sha256": question["arguments_sha256"],
            "reason": f"says {self.actor}",
        }
        reply = await self.desk.ask("POST", f"{path}/approvals/{question['id']}", wish)
        if reply is None:
            raise RuntimeError(f"{self.desk.url} does not answer")
        return reply


async def run(
    folder: Path, *, questions: int, seed: int, people: int = 8, plant: str = ""
) -> Doubles:
    found, chance = Doubles(), random.Random(f"{seed}/doubles")
    began = time.monotonic()
    async with AskingSite(folder, workers=2, gateways=2, plant=plant) as site:
        office = Office(site.urls, site.key, "doubles", chance)
        await office.open()
        crowd = [await _person(office, site.urls, number) for number in range(people)]
        for number in range(-(-questions // _CALLS)):
            session = await office.session("asker")
            calls = min(_CALLS, questions - number * _CALLS)
            await office.put(session, f"tag=d{number} calls={calls}")
        asked = await office.asked(questions)
        found.questions = len(asked)
        counted: dict[str, str] = {}
        for question in asked:
            chance.shuffle(crowd)
            counted[question["id"]] = await _all_at_once(office.path, question, crowd, found)
        for turn in await office.stuck(timeout_s=_STUCK_S):
            found.other.append(f"turn {turn} goes on")
        for person in crowd:
            await person.desk.close()
        await office.close()
        _compare(read_effects(site.effects), asked, counted, found)
    found.took_s = time.monotonic() - began
    return found


async def _person(office: Office, urls: Sequence[str], number: int) -> _Person:
    """Somebody with a key of their own, at one of the gateways."""
    wish = {"name": f"person-{number}", "workspaces": [office.workspace], "approver": True}
    made = await office.insist("POST", "/keys", wish)
    desk = Desk(urls[number % len(urls)], made.body["token"])
    decision = "approve" if number % 4 < 2 else "deny"
    return _Person(desk, f"key:{made.body['key']['id']}", decision)


async def _all_at_once(
    path: str, question: Question, crowd: Sequence[_Person], found: Doubles
) -> str:
    """Returns what the answer that counts says."""
    replies = await asyncio.gather(*(person.answer(path, question) for person in crowd))
    taken = [at for at, reply in enumerate(replies) if reply.status == 200]
    found.replies.update(reply.code or str(reply.status) for reply in replies)
    if len(taken) != 1:
        found.not_one.append(f"question {question['id']} took {len(taken)} answers")
        return ""
    winner = crowd[taken[0]]
    found.winners[taken[0]] += 1
    for reply in replies:
        if reply.status == 200:
            continue
        said = (reply.code, reply.body.get("answered_by"), reply.body.get("decision"))
        if reply.status != 409 or said != ("already_answered", winner.actor, winner.decision):
            found.untold.append(f"question {question['id']}: {reply}")
    return winner.decision


def _compare(
    effects: list[Effect], asked: Sequence[Question], counted: dict[str, str], found: Doubles
) -> None:
    ran = by_call(effects)
    for each in asked:
        count = len(ran.get((each["session"], each["call"]), ()))
        if count != (counted[each["id"]] == "approve"):
            what = counted[each["id"]] or "answered twice"
            found.other.append(f"call {each['call']}: {what}, and ran {count} times")
