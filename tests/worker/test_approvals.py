"""Calls that people are asked about: they wait without a worker, and run once when approved."""

import pytest

from bursar.agents import Agent
from bursar.errors import Conflict
from bursar.gate import approvals, granting
from bursar.gate.granting import NewAllowance
from bursar.gate.policy import Policy
from bursar.gate.requests import Use
from bursar.messages import ToolMessage
from bursar.testing import ScriptedModel
from support.dead_worker import DeadWorker
from support.letters import TO_BOB, TO_EVE, Post
from support.letters import writer as agent
from support.workers import WORKSPACE, Site, wait_until, working


def last_result(writer: Agent) -> str:
    """What the model read last."""
    assert isinstance(writer.model, ScriptedModel)
    told = writer.model.requests[-1].messages[-1]
    assert isinstance(told, ToolMessage)
    return told.output


async def test_a_call_waits_without_worker_lease_or_hold_and_runs_when_approved(
    place: Site,
) -> None:
    post = Post(cost_usd="0.5")
    async with working(place.store, agent(post)):
        session = await place.session("writer")
        tid = await place.put(session, "write to bob")
        (question,) = await place.asked()

        async def parked() -> bool:
            return (await place.turn(tid)).state == "waiting"

        await wait_until("parked turn", parked)
        assert await place.fields(session, "lease_until_ms", "state") == ["0", "waiting"]
        assert post.sent == []
        assert question.tool == "send"
        assert question.arguments == '{"text":"hi","to":"bob"}'
        assert question.asked_of == "write to bob"
        answered = await place.answer(question)
        assert answered.state == "approved"
        turn = await place.ended(tid)
    assert (turn.state, turn.output) == ("succeeded", "done")
    assert post.sent == [{"to": "bob", "text": "hi"}]
    (closed,) = [q for q in [await place.question(question.id)] if q]
    assert closed.state == "consumed"


async def test_a_denied_call_does_not_run_and_its_reason_is_told(place: Site) -> None:
    post = Post()
    writer = agent(post)
    async with working(place.store, writer):
        tid = await place.put(await place.session("writer"))
        (question,) = await place.asked()
        await place.answer(question, "deny", reason="not on a Friday")
        await place.ended(tid)
    assert post.sent == []
    told = last_result(writer)
    assert "was denied by a person: not on a Friday" in told


async def test_only_the_first_answer_counts(place: Site) -> None:
    post = Post()
    async with working(place.store, agent(post)):
        tid = await place.put(await place.session("writer"))
        (question,) = await place.asked()
        await place.answer(question, "deny")
        with pytest.raises(Conflict) as caught:
            await place.answer(question)
        assert caught.value.code == "already_answered"
        assert caught.value.details["answered_by"] == "key:ann"
        await place.ended(tid)
    assert post.sent == []


async def test_an_answer_about_other_arguments_is_refused(place: Site) -> None:
    async with working(place.store, agent(Post())):
        tid = await place.put(await place.session("writer"))
        (question,) = await place.asked()
        with pytest.raises(Conflict) as caught:
            await place.answer(question, arguments_sha256="0" * 64)
        assert caught.value.code == "other_call"
        await place.answer(question)
        await place.ended(tid)


async def test_edited_arguments_are_what_runs(place: Site) -> None:
    post = Post()
    async with working(place.store, agent(post)):
        tid = await place.put(await place.session("writer"))
        (question,) = await place.asked()
        await place.answer(question, arguments={"to": "eve", "text": "ho"})
        await place.ended(tid)
    assert post.sent == [{"to": "eve", "text": "ho"}]


@pytest.mark.parametrize("scope", ["session", "tree", "workspace"])
async def test_a_scope_allows_the_next_calls(place: Site, scope: str) -> None:
    post = Post()
    writer = agent(post, TO_BOB, "one", TO_BOB, "two", TO_BOB, "three")
    async with working(place.store, writer):
        session = await place.session("writer")
        first = await place.put(session)
        (question,) = await place.asked()
        await place.answer(question, scope=scope)
        await place.ended(first)
        await place.ended(await place.put(session))
        assert len(post.sent) == 2
        other = await place.put(await place.session("writer"))
        if scope == "workspace":
            await place.ended(other)
        else:
            (again,) = await place.asked()
            await place.answer(again, "deny")
            await place.ended(other)
    assert len(post.sent) == (3 if scope == "workspace" else 2)


