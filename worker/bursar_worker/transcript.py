"""From a session's stored messages to what a model is asked."""

from collections.abc import Sequence

from bursar.agents import Agent
from bursar.events import Span
from bursar.messages import AssistantMessage, Message, ToolMessage, Usage, UserMessage
from bursar.models import ModelRequest
from bursar.store.codec import decode_message, text
from bursar.store.keys import SessionKeys
from bursar.store.store import Store

__all__ = ["Transcript", "newest", "read_transcript", "unanswered"]


class Transcript:
    """The conversation as one drive sees it: read once, then grown with what is committed.

    Args:
        system: instructions, the session's own prompt and its context, joined.

    """

    def __init__(self, system: str, messages: list[Message]) -> None:
        self.system = system
        self.messages = messages

    def add(self, messages: Sequence[Message]) -> None:
        self.messages.extend(messages)

    def request(self, agent: Agent, model: str, max_output_tokens: int, span: Span) -> ModelRequest:
        return ModelRequest(
            model=model,
            system=self.system,
            messages=tuple(self.messages),
            tools=tuple(tool.spec for tool in agent.tools),
            max_output_tokens=max_output_tokens,
            temperature=agent.temperature,
            session=span.session,
            turn=span.turn,
        )

    def since_last_answer(self) -> tuple[Usage | None, list[Message]]:
        """The newest answer's real usage, and what was said after it: the basis of an input bound.

        None when there is no usage to build on; then everything counts as new.
        """
        for index in range(len(self.messages) - 1, -1, -1):
            message = self.messages[index]
            if isinstance(message, AssistantMessage) and message.usage.total_tokens:
                return message.usage, self.messages[index + 1 :]
        return None, list(self.messages)


async def read_transcript(
    store: Store, session: SessionKeys, agent: Agent, *, context_start: int, max_bytes: int
) -> Transcript:
    """Read the messages of the current context; of a very long one, the newest that fit."""
    texts = store.redis.call("HMGET", session.text, "system_prompt", "context")
    raw: list[bytes] = await store.redis.call("LRANGE", session.messages, context_start, -1)
    parts = [agent.instructions, *map(text, await texts)]
    system = "\n\n".join(part for part in parts if part)
    return Transcript(system, [decode_message(entry) for entry in newest(raw, max_bytes)])


def newest(raw: list[bytes], max_bytes: int) -> list[bytes]:
    """Drop the oldest messages beyond the limit, up to the next user's message.

    Starting anywhere else could leave a tool's result without its call, which providers refuse.
    """
    total = 0
    for index in range(len(raw) - 1, -1, -1):
        total += len(raw[index])
        if total > max_bytes:
            kept = raw[index + 1 :]
            while kept and not isinstance(decode_message(kept[0]), UserMessage):
                kept.pop(0)
            return kept or raw[_last_input(raw) :]
    return raw


def _last_input(raw: list[bytes]) -> int:
    """A turn that is too long by itself is shown whole: better refused than broken."""
    for index in range(len(raw) - 1, -1, -1):
        if isinstance(decode_message(raw[index]), UserMessage):
            return index
    return 0


def unanswered(messages: Sequence[Message]) -> AssistantMessage | None:
    """The newest answer, if some of its tool calls have no result message yet."""
    answered: set[str] = set()
    for message in reversed(messages):
        if isinstance(message, ToolMessage):
            answered.add(message.call_id)
        elif isinstance(message, AssistantMessage):
            missing = any(call.id not in answered for call in message.tool_calls)
            return message if missing else None
        else:
            return None
    return None
