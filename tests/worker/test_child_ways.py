"""What a spawn may ask for, and what becomes of it."""

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from bursar import sessions
from bursar.budgets.accounts import LimitChange, change_limit
from bursar.children import tasks_of
from bursar.errors import InvalidInput
from bursar.testing import ScriptedModel
from bursar_worker.children.joins import fitting
from support.tasks import call, lead, lead_model, leaf, run
from support.workers import WORKSPACE, Site, wait_until, working


async def test_any_takes_the_first_that_succeeds_and_stops_the_others(place: Site) -> None:
    async with working(place.store, lead, leaf):
        found = await run(place, "slow", "fail", "quick", "slow", wait="any")
    assert [each["ok"] for each in found] == [False, False, True, False]
    assert found[0]["why"] == found[3]["why"] == "stopped: enough of the others have succeeded"
    assert found[2]["output"] == "quick is done"


async def test_those_that_are_not_needed_are_stopped_though_another_call_still_waits(
    place: Site,
) -> None:
    asked = [
        call("ask", prompts=["quick", "slow"], options={"wait": "any"}),
        call("ask", prompts=["slow"]),
    ]
    async with working(place.store, lead, leaf):
        session = await place.session("lead")
        turn = await place.put(session, f"[{', '.join(asked)}]")

        async def stopped() -> bool:
            ended = [e.decode() for e in await place.log(session) if e.kind == "child.finished"]
            return [each["outcome"] for each in ended] == ["succeeded", "cancelled"]

        await wait_until("end of the one that is not needed", stopped, timeout_s=5)
        assert (await place.turn(turn)).state == "waiting"
        await place.inputs.cancel(WORKSPACE, turn)
        await place.ended(turn)


async def test_so_many_are_waited_for(place: Site) -> None:
    async with working(place.store, lead, leaf):
        found = await run(place, "one", "slow", "two", wait=2)
    assert [each["ok"] for each in found] == [True, False, True]


async def test_all_that_fail_are_an_error_with_the_reasons(place: Site) -> None:
    async with working(place.store, lead, leaf):
        found = await run(place, "fail", "fail", wait="any")
    assert all("it broke" in each["why"] for each in found)


async def test_a_detached_task_outlives_its_turn(place: Site) -> None:
    async with working(place.store, lead, leaf):
        session, turn = await place.run("lead", call("leave", prompt="slow"))
        assert turn.state == "succeeded"
        child = turn.output.rpartition(" ")[2]
        alive = await sessions.get(place.store, WORKSPACE, child)
        assert alive.state in {"queued", "running"}
        assert await place.inputs.end(WORKSPACE, session.id) == "ending"
        await place.inputs.cancel_session(sessions.locate(place.store, WORKSPACE, child), "enough")

        async def over() -> bool:
            return (await sessions.get(place.store, WORKSPACE, session.id)).state == "ended"

        await wait_until("end of the root, after its child", over)


async def test_a_task_that_has_spent_its_part_fails_and_asks_nobody(place: Site) -> None:
    async with working(place.store, lead, leaf):
        found = await run(place, "cost 1", budget_usd="0.000001")
        asked = await place.store.redis.call("ZCARD", place.store.workspace(WORKSPACE).questions)
    assert found[0]["ok"] is False
    assert "money" in found[0]["why"]
    assert asked == 0


async def test_a_dry_tree_waits_where_it_is_and_goes_on_when_raised(place: Site) -> None:
    async with working(place.store, lead, leaf):
        session = await place.session("lead", limit_microusd=1_100)
        turn = await place.put(session, call("ask", prompts=["one", "two", "three"]))

        async def dry() -> bool:
            key = place.store.workspace(WORKSPACE).questions
            return int(await place.store.redis.call("ZCARD", key)) > 0

        await wait_until("question about money", dry)
        assert (await place.turn(turn)).state == "waiting"
        raised = LimitChange(limit_microusd=1_000_000)
        await change_limit(place.store, WORKSPACE, f"s:{session.id}", raised)
        ended = await place.ended(turn)
    assert [each["ok"] for each in json.loads(ended.output)] == [True, True, True]


@pytest.mark.parametrize(
    ("agent", "limits", "why"),
    [
        ("lead", {"max_depth": 1}, "levels"),
        ("lead", {"max_tree_live": 2}, "not ended"),
    ],
)
async def test_what_is_beyond_a_cap_is_refused_whole(
    place: Site, agent: str, limits: dict[str, int], why: str
) -> None:
    for name, value in limits.items():
        object.__setattr__(place.store.settings, name, value)
    async with working(place.store, lead, leaf):
        session, turn = await place.run(agent, call("ask", prompts=["a", "b", "c"]))
    assert why in turn.output
    assert "child.spawned" not in await place.kinds(session)


