"""From a session's stored messages to what a model is asked."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from bursar.agents import Agent
from bursar.events import Span
from bursar.messages import AssistantMessage, Message, ToolMessage, Usage, UserMessage
from bursar.models import ModelRequest
from bursar.store.codec import decode_message, text
from bursar.store.keys import SessionKeys
from bursar.store.store import Store
from bursar.tools import Tool

__all__ = ["Transcript", "TranscriptReader", "first_that_fits", "unanswered"]


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

    def request(
        self,
        agent: Agent,
        tools: Iterable[Tool[..., Any]],
        model: str,
        max_output_tokens: int,
        span: Span,
    ) -> ModelRequest:
        return ModelRequest(
            model=model,
            system=self.system,
            messages=tuple(self.messages),
            tools=tuple(tool.spec for tool in tools),
            max_output_tokens=max_output_tokens,
            temperature=agent.temperature,
            session=span.session,
            turn=span.turn,
        )

    @property
    def last_input(self) -> str:
        """What a person said last."""
        said = (m.text for m in reversed(self.messages) if isinstance(m, UserMessage))
        return next(said, "")

    def since_last_answer(self) -> tuple[Usage | None, list[Message]]:
        """The newest answer's real usage, and what was said after it: the basis of an input bound.

        None when there is no usage to build on; then everything counts as new.
        """
        for index in range(len(self.messages) - 1, -1, -1):
            message = self.messages[index]
            if isinstance(message, AssistantMessage) and message.usage.total_tokens:
                return message.usage, self.messages[index + 1 :]
        return None, list(self.messages)


class TranscriptReader:
    """Reads transcripts, and keeps the messages of those it read last.

    History is append-only, so what was read once stays true and a further turn reads the new
    messages only. What identifies a history is its session's time of creation (an id may be used
    again after a delete) and where its context starts.

    Args:
        max_history_bytes: of one history; of a longer one the newest messages that fit are seen.
        max_kept_bytes: of all histories together; those that were not read for longest are dropped.

    """

    def __init__(self, store: Store, *, max_history_bytes: int, max_kept_bytes: int) -> None:
        self._store = store
        self._max_history_bytes = max_history_bytes
        self._max_kept_bytes = max_kept_bytes
        self._kept: OrderedDict[str, _History] = OrderedDict()
        self._kept_bytes = 0

    async def read(
        self,
        session: SessionKeys,
        agent: Agent,
        *,
        created_ms: str,
        context_start: int,
        usage_from: int = 0,
    ) -> Transcript:
        """Read the messages of the current context.

        Args:
            context_start: index of its first message; a negative one counts from the end, for a
                look at the newest messages alone.
            usage_from: index of the first message whose usage is a ground for holding money; what
                came before was said by others, or by another model.

        """
        call = self._store.redis.call
        known = self._kept.get(session.ref)
        if known is None or known.identity != (created_ms, context_start):
            known = _History((created_ms, context_start), context_start)
        texts = call("HMGET", session.text, "system_prompt", "context")
        raw: list[bytes] = await call("LRANGE", session.messages, known.end, -1)
        parts = [agent.instructions, *map(text, await texts)]
        system = "\n\n".join(part for part in parts if part)
        grown = known.grown(raw, self._max_history_bytes, usage_from=usage_from)
        if context_start >= 0:
            self._keep(session.ref, grown)
        return Transcript(system, list(grown.messages))

    def _keep(self, ref: str, history: "_History") -> None:
        self._kept_bytes += history.size - self._kept.pop(ref, _NOTHING).size
        self._kept[ref] = history
        while self._kept_bytes > self._max_kept_bytes:
            self._kept_bytes -= self._kept.popitem(last=False)[1].size


@dataclass(frozen=True)
class _History:
    """Messages of a context up to the index ``end``, with the bytes that each takes in Redis."""

    identity: tuple[str, int]
    end: int
    messages: tuple[Message, ...] = ()
    sizes: tuple[int, ...] = ()
    size: int = 0

    def grown(self, raw: Sequence[bytes], max_bytes: int, *, usage_from: int = 0) -> "_History":
        # An end below zero is of a look from behind, which cannot tell whose words it sees.
        first_own = usage_from - self.end if self.end >= 0 or not usage_from else len(raw)
        read = (
            _without_usage(message) if index < first_own else message
            for index, message in enumerate(map(decode_message, raw))
        )
        messages = (*self.messages, *read)
        sizes = (*self.sizes, *map(len, raw))
        size = self.size + sum(map(len, raw))
        end = self.end + len(raw)
        if size <= max_bytes:
            return _History(self.identity, end, messages, sizes, size)
        first = first_that_fits(messages, sizes, max_bytes)
        kept = sizes[first:]
        return _History(self.identity, end, messages[first:], kept, sum(kept))


_NOTHING = _History(("", 0), 0)


def _without_usage(message: Message) -> Message:
    if isinstance(message, AssistantMessage):
        return msgspec.structs.replace(message, usage=Usage())
    return message


def first_that_fits(messages: Sequence[Message], sizes: Sequence[int], max_bytes: int) -> int:
    """Where to begin with too long a history so that ``max_bytes`` are left: at a user's message.

    Starting anywhere else could leave a tool's result without its call, which providers refuse. A
    turn that is too long by itself is shown whole: better refused than broken.
    """
    total = sum(sizes)
    last_input = 0
    for index, (message, size) in enumerate(zip(messages, sizes, strict=True)):
        if isinstance(message, UserMessage):
            last_input = index
            if total <= max_bytes:
                break
        total -= size
    return last_input


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
