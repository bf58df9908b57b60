"""The writes of a drive: joined, in order, and applied once however often a reply is lost."""

import random
from functools import partial
from typing import Any

import pytest

from bursar import sessions
from bursar.errors import BursarError, Fenced, StoreUnavailable
from bursar.events import Span
from bursar.leases import Claimed
from bursar.messages import AssistantMessage
from bursar.store.scripts import leases, turns
from bursar.store.store import Store
from bursar_worker.writer import SessionWriter
from support.stage import claimant
from support.workers import WORKSPACE, Site, working


async def claimed_session(place: Site, registry: Any) -> Claimed:
    """``registry`` is asked for because it announces the agent ``echo``."""
    session = await place.session("echo")
    await place.put(session)
    keys = sessions.locate(place.store, WORKSPACE, session.id)
    claimed = await leases.claim(place.store, keys, claimant("w", 60_000), owner="o")
    assert isinstance(claimed, Claimed)
    return claimed


def failing(store: Store, monkeypatch: pytest.MonkeyPatch, share: float) -> list[int]:
    """Lose that share of all replies, after Redis has applied the command."""
    dice, lost = random.Random(7), [0]
    run = store.run

    async def lossy(*arguments: Any, **options: Any) -> list[Any]:
        reply = await run(*arguments, **options)
        if dice.random() < share:
            lost[0] += 1
            raise StoreUnavailable("the reply was lost")
        return reply

    monkeypatch.setattr(store, "run", lossy)
    return lost


async def deltas(place: Site, claimed: Claimed) -> list[dict[str, Any]]:
    view = await sessions.get(place.store, WORKSPACE, claimed.lease.session.id)
    log = [event for event in await place.log(view) if event.kind == "text.delta"]
    return [event.decode() for event in log]


async def test_what_waits_while_an_append_is_under_way_is_joined(
    place: Site, registry: Any
) -> None:
    claimed = await claimed_session(place, registry)
    span = Span(claimed.lease.session.id, "t", 1, 1)
    writer = SessionWriter(place.store, claimed.lease, lambda error: None)
    for number in range(500):
        writer.delta(span, "text.delta", f"{number} ")
    await writer.settle()
    found = await deltas(place, claimed)
    assert "".join(event["text"] for event in found) == "".join(f"{n} " for n in range(500))
    assert len(found) < 10


async def test_deltas_of_different_kinds_and_attempts_stay_apart_and_in_order(
    place: Site, registry: Any
) -> None:
    claimed = await claimed_session(place, registry)
    span = Span(claimed.lease.session.id, "t", 1, 1)
    writer = SessionWriter(place.store, claimed.lease, lambda error: None)
    writer.delta(span, "text.delta", "a")
    writer.delta(span, "text.delta", "b")
    writer.emit(span.event("usage"))
    writer.delta(span.at(attempt=2), "text.delta", "c")
    await writer.settle()
    found = await deltas(place, claimed)
    assert [(event["text"], event["attempt"]) for event in found] == [("ab", 1), ("c", 2)]


async def test_lost_replies_neither_double_nor_drop_a_write(
    place: Site, registry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    claimed = await claimed_session(place, registry)
    lease = claimed.lease
    (item,) = claimed.inbox
    tid = item.target
    span = Span(lease.session.id, tid, 1, 1)
    writer = SessionWriter(place.store, lease, lambda error: None)
    lost = failing(place.store, monkeypatch, 0.3)
    message = AssistantMessage(text="said once")
    assert await writer.write(
        lambda: turns.start(place.store, lease, item, [span.event("turn.started")])
    )
    commit = turns.Commit(messages=[message], steps=1, input_tokens=1)
    for number in range(60):
        writer.delta(span, "text.delta", f"{number} ")
        await writer.write(partial(turns.commit_step, place.store, lease, tid, commit, []))
    await writer.settle()
    monkeypatch.undo()
    assert lost[0] > 10
    view = await sessions.get(place.store, WORKSPACE, lease.session.id)
    assert (view.message_count, view.step_count) == (61, 60)
    texts = "".join(event["text"] for event in await deltas(place, claimed))
    assert texts == "".join(f"{number} " for number in range(60))


async def test_a_fenced_append_is_reported_and_a_fenced_write_raises(
    place: Site, registry: Any
) -> None:
    claimed = await claimed_session(place, registry)
    failures: list[BursarError] = []
    writer = SessionWriter(place.store, claimed.lease, failures.append)
    claimed.lease.owner = "somebody else"
    writer.delta(Span(claimed.lease.session.id), "text.delta", "never")
    await writer.settle()
    assert [type(error) for error in failures] == [Fenced]
    with pytest.raises(Fenced):
        await writer.write(lambda: turns.append_events(place.store, claimed.lease, []))
    assert await deltas(place, claimed) == []


async def test_a_turn_longer_than_its_lease_is_kept_by_the_heartbeat(place: Site) -> None:
    from bursar.agents import Agent
    from bursar.testing import Reply, ScriptedModel

    patient = Agent(name="worker", model=ScriptedModel([Reply(text="slow", delay_s=2.5)]))
    async with working(place.store, patient, lease_ms=1000):
        session, turn = await place.run("worker")
    assert turn.state == "succeeded"
    assert "step.abandoned" not in await place.kinds(session)
