"""What was approved is not what would run: places, tools, rules and stores that changed since."""

import json
from pathlib import Path
from typing import Any

import pytest

from bursar.agents import Agent
from bursar.context import ToolContext
from bursar.errors import Conflict
from bursar.gate.approvals import ApprovalView
from bursar.gate.policy import Policy
from bursar.hooks import Ask, hook
from bursar.messages import ToolCall
from bursar.store.keys import GlobalKeys
from bursar.store.store import Store
from bursar.testing import ScriptedModel
from bursar.tools import tool
from support.letters import Post, writer
from support.workers import Site, wait_until, working


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path.resolve()


async def looked_at_again(place: Site, tid: str, question: ApprovalView) -> None:
    """Wait until the call has run, or its approval was found to be void."""

    async def settled() -> bool:
        state = (await place.turn(tid)).state
        return state == "succeeded" or (await place.question(question.id)).state == "void"

    await wait_until("use of the answer", settled)


async def test_a_symlink_that_points_elsewhere_by_now_voids_the_approval(
    place: Site, folder: Path
) -> None:
    root = folder / "files"
    (root / "ws").mkdir(parents=True)
    (root / "seen").mkdir()
    (root / "unseen").mkdir()
    link = root / "ws" / "link"
    link.symlink_to(root / "seen")

    @tool(action=lambda arguments: f"file+write://{arguments['path']}")
    async def save(ctx: ToolContext, path: str) -> str:
        """Save; as many tools of others do, it follows symlinks."""
        (root / "ws" / path).write_text("x")
        return "saved"

    call = ToolCall("c1", "save", '{"path": "link/report"}')
    model = ScriptedModel([call, "done"])
    writer = Agent(
        name="writer", model=model, tools=[save], policy=Policy(allow=["file+write://**"])
    )
    async with working(place.store, writer, files_root=root):
        tid = await place.put(await place.session("writer", workspace_path="ws"))
        (question,) = await place.asked()
        assert [each.path for each in question.outside] == [str(root / "seen" / "report")]
        link.unlink()
        link.symlink_to(root / "unseen")
        await place.answer(question)

        await looked_at_again(place, tid, question)
        assert not (root / "unseen" / "report").exists()
        for again in await place.asked():
            await place.answer(again, "deny")
        await place.ended(tid)


async def test_a_file_below_another_root_is_not_what_was_approved(
    place: Site, folder: Path
) -> None:
    """The worker that goes on has another BURSAR_FILES_ROOT: the same arguments, another file."""
    one, other = folder / "one", folder / "other"
    (one / "ws").mkdir(parents=True)
    (other / "ws").mkdir(parents=True)
    saved: list[str] = []

    @tool(action=lambda arguments: f"file+write://{arguments['path']}")
    async def save(ctx: ToolContext, path: str) -> str:
        saved.append(str(ctx.files))
        return "saved"

    call = ToolCall("c1", "save", json.dumps({"path": f"{one}/ws/report"}))
    model = ScriptedModel([call, "done"])
    writer = Agent(name="writer", model=model, tools=[save])
    async with working(place.store, writer, files_root=one):
        tid = await place.put(await place.session("writer", workspace_path="ws"))
        (question,) = await place.asked()
        assert question.action == "file+write://report"
    async with working(place.store, writer, files_root=other):
        await place.answer(question)
        await looked_at_again(place, tid, question)
        assert saved == []
        (again,) = await place.asked()
        assert again.action != question.action
        await place.answer(again, "deny")
        await place.ended(tid)


async def test_what_a_hook_wants_asked_is_asked_whatever_the_policy_becomes(place: Site) -> None:
    post = Post()

    @hook("pre_tool")
    def always_ask(context: Any) -> Ask:
        return Ask("the rule of the house")

    first = writer(post, policy=Policy(ask=["send"]), hooks=[always_ask])
    async with working(place.store, first):
        tid = await place.put(await place.session("writer"))
        (question,) = await place.asked()
    then = writer(post, "done", policy=Policy(allow=["send"]), hooks=[always_ask])
    async with working(place.store, then):
        await place.answer(question)
        await looked_at_again(place, tid, question)
        assert post.sent == []
        (again,) = await place.asked()
        await place.answer(again, "deny")
        await place.ended(tid)
    assert post.sent == []


@pytest.mark.parametrize("how", ["gone", "changed"])
async def test_a_call_that_ends_without_its_answer_closes_its_question(
    place: Site, how: str
) -> None:
    post = Post(unanswered="block")
    async with working(place.store, writer(post)):
        session = await place.session("writer")
        tid = await place.put(session)
        (question,) = await place.asked()

    @tool
    async def send(ctx: ToolContext, address: int) -> str:
        return "sent"

    @tool
    async def note(ctx: ToolContext) -> str:
        return "noted"

    tools = [note] if how == "gone" else [send]
    changed = Agent(name="writer", model=ScriptedModel(["done"]), tools=tools)
    async with working(place.store, changed):
        await place.put(session, "and?")  # wakes it
        await place.ended(tid)
        assert not (await place.question(question.id)).is_open
        with pytest.raises(Conflict):
            await place.answer(question)


async def state_after_a_loss(place: Site, question: ApprovalView) -> str:
    """The store lost data, as gateways find out when they connect anew; then comes the answer."""
    old = place.store
    new = int(await old.redis.call("HINCRBY", GlobalKeys.install, "generation", 1))
    place.answers._store = Store(old.redis, old.settings, generation=new, pepper=old.pepper)
    await place.answer(question)

    async def used() -> str:
        state = (await place.question(question.id)).state
        return state if state in {"void", "consumed"} else ""

    found: str = await wait_until("use of the answer", used)
    return found


async def test_a_worker_that_missed_a_new_generation_does_not_ask_for_ever(place: Site) -> None:
    post = Post()
    async with working(place.store, writer(post)):
        tid = await place.put(await place.session("writer"))
        states: list[str] = []
        while "consumed" not in states and len(states) < 3:
            (question,) = await place.asked()
            states.append(await state_after_a_loss(place, question))
        assert states[-1] == "consumed"
        await place.ended(tid)
    assert len(post.sent) == 1
