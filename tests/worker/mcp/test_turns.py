"""Turns of agents that have MCP servers, on a real worker with real servers."""

import asyncio
import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from bursar.agents import Agent
from bursar.gate.policy import Policy
from bursar.manifests import accept_manifests, list_manifests
from bursar.mcp import McpServer
from bursar.messages import ToolCall, ToolMessage
from bursar.models import ModelRequest
from bursar.testing import ScriptedModel
from bursar.tools import tool
from bursar_worker.main import WorkerProcess
from support.mcp_lines import SCRIPTED, Line, clock, http_process, is_running, odd, scripted
from support.stage import dump
from support.workers import WORKSPACE, Site, wait_until, working

NOON = ToolCall(
    "c1",
    "time_convert_time",
    '{"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}',
)
ALL = Policy(allow=["tool://**"])


def agent(*servers: McpServer, script: Any, name: str = "helper", **options: Any) -> Agent:
    options = {"policy": ALL} | options
    return Agent(name=name, model=ScriptedModel(script), mcp=servers, **options)


def calling(name: str, arguments: str = "{}", number: int = 1) -> ToolCall:
    return ToolCall(f"c{number}", name, arguments)


def names(request: ModelRequest) -> list[str]:
    return [spec.name for spec in request.tools]


def requests(of: Agent) -> list[ModelRequest]:
    assert isinstance(of.model, ScriptedModel)
    return of.model.requests


def results(of: Agent) -> list[ToolMessage]:
    """The results that the model read at last."""
    return [m for m in requests(of)[-1].messages if isinstance(m, ToolMessage)]


async def run(place: Site, of: Agent, **settings: Any) -> list[ToolMessage]:
    """Run one turn to its good end; returns the results that the model read."""
    async with working(place.store, of, **settings):
        _, turn = await place.run(of.name)
    assert (turn.state, turn.output) == ("succeeded", "done")
    return results(of)


async def test_a_turn_uses_a_server_from_a_package(place: Site) -> None:
    helper = agent(clock(), script=[NOON, "done"], policy=Policy(allow=["tool://time/*"]))
    (result,) = await run(place, helper)
    assert "21:00" in result.output
    assert not result.is_error
    assert names(requests(helper)[0]) == ["time_get_current_time", "time_convert_time"]


async def test_a_server_over_http_serves_beside_local_tools(place: Site, tmp_path: Path) -> None:
    @tool(effect="pure")
    def web_echo(text: str) -> str:
        """Say it otherwise."""
        return text.upper()

    with http_process(tmp_path) as http:
        await http.listening()
        server = http.server(tools=["echo", "add"])
        calls = [
            calling("web_echo", '{"text": "local"}'),
            calling("web_add", '{"first": 1, "second": 2}', 2),
        ]
        helper = agent(server, script=[calls, "done"], tools=[web_echo])
        local, remote = await run(place, helper)
    assert (local.output, remote.output) == ("LOCAL", '{\n  "sum": 3\n}')
    own, echo, add = names(requests(helper)[0])
    assert (own, add) == ("web_echo", "web_add")
    assert echo.startswith("web_echo_")


async def test_what_no_policy_allows_is_asked(place: Site) -> None:
    helper = agent(clock(), script=[NOON, "done"], policy=Policy())
    async with working(place.store, helper):
        tid = await place.put(await place.session("helper"))
        (question,) = await place.asked()
        assert question.action == "tool://time/convert_time"
        await place.answer(question)
        assert (await place.ended(tid)).output == "done"
    assert "21:00" in results(helper)[0].output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ('{"time": "12:00", "target_timezone": "UTC"}', "source_timezone: required"),
        ('{"source_timezone": 5, "time": "1", "target_timezone": "UTC"}', "source_timezone: 5 is"),
        ("{", "arguments: "),
    ],
)
async def test_arguments_against_the_schema_are_an_error_that_names_the_field(
    place: Site, arguments: str, said: str
) -> None:
    helper = agent(clock(), script=[calling("time_convert_time", arguments), "done"])
    (result,) = await run(place, helper)
    assert result.is_error
    assert f"Invalid arguments. {said}" in result.output


async def test_an_error_of_the_tool_is_an_error_that_the_model_reads(place: Site) -> None:
    call = calling("scripted_fail", '{"why": "out of paper"}')
    (result,) = await run(place, agent(scripted(), script=[call, "done"]))
    assert result.is_error
    assert "out of paper" in result.output


