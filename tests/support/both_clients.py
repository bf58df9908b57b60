"""Lets one test speak to the blocking and to the asynchronous client."""

from collections.abc import Callable
from inspect import isawaitable
from typing import Any

from bursar.client import AsyncClient, Client, ClientEvent

__all__ = ["TURN", "TURNS", "Make", "ask", "read"]

TURNS, TURN = "/v1/workspaces/acme/sessions/s1/turns", "/v1/workspaces/acme/turns/t1"

Make = Callable[..., Client | AsyncClient]


async def ask(answer: Any) -> Any:
    """The value that either kind of client returned."""
    return await answer if isawaitable(answer) else answer


async def read(events: Any) -> list[ClientEvent]:
    """All events of a stream of either kind."""
    if hasattr(events, "__aiter__"):
        return [one async for one in events]
    return list(events)
