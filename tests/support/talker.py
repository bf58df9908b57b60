"""A model with a small window that says how much it was really shown, and what it then saw."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from bursar import history, sessions
from bursar.agents import Agent
from bursar.messages import AssistantMessage, Message, UserMessage
from bursar.models import ModelEvent, ModelRequest, Price
from bursar.sessions import SessionView
from bursar.testing import ScriptedModel
from bursar_worker.summarising import SUMMARY_INSTRUCTIONS
from support.workers import WORKSPACE, Site, working

__all__ = ["FULL", "WINDOW", "Talker", "agent", "full_session", "grow", "one_turn", "texts"]

WINDOW = 4000
FULL = 40
"""Messages of 300 bytes that take more than the window, as they are guessed."""


@dataclass
class Talker:
    """Answers as ``answers`` says, and sums up as ``summaries`` says."""

    answers: ScriptedModel = field(default_factory=lambda: ScriptedModel(["yes"] * 100))
    summaries: ScriptedModel = field(
        default_factory=lambda: ScriptedModel([f"SUMMARY {i}" for i in range(100)])
    )
    name: str = "talker"
    price: Price = field(default_factory=lambda: Price(Decimal(1), Decimal(4)))
    max_input_tokens: int = WINDOW

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        asked = request.system == SUMMARY_INSTRUCTIONS
        async for event in (self.summaries if asked else self.answers).stream(request):
            yield event

    @property
    def seen(self) -> list[str]:
        """Texts of the messages that the last answer was given to."""
        return [getattr(m, "text", "") for m in self.answers.requests[-1].messages]

    @property
    def told(self) -> str:
        """What it was last given to summarise."""
        (message,) = self.summaries.requests[-1].messages
        assert isinstance(message, UserMessage)
        return message.text


async def grow(place: Site, session: SessionView, messages: int, *, size: int = 300) -> None:
    """Add messages to a history, as of turns that ended long ago; each says which it is."""
    for number in range(messages):
        words = f"old {number} ".ljust(size, "x")
        message: Message = AssistantMessage(words) if number % 2 else UserMessage(words)
        await history.add_message(place.store, WORKSPACE, session.id, message)


def agent(model: Talker, **options: Any) -> Agent:
    return Agent(name="worker", model=model, **options)


async def one_turn(
    place: Site, model: Talker, session: SessionView, words: str = "go", **settings: Any
) -> SessionView:
    async with working(place.store, agent(model), **settings):
        turn = await place.ended(await place.put(session, words))
    assert turn.state == "succeeded", turn
    return await sessions.get(place.store, WORKSPACE, session.id)


async def full_session(place: Site, messages: int = FULL, **spec: Any) -> SessionView:
    session = await place.session("worker", model="talker", **spec)
    await grow(place, session, messages)
    return session


async def texts(place: Site, session: SessionView) -> dict[bytes, bytes]:
    keys = sessions.locate(place.store, WORKSPACE, session.id)
    found: dict[bytes, bytes] = await place.store.redis.call("HGETALL", keys.text)
    return found