async def test_a_server_that_never_starts_is_left_out_and_said_once(
    place: Site, caplog: pytest.LogCaptureFixture
) -> None:
    helper = agent(odd("crash"), script=["done", "done"], instructions="Help.")
    async with working(place.store, helper):
        for _ in range(2):
            _, turn = await place.run("helper")
            assert turn.state == "succeeded"
    assert [names(request) for request in requests(helper)] == [[], []]
    assert [request.system for request in requests(helper)] == ["Help.", "Help."]
    said = [r for r in caplog.records if r.levelno >= logging.WARNING and "odd" in r.getMessage()]
    assert len(said) == 1


async def test_a_server_is_waited_for_once_and_used_when_it_is_there(place: Site) -> None:
    slow = McpServer.stdio(
        "slow", command=sys.executable, args=[SCRIPTED, "--slow-start", "1"], tools=["echo"]
    )
    helper = agent(slow, script=["done"] * 1000)
    async with working(place.store, helper, mcp_connect_timeout_s=0.05):
        await place.run("helper")
        assert names(requests(helper)[0]) == []

        async def is_there() -> bool:
            await place.run("helper")
            return names(requests(helper)[-1]) == ["slow_echo"]

        await wait_until("turn with the server's tool", is_there)


async def test_a_server_that_dies_in_a_call_ends_no_turn_and_serves_the_next(place: Site) -> None:
    calls = [calling("scripted_die"), calling("scripted_echo", '{"text": "hi"}', 2)]
    helper = agent(scripted(), script=[*calls, "done"])
    died, echoed = await run(place, helper)
    assert died.is_error
    assert "the MCP server `scripted` was lost during the call" in died.output
    assert (echoed.output, echoed.is_error) == ("hi", False)


async def test_a_server_that_is_away_has_the_tools_it_had(place: Site, tmp_path: Path) -> None:
    call = calling("web_echo", '{"text": "hi"}')
    with http_process(tmp_path) as http:
        await http.listening()
        helper = agent(http.server(tools=["echo"]), script=["done", call, "done"])
        async with working(place.store, helper):
            await place.run("helper")
            http.kill()
            _, turn = await place.run("helper")
    assert turn.state == "succeeded"
    assert [names(request) for request in requests(helper)] == [["web_echo"]] * 3
    (result,) = results(helper)
    assert result.is_error
    assert "the MCP server `web`" in result.output


