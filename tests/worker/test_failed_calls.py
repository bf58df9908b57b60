"""A worker that dies just after a model call of its own failed, before it could say so."""

from typing import Any

import pytest

from bursar.agents import Agent
from bursar.budgets.accounts import read_accounts
from bursar.budgets.ledger import read_ledger
from bursar.errors import Fenced, ModelError
from bursar.store.scripts import budgets, turns
from bursar.testing import Reply, ScriptedModel
from support.workers import WORKSPACE, Site, wait_until, working

_DIED = Fenced("as if the worker had died here")


def agent(*script: Any) -> Agent:
    return Agent(name="worker", model=ScriptedModel(list(script)))


def dies(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, *, after: bool) -> list[str]:
    """Let the drive die at its first call of a script: before it, or after it has landed."""
    real, calls = getattr(module, name), list[str]()

    async def call(*args: Any, **kwargs: Any) -> Any:
        calls.append(name)
        if len(calls) == 1 and after:
            await real(*args, **kwargs)
        if len(calls) == 1:
            raise _DIED
        return await real(*args, **kwargs)

    monkeypatch.setattr(module, name, call)
    return calls


async def kinds(place: Site, session: Any) -> list[str]:
    return [event.kind for event in await place.log(session)]


async def test_a_call_that_will_be_made_again_is_announced_before_its_hold_is_gone(
    place: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = ModelError("busy", retryable=True, status=503, retry_after_s=0.01)
    dies(monkeypatch, budgets, "end_hold", after=True)
    async with working(place.store, agent(busy, "done", "done"), lease_ms=1000):
        session = await place.session("worker")
        tid = await place.put(session)
        assert (await place.ended(tid)).state == "succeeded"
    log = await kinds(place, session)
    first, second = [at for at, kind in enumerate(log) if kind == "step.started"]
    assert "step.abandoned" in log[first:second]


async def test_the_hold_of_a_failed_call_ends_together_with_its_turn(
    place: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should the worker die in between, the next one finds the hold, and says what it repeats."""
    cut = Reply(text="Half a sen", error=ModelError("cut", retryable=True))
    calls = dies(monkeypatch, turns, "finish", after=False)
    async with working(place.store, agent(cut, "whole"), lease_ms=1000):
        session = await place.session("worker")
        tid = await place.put(session)
        await wait_until("end of the first drive", lambda: _true(calls))
        assert await read_ledger(place.store, WORKSPACE) == []
        assert (await place.ended(tid)).state == "succeeded"
    log = await kinds(place, session)
    first, second = [at for at, kind in enumerate(log) if kind == "step.started"]
    assert "step.abandoned" in log[first:second]


async def test_a_failed_call_is_booked_as_unconfirmed_or_not_at_all(place: Site) -> None:
    cut = Reply(text="Half a sen", error=ModelError("cut", retryable=True))
    missing = ModelError("no such model", code="model_not_found", status=404)
    async with working(place.store, agent(cut, missing)):
        session = await place.session("worker")
        for _ in range(2):
            assert (await place.ended(await place.put(session))).state == "failed"
    unread, broken = await read_ledger(place.store, WORKSPACE)
    assert (unread["op"], unread["actual"]) == ("released", "0")
    assert broken["op"] == "unconfirmed"
    assert broken["actual"] == broken["cost"]
    (account,) = await read_accounts(place.store, WORKSPACE, ["ws"])
    assert (account.posted_microusd, account.pending_microusd) == (int(broken["cost"]), 0)


async def _true(value: object) -> bool:
    return bool(value)
