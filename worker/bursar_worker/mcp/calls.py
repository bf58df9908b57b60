"""Calls on their way to a server: put in by drives, made by the connection's owner."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

import anyio
import mcp_types as types
from mcp import MCPError
from mcp.client import Client
from mcp.shared.dispatcher import ProgressFnT
from pydantic import TypeAdapter, ValidationError

from bursar_worker.mcp.cleaning import clean
from bursar_worker.mcp.failures import McpFailure
from bursar_worker.mcp.limits import Inflow

__all__ = ["Calls"]

_MAX_OPEN = 256
_MAX_AT_ONCE = 32
_MAX_SAID = 2000
_LOST = "was lost during the call. Whether the call took effect is unknown"
_SDK_SAYS_LOST = ("Connection closed", "SSE stream")  # with a code that servers use as they like
_ANEW = "has started anew and is being connected again; try again in a moment"

_RESULT: TypeAdapter[types.CallToolResult | types.InputRequiredResult] = TypeAdapter(
    types.CallToolResult | types.InputRequiredResult
)


@dataclass(eq=False)
class _Call:
    tool: str
    arguments: dict[str, Any]
    on_progress: ProgressFnT
    future: "asyncio.Future[types.CallToolResult]"

    def fail(self, why: str) -> None:
        if not self.future.done():
            self.future.set_exception(McpFailure(why))

    def succeed(self, result: types.CallToolResult) -> None:
        if not self.future.done():
            self.future.set_result(result)


class Calls:
    """The calls of one connection. They outlive a loss of it only as failures.

    Args:
        on_given_up: called when a call was cancelled, perhaps because the server hangs.
        on_ended: called when the server says that it does not know this session any more.

    """

    def __init__(self, on_given_up: Callable[[], None], on_ended: Callable[[], None]) -> None:
        self._on_given_up = on_given_up
        self._on_ended = on_ended
        self._queue: asyncio.Queue[_Call] = asyncio.Queue()
        self._open = 0
        self._running: set[_Call] = set()

    @property
    def running(self) -> bool:
        return bool(self._running)

    async def make(
        self, tool: str, arguments: dict[str, Any], on_progress: ProgressFnT
    ) -> types.CallToolResult:
        """Hand a call to the owner and wait. Cancelling the wait cancels the request.

        Raises:
            McpFailure: There is no result; the text goes on from the server's name.

        """
        if self._open >= _MAX_OPEN:
            raise McpFailure(f"is busy: {_MAX_OPEN} calls wait for it")
        future: asyncio.Future[types.CallToolResult] = asyncio.get_running_loop().create_future()
        self._open += 1
        try:
            self._queue.put_nowait(_Call(tool, arguments, on_progress, future))
            return await future
        finally:
            self._open -= 1

    def fail(self, why: str) -> None:
        """The connection is lost: nobody makes the calls that still wait."""
        while not self._queue.empty():
            self._queue.get_nowait().fail(why)

    async def serve(self, client: Client, inflow: Inflow, tasks: Any) -> NoReturn:
        """Make calls, each in a task of its own, until cancelled."""
        slots = asyncio.Semaphore(_MAX_AT_ONCE)
        while True:
            await slots.acquire()
            call = await self._queue.get()
            tasks.start_soon(self._perform, client, inflow, call, slots)

    async def _perform(
        self, client: Client, inflow: Inflow, call: _Call, slots: asyncio.Semaphore
    ) -> None:
        if call.future.done():
            # Whoever wanted it waits no longer, and must not find later that it was made.
            slots.release()
            return
        self._running.add(call)
        try:
            with anyio.CancelScope() as scope:
                call.future.add_done_callback(partial(_cancel_with, scope))
                await self._request(client, inflow, call)
        finally:
            call.fail(_LOST)
            self._running.discard(call)
            slots.release()
        if call.future.cancelled():
            self._on_given_up()

    async def _request(self, client: Client, inflow: Inflow, call: _Call) -> None:
        # Not `call_tool`: that checks the result against the schema that the server gave for it,
        # and a stranger's schema can take any time. What a tool returns is read, not trusted.
        params = types.CallToolRequestParams(name=call.tool, arguments=call.arguments)
        try:
            result = await client.session.send_request(
                types.CallToolRequest(params=params), _RESULT, progress_callback=call.on_progress
            )
        except MCPError as error:
            call.fail(_told(error, inflow))
            if inflow.forgotten:
                self._on_ended()
        except ValidationError:
            call.fail("answered with something that is no result of a tool")
        else:
            if isinstance(result, types.InputRequiredResult):
                call.fail("asks for input of a person or a model, which it is not given")
            else:
                call.succeed(result)


def _told(error: MCPError, inflow: Inflow) -> str:
    if inflow.forgotten:
        return _ANEW
    if error.code == types.CONNECTION_CLOSED and error.message.startswith(_SDK_SAYS_LOST):
        return _LOST
    said = clean(error.message[:_MAX_SAID]).strip() or "no reason given"
    return f"answered with an error: {said}"


def _cancel_with(scope: anyio.CancelScope, future: "asyncio.Future[types.CallToolResult]") -> None:
    if future.cancelled():
        scope.cancel()