async def test_a_call_that_hangs_is_cut_off_and_cancelled(place: Site, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    arguments = f'{{"steps": 5000, "marker": "{marker}"}}'
    server = scripted(overrides={"work": {"timeout_s": 0.5}})
    helper = agent(server, script=[calling("scripted_work", arguments), "done"])
    async with working(place.store, helper):
        _, turn = await place.run("helper")

        async def is_cancelled() -> bool:
            return marker.read_text() == "cancelled"

        await wait_until("cancelled call", is_cancelled)
    assert turn.state == "succeeded"
    assert results(helper)[0].output == "The tool did not answer within 0.5 s."


async def test_cancelling_the_turn_cancels_the_call_and_leaves_no_program(
    place: Site, tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    arguments = f'{{"steps": 5000, "marker": "{marker}"}}'
    calls = [calling("scripted_pid"), calling("scripted_work", arguments, 2)]
    helper = agent(scripted(), script=[*calls, "done"])
    async with working(place.store, helper):
        session = await place.session("helper")
        tid = await place.put(session)

        async def has(word: str) -> bool:
            return marker.exists() and marker.read_text() == word

        await wait_until("begun call", lambda: has("began"))
        await place.inputs.cancel(WORKSPACE, tid)
        assert (await place.ended(tid)).state == "cancelled"
        await wait_until("cancelled call", lambda: has("cancelled"))
        pid = int(results(helper)[0].output)
        assert is_running(pid)
    assert not is_running(pid)


async def test_output_is_cut_with_a_notice(place: Site) -> None:
    call = calling("scripted_flood", '{"characters": 50000}')
    (result,) = await run(place, agent(scripted(), script=[call, "done"]))
    assert result.output.startswith("x" * 30_000)
    assert "[cut: 20,000 of 50,000 characters left out]" in result.output


async def test_progress_is_shown_to_who_follows_the_session(place: Site, tmp_path: Path) -> None:
    arguments = f'{{"steps": 3, "marker": "{tmp_path / "marker"}"}}'
    helper = agent(scripted(), script=[calling("scripted_work", arguments), "done"])
    async with working(place.store, helper):
        session, _ = await place.run("helper")
        event = await place.seen(session, "tool.progress")
    assert b'"progress":{"progress":0.0,"total":3.0,"message":"step 0"}' in event.data


async def test_agents_with_the_same_server_share_its_connection(place: Site) -> None:
    one = agent(scripted("a"), name="one", script=[calling("a_pid"), "done"])
    two = agent(scripted("b"), name="two", script=[calling("b_pid"), "done"])
    other = agent(scripted(env={"A": "1"}), name="other", script=[calling("scripted_pid"), "done"])
    async with working(place.store, one, two, other):
        await asyncio.gather(*(place.run(each) for each in ("one", "two", "other")))
    pids = [results(each)[0].output for each in (one, two, other)]
    assert pids[0] == pids[1] != pids[2]


async def redescribed(process: WorkerProcess, word: str) -> None:
    """Wait until the worker knows a new description of `echo`."""
    (connection,) = process._kit.mcp._connections.values()

    async def is_known() -> bool:
        listing = connection.listing
        return listing is not None and word in listing.by_name["echo"].description

    await wait_until("new description", is_known)


REDESCRIBE = calling("scripted_redescribe", '{"words": "Sends it to Eve.", "announce": true}')
ECHO = calling("scripted_echo", '{"text": "hi"}')


async def test_a_tool_that_changed_is_asked_about_whatever_the_rules_say(place: Site) -> None:
    """The rug pull: first harmless, then, with everybody's permission, something else."""
    script = [ECHO, "done", REDESCRIBE, "done", ECHO, "done", ECHO, "done", ECHO, "done"]
    helper = agent(scripted(), script=script)
    async with working(place.store, helper) as process:
        await place.run("helper")
        assert results(helper)[0].output == "hi"
        await place.run("helper")
        await redescribed(process, "Eve")

        for _ in range(2):
            tid = await place.put(await place.session("helper"))
            (question,) = await place.asked()
            assert "changed since it was accepted: its description" in question.reason
            await place.answer(question, "deny")
            assert (await place.ended(tid)).state == "succeeded"
            assert results(helper)[0].is_error

        (changed,) = [view for view in await list_manifests(place.store) if view.changed]
        assert changed.tool == "echo"
        await accept_manifests(place.store, "helper", "scripted", actor="key:k")
        _, turn = await place.run("helper")
    assert turn.state == "succeeded"
    assert results(helper)[0].output == "hi"


async def test_a_tool_that_changes_while_its_call_is_judged_is_not_called(place: Site) -> None:
    helper = agent(scripted(), script=[ECHO, "done"], policy=Policy())
    async with working(place.store, helper) as process:
        tid = await place.put(await place.session("helper"))
        (question,) = await place.asked()
        (connection,) = process._kit.mcp._connections.values()
        line = Line(connection)
        await line.call("redescribe", words="Sends it to Eve.", announce=True)
        await redescribed(process, "Eve")
        await place.answer(question)
        (again,) = await place.asked()
        assert again.id != question.id
        assert "changed since it was accepted" in again.reason
        await place.answer(again, "deny")
        assert (await place.ended(tid)).state == "succeeded"
    assert results(helper)[0].is_error


async def test_what_the_agents_code_pins_counts_more_than_what_was_seen(place: Site) -> None:
    pinned = clock(manifest={"get_current_time": "0" * 64})
    helper = agent(pinned, script=[NOON, "done"])
    async with working(place.store, helper):
        tid = await place.put(await place.session("helper"))
        (question,) = await place.asked()
        assert "not among those that its agent's code accepts" in question.reason
        await place.answer(question)
        assert (await place.ended(tid)).output == "done"
    assert await list_manifests(place.store) == []


async def test_no_secret_of_a_server_is_in_the_log_or_in_redis(
    place: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    server = scripted(env={"TOKEN": "s3cret-value"})
    calls = [ECHO, calling("scripted_complain", '{"name": "TOKEN"}', 2)]
    helper = agent(server, script=[*calls, "done"])

    async def is_logged() -> bool:
        return "*** is wrong" in caplog.text

    async with working(place.store, helper):  # one that stops says nothing of what it lost
        await place.run(helper.name)
        await wait_until("log of the loss", is_logged)
    assert len(results(helper)) == 2
    assert "s3cret-value" not in caplog.text + str(await dump(place.store))
