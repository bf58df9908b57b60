"""The stdio transport: a program, one JSON message a line, gone for sure at the end.

The SDK has one, too, which reads a line of any length into memory; a server is not trusted so far.
"""

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import anyio
import msgspec
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp_types import (
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    jsonrpc_message_adapter,
)
from msgspec import UNSET, UnsetType

from bursar.mcp import StdioEndpoint
from bursar_worker.mcp.failures import LostError
from bursar_worker.mcp.limits import MAX_MESSAGE_BYTES, Inflow
from bursar_worker.mcp.streams import Streams
from bursar_worker.stopping import stop

__all__ = ["LastWords", "open_program"]

_EXIT_S = 1.0  # for the program to go by itself once its input is closed; and again after SIGTERM
_POLL_S = 0.01
_MAX_WORDS = 4000
_CHUNK = 4096

_ToSession = MemoryObjectSendStream[SessionMessage | Exception]
_FromSession = MemoryObjectReceiveStream[SessionMessage]


class _Answer(msgspec.Struct):
    """What is needed of an answer that is no proper one."""

    id: int | str
    method: str | UnsetType = UNSET


class LastWords:
    """How a program ended, and the end of what it wrote to its standard error: for the log."""

    def __init__(self) -> None:
        self.raw = b""
        self.status: int | None = None
        """As of `subprocess`; None if it ended well, or only when it was told to."""

    def add(self, chunk: bytes) -> None:
        self.raw = (self.raw + chunk)[-_MAX_WORDS:]

    @property
    def text(self) -> str:
        return self.raw.decode(errors="replace").strip()


@asynccontextmanager
async def open_program(
    endpoint: StdioEndpoint, env: Mapping[str, str], inflow: Inflow, words: LastWords
) -> AsyncIterator[Streams]:
    """Start the program in a process group of its own, and end that group on leaving.

    Raises:
        OSError: It cannot be started.

    """
    process = await asyncio.create_subprocess_exec(
        endpoint.command,
        *endpoint.args,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env=dict(env),
        cwd=endpoint.cwd,
        start_new_session=True,
        limit=MAX_MESSAGE_BYTES,
    )
    to_session, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    outgoing, from_session = anyio.create_memory_object_stream[SessionMessage](0)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_read, process, to_session, inflow)
            tasks.start_soon(_write, process, from_session, to_session)
            tasks.start_soon(_listen, process, words)
            try:
                yield incoming, outgoing
            finally:
                tasks.cancel_scope.cancel()
    finally:
        try:
            with anyio.CancelScope(shield=True):
                await _end(process, words)
        finally:
            # Whatever interrupted this, also a cancel that came twice: nothing is left running.
            _signal(process, signal.SIGKILL)
            process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001
            for stream in (to_session, incoming, outgoing, from_session):
                stream.close()


async def _read(process: Process, to_session: _ToSession, inflow: Inflow) -> None:
    assert process.stdout is not None  # noqa: S101
    async with to_session:
        while True:
            try:
                line = await process.stdout.readuntil(b"\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            except asyncio.LimitOverrunError:
                what = f"it sent a message of more than {MAX_MESSAGE_BYTES:,} bytes"
                raise LostError(what) from None
            inflow.add_bytes(len(line))
            message = _message(line)
            if message is None:
                inflow.add_odd()
                continue
            try:
                await to_session.send(SessionMessage(message))
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                return


def _message(line: bytes) -> JSONRPCMessage | None:
    """Read a line. An answer of a wrong form is an error, else its caller would wait for long."""
    try:
        return jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValueError:
        try:
            answer = msgspec.json.decode(line, type=_Answer)
        except (msgspec.DecodeError, UnicodeError):
            return None
    if answer.method is not UNSET:
        return None
    what = ErrorData(code=PARSE_ERROR, message="something that is no answer")
    return JSONRPCError(jsonrpc="2.0", id=answer.id, error=what)


async def _write(process: Process, from_session: _FromSession, to_session: _ToSession) -> None:
    assert process.stdin is not None  # noqa: S101
    try:
        async with from_session:
            async for item in from_session:
                text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
                process.stdin.write(text.encode() + b"\n")
                await process.stdin.drain()
    except (OSError, RuntimeError):
        # It reads no more. The session learns it from the end of the other direction.
        await to_session.aclose()


async def _listen(process: Process, words: LastWords) -> None:
    assert process.stderr is not None  # noqa: S101
    with contextlib.suppress(OSError):
        while chunk := await process.stderr.read(_CHUNK):
            words.add(chunk)


async def _end(process: Process, words: LastWords) -> None:
    """Close the program's input and wait; ask it to go and wait; then kill its whole group."""
    assert process.stdin is not None  # noqa: S101
    process.stdin.close()
    # A program that is stuck writing reads no end of its input, so what it writes is taken.
    pumps = [asyncio.create_task(_drain(process)), asyncio.create_task(_listen(process, words))]
    try:
        if await _gone(process):
            words.status = process.returncode or None
        else:
            _signal(process, signal.SIGTERM)
            await _gone(process)
        # Also if it has gone: it may have left children behind.
        _signal(process, signal.SIGKILL)
        # They end with the pipes. A child in a group of its own may hold those open.
        await asyncio.wait(pumps, timeout=_EXIT_S)
    finally:
        await stop(*pumps)


async def _drain(process: Process) -> None:
    assert process.stdout is not None  # noqa: S101
    with contextlib.suppress(OSError):
        while await process.stdout.read(_CHUNK):
            pass


async def _gone(process: Process) -> bool:
    # Not `wait`, which goes on waiting while a child of the program holds its pipes open.
    for _ in range(int(_EXIT_S / _POLL_S)):
        if process.returncode is not None:
            return True
        await asyncio.sleep(_POLL_S)
    return process.returncode is not None


def _signal(process: Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
