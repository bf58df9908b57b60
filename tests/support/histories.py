"""Histories of sessions as tests need them: written as they are stored, without a worker."""

from collections.abc import Sequence

from bursar.messages import AssistantMessage, Message, ToolCall, ToolMessage, Usage, UserMessage
from bursar.sessions import locate
from bursar.store.codec import decode_message, encode_message
from bursar.store.store import Store

__all__ = ["TALK", "step", "stored_messages", "tell"]


def step(*ids: str, text: str = "") -> list[Message]:
    """An answer that calls a tool so many times, and its results."""
    calls = tuple(ToolCall(call, "look", '{"at":1}') for call in ids)
    results = [ToolMessage(call, "look", f"result of {call}") for call in ids]
    return [AssistantMessage(text, tool_calls=calls, usage=Usage(90, 10)), *results]


TALK: list[Message] = [
    UserMessage("hello", turn="trn_1", at_ms=5, custom={"a": [1, None]}),
    *step("a", "b", text="I look twice"),
    AssistantMessage("found", reasoning="hm", usage=Usage(200, 20), turn="trn_1", step=2, at_ms=9),
    UserMessage("go on"),
    *step("a"),
    AssistantMessage("cut", partial=True),
]
"""Steps are closed behind 0, 3, 4, 5, 7 and 8."""


async def tell(store: Store, workspace: str, sid: str, messages: Sequence[Message]) -> None:
    """Append to a session's history."""
    session = locate(store, workspace, sid)
    await store.redis.call("RPUSH", session.messages, *map(encode_message, messages))
    await store.redis.call("HINCRBY", session.hash, "message_count", len(messages))


async def stored_messages(store: Store, workspace: str, sid: str) -> list[Message]:
    found = await store.redis.call("LRANGE", locate(store, workspace, sid).messages, 0, -1)
    return [decode_message(entry) for entry in found]
