"""What a workspace keeps of rights and questions: for how long, and what is none of it."""

from bursar import sessions
from bursar.agents import Agent
from bursar.context import ToolContext
from bursar.gate import granting
from bursar.gate.approvals import list_open
from bursar.gate.granting import NewAllowance
from bursar.gate.policy import Policy
from bursar.messages import ToolCall, ToolMessage
from bursar.testing import ScriptedModel
from bursar.tools import tool
from support.letters import TO_BOB, Post, writer
from support.workers import WORKSPACE, Site, wait_until, working


async def test_a_used_up_allowance_is_remembered_as_long_as_is_said(place: Site) -> None:
    post = Post()
    author = writer(post, TO_BOB, "done")
    workspace = place.store.workspace(WORKSPACE)
    wish = NewAllowance(pattern="tool://local/send", max_uses=1)
    made = await granting.allow(place.store, workspace, wish, by="key:ann")
    async with working(place.store, author):
        timer = f"allowance {WORKSPACE}/ {made.id}"
        due = int(await place.store.redis.call("ZSCORE", workspace.shard.timers, timer))
        tid = await place.put(await place.session("writer"))
        await place.ended(tid)
        assert post.sent
        later = int(await place.store.redis.call("ZSCORE", workspace.shard.timers, timer))
        # It was used up now: from here on it should be remembered for so long.
        assert later > due, "the end of its memory was not moved by its end"


async def test_a_whole_number_of_64_bits_is_no_reason_to_refuse_a_call(place: Site) -> None:
    got: list[int] = []

    @tool(effect="pure")
    async def look_up(ctx: ToolContext, number: int) -> str:
        got.append(number)
        return "found"

    call = ToolCall("c1", "look_up", '{"number": 1234567890123456789}')
    writer = Agent(name="writer", model=ScriptedModel([call, "done"]), tools=[look_up])
    async with working(place.store, writer):
        await place.ended(await place.put(await place.session("writer")))
    assert got == [1234567890123456789]


async def test_a_refusal_for_want_of_money_is_on_record(place: Site) -> None:
    post = Post(cost_usd="900")
    author = writer(post, TO_BOB, "done", policy=Policy(allow=["send"]))
    async with working(place.store, author):
        tid = await place.put(await place.session("writer"))
        await place.ended(tid)
        log = await place.store.redis.call(
            "XRANGE", place.store.workspace(WORKSPACE).audit, "-", "+"
        )
    assert isinstance(author.model, ScriptedModel)
    told = author.model.requests[-1].messages[-1]
    assert isinstance(told, ToolMessage)
    assert told.is_error
    entries = [entry[1][b"d"] for entry in log]
    assert any(b"tool://local/send" in entry for entry in entries), entries


async def test_an_allowance_that_cannot_be_read_authorises_nothing_and_harms_nothing(
    place: Site,
) -> None:
    """As during an upgrade, when a newer process has written it."""
    post = Post()
    workspace = place.store.workspace(WORKSPACE)
    newer = '{"id":"alw_x","pattern":"tool://**","scope":"galaxy"}'
    await place.store.redis.call("HSET", workspace.allowances, "alw_x", newer)
    async with working(place.store, writer(post, policy=Policy(allow=["send"]))):
        turn = await place.ended(await place.put(await place.session("writer")))
    await place.store.redis.call("DEL", workspace.allowances)
    assert turn.state == "succeeded"


async def test_a_record_that_cannot_be_read_hides_no_others(place: Site) -> None:
    post = Post()
    async with working(place.store, writer(post)):
        tid = await place.put(await place.session("writer"))
        (question,) = await place.asked()
        workspace = place.store.workspace(WORKSPACE)
        call = place.store.redis.call
        await call("HSET", workspace.approval("apr_x"), "state", "on_hold", "id", "apr_x")
        await call("ZADD", workspace.approvals, 1, "apr_x")
        try:
            assert [each.id for each in await place.asked()] == [question.id]
        finally:
            await call("DEL", workspace.approval("apr_x"))
            await call("ZREM", workspace.approvals, "apr_x")
        await place.answer(question)
        await place.ended(tid)


async def test_questions_of_a_deleted_session_are_not_shown(place: Site) -> None:
    post = Post(unanswered="queue")
    async with working(place.store, writer(post, TO_BOB, "went on"), approval_timeout_s=0.2):
        session = await place.session("writer")
        await place.ended(await place.put(session))
        await place.asked()

        async def idle() -> bool:
            return await place.fields(session, "state") == ["idle"]

        await wait_until("idle session", idle)
        await sessions.delete(place.store, WORKSPACE, session.id)
        await place.swept()
        await place.swept()
        assert await list_open(place.store, place.store.workspace(WORKSPACE)) == []