async def test_only_named_agents_are_given_tasks(place: Site) -> None:
    async with working(place.store, lead, leaf):
        _, turn = await place.run("lead", call("ask", prompts=["a"], options={"agent": "lead"}))
    assert "'lead' is none that may be given tasks; there are: leaf" in turn.output


async def test_a_kill_while_tasks_are_still_to_be_opened_fails_no_turn(place: Site) -> None:
    """Whoever killed the workspace cancels the turn; until then it waits."""
    async with working(place.store, lead, leaf, max_tree_running=1):
        session = await place.session("lead")
        turn = await place.put(session, call("ask", prompts=["later"] * 5))

        async def begun() -> bool:
            return (await place.kinds(session)).count("child.spawned") > 0

        await wait_until("sub-agents", begun)
        await place.store.redis.call("HSET", place.store.workspace(WORKSPACE).hash, "killed", 1)

        async def parked() -> bool:
            kinds = await place.kinds(session)
            return kinds.count("child.finished") == 2 and kinds[-1] == "turn.waiting"

        await wait_until("wait of the parent", parked)
        assert (await place.turn(turn)).state == "waiting"
        await place.inputs.cancel(WORKSPACE, turn)
        assert (await place.ended(turn)).state == "cancelled"


async def test_tasks_that_have_spent_the_part_of_one_above_fail_and_ask_nobody(place: Site) -> None:
    middle = replace(lead, name="middle", model=ScriptedModel([lead_model] * 9))
    above = replace(lead, subagents=["middle"])
    inner = call("ask", prompts=["cost 199"] * 9)
    async with working(place.store, above, middle, leaf, max_tree_running=2):
        session = await place.session("lead")
        options = {"budget_usd": "0.006"}
        turn = await place.put(session, call("ask", prompts=[inner], options=options))
        ended = await place.ended(turn)
        asked = await place.store.redis.call("ZCARD", place.store.workspace(WORKSPACE).questions)
    assert asked == 0
    assert ended.state == "succeeded", ended
    assert "money" in ended.output, ended.output


async def test_what_a_list_shares_is_kept_once_and_its_rest_apart(place: Site) -> None:
    """A schema is as long as a hundred prompts."""
    prompts, options = ["slow"] * 30, {"schema_of": 10_000}
    async with working(place.store, lead, leaf, max_tree_running=1):
        session = await place.session("lead")
        turn = await place.put(session, call("ask", prompts=prompts, options=options))
        keys = sessions.locate(place.store, WORKSPACE, session.id)
        await place.seen(session, "child.spawned")
        size = await place.store.redis.call("MEMORY", "USAGE", keys.joins, "SAMPLES", 0)
        assert 10_000 < size < 40_000
        await place.inputs.cancel(WORKSPACE, turn)
        await place.ended(turn)


def test_one_script_opens_no_more_than_it_can_write_fast() -> None:
    def child(size: int) -> Any:
        return SimpleNamespace(size=size)

    small = [child(1000)] * 32
    assert fitting(small) == small
    assert len(fitting([child(200_000)] * 32)) == 2
    assert len(fitting([child(2_000_000)] * 32)) == 1, "one alone may be larger"
    assert fitting([]) == []


async def test_long_tasks_are_opened_in_parts_and_joined_in_order(place: Site) -> None:
    prompts = [f"item{number}" for number in range(9)]
    async with working(place.store, replace(lead, max_output_tokens=1000), leaf):
        found = await run(place, *prompts, padded=100_000)
    assert [each["output"] for each in found] == [f"item{n} is done" for n in range(9)]


async def test_a_text_is_no_list_of_tasks(place: Site) -> None:
    async with working(place.store, lead, leaf):
        session = await place.session("lead")
        turn = await place.ended(await place.put(session, call("ask", prompts="hello")))
        assert "child.spawned" not in await place.kinds(session)
    assert "prompts" in turn.output


def test_the_prompts_of_a_list_are_a_list_and_each_has_some_text() -> None:
    with pytest.raises(InvalidInput) as refused:
        tasks_of("hello")
    assert refused.value.field == "prompts"
    for wrong in (" ", 5):
        with pytest.raises(InvalidInput) as refused:
            tasks_of(["a", wrong])  # type: ignore[list-item]
        assert refused.value.field == "prompts[1]"