async def test_several_calls_of_a_step_wait_each_for_its_own_answer(place: Site) -> None:
    post = Post()
    async with working(place.store, agent(post, [TO_BOB, TO_EVE], "done")):
        tid = await place.put(await place.session("writer"))
        one, other = await place.asked(2)
        await place.answer(one)

        async def one_sent() -> bool:
            return len(post.sent) == 1

        await wait_until("first call", one_sent)
        await place.answer(other, "deny")
        turn = await place.ended(tid)
    assert turn.state == "succeeded"
    assert len(post.sent) == 1


async def test_a_grant_settles_the_other_questions_that_it_covers(place: Site) -> None:
    post = Post()
    writer = agent(post, TO_BOB, TO_BOB, "done", "done")
    async with working(place.store, writer):
        tids = [await place.put(await place.session("writer")) for _ in range(2)]
        one, other = await place.asked(2)
        await place.answer(one, scope="workspace")
        for tid in tids:
            assert (await place.ended(tid)).state == "succeeded"
    assert len(post.sent) == 2
    assert (await place.question(other.id)).state == "granted"


async def test_a_cancelled_turn_closes_its_questions(place: Site) -> None:
    post = Post()
    async with working(place.store, agent(post)):
        tid = await place.put(await place.session("writer"))
        (question,) = await place.asked()
        await place.inputs.cancel(WORKSPACE, tid)
        assert (await place.ended(tid)).state == "cancelled"
        with pytest.raises(Conflict) as caught:
            await place.answer(question)
    assert caught.value.code == "approval_closed"
    assert (await place.question(question.id)).state == "cancelled"
    assert post.sent == []


@pytest.mark.parametrize("fallback", ["skip", "safe_default"])
async def test_a_question_without_an_answer_falls_back(place: Site, fallback: str) -> None:
    post = Post(unanswered=fallback, safe_default="kept for later")
    writer = agent(post)
    async with working(place.store, writer, approval_timeout_s=0.2):
        turn = await place.ended(await place.put(await place.session("writer")))
    assert turn.state == "succeeded"
    told = last_result(writer)
    assert ("kept for later" if fallback == "safe_default" else "was not run") in told
    assert post.sent == []


async def test_a_blocked_question_is_deferred_and_stays_answerable(place: Site) -> None:
    post = Post(unanswered="block")
    async with working(place.store, agent(post), approval_timeout_s=0.2):
        session = await place.session("writer")
        tid = await place.put(session)
        (question,) = await place.asked()
        await place.seen(session, "approval.deferred")
        assert (await place.turn(tid)).state == "waiting"
        await place.answer(question)
        assert (await place.ended(tid)).state == "succeeded"
    assert len(post.sent) == 1


async def test_a_queued_call_runs_when_somebody_approves_it_later(place: Site) -> None:
    post = Post(unanswered="queue")
    writer = agent(post, TO_BOB, "went on", TO_BOB, "again", "got it")
    async with working(place.store, writer, approval_timeout_s=0.2):
        session = await place.session("writer")
        first = await place.ended(await place.put(session))
        assert first.output == "went on"
        # The same call is not asked about once more: it waits in the queue already.
        assert (await place.ended(await place.put(session))).output == "again"
        (question,) = await place.asked()
        assert (question.state, question.released, question.asked_again) == ("deferred", True, 1)
        await place.answer(question)

        async def finished() -> bool:
            return (await place.fields(session, "turn_count", "state")) == ["3", "idle"]

        await wait_until("turn of the answer", finished)
    assert post.sent == [{"to": "bob", "text": "hi"}]
    assert isinstance(writer.model, ScriptedModel)
    said = [m.text for m in writer.model.requests[-1].messages if hasattr(m, "text")]
    assert any("Result of the call `send` that was deferred:\nsent to bob" in text for text in said)


async def test_a_changed_policy_voids_the_question(place: Site) -> None:
    post = Post()
    writer = agent(post)
    async with working(place.store, writer):
        tid = await place.put(await place.session("writer"))
        (question,) = await place.asked()
    changed = agent(post, "done", policy=Policy(ask=["send"]))
    async with working(place.store, changed):
        await place.answer(question)
        (again,) = await place.asked()
        assert again.id != question.id
        old = await place.question(question.id)
        assert (old.state, old.why) == ("void", "the policy changed")
        await place.answer(again)
        await place.ended(tid)
    assert len(post.sent) == 1


