"""Context providers: asked once a session, before its first step, and never in the way."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from bursar import history, sessions
from bursar.agents import Agent
from bursar.context_provider import ContextRequest
from bursar.hooks import Block, UserPrompt, hook
from bursar.messages import UserMessage
from bursar.sessions import SessionView
from bursar.testing import ScriptedModel
from bursar_worker import collecting
from support.talker import Talker
from support.workers import WORKSPACE, Site, wait_until, working


class Provider:
    """Says one of ``answers`` after the other; an exception is raised, a number slept."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.requests: list[ContextRequest] = []

    async def __call__(self, request: ContextRequest) -> Any:
        self.requests.append(request)
        answer = self.answers[len(self.requests) - 1]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, int | float):
            await asyncio.sleep(answer)
        return answer


def agent(provider: Callable[[ContextRequest], Any], **options: Any) -> Agent:
    model = ScriptedModel(["yes"] * 10, name="scripted")
    return Agent(name="worker", model=model, instructions="Help.", context=provider, **options)


def systems(one: Agent) -> list[str]:
    assert isinstance(one.model, ScriptedModel)
    return [request.system for request in one.model.requests]


async def stored(place: Site, session: SessionView) -> bytes | None:
    keys = sessions.locate(place.store, WORKSPACE, session.id)
    found: bytes | None = await place.store.redis.call("HGET", keys.text, "context")
    return found


async def turns(place: Site, session: SessionView, count: int) -> None:
    for _ in range(count):
        turn = await place.ended(await place.put(session, "go"))
        assert turn.state == "succeeded", turn


async def test_it_is_asked_once_and_told_whose_session_it_is(place: Site) -> None:
    provider = Provider("The user is Ada.")
    one = agent(provider)
    async with working(place.store, one):
        session = await place.session("worker", workspace_path="a/b", system_prompt="Be kind.")
        await turns(place, session, 3)
    assert systems(one) == ["Help.\n\nBe kind.\n\nThe user is Ada."] * 3
    (request,) = provider.requests
    assert (request.workspace, request.session, request.user) == (WORKSPACE, session.id, "ada")
    assert (request.agent, request.workspace_path) == ("worker", "a/b")
    assert (await place.turn(request.turn)).session == session.id
    said = await history.read_messages(place.store, WORKSPACE, session.id, last=100)
    assert not any("Ada" in getattr(message, "text", "") for message in said)


async def test_one_that_is_not_async_runs_beside_the_loop(place: Site) -> None:
    def provider(_: ContextRequest) -> str:
        time.sleep(0.05)
        return "From a thread."

    one = agent(provider)
    async with working(place.store, one):
        await place.run("worker")
    assert systems(one) == ["Help.\n\nFrom a thread."]


async def test_nothing_to_say_is_an_answer(place: Site) -> None:
    provider = Provider("", "too late")
    one = agent(provider)
    async with working(place.store, one):
        session = await place.session("worker")
        await turns(place, session, 2)
    assert await stored(place, session) == b""
    assert systems(one) == ["Help."] * 2
    assert len(provider.requests) == 1


@pytest.mark.parametrize(
    ("answer", "logged"),
    [
        (RuntimeError("no database"), "raised RuntimeError"),
        (None, "gave a NoneType"),
        ("x" * (256 * 1024 + 1), "gave more than 262144 bytes"),
        (60, "did not answer within 0.1 s"),
    ],
)
async def test_one_that_fails_is_skipped_and_asked_again_on_the_next_turn(
    place: Site,
    answer: Any,
    logged: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(collecting, "_TIMEOUT_S", 0.1)
    provider = Provider(answer, "The user is Ada.")
    one = agent(provider)
    async with working(place.store, one):
        session = await place.session("worker")
        await turns(place, session, 1)
        assert await stored(place, session) is None
        await turns(place, session, 2)
    assert systems(one) == ["Help.", *["Help.\n\nThe user is Ada."] * 2]
    assert logged in caplog.text


async def test_a_long_context_that_came_late_is_held_for(place: Site) -> None:
    """What the model used before does not bound a call whose system text has grown."""
    provider = Provider(RuntimeError("not yet"), "Mind the gap. " * 1000)
    one = agent(provider)
    async with working(place.store, one):
        session = await place.session("worker")
        await turns(place, session, 2)
    started = [e.decode() for e in await place.log(session) if e.kind == "step.started"]
    used = [e.decode() for e in await place.log(session) if e.kind == "usage"]
    assert used[1]["cost_microusd"] <= started[1]["held_microusd"]
    assert started[1]["held_microusd"] - started[0]["held_microusd"] > 10_000


async def test_a_session_that_was_given_a_context_asks_nobody(place: Site) -> None:
    provider = Provider()
    one = agent(provider)
    async with working(place.store, one):
        await place.run("worker", context="Given.")
    assert systems(one) == ["Help.\n\nGiven."]
    assert provider.requests == []


@pytest.mark.parametrize("said", ["The user is Ada.", ""])
async def test_a_child_has_what_its_parent_was_told(place: Site, said: str) -> None:
    provider = Provider(said)
    one = agent(provider)
    async with working(place.store, one):
        parent = await place.session("worker")
        await turns(place, parent, 1)
        child = await place.session("worker", parent=parent.id)
        await turns(place, child, 1)
    assert await stored(place, child) == said.encode()
    assert len(provider.requests) == 1


async def test_an_input_that_is_blocked_asks_nobody(place: Site) -> None:
    @hook("user_prompt")
    async def never(_: UserPrompt) -> Block:
        return Block("no")

    provider = Provider()
    one = agent(provider, hooks=[never])
    async with working(place.store, one):
        session, turn = await place.run("worker")
    assert turn.code == "hook_blocked"
    assert provider.requests == []
    assert await stored(place, session) is None


async def test_a_cancel_does_not_wait_for_it(place: Site) -> None:
    provider = Provider(60)
    async with working(place.store, agent(provider)):
        session = await place.session("worker")
        tid = await place.put(session)

        async def asked() -> bool:
            return bool(provider.requests)

        await wait_until("question to the provider", asked)
        await place.inputs.cancel(WORKSPACE, tid, "enough")
        turn = await place.ended(tid, timeout_s=3)
    assert turn.state == "cancelled"


async def test_a_compacted_session_keeps_it(place: Site) -> None:
    provider = Provider("The user is Ada.")
    model = Talker()
    one = Agent(name="worker", model=model, context=provider)
    async with working(place.store, one):
        session = await place.session("worker")
        for number in range(40):
            text = f"old {number} ".ljust(300, "x")
            await history.add_message(place.store, WORKSPACE, session.id, UserMessage(text))
        await turns(place, session, 1)
    assert model.answers.requests[-1].system == "The user is Ada."
    assert model.seen[0].endswith("SUMMARY 0")
