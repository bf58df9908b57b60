"""Running commands, on workers that allow it."""

import asyncio
import contextlib
import os
import re
import shlex
import signal
import sys
from typing import Annotated, Any, Self

from msgspec import Meta

from bursar.clock import monotonic_s
from bursar.context import ToolContext
from bursar.errors import InvalidInput
from bursar.gate.patterns import Action
from bursar.tools import tool
from bursar_worker.builtin.folder import boundary_of_call, workspace_files

__all__ = ["shell"]

_MAX_TIMEOUT_S = 600
_HALF = 10_000  # bytes of output that are kept from its begin and from its end
_CHUNK = 65_536
_MAX_LEFT = 16
"""Reads of what is still in the pipe at the end; a pipe holds one or two."""
_MARGIN_S = 2.0
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def _words(command: str) -> list[str]:
    if _CONTROL.search(command):
        raise InvalidInput("expected one line without control characters", field="command")
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InvalidInput(f"expected a command line: {error}", field="command") from None
    if not words:
        raise InvalidInput("expected a command", field="command")
    return words


def _action(arguments: dict[str, Any]) -> str:
    """The words as they will run, quoted anew: ``s"u"do ls`` is judged as ``sudo ls``."""
    return f"exec://{shlex.join(_words(arguments['command']))}"


@tool(effect="at_most_once", risk="high", timeout_s=_MAX_TIMEOUT_S + 10, action=_action)
async def shell(
    ctx: ToolContext,
    command: Annotated[str, Meta(description="A program and its arguments, in one line")],
    timeout_s: Annotated[int, Meta(description="Seconds", ge=1, le=_MAX_TIMEOUT_S)] = 60,
) -> dict[str, Any]:
    """Run one command in the workspace folder and return its exit code and output.

    There are no pipes, redirections, variables or wildcards, and no input: write a script for
    those. Of a long output the begin and the end are kept.
    """
    boundary = boundary_of_call(ctx)
    if boundary.shell_path is None:
        raise InvalidInput(
            "commands are off on this worker; the operator turns them on with BURSAR_SHELL=true",
            field="command",
        )
    words = _words(command)
    if Action.parse(_action({"command": command})).has_shell_syntax:
        raise InvalidInput("expected one plain command, no shell is there", field="command")
    environment = {"PATH": boundary.shell_path, "HOME": boundary.root, "LANG": "C.UTF-8"}
    with _Output() as output:
        with workspace_files(ctx).open() as folder:
            process = await _start(words, environment, folder, boundary.root, output)
        ended = await _finish(process, min(timeout_s, ctx.remaining_s - _MARGIN_S))
        return ended | {"output": output.text()}


async def _start(
    words: list[str], environment: dict[str, str], folder: int, root: str, output: "_Output"
) -> asyncio.subprocess.Process:
    # On Linux the folder that was opened, whatever is under its name by now.
    place = f"/proc/self/fd/{folder}" if sys.platform == "linux" else root
    try:
        return await asyncio.create_subprocess_exec(
            *words,
            cwd=place,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output.into,
            stderr=output.into,
            start_new_session=True,  # a process group of its own, so that all of it can be killed
        )
    except OSError as error:
        reason = f"{words[0]!r} cannot be run: {os.strerror(error.errno or 0)}"
        raise InvalidInput(reason, field="command") from error


async def _finish(process: asyncio.subprocess.Process, timeout_s: float) -> dict[str, Any]:
    """Wait for the end of a process, or bring it about; nothing of its group is left."""
    began_s = monotonic_s()
    try:
        async with asyncio.timeout(timeout_s):
            await process.wait()
    except TimeoutError:
        return {"error": f"killed after {monotonic_s() - began_s:.0f} s"}
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        # Its end is waited for, or the system would keep it as a zombie.
        await asyncio.shield(process.wait())
    return {"exit_code": process.returncode}


class _Output:
    """The begin and the end of what a process says; memory does not grow with the rest.

    The pipe is our own: nobody waits for its other end to be closed, which a process that was left
    running might never do.
    """

    def __init__(self) -> None:
        self._begin = b""
        self._end = b""
        self._bytes = 0
        self._from, self.into = os.pipe()
        os.set_blocking(self._from, False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._from, self._read)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.remove_reader(self._from)
        os.close(self._from)
        os.close(self.into)

    def text(self) -> str:
        for _ in range(_MAX_LEFT):
            if not self._read():
                break
        left_out = self._bytes - len(self._begin) - len(self._end)
        notice = f"\n… [{left_out:,} bytes left out]\n".encode() if left_out else b""
        return (self._begin + notice + self._end).decode(errors="replace")

    def _read(self) -> bool:
        try:
            chunk = os.read(self._from, _CHUNK)
        except BlockingIOError:
            return False
        self._bytes += len(chunk)
        room = _HALF - len(self._begin)
        self._begin += chunk[:room]
        self._end = (self._end + chunk[room:])[-_HALF:]
        return True
