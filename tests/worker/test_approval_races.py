"""Answers at awkward moments, and calls whose worker dies while people answer."""

import asyncio
from typing import Any

import pytest

from bursar.agents import Agent
from bursar.context import ToolContext
from bursar.errors import Conflict, StoreUnavailable
from bursar.gate import granting
from bursar.gate.approvals import ApprovalView, list_open
from bursar.gate.granting import NewAllowance
from bursar.gate.pipeline import Gate, GateRequest, Verdict
from bursar.gate.policy import Policy
from bursar.messages import ToolCall
from bursar.store.scripts import approvals as scripts
from bursar.testing import ScriptedModel
from bursar.tools import tool
from bursar_worker import gatekeeper
from bursar_worker.drive import Drive
from bursar_worker.questions import AwaitsAnswer, Questions
from bursar_worker.toolbox import Toolbox
from support.letters import TO_BOB, TO_EVE, Post, writer
from support.workers import WORKSPACE, Site, wait_until, working


async def test_an_answer_beside_a_look_at_the_same_question_is_not_lost(
    place: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look has read the question as open; the answer comes before the look has ended."""
    post = Post()
    looks = 0
    starts = 0
    read, start = Questions.read, Toolbox._start_missing
    questions: list[ApprovalView] = []

    def counted(self: Toolbox, *args: Any) -> None:
        nonlocal starts
        starts += 1
        start(self, *args)

    async def slow(self: Questions, question: str) -> ApprovalView | None:
        nonlocal looks
        found = await read(self, question)
        if questions and question == questions[1].id:
            looks += 1
            if looks == 1:
                before = starts
                await place.answer(questions[1])

                async def told() -> bool:
                    return starts > before

                await wait_until("news of the answer", told)
        return found

    monkeypatch.setattr(Questions, "read", slow)
    monkeypatch.setattr(Toolbox, "_start_missing", counted)
    async with working(place.store, writer(post, [TO_BOB, TO_EVE], "done")):
        tid = await place.put(await place.session("writer"))
        questions += await place.asked(2)
        await place.answer(questions[0])
        assert (await place.ended(tid, timeout_s=5)).state == "succeeded"
    assert len(post.sent) == 2


async def test_an_answer_that_is_taken_in_while_the_last_call_ends_is_not_lost(
    place: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The drive reads of the answer when the toolbox has looked for news the last time."""
    running, go_on, parked = asyncio.Event(), asyncio.Event(), asyncio.Event()
    sent: list[str] = []

    @tool
    async def send(ctx: ToolContext, to: str, text: str) -> str:
        sent.append(to)
        running.set()
        if to == "bob":
            await go_on.wait()
        return to

    run, take = Toolbox.run, Drive._take
    hold = False

    async def watched(self: Toolbox, calls: Any) -> None:
        try:
            await run(self, calls)
        except AwaitsAnswer:
            if sent:
                parked.set()
            raise

    async def slow(self: Drive, done: Any) -> Any:
        found = await take(self, done)
        if hold and not go_on.is_set():
            go_on.set()  # while the reply is on its way, the other call ends
            await parked.wait()
        return found

    monkeypatch.setattr(Toolbox, "run", watched)
    monkeypatch.setattr(Drive, "_take", slow)
    writer = Agent(name="writer", model=ScriptedModel([[TO_BOB, TO_EVE], "done"]), tools=[send])
    async with working(place.store, writer):
        tid = await place.put(await place.session("writer"))
        # Asked in the same millisecond, they come in either order.
        one, other = sorted(await place.asked(2), key=lambda asked: '"eve"' in asked.arguments)
        await place.answer(one)
        await running.wait()
        hold = True
        await place.answer(other)
        assert (await place.ended(tid, timeout_s=5)).state == "succeeded"
    assert sent == ["bob", "eve"]


async def test_a_call_that_is_approved_as_it_is_put_off_runs_once_and_is_asked_once(
    place: Site,
) -> None:
    """No worker has seen yet that it was put off; its answer is a turn of its own all the same."""
    post = Post(unanswered="queue")
    author = writer(post, TO_BOB, "went on", "late", "late")
    async with working(place.store, author):
        session = await place.session("writer")
        tid = await place.put(session)
        (question,) = await place.asked()

        async def parked() -> bool:
            return (await place.turn(tid)).state == "waiting"

        await wait_until("parked turn", parked)
    await place.answer(question, "defer")
    await place.answer(question)
    async with working(place.store, author):

        async def finished() -> bool:
            return (await place.fields(session, "turn_count", "state")) == ["2", "idle"]

        await wait_until("both turns", finished)
        assert await list_open(place.store, place.store.workspace(WORKSPACE)) == []
    assert post.sent == [{"to": "bob", "text": "hi"}]


async def test_a_question_is_closed_as_granted_only_if_the_grant_served_it(
    place: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers have seen the one use that is left."""
    post = Post()
    both, seen = asyncio.Event(), 0
    decide = Gate.decide

    async def together(self: Gate, request: GateRequest) -> Verdict:
        nonlocal seen
        verdict = await decide(self, request)
        if verdict.proof == "allowance":
            seen += 1
            if seen == 2:
                both.set()
            await both.wait()
        return verdict

    monkeypatch.setattr(Gate, "decide", together)
    author = writer(post, TO_BOB, TO_BOB, "done", "done", "done")
    async with working(place.store, author):
        tids = [await place.put(await place.session("writer")) for _ in range(2)]
        questions = await place.asked(2)
        workspace = place.store.workspace(WORKSPACE)
        wish = NewAllowance(pattern="tool://local/send", max_uses=1)
        await granting.allow(place.store, workspace, wish, by="key:ann")
        for each in questions:  # as an answer with a scope does for those that it may settle
            session = workspace.session(each.session)
            woken = await scripts.wake(place.store, session, each.id, each.turn)
            assert woken is not None
            await place.bells.tell(woken)

        async def one_sent() -> bool:
            return len(post.sent) == 1

        await wait_until("one call", one_sent)
        (left,) = await place.asked()
        assert left.id in {each.id for each in questions}, "asked a second time"
        await place.answer(left)
        for tid in tids:
            await place.ended(tid)


async def test_a_question_that_a_grant_has_settled_is_closed_after_a_crash(
    place: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker dies when the call has begun, before it has closed the question."""
    post = Post()
    author = writer(post)
    close, dies = Questions.close, True

    async def dying(self: Questions, *args: Any) -> None:
        nonlocal dies
        if dies:
            dies = False
            raise StoreUnavailable("its worker dies here")
        await close(self, *args)

    monkeypatch.setattr(Questions, "close", dying)
    async with working(place.store, author):
        tid = await place.put(await place.session("writer"))
        (question,) = await place.asked()
        workspace = place.store.workspace(WORKSPACE)
        wish = NewAllowance(pattern="tool://local/send")
        await granting.allow(place.store, workspace, wish, by="key:ann")
        session = workspace.session(question.session)
        woken = await scripts.wake(place.store, session, question.id, question.turn)
        if woken is not None:
            await place.bells.tell(woken)
        await place.ended(tid)
        assert not (await place.question(question.id)).is_open


async def test_a_deferred_calls_id_may_come_again_in_its_turn(
    place: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many models count their calls: the next step's call has the deferred one's id."""
    post = Post(unanswered="queue")
    noted: list[str] = []

    @tool(effect="idempotent")
    async def note(ctx: ToolContext, text: str) -> str:
        noted.append(text)
        return "noted"

    again = ToolCall("c1", "note", '{"text": "x"}')
    model = ScriptedModel([TO_BOB, "went on", again, "done", "done"])
    policy = Policy(allow=["note"])
    writer = Agent(name="writer", model=model, tools=[post.tool, note], policy=policy)
    dies = True

    def failpoint(name: str) -> None:
        nonlocal dies
        if name == "C10" and post.sent and dies:
            dies = False
            raise StoreUnavailable("its worker dies here")

    async with working(place.store, writer, approval_timeout_s=0.2):
        session = await place.session("writer")
        await place.ended(await place.put(session))
        (question,) = await place.asked()
        await place.answer(question)

        async def sent() -> bool:
            return bool(post.sent)

        monkeypatch.setattr(gatekeeper, "failpoint", failpoint)
        await wait_until("deferred call", sent)

        async def finished() -> bool:
            return (await place.fields(session, "turn_count", "state")) == ["2", "idle"]

        await wait_until("turn of the answer", finished)
    assert len(post.sent) == 1
    assert noted == ["x"]


async def test_an_end_is_a_barrier_for_the_answer_to_a_deferred_call(place: Site) -> None:
    post = Post(unanswered="queue")
    gate = asyncio.Event()

    @tool(effect="pure")
    async def wait(ctx: ToolContext) -> str:
        await gate.wait()
        return "ok"

    model = ScriptedModel([TO_BOB, "went on", ToolCall("w", "wait"), "done", "late", "late"])
    writer = Agent(name="writer", model=model, tools=[post.tool, wait])
    async with working(place.store, writer, approval_timeout_s=0.2):
        session = await place.session("writer")
        await place.ended(await place.put(session))
        (question,) = await place.asked()
        tid = await place.put(session)
        await place.seen(session, "tool.started")
        await place.inputs.end(WORKSPACE, session.id)
        refused = False
        try:
            await place.answer(question)
        except Conflict:
            refused = True
        gate.set()
        await place.ended(tid)
        assert refused, "an input was accepted behind the end"
