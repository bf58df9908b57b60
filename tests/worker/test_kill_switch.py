"""The kill switch of a workspace: all that is open in it ends, and nothing starts any more."""

import pytest

from bursar import sessions, turns, workspaces
from bursar.agents import Agent
from bursar.errors import Conflict, ModelError
from bursar.kill_switch import kill, revive
from bursar.messages import ToolCall, UserMessage
from bursar.sessions import SessionSpec, SessionView
from bursar.store.scripts.sessions import kill_workspace
from bursar.testing import ScriptedModel
from bursar.turns import ENDED, TurnView
from support.dead_worker import DeadWorker, announce_agent, forget_agent
from support.held import HeldModel, HeldTool, soon
from support.workers import WORKSPACE, Site, wait_until, working

WHY = "the bill is too high"
LATER = ModelError("later", retryable=True, status=429, retry_after_s=300)


class Cast:
    """Agents that come to a halt: in a model call, in a tool call, or parked."""

    def __init__(self) -> None:
        self.model = HeldModel(["a long answer", "next"])
        self.tool = HeldTool()
        self.works = Agent(
            name="works",
            model=ScriptedModel([ToolCall("c1", "look"), "done", "next"]),
            tools=[self.tool.tool],
        )
        self.talks = Agent(name="talks", model=self.model)
        self.waits = Agent(name="waits", model=ScriptedModel([LATER, "never asked"]))

    @property
    def agents(self) -> tuple[Agent, ...]:
        return (self.works, self.talks, self.waits)

    async def all_at_it(self, place: Site) -> dict[str, str]:
        """Turns by what they are at: two run, one waits, one is queued behind one that runs."""
        talks, works, waits = [await place.session(name) for name in ("talks", "works", "waits")]
        found = {"model": await place.put(talks), "tool": await place.put(works)}
        found |= {"parked": await place.put(waits), "queued": await place.put(talks)}
        await soon(self.model.begun, "model call")
        await soon(self.tool.begun, "tool call")
        await place.seen(waits, "turn.waiting")
        return found


async def test_running_waiting_and_queued_turns_all_end_as_cancelled_with_the_reason(
    place: Site,
) -> None:
    cast = Cast()
    async with working(place.store, *cast.agents):
        open_turns = await cast.all_at_it(place)
        await kill(place.store, place.inputs, WORKSPACE, WHY)
        ended = {at: await place.ended(tid) for at, tid in open_turns.items()}
    assert {at: (turn.state, turn.reason) for at, turn in ended.items()} == dict.fromkeys(
        ("model", "tool", "parked", "queued"), ("cancelled", WHY)
    )


async def test_what_runs_stops_within_two_seconds(place: Site) -> None:
    cast = Cast()
    async with working(place.store, *cast.agents):
        await cast.all_at_it(place)
        await kill(place.store, place.inputs, WORKSPACE, WHY)
        await soon(cast.model.stopped, "end of the model call", timeout_s=2)
        await soon(cast.tool.stopped, "end of the tool call", timeout_s=2)


async def test_each_turn_has_one_terminal_event_with_the_reason(place: Site) -> None:
    cast = Cast()
    async with working(place.store, cast.talks):
        session = await place.session("talks")
        running, queued = await place.put(session), await place.put(session)
        await soon(cast.model.begun, "model call")
        await kill(place.store, place.inputs, WORKSPACE, WHY)
        for tid in (running, queued):
            await place.ended(tid)
    log = [event.decode() for event in await place.log(session) if event.kind == "turn.cancelled"]
    assert sorted((event["turn"], event["reason"]) for event in log) == sorted(
        [(running, WHY), (queued, WHY)]
    )


async def test_another_workspace_goes_on(place: Site) -> None:
    cast = Cast()
    await workspaces.ensure(place.store, "other")
    async with working(place.store, *cast.agents):
        spec = SessionSpec(agent="works", user="ben")
        session = await sessions.create(place.store, place.registry, "other", spec)
        accepted = await place.inputs.put("other", session.id, UserMessage("go"))
        await soon(cast.tool.begun, "tool call")
        await kill(place.store, place.inputs, WORKSPACE, WHY)
        cast.tool.go.set()

        async def ended() -> TurnView | None:
            turn = await turns.get(place.store, "other", accepted.turn)
            return turn if turn.state in ENDED else None

        assert (await wait_until("end of the other turn", ended)).output == "done"


