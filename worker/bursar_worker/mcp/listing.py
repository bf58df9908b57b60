"""What tools a server has: asked for at first, when it says that they changed, and now and then."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NoReturn

import anyio
import mcp_types as types
from mcp import MCPError
from mcp.client import Client
from mcp.client.session import IncomingMessage
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from bursar.clock import monotonic_s
from bursar_worker.mcp.cleaning import one_line
from bursar_worker.mcp.definitions import MAX_TOOLS, Definition, define_all
from bursar_worker.mcp.failures import LostError
from bursar_worker.mcp.limits import Inflow

__all__ = ["Lister", "Listing"]

_FRESH_S = 60.0  # how old a list may be; not every server says that it has changed
_ANSWER_S = 10.0
_AGAIN_S = 1.0
_AGAIN_FACTOR = 5  # of the time that it took: a server that always changes keeps nobody busy
_LISTEN_AGAIN_S = 5.0
_MAX_PAGES = 20
_MAX_LISTED = 5 * MAX_TOOLS
_SHOWN = 5

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Listing:
    """A server's tools at one time."""

    definitions: tuple[Definition, ...]

    @cached_property
    def by_name(self) -> Mapping[str, Definition]:
        return {definition.name: definition for definition in self.definitions}


class Lister:
    """Keeps a server's listing up to date while it is connected, and after that as it was last."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.listing: Listing | None = None
        self._listed_s = 0.0
        self._stale = asyncio.Event()
        self._told = ""

    def freshen(self) -> None:
        """Have it listed anew if that is long ago."""
        if monotonic_s() - self._listed_s > _FRESH_S:
            self._stale.set()

    def doubt(self) -> None:
        """Have it listed anew: it may have changed, or the server may have stopped answering."""
        self._stale.set()

    async def hear(self, message: IncomingMessage) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            self._stale.set()

    async def fetch(self, client: Client) -> None:
        """List the tools now."""
        self._stale.clear()
        tools = await self._all_pages(client) if client.server_capabilities.tools else []
        known = {each.sha256: each for each in self.listing.definitions} if self.listing else {}
        # Checking a schema takes milliseconds, or with an evil one a second.
        found, left_out = await asyncio.to_thread(define_all, tools, known)
        self._listed_s = monotonic_s()
        if self.listing is None or list(self.listing.definitions) != found:
            self.listing = Listing(tuple(found))
        self._tell(left_out)

    async def keep(self, client: Client, inflow: Inflow, is_busy: Callable[[], bool]) -> NoReturn:
        """List again whenever there is a reason to.

        Raises:
            LostError: The server says nothing at all any more.

        """
        while True:
            await self._stale.wait()
            began_s = monotonic_s()
            try:
                with anyio.fail_after(_ANSWER_S):
                    await self.fetch(client)
            except TimeoutError:
                if inflow.heard_s < began_s and not is_busy():
                    raise LostError("it stopped answering") from None
            except (MCPError, ValidationError) as error:
                if inflow.forgotten:
                    raise LostError("it has started anew") from None
                reason = one_line(str(error), 200)
                logger.info("MCP server %s: did not list its tools: %s", self._name, reason)
            await anyio.sleep(_AGAIN_S + _AGAIN_FACTOR * (monotonic_s() - began_s))

    async def listen(self, client: Client) -> None:
        """Newer protocol versions tell of changes only to those who listen."""
        tools = client.server_capabilities.tools
        if client.protocol_version not in MODERN_PROTOCOL_VERSIONS or not tools:
            return
        while tools.list_changed:
            try:
                async with client.listen(tools_list_changed=True) as changes:
                    self._stale.set()
                    async for _ in changes:
                        self._stale.set()
            except ListenNotSupportedError:
                return
            except (SubscriptionLost, MCPError, TimeoutError) as error:
                logger.debug("MCP server %s: hears of no changes: %s", self._name, error)
            await anyio.sleep(_LISTEN_AGAIN_S)

    async def _all_pages(self, client: Client) -> list[types.Tool]:
        tools: list[types.Tool] = []
        cursor: str | None = None
        for _ in range(_MAX_PAGES):
            page = await client.list_tools(cursor=cursor)
            tools += page.tools
            cursor = page.next_cursor
            if not cursor or len(tools) > _MAX_LISTED:
                break
        return tools[:_MAX_LISTED]

    def _tell(self, left_out: Mapping[str, str]) -> None:
        """Say which tools are left out, once."""
        shown = [f"{one_line(name, 64)} ({why})" for name, why in list(left_out.items())[:_SHOWN]]
        more = f" and {len(left_out) - _SHOWN} more" if len(left_out) > _SHOWN else ""
        told = one_line(", ".join(shown) + more, 1000)
        if told and told != self._told:
            logger.warning("MCP server %s: tools left out: %s", self._name, told)
        self._told = told
