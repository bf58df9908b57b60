"""One connection to a server, kept by one task from which everything about it goes out.

The SDK's contexts have to be left in the task that entered them, so callers never touch the
session: they hand their calls to the task that owns it. That task connects when somebody wants it,
and after a loss again, later each time. Whatever happens here, a caller gets a result or an
`McpFailure`.
"""

import asyncio
import logging
import math
import random
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import mcp_types as types
from mcp.client import Client
from mcp.shared.dispatcher import ProgressFnT

from bursar import __version__
from bursar.clock import monotonic_s
from bursar.mcp import Endpoint, StdioEndpoint
from bursar_worker.mcp.calls import Calls
from bursar_worker.mcp.cleaning import one_line
from bursar_worker.mcp.environment import given_values, program_environment
from bursar_worker.mcp.failures import LostError, McpFailure, reason_of, without
from bursar_worker.mcp.http import open_http
from bursar_worker.mcp.limits import Inflow
from bursar_worker.mcp.listing import Lister, Listing
from bursar_worker.mcp.program import LastWords, open_program
from bursar_worker.mcp.streams import Streams, watched
from bursar_worker.stopping import stop

__all__ = ["Connection"]

_HANDSHAKE_S = 60.0  # a program may first have to be fetched by what starts it
_FIRST_PAUSE_S, _MAX_PAUSE_S = 0.5, 30.0
_HELD_S = 30.0  # a connection that held this long was a good one
_PATIENCE_S = 3.0  # of a call, while the connection is made anew
_CLOSE_S = 8.0
_WORDS_CHARS = 1000

_ME = types.Implementation(name="bursar", version=__version__)

logger = logging.getLogger(__name__)