async def test_new_inputs_are_refused(place: Site) -> None:
    cast = Cast()
    async with working(place.store, cast.talks):
        session = await place.session("talks")
        await kill(place.store, place.inputs, WORKSPACE, WHY)
        with pytest.raises(Conflict) as refused:
            await place.put(session)
    assert refused.value.code == "workspace_killed"


async def test_a_pause_cannot_end_in_a_killed_workspace(place: Site) -> None:
    await kill(place.store, place.inputs, WORKSPACE, WHY)
    with pytest.raises(Conflict) as refused:
        await workspaces.update(place.store, WORKSPACE, {"paused": False})
    assert refused.value.code == "workspace_killed"


async def test_a_revived_workspace_runs_new_inputs_of_its_old_sessions(place: Site) -> None:
    cast = Cast()
    async with working(place.store, cast.talks):
        session = await place.session("talks")
        tid = await place.put(session)
        await soon(cast.model.begun, "model call")
        await kill(place.store, place.inputs, WORKSPACE, WHY)
        await place.ended(tid)
        await revive(place.store, WORKSPACE)
        assert (await place.ended(await place.put(session))).output == "next"


async def test_a_workspace_that_lives_is_not_revived(place: Site) -> None:
    with pytest.raises(Conflict) as refused:
        await revive(place.store, WORKSPACE)
    assert refused.value.code == "workspace_alive"


async def test_the_sweeper_cancels_what_a_dying_gateway_left_open(place: Site) -> None:
    cast = Cast()
    async with working(place.store, *cast.agents):
        open_turns = await cast.all_at_it(place)
        await kill_workspace(place.store, place.store.workspace(WORKSPACE), WHY)
        ended = [await place.ended(tid) for tid in open_turns.values()]
    assert {(turn.state, turn.reason) for turn in ended} == {("cancelled", WHY)}


async def test_the_sweeper_forgets_a_killed_workspace_in_which_nothing_is_open(
    place: Site,
) -> None:
    ws = place.store.workspace(WORKSPACE)
    async with working(place.store, *Cast().agents):
        await kill_workspace(place.store, ws, WHY)

        async def forgotten() -> bool:
            return not await place.store.redis.call("ZCARD", ws.shard.timers)

        await wait_until("end of the kill's timer", forgotten)


async def orphan(place: Site, *, lease_ms: int) -> tuple[SessionView, str]:
    """A session in a turn whose worker died; nobody else serves its agent."""
    await announce_agent(place.store, "echo")
    session = await place.session("echo")
    tid = await place.put(session)
    await DeadWorker.take(place, session, tid, lease_ms=lease_ms)
    await forget_agent(place.store, "echo")
    return session, tid


@pytest.mark.parametrize("lease_ms", [1, 1500])
async def test_a_cancel_is_carried_out_by_a_worker_that_serves_other_agents(
    place: Site, lease_ms: int
) -> None:
    _, tid = await orphan(place, lease_ms=lease_ms)
    await place.inputs.cancel(WORKSPACE, tid, WHY)
    async with working(place.store, Cast().talks):
        turn = await place.ended(tid)
    assert (turn.state, turn.reason) == ("cancelled", WHY)


async def test_an_orphan_of_a_killed_workspace_is_ended_by_a_worker_that_serves_other_agents(
    place: Site,
) -> None:
    _, tid = await orphan(place, lease_ms=1)
    await kill_workspace(place.store, place.store.workspace(WORKSPACE), WHY)
    async with working(place.store, Cast().talks):
        assert (await place.ended(tid)).state == "cancelled"


async def test_a_worker_that_does_not_serve_the_agent_starts_no_other_turn_of_it(
    place: Site,
) -> None:
    session, tid = await orphan(place, lease_ms=1)
    behind = await place.put(session)
    await place.inputs.cancel(WORKSPACE, tid, WHY)
    async with working(place.store, Cast().talks):
        await place.ended(tid)

        async def given_back() -> bool:
            return await place.fields(session, "lease_until_ms") == ["0"]

        await wait_until("session that was given back", given_back)
        assert (await place.turn(behind)).state == "queued"
