"""An agent that wants to send letters, about which people are asked."""

from typing import Any

from bursar.agents import Agent
from bursar.context import ToolContext
from bursar.messages import ToolCall
from bursar.testing import ScriptedModel
from bursar.tools import tool

__all__ = ["TO_BOB", "TO_EVE", "Post", "writer"]

TO_BOB = ToolCall("c1", "send", '{"to": "bob", "text": "hi"}')
TO_EVE = ToolCall("c2", "send", '{"to": "eve", "text": "hi"}')


class Post:
    """A tool that has an effect, and what it was called with."""

    def __init__(self, **options: Any) -> None:
        self.sent: list[dict[str, str]] = []

        @tool(**options)
        async def send(ctx: ToolContext, to: str, text: str) -> str:
            """Send a letter."""
            self.sent.append({"to": to, "text": text})
            return f"sent to {to}"

        self.tool = send


def writer(post: Post, *answers: Any, name: str = "writer", **options: Any) -> Agent:
    model = ScriptedModel(list(answers) or [TO_BOB, "done"])
    return Agent(name=name, model=model, tools=[post.tool], **options)
