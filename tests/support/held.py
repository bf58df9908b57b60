"""Models and tools that halt until a test lets them go on, and say when they were stopped."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from bursar.models import ModelEvent, ModelRequest
from bursar.testing import ScriptedModel
from bursar.tools import tool

__all__ = ["HeldModel", "HeldTool", "soon"]


@dataclass
class HeldModel(ScriptedModel):
    """A scripted model that halts after the first event of one answer, counted from 0."""

    held: int = 0
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    """The answer was cut off before it was whole."""

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        halts = len(self.requests) == self.held
        async for event in ScriptedModel.stream(self, request):
            yield event
            if halts:
                halts = False
                await _halt(self.begun, self.go, self.stopped)


class HeldTool:
    """A tool that halts each time until it is let go; then for good."""

    def __init__(self, name: str = "look") -> None:
        self.begun, self.go, self.stopped = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.runs = 0

        @tool(effect="pure", name=name)
        async def run() -> str:
            self.runs += 1
            await _halt(self.begun, self.go, self.stopped)
            return "seen"

        self.tool = run


async def _halt(begun: asyncio.Event, go: asyncio.Event, stopped: asyncio.Event) -> None:
    begun.set()
    try:
        await go.wait()
    except asyncio.CancelledError:
        stopped.set()
        raise


async def soon(event: asyncio.Event, what: str, *, timeout_s: float = 10.0) -> None:
    """Wait for an event; fail saying ``what`` did not come."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        raise AssertionError(f"within {timeout_s:g} s there was no {what}") from None
