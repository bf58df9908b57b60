"""Connections to real servers: whatever these do, a caller gets a result or is told why not."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bursar.mcp import McpServer
from bursar_worker.mcp import connection as connections
from bursar_worker.mcp.failures import McpFailure
from support.mcp_lines import (
    HttpServer,
    Line,
    clock,
    connected,
    http_process,
    is_running,
    odd,
    scripted,
)
from support.workers import wait_until


@pytest.fixture(params=["stdio", "http", "http of before 2026"])
async def line(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Line]:
    """A connection to the scripted server, over each transport."""
    if request.param == "stdio":
        async with connected(scripted()) as found:
            yield found
        return
    flags = ["--handshake"] if "before" in request.param else []
    with http_process(tmp_path, *flags) as server:
        await server.listening()
        async with connected(server.server()) as found:
            yield found


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[HttpServer]:
    with http_process(tmp_path) as server:
        await server.listening()
        yield server


async def test_a_server_from_a_package_answers() -> None:
    async with connected(clock()) as line:
        answer = await line.call(
            "convert_time", source_timezone="UTC", time="12:00", target_timezone="Asia/Tokyo"
        )
        assert "21:00" in answer


async def test_texts_structured_content_and_pictures_arrive(line: Line) -> None:
    assert await line.call("echo", text="hello\n") == "hello\n"
    assert await line.call("add", first=1, second=2) == '{\n  "sum": 3\n}'
    assert await line.call("picture") == "[image: image/png, 30 bytes, not shown]"


async def test_progress_is_passed_on(line: Line, tmp_path: Path) -> None:
    assert await line.call("work", steps=3, marker=str(tmp_path / "marker")) == "done"
    assert (1.0, 3.0, "step 1") in line.progress


async def test_cancelling_a_call_cancels_it_at_the_server(line: Line, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    call = asyncio.create_task(line.call("work", steps=3000, marker=str(marker)))

    async def is_at(word: str) -> bool:
        return marker.exists() and marker.read_text() == word

    await wait_until("begun call", lambda: is_at("began"))
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await wait_until("cancelled call", lambda: is_at("cancelled"))
    assert await line.call("echo", text="still there") == "still there"


async def test_a_change_that_is_announced_is_seen(line: Line) -> None:
    assert line.description("echo") == "Say it again."
    await line.call("redescribe", words="Delete everything.", announce=True)
    await line.listed_anew()
    assert line.description("echo") == "Delete everything."


async def test_calls_run_at_once(line: Line, tmp_path: Path) -> None:
    slow = asyncio.create_task(line.call("work", steps=3000, marker=str(tmp_path / "marker")))
    answers = await asyncio.gather(*(line.call("echo", text=str(i)) for i in range(50)))
    assert answers == [str(i) for i in range(50)]
    assert not slow.done()
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow


async def test_a_server_of_before_2026_announces_changes_over_stdio() -> None:
    async with connected(odd("old")) as line:
        assert line.description("changing") == "Version 0."
        assert await line.call("change") == "change 1"
        await line.listed_anew()
        assert line.description("changing") == "Version 1."


async def test_a_tool_that_changed_is_not_called_as_what_it_was() -> None:
    """Whoever judged the call judged another tool."""
    async with connected(odd("old")) as line:
        assert line.connection.listing is not None
        before = line.connection.listing.by_name["changing"].sha256
        await line.call("change")
        await line.listed_anew()
        with pytest.raises(McpFailure, match="has changed its tool changing"):
            await line.connection.call("changing", {}, sha256=before, on_progress=line._on_progress)


async def test_killing_the_server_in_a_call_fails_the_call_and_the_next_one_works() -> None:
    async with connected(scripted()) as line:
        first = await line.call("pid")
        with pytest.raises(McpFailure, match="Whether the call took effect is unknown"):
            await line.call("die")
        second = await line.call("pid")
        assert first != second
        assert not is_running(int(first))


async def test_a_kill_between_calls_is_noticed_at_once() -> None:
    async with connected(scripted()) as line:
        pid = int(await line.call("pid"))
        os.kill(pid, signal.SIGKILL)

        async def noticed() -> bool:
            return "ended the connection" in line.connection.trouble

        await wait_until("noticed end", noticed)
        assert int(await line.call("pid")) != pid


async def test_an_http_server_that_was_killed_is_found_again(http: HttpServer) -> None:
    async with connected(http.server()) as line:
        before = await line.call("pid")
        http.kill()
        with pytest.raises(McpFailure):
            await line.call("pid")
        await http.restart()

        async def answers() -> str:
            try:
                return await line.call("pid")
            except McpFailure:
                return ""

        assert await wait_until("answer of the new one", answers) != before


async def test_a_session_that_a_new_server_does_not_know_is_begun_anew(tmp_path: Path) -> None:
    with http_process(tmp_path, "--handshake") as http:
        await http.listening()
        async with connected(http.server()) as line:
            before = await line.call("pid")
            await http.restart()

            async def answers() -> str:
                try:
                    return await line.call("pid")
                except McpFailure:
                    return ""

            assert await wait_until("answer of the new one", answers) != before


async def test_a_server_that_hangs_is_given_up_and_started_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("bursar_worker.mcp.listing._ANSWER_S", 0.2)
    monkeypatch.setattr("bursar_worker.mcp.program._EXIT_S", 0.1)
    async with connected(scripted()) as line:
        pid = int(await line.call("pid"))
        marker = tmp_path / "marker"
        call = asyncio.create_task(line.call("freeze", marker=str(marker)))

        async def is_frozen() -> bool:
            return marker.exists()

        await wait_until("frozen server", is_frozen)
        call.cancel()  # as its timeout does

        async def is_gone() -> bool:
            return not is_running(pid)

        await wait_until("end of the frozen server", is_gone)
        assert await line.call("echo", text="again") == "again"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("crash", "ended the connection|Connection closed"),
        ("garbage", "is no MCP"),
        ("endless", "a message of more than"),
    ],
)
async def test_a_server_that_never_works_is_told_of(
    kind: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_PATIENCE_S", 0.01)
    async with connected(odd(kind)) as line:
        assert line.connection.listing is None
        with pytest.raises(McpFailure, match=reason):
            await line.connection.call("x", {}, sha256="", on_progress=line._on_progress)


async def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_HANDSHAKE_S", 0.5)
    async with connected(odd("silent")) as line:
        assert "did not answer within 0.5 s" in line.connection.trouble


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        (McpServer.stdio("x", command="no-such-program"), "FileNotFoundError"),
        (McpServer.http("x", url="http://127.0.0.1:9/mcp"), "ConnectError"),
        (
            McpServer.http("x", url="http://127.0.0.1:9/mcp", headers={"A": "env:NOT_SET_9"}),
            "no variable NOT_SET_9",
        ),
    ],
)
async def test_what_cannot_be_reached_says_so(server: McpServer, reason: str) -> None:
    async with connected(server) as line:
        assert reason in line.connection.trouble


async def test_a_refusal_over_http_is_told_with_its_status(http: HttpServer) -> None:
    server = McpServer.http("x", url=http.url.replace("/mcp", "/nothing"))
    async with connected(server) as line:
        assert "HTTP 404 Not Found" in line.connection.trouble


async def test_a_call_that_nobody_waits_for_any_more_is_not_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It was told to have timed out; that it then takes effect would be a lie."""
    monkeypatch.setattr("bursar_worker.mcp.calls._MAX_AT_ONCE", 1)
    async with connected(scripted()) as line:
        first, second = tmp_path / "first", tmp_path / "second"
        running = asyncio.create_task(line.call("work", steps=3000, marker=str(first)))

        async def has_begun() -> bool:
            return first.exists()

        await wait_until("begun call", has_begun)
        waiting = asyncio.create_task(line.call("note", marker=str(second)))
        await asyncio.sleep(0)
        waiting.cancel()
        running.cancel()
        await asyncio.gather(waiting, running, return_exceptions=True)
        assert await line.call("echo", text="x") == "x"
        assert not second.exists()


