"""Where a history may be cut: never between a tool call and its result.

The results of a step stand directly behind the answer that asked for them. So a cut is inside a
step if there are only results between it and an answer of which a call has none yet.
"""

from collections import Counter
from collections.abc import AsyncIterator

import msgspec

from bursar.messages import AssistantMessage, Message, ToolMessage
from bursar.store.codec import decode_message
from bursar.store.keys import SessionKeys
from bursar.store.store import Store

__all__ = ["OpenStep", "end_of_step", "open_step", "read_backwards"]

_PAGE = 16
"""Messages that are read at once: a step has few, and each may be long."""


class OpenStep(msgspec.Struct, frozen=True):
    """``first`` is the index of the answer; ``missing`` are the ids of calls without a result."""

    first: int
    missing: tuple[str, ...]


async def open_step(store: Store, session: SessionKeys, count: int) -> OpenStep | None:
    """Return the step that the first ``count`` messages of a history end within, if they do."""
    answered = Counter[str]()
    async for index, message in read_backwards(store, session, count):
        if isinstance(message, ToolMessage):
            answered[message.call_id] += 1
            continue
        if isinstance(message, AssistantMessage):
            missing = Counter(call.id for call in message.tool_calls) - answered
            return OpenStep(index, tuple(missing.elements())) if missing else None
        return None
    return None


async def end_of_step(
    store: Store, session: SessionKeys, step: OpenStep, count: int, total: int
) -> int | None:
    """Return the index of the last result of a step; None if it has not come yet.

    Args:
        count: messages that `open_step` looked at.
        total: messages that there are.

    """
    missing = Counter(step.missing)
    for start in range(count, total, _PAGE):
        stop = min(start + _PAGE, total) - 1
        page = await store.redis.call("LRANGE", session.messages, start, stop)
        for index, message in enumerate(map(decode_message, page), start):
            if not isinstance(message, ToolMessage):
                return None
            missing[message.call_id] -= 1
            if not +missing:
                return index
    return None


async def read_backwards(
    store: Store, session: SessionKeys, count: int
) -> AsyncIterator[tuple[int, Message]]:
    """Read the first ``count`` messages with their indexes, the last of them first."""
    for stop in range(count, 0, -_PAGE):
        start = max(0, stop - _PAGE)
        page = await store.redis.call("LRANGE", session.messages, start, stop - 1)
        for index in range(len(page) - 1, -1, -1):
            yield start + index, decode_message(page[index])
