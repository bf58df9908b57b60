"""A model with a small window that says how much it was really shown, and what it then saw."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from decimal import Decimal

from bursar import history
from bursar.messages import AssistantMessage, Message, UserMessage
from bursar.models import ModelEvent, ModelRequest, Price
from bursar.sessions import SessionView
from bursar.testing import ScriptedModel
from bursar_worker.summarising import SUMMARY_INSTRUCTIONS
from support.workers import WORKSPACE, Site

__all__ = ["WINDOW", "Talker", "grow"]

WINDOW = 4000


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
