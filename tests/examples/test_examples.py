"""The examples run on a real worker as they stand; the support desk with a scripted model."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from examples.clock import clock
from examples.scribe import scribe
from examples.support import support
from examples.units import convert, units

from bursar.agents import load_agents
from bursar.budgets.accounts import read_accounts
from bursar.messages import ToolCall
from bursar.store.store import Store
from bursar.testing import ScriptedModel
from support.workers import WORKSPACE, Site, site, working

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
async def place(store: Store) -> AsyncIterator[Site]:
    async with site(store) as made:
        yield made


def refund_of(number: str) -> ToolCall:
    return ToolCall("c1", "refund", json.dumps({"number": number, "reason": "broken"}))


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_each_example_is_short_and_holds_one_agent_of_its_name(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 40
    assert list(load_agents(f"examples.{path.stem}")) == [path.stem]


async def test_units_converts_with_its_tool(store: Store, place: Site) -> None:
    async with working(store, units):
        session, turn = await place.run("units", "How much is 26.2 mi in km?")
    assert turn.output == "26.2 mi = 42.1648 km"
    assert (turn.steps, turn.tool_calls) == (2, 1)
    assert turn.cost_microusd > 0
    assert session.step_count == 2


async def test_units_survives_a_unit_that_it_does_not_know(store: Store, place: Site) -> None:
    async with working(store, units):
        _, turn = await place.run("units", "3 furlong in km")
    assert turn.state == "succeeded"
    assert "furlong" in turn.output


async def test_support_refunds_and_is_charged_for_it(store: Store, place: Site) -> None:
    model = ScriptedModel(
        [ToolCall("c0", "find_order", '{"number": "A-17"}'), refund_of("A-17"), "Done."]
    )
    async with working(store, replace(support, model=model)):
        session, turn = await place.run("support", "My order A-17 arrived broken.")
    assert turn.output == "Done."
    assert "tool.progress" in await place.kinds(session)
    account = (await read_accounts(store, WORKSPACE, [f"s:{session.id}"]))[0]
    assert account.posted_microusd == turn.cost_microusd
    assert turn.cost_microusd > 50_000


async def test_support_leaves_large_refunds_to_people(store: Store, place: Site) -> None:
    model = ScriptedModel([refund_of("B-02"), "A colleague will write to you."])
    async with working(store, replace(support, model=model)):
        await place.run("support", "Refund B-02.")
    assert "pass it on to a person" in str(model.requests[1].messages[-1])


async def test_clock_asks_its_mcp_server(store: Store, place: Site) -> None:
    asked = {"source_timezone": "Europe/Oslo", "time": "12:00", "target_timezone": "Asia/Tokyo"}
    call = ToolCall("c1", "time_convert_time", json.dumps(asked))
    model = ScriptedModel([call, "Evening."])
    async with working(store, replace(clock, model=model)):
        _, turn = await place.run("clock", "It is noon in Oslo. How late is it in Tokyo?")
    assert turn.output == "Evening."
    assert '"timezone": "Asia/Tokyo"' in str(model.requests[1].messages[-1])


def test_a_tool_is_still_a_function() -> None:
    assert convert("1", "km", "m") == "1 km = 1000 m"


async def test_scribe_writes_when_a_person_agrees(
    store: Store, place: Site, tmp_path: Path
) -> None:
    (tmp_path / "desk").mkdir()
    async with working(store, scribe, files_root=tmp_path):
        session = await place.session("scribe", workspace_path="desk")
        tid = await place.put(session, "notes/today.md: It rains.")
        (question,) = await place.asked()
        assert not (tmp_path / "desk" / "notes").exists()
        await place.answer(question)
        turn = await place.ended(tid)
    assert turn.output == "created notes/today.md (9 bytes)"
    assert (tmp_path / "desk" / "notes" / "today.md").read_text() == "It rains."
