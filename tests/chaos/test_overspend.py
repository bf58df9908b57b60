"""The short form of `bench overspend`, and proof that its auditor sees what it is there to see."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bench.overspend.audit import Findings, audit
from bench.overspend.client import Client
from bench.overspend.journal import Journal, What, read_notes
from bench.overspend.plan import CLIENTS, WORKSPACE, Plan
from bench.overspend.run import furnish, run

from bursar.store.codec import text
from bursar.store.store import Store

SEED = 20261124
DEBITS = 80


@pytest.mark.timeout(240)
async def test_clients_that_are_killed_overspend_lose_and_double_nothing(tmp_path: Path) -> None:
    outcome = await run(tmp_path, debits=20_000, kills=8, seed=SEED, quiet=True)
    assert outcome.findings.wrong == []
    assert outcome.oversteps == 0
    assert outcome.findings.conflicts_missed == 0
    assert outcome.kills == 8
    assert outcome.findings.debits == 20_000
    assert 0.8 < outcome.findings.fit < 0.97
    reached = set(outcome.findings.reached)
    planned = {"s:g01", "s:c11", "user:u2", "s:g31"}
    assert len(reached & planned) >= 2, "limits did not bind on several levels: nothing shown"


@pytest.mark.timeout(240)
async def test_lost_replies_lose_and_double_nothing(tmp_path: Path) -> None:
    outcome = await run(tmp_path, debits=5_000, kills=2, seed=SEED, lost_replies=0.3, quiet=True)
    assert outcome.findings.wrong == []
    assert outcome.oversteps == 0
    assert outcome.findings.conflicts_missed == 0
    assert outcome.findings.probes > 1000
    assert outcome.tally.unanswered / outcome.tally.tries > 0.2, "too few replies were lost"


@pytest.mark.timeout(240)
async def test_a_ledger_that_skips_two_checks_in_a_hundred_is_found_out(tmp_path: Path) -> None:
    outcome = await run(tmp_path, debits=8_000, kills=0, seed=SEED, planted=True, quiet=True)
    assert outcome.findings.overspent
    assert outcome.oversteps > 0


@dataclass
class Scene:
    """A few debits that all clients made in good order."""

    store: Store
    plan: Plan

    async def audit(self) -> Findings:
        return await audit(self.store, self.plan)

    @property
    def ledger(self) -> str:
        return self.store.workspace(WORKSPACE).ledger

    async def a_commit(self) -> tuple[Any, dict[Any, Any]]:
        """The id and the fields of the first commit in the ledger."""
        entries = await self.store.redis.call("XRANGE", self.ledger, "-", "+")
        return next((i, fields) for i, fields in entries if fields[b"op"] == b"commit")


@pytest.fixture
async def scene(store: Store, tmp_path: Path) -> AsyncIterator[Scene]:
    turns = await furnish(store, DEBITS)
    urls = (store.settings.redis_url,) * CLIENTS
    plan = Plan(urls, str(tmp_path), debits=DEBITS, seed=SEED, turns=turns)
    for number in range(CLIENTS):
        await Client(plan, number).run()
    yield Scene(store, plan)
    await store.redis.call("FLUSHALL")


async def test_debits_in_good_order_have_no_findings(scene: Scene) -> None:
    found = await scene.audit()
    assert found.wrong == []
    assert found.debits == found.outcomes["COMMITTED"] + found.outcomes["REFUSED"] == DEBITS


async def lose_an_entry(scene: Scene) -> None:
    entry, _ = await scene.a_commit()
    await scene.store.redis.call("XDEL", scene.ledger, entry)


async def double_an_entry(scene: Scene) -> None:
    _, fields = await scene.a_commit()
    flat = [part for pair in fields.items() for part in pair]
    await scene.store.redis.call("XADD", scene.ledger, "*", *flat)


async def book_another_amount(scene: Scene) -> None:
    entry, fields = await scene.a_commit()
    await scene.store.redis.call("XDEL", scene.ledger, entry)
    fields[b"actual"] = b"%d" % (int(fields[b"actual"]) + 1)
    flat = [part for pair in fields.items() for part in pair]
    await scene.store.redis.call("XADD", scene.ledger, "*", *flat)


async def spend_beside_the_ledger(scene: Scene) -> None:
    account = scene.store.workspace(WORKSPACE).account("ws")
    await scene.store.redis.call("HINCRBY", account, "posted", 7)


async def spend_beyond_the_limit(scene: Scene) -> None:
    account = scene.store.workspace(WORKSPACE).account("ws")
    await scene.store.redis.call("HSET", account, "posted", 10**9)


async def hold_for_ever(scene: Scene) -> None:
    account = scene.store.workspace(WORKSPACE).account("s:c00")
    await scene.store.redis.call("HINCRBY", account, "pending", 7)


async def leave_a_hold_open(scene: Scene) -> None:
    _, fields = await scene.a_commit()
    hold = scene.store.workspace(WORKSPACE).hold(text(fields[b"id"]))
    await scene.store.redis.call("HSET", hold, "state", "open")


async def commit_what_was_refused(scene: Scene) -> None:
    """The client's journal says that it was refused."""
    path = scene.plan.journal(0)
    done = next(note for note in read_notes(path) if note.what is What.COMMITTED)
    Journal(path).note(What.REFUSED, done.seat, done.number)


async def use_an_id_twice(scene: Scene) -> None:
    """The client's journal says that the second amount was taken."""
    Journal(scene.plan.journal(0)).note(What.PROBED, 0, 1, 0)


@pytest.mark.parametrize(
    ("plant", "where"),
    [
        (lose_an_entry, "lost"),
        (double_an_entry, "doubled"),
        (book_another_amount, "lost"),
        (spend_beside_the_ledger, "unequal"),
        (spend_beyond_the_limit, "overspent"),
        (hold_for_ever, "left"),
        (leave_a_hold_open, "left"),
        (commit_what_was_refused, "unequal"),
        (use_an_id_twice, "conflicts_missed"),
    ],
)
async def test_a_planted_fault_is_found(
    scene: Scene, plant: Callable[[Scene], Awaitable[None]], where: str
) -> None:
    await plant(scene)
    assert getattr(await scene.audit(), where)