async def test_an_approved_call_uses_up_nothing_of_what_its_answer_granted(place: Site) -> None:
    post = Post()
    async with working(place.store, agent(post)):
        tid = await place.put(await place.session("writer"))
        (question,) = await place.asked()
        await place.answer(question, allowance={"pattern": "send", "max_uses": 2})
        await place.ended(tid)
        workspace = place.store.workspace(WORKSPACE)
        (left,) = await granting.list_allowances(place.store, workspace)
    assert left.uses_left == 2
    assert (await place.question(question.id)).state == "consumed"


async def test_a_childs_question_is_seen_and_answered_over_its_whole_tree(place: Site) -> None:
    post = Post()
    writer = agent(post, TO_BOB, "one", TO_BOB, "two", TO_BOB, "three")
    async with working(place.store, writer):
        root = await place.session("writer")
        child, sibling = [await place.session("writer", parent=root.id) for _ in range(2)]
        tid = await place.put(child)
        (question,) = await place.asked()
        workspace = place.store.workspace(WORKSPACE)
        assert question.root == root.id
        assert question.chain == (root.id, child.id)
        assert len(await approvals.list_open(place.store, workspace, root=root.id)) == 1
        await place.answer(question, scope="tree")
        await place.ended(tid)
        # What was allowed in one session of the tree holds at once in all of it.
        for other in (sibling, root):
            assert (await place.ended(await place.put(other))).state == "succeeded"
    assert len(post.sent) == 3


async def test_what_a_child_was_allowed_ends_with_it_and_its_parents_stays(place: Site) -> None:
    post = Post()
    async with working(place.store, agent(post)):
        root = await place.session("writer")
        child = await place.session("writer", parent=root.id)
        workspace = place.store.workspace(WORKSPACE)
        for owner in (root, child):
            wish = NewAllowance(pattern="send", scope="session", session=owner.id)
            await granting.allow(place.store, workspace, wish, by="key:ann")
        await place.inputs.end(WORKSPACE, child.id)
        await place.swept()

        async def only_the_parents() -> bool:
            left = await granting.list_allowances(place.store, workspace, session=root.id)
            of_child = await granting.list_allowances(place.store, workspace, session=child.id)
            return len(left) == 1 and not of_child

        await wait_until("cleared allowance of the child", only_the_parents)


async def test_a_deferred_question_ends_with_its_session(place: Site) -> None:
    post = Post(unanswered="queue")
    async with working(place.store, agent(post), approval_timeout_s=0.1):
        session = await place.session("writer")
        await place.ended(await place.put(session))
        (question,) = await place.asked()
        await place.inputs.end(WORKSPACE, session.id)

        async def closed() -> bool:
            return (await place.question(question.id)).state == "cancelled"

        await wait_until("closed question", closed)
        with pytest.raises(Conflict) as caught:
            await place.answer(question)
    assert caught.value.code == "approval_closed"


async def test_a_one_use_allowance_serves_one_call(place: Site) -> None:
    post = Post()
    async with working(place.store, agent(post, [TO_BOB, TO_EVE], "done")):
        workspace = place.store.workspace(WORKSPACE)
        wish = NewAllowance(pattern="send", max_uses=1)
        await granting.allow(place.store, workspace, wish, by="key:ann")
        tid = await place.put(await place.session("writer"))
        (question,) = await place.asked()
        assert len(post.sent) == 1
        await place.answer(question, "deny")
        await place.ended(tid)
    assert len(post.sent) == 1


async def test_an_idempotent_call_that_is_repeated_after_a_crash_uses_nothing_up_again(
    place: Site,
) -> None:
    post = Post(effect="idempotent")
    async with working(place.store, agent(post, name="worker")):
        workspace = place.store.workspace(WORKSPACE)
        wish = NewAllowance(pattern="send", max_uses=1)
        made = await granting.allow(place.store, workspace, wish, by="key:ann")
        session = await place.session("worker")
    dead = await DeadWorker.take(place, session, await place.put(session))
    await dead.ask_for(TO_BOB)
    await dead.send(TO_BOB, Use("allowance", made.id, (made.id, "", "")))
    async with working(place.store, agent(post, "done", name="worker")):
        turn = await place.ended(dead.turn)
    assert turn.state == "succeeded"
    assert len(post.sent) == 1
    assert await granting.list_allowances(place.store, workspace) == []