class Connection:
    """Made for an endpoint, and shared by all agents that use it.

    Args:
        name: of the server, for the log.

    """

    def __init__(self, endpoint: Endpoint, name: str) -> None:
        self._endpoint = endpoint
        self._name = name
        self.began_s = monotonic_s()
        self.settled = asyncio.Event()
        """Set once the first attempt has ended, in whatever way."""
        self.trouble = "it has not answered yet"
        self._lister = Lister(name)
        self._calls = Calls(on_given_up=self._lister.doubt, on_ended=self._end)
        self._up = asyncio.Event()
        self._wanted = asyncio.Event()
        self._closing = asyncio.Event()
        self._scope: anyio.CancelScope | None = None
        self._ended = anyio.Event()
        self._rests_until_s = 0.0
        self._secrets: tuple[str, ...] = ()
        self._owner = asyncio.get_running_loop().create_task(self._own(), name=f"mcp {name}")

    @property
    def listing(self) -> Listing | None:
        """The tools as they were last listed; None if they never were."""
        return self._lister.listing

    def want(self) -> None:
        """Connect, if that is not so already, and see now and then whether the tools changed."""
        self._wanted.set()
        self._lister.freshen()

    async def call(
        self, tool: str, arguments: dict[str, Any], *, sha256: str, on_progress: ProgressFnT
    ) -> types.CallToolResult:
        """Call a tool that is as it was when it had this hash. A cancel goes on to the server.

        Raises:
            McpFailure: There is no result; the text goes on from the server's name.

        """
        self.want()
        if not self._up.is_set() and self._rests_until_s - monotonic_s() < _PATIENCE_S:
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    await self._up.wait()
            except TimeoutError:
                logger.debug("MCP server %s: a call waits no longer for it", self._name)
        if not self._up.is_set():
            raise McpFailure(f"is not available: {self.trouble}")
        self._check(tool, sha256)
        return await self._calls.make(tool, arguments, on_progress)

    async def close(self) -> None:
        """End the connection; a program that was started for it is gone afterwards."""
        self._closing.set()
        self._wanted.set()
        if self._scope is not None:
            self._scope.cancel()
        _, late = await asyncio.wait({self._owner}, timeout=_CLOSE_S)
        if late:
            logger.warning("MCP server %s: does not end, it is cut off", self._name)
            await stop(self._owner)

    def _check(self, tool: str, sha256: str) -> None:
        listed = self.listing.by_name.get(tool) if self.listing else None
        if listed is None:
            raise McpFailure(f"has no tool {tool} any more")
        if listed.sha256 != sha256:
            # What was judged, perhaps by a person, is no more what would run.
            raise McpFailure(f"has changed its tool {tool}; it can be used again in the next turn")

    # -- the owner's side: all below runs in its task, or in tasks below it

    async def _own(self) -> None:
        losses = 0
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            if self._closing.is_set():
                return
            began_s = monotonic_s()
            await self._attempt(loud=losses == 0)
            pause_s = min(_FIRST_PAUSE_S * 2 ** min(losses, 10), _MAX_PAUSE_S)
            losses = 0 if monotonic_s() - began_s > _HELD_S else losses + 1
            await self._rest(pause_s * random.uniform(0.5, 1.0))  # noqa: S311

    async def _rest(self, pause_s: float) -> None:
        self._rests_until_s = monotonic_s() + pause_s
        try:
            async with asyncio.timeout(pause_s):
                await self._closing.wait()
        except TimeoutError:
            self._rests_until_s = 0.0

    async def _attempt(self, *, loud: bool) -> None:
        """Connect and stay so until the connection is lost."""
        inflow, words = Inflow(), LastWords()
        reason = f"it did not answer within {_HANDSHAKE_S:g} s"
        try:
            deadline = anyio.current_time() + _HANDSHAKE_S
            with anyio.CancelScope(deadline=deadline) as self._scope:
                await self._stay(self._scope, inflow, words)
        except Exception as error:  # noqa: BLE001
            # Whatever a server or its library comes up with ends the connection and nothing else.
            reason = reason_of(error, self._secrets)
            reason += f" ({inflow.refusal})" if inflow.refusal else ""
        finally:
            self._scope = None
            self._lost(reason, words, loud=loud)

    async def _stay(self, scope: anyio.CancelScope, inflow: Inflow, words: LastWords) -> None:
        given = given_values(self._endpoint)
        self._secrets = tuple(given.values())
        self._ended = anyio.Event()
        transport = watched(self._transport(given, inflow, words), inflow, self._end)
        client = Client(transport, cache=None, client_info=_ME, message_handler=self._lister.hear)
        async with client:
            await self._lister.fetch(client)
            scope.deadline = math.inf
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_until, self._ended)
                tasks.start_soon(self._lister.keep, client, inflow, lambda: self._calls.running)
                tasks.start_soon(self._lister.listen, client)
                self._found()
                try:
                    await self._calls.serve(client, inflow, tasks)
                finally:
                    self._up.clear()

    def _transport(
        self, given: dict[str, str], inflow: Inflow, words: LastWords
    ) -> AbstractAsyncContextManager[Streams]:
        if isinstance(self._endpoint, StdioEndpoint):
            return open_program(self._endpoint, program_environment(given), inflow, words)
        return open_http(self._endpoint, given, inflow)

    def _found(self) -> None:
        self._up.set()
        self.settled.set()
        count = len(self.listing.definitions) if self.listing else 0
        logger.info("MCP server %s: connected, %d tools", self._name, count)

    def _lost(self, reason: str, words: LastWords, *, loud: bool) -> None:
        self._up.clear()
        self.settled.set()
        closing = self._closing.is_set()
        self.trouble = "the worker stops" if closing else reason
        self._calls.fail(f"is not available: {self.trouble}")
        if closing:
            return
        logger.log(
            logging.WARNING if loud else logging.DEBUG,
            "MCP server %s is not available: %s%s",
            self._name,
            reason,
            self._last(words),
        )

    def _last(self, words: LastWords) -> str:
        """What a program left behind, for the log."""
        ended = f"; it ended with status {words.status}" if words.status is not None else ""
        text = without(self._secrets, words.text)[-_WORDS_CHARS:]
        said = one_line(text, _WORDS_CHARS)
        return f"{ended}; it wrote: {said}" if said else ended

    def _end(self) -> None:
        """There is nothing more to be had from the connection as it is."""
        self._up.clear()
        self._ended.set()


async def _until(ended: anyio.Event) -> None:
    await ended.wait()
    raise LostError("it ended the connection")
