"""Commands: off by default, one plain line, bounded, and nothing is left behind."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvloop

from bursar.context import ToolContext
from bursar.errors import InvalidInput
from bursar.gate.boundary import Boundary
from bursar.testing import tool_context
from bursar_worker.builtin.workspace import shell

PATH = f"{Path(sys.executable).parent}:/usr/bin:/bin"
WAITS = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"


@pytest.fixture
def ctx(tmp_path: Path) -> ToolContext:
    (tmp_path / "ws").mkdir()
    boundary = Boundary(base=tmp_path, folder="ws", shell_path=PATH)
    return replace(tool_context(files=tmp_path / "ws"), boundary=boundary)


def script(ctx: ToolContext, text: str) -> str:
    assert ctx.files is not None
    (ctx.files / "script.py").write_text(text)
    return f"{Path(sys.executable).name} script.py"


async def run(ctx: ToolContext, command: str, **options: Any) -> dict[str, Any]:
    result: dict[str, Any] = await shell.run(ctx, {"command": command, **options})
    return result


def is_dead(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return True
    except FileNotFoundError:
        return Path("/proc/self").exists()  # gone meanwhile; without /proc it still is there
    return state == "Z"  # dead, but whoever inherited it has not asked yet


async def gone(pid: int) -> None:
    async with asyncio.timeout(20):
        while not is_dead(pid):  # noqa: ASYNC110  (another process dies)
            await asyncio.sleep(0.02)


async def test_a_command_runs_in_the_folder_with_nothing_of_the_workers(
    ctx: ToolContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")
    print_it = "import os, sys; print(os.getcwd(), sorted(os.environ), repr(sys.stdin.read()))"
    result = await run(ctx, script(ctx, print_it))
    assert result["exit_code"] == 0
    assert result["output"].startswith(f"{ctx.files} ")
    assert "'HOME', 'LANG'" in result["output"]
    assert "API_KEY" not in result["output"]
    assert result["output"].endswith(" ''\n")


async def test_errors_and_exit_codes_come_back(ctx: ToolContext) -> None:
    result = await run(ctx, script(ctx, "import sys; sys.exit('no')"))
    assert result == {"exit_code": 1, "output": "no\n"}
    with pytest.raises(InvalidInput, match="cannot be run: No such file"):
        await run(ctx, "no-such-program")


async def test_no_shell_expands_or_joins_anything(ctx: ToolContext) -> None:
    command = script(ctx, "import sys; print(sys.argv[1:])")
    result = await run(ctx, f"{command} $HOME * ~ 'a b' {{a,b}}")
    assert result["output"] == "['$HOME', '*', '~', 'a b', '{a,b}']\n"
    for line in ("ls; ls", "ls | cat", "ls > x", "ls 'a;b'", "echo `ls`", "echo $(ls)"):
        with pytest.raises(InvalidInput, match="no shell"):
            await run(ctx, line)
    for line in ("ls\nls", "ls \x00", "'", "", "  "):
        with pytest.raises(InvalidInput):
            await run(ctx, line)


def test_the_line_is_judged_as_its_words_will_run() -> None:
    for line in ("sudo  ls", ' s"u"do ls', "'sudo' \\ls"):
        assert shell.action({"command": line}) == "exec://sudo ls"
    assert shell.action({"command": "echo 'a b'"}) == "exec://echo 'a b'"


async def test_a_worker_runs_no_commands_unless_it_is_told_to(ctx: ToolContext) -> None:
    for boundary in (None, Boundary(base=Path("/"))):
        with pytest.raises(InvalidInput, match="BURSAR_SHELL=true"):
            await run(replace(ctx, boundary=boundary), "ls")


async def test_a_long_output_keeps_its_begin_and_end(ctx: ToolContext) -> None:
    command = script(ctx, "for n in range(300_000): print(f'line {n}')")
    output = (await run(ctx, command))["output"]
    assert output.startswith("line 0\n")
    assert output.endswith("line 299999\n")
    assert "bytes left out" in output
    assert len(output) < 21_000


async def test_a_timeout_kills_the_whole_group_and_keeps_the_output(ctx: ToolContext) -> None:
    text = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {WAITS!r}])"
    result = await run(ctx, script(ctx, text), timeout_s=3)
    assert "killed after" in result["error"]
    await gone(int(result["output"]))


async def test_what_runs_on_in_the_background_is_killed(ctx: ToolContext) -> None:
    text = (
        f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {WAITS!r}],"
        " stdout=subprocess.PIPE); print(p.stdout.readline().decode())"
    )
    result = await run(ctx, script(ctx, text))
    assert result["exit_code"] == 0
    await gone(int(result["output"]))


async def _cancelled(ctx: ToolContext) -> None:
    assert ctx.files is not None
    started = ctx.files / "pid"
    write = "import os, time; open('pid.new', 'w').write(str(os.getpid()))"
    command = script(ctx, f"{write}; os.rename('pid.new', 'pid'); time.sleep(600)")
    task = asyncio.create_task(run(ctx, command))
    async with asyncio.timeout(20):
        while not started.exists():  # noqa: ASYNC110  (another process makes it)
            await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await gone(int(started.read_text()))


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
def test_a_cancel_kills_it(ctx: ToolContext, runner: Callable[[Awaitable[None]], None]) -> None:
    """On the loop of asyncio and on that of the worker."""
    runner(_cancelled(ctx))


def test_on_the_workers_loop_the_folder_is_the_same(ctx: ToolContext) -> None:
    result = uvloop.run(run(ctx, script(ctx, "import os; print(os.getcwd())")))
    assert result["output"] == f"{ctx.files}\n"


async def test_the_folder_is_not_reached_through_a_symlink(
    ctx: ToolContext, tmp_path: Path
) -> None:
    (tmp_path / "ws").rmdir()
    (tmp_path / "ws").symlink_to("/")
    with pytest.raises(InvalidInput) as caught:
        await run(ctx, "ls")
    assert caught.value.field == "workspace_path"