async def test_a_greeting_on_standard_output_does_no_harm() -> None:
    async with connected(odd("greeting")) as line:
        assert await line.call("work") == "done"


async def test_answers_that_are_none_fail_the_call_alone() -> None:
    async with connected(odd("wrong_answers")) as line:
        with pytest.raises(McpFailure, match="no result of a tool"):
            await line.call("work")
        with pytest.raises(McpFailure, match="something that is no answer"):
            await line.call("work")
        with pytest.raises(McpFailure, match="answered with an error: out of paper"):
            await line.call("work")
        assert await line.call("work") == ""
        assert await line.call("work") == "done"


async def test_a_server_that_floods_loses_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bursar_worker.mcp.limits._MAX_MESSAGES", 500)
    async with connected(odd("flood")) as line:
        with pytest.raises(McpFailure, match="was lost during the call"):
            await line.call("work")

        async def told() -> bool:
            return "more messages than anybody could read" in line.connection.trouble

        await wait_until("reason of the loss", told)


async def test_a_result_that_is_too_large_is_not_read(line: Line) -> None:
    with pytest.raises(McpFailure, match="was lost during the call"):
        await line.call("flood", characters=5_000_000)
    assert await line.call("echo", text="on") == "on"


async def test_no_more_calls_wait_than_can_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bursar_worker.mcp.calls._MAX_OPEN", 2)
    async with connected(scripted()) as line:
        marker = "/dev/null"
        waiting = [
            asyncio.create_task(line.call("work", steps=3000, marker=marker)) for _ in range(2)
        ]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with pytest.raises(McpFailure, match="is busy"):
            await line.call("echo", text="x")
        for call in waiting:
            call.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_program_that_does_not_want_to_go_is_gone_with_its_children(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bursar_worker.mcp.program._EXIT_S", 0.1)
    async with connected(odd("stubborn")) as line:
        pids = [int(pid) for pid in (await line.call("children")).split()]
        assert all(map(is_running, pids))

    async def are_gone() -> bool:
        return not any(map(is_running, pids))

    await wait_until("end of the program and its child", are_gone)


async def test_a_program_is_gone_also_if_its_owner_is_cancelled_hard() -> None:
    async with connected(scripted()) as line:
        pid = int(await line.call("pid"))
        owner = line.connection._owner
        while not owner.done():
            owner.cancel()
            await asyncio.sleep(0)

        async def is_reaped() -> bool:
            return not os.path.exists(f"/proc/{pid}")  # noqa: ASYNC240, PTH110

        await wait_until("end of the program", is_reaped)


async def test_closing_while_it_connects_leaves_nothing(tmp_path: Path) -> None:
    marker = tmp_path / "pid"
    program = f"import os,time; open({str(marker)!r}, 'w').write(str(os.getpid())); time.sleep(99)"
    server = McpServer.stdio("x", command=sys.executable, args=["-c", program])
    connection = connections.Connection(server.endpoint, "x")
    connection.want()

    async def has_begun() -> bool:
        return marker.exists() and marker.read_text() != ""

    await wait_until("started program", has_begun)
    await connection.close()

    async def is_gone() -> bool:
        return not is_running(int(marker.read_text()))

    await wait_until("end of the killed program", is_gone)


async def test_a_program_sees_of_the_environment_what_it_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("UNRELATED_SECRET", "unrelated")
    monkeypatch.setenv("REFERRED", "from the worker")
    env = {"GIVEN": "given", "LOOKED_UP": "env:REFERRED"}
    async with connected(scripted(env=env)) as line:
        assert await line.call("variable", name="GIVEN") == "given"
        assert await line.call("variable", name="LOOKED_UP") == "from the worker"
        assert await line.call("variable", name="UNRELATED_SECRET") == "(none)"
        assert await line.call("variable", name="PATH") == os.environ["PATH"]


async def test_headers_reach_the_server(http: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN_OF_TEST", "Bearer t0ken")
    async with connected(http.server(headers={"Authorization": "env:TOKEN_OF_TEST"})) as line:
        assert await line.call("header", name="authorization") == "Bearer t0ken"


async def test_no_secret_gets_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    server = odd("crash", env={"TOKEN": "s3cret-value"})
    async with connected(server) as line:
        trouble = line.connection.trouble
    assert "it ended with status 1; it wrote: cannot log in with ***" in caplog.text
    assert "s3cret-value" not in caplog.text + trouble + repr(server)
