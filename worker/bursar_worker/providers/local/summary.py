"""What local models answer when they are asked for a conversation's summary."""

import asyncio
from collections.abc import AsyncIterator

from bursar.messages import UserMessage
from bursar.models import ModelEvent, ModelRequest
from bursar_worker.providers.local.report import summary_of_conversation
from bursar_worker.providers.local.tokens import say

__all__ = ["summarise"]


async def summarise(
    request: ModelRequest, input_tokens: int, *, delay_s: float
) -> AsyncIterator[ModelEvent]:
    """Stream the sentences of a conversation that say most of it."""
    text = "\n\n".join(m.text for m in request.messages if isinstance(m, UserMessage))
    limit = request.max_output_tokens
    # In a thread, as all scoring: it is a matter of CPU.
    summary = await asyncio.to_thread(summary_of_conversation, text, limit)
    async for event in say(summary, input_tokens, max_tokens=limit, delay_s=delay_s):
        yield event
