"""What a sub-agent came to: what it said last, what it cost, why it went no further."""

import asyncio
from typing import Any

import msgspec

from bursar.messages import AssistantMessage
from bursar.store.codec import decode_message, text
from bursar.store.keys import SessionKeys
from bursar.store.store import Store

__all__ = ["Ending", "read_ending"]

_MORE = 10  # messages that are read at once, which may be long


class Ending(msgspec.Struct, frozen=True):
    """How far a sub-agent came, also of one that is still at work.

    Args:
        output: its answer: text, or what its JSON says if it was asked for that. Of one that did
            not succeed, what it had said until then.
        cost_microusd: of the calls that it made, and of all that worked for it.
        reason: why it did not succeed; known for a week.
        deleted: its session is no more, and with it what it said and cost.

    """

    output: Any
    cost_microusd: int
    steps: int
    reason: str
    deleted: bool


async def read_ending(store: Store, session: SessionKeys, *, succeeded: bool) -> Ending:
    """Read what a sub-agent came to."""
    redis = store.redis
    turn = session.workspace.turn(f"trn_{session.id.partition('~')[2]}")
    # Not all from the turn's record, which is kept for a week; but nothing else knows the reason.
    reason, steps, posted, structured, said = await asyncio.gather(
        redis.call("HGET", turn, "reason"),
        redis.call("HGET", session.hash, "step_count"),
        redis.call("HGET", session.account, "posted"),
        redis.call("HEXISTS", session.text, "output"),
        _said(store, session),
    )
    deleted = steps is None
    output: Any = said
    if succeeded and structured and not deleted:
        output = msgspec.json.decode(said)
    return Ending(
        output=output,
        cost_microusd=int(posted or 0),
        steps=int(steps or 0),
        reason="its session was deleted" if deleted else text(reason),
        deleted=deleted,
    )


async def _said(store: Store, session: SessionKeys) -> str:
    """The last text; behind it there may be results of tools."""
    last, count = -1, 1
    while found := await store.redis.call("LRANGE", session.messages, last - count + 1, last):
        for message in map(decode_message, reversed(found)):
            if isinstance(message, AssistantMessage) and (message.text or not message.tool_calls):
                return message.text
        last, count = last - count, _MORE
    return ""
