"""From a session's stored messages to what a model is asked."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
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

_SUMMARY_HEAD = (
    "[Summary of the conversation up to here, which had become too long to be shown whole. "
    "What comes after it is the newest part, as it was said.]\n\n"
)


class Transcript:
    """The conversation as one drive sees it: read once, then grown with what is committed.

    Args:
        system: instructions, the session's own prompt and its context, joined.
        start: index of the first message in the session's history.
        summary: of what was said before that; empty if nothing was summarised.
        inputs: inputs of the turn under way that came before, by their index: the agent still has
            to see them.
        counted_from: index of the first message of which the model's usage counts all of this.

    """

    def __init__(
        self,
        system: str,
        messages: list[Message],
        *,
        start: int = 0,
        summary: str = "",
        inputs: Mapping[int, Message] | None = None,
        counted_from: int = 0,
    ) -> None:
        self.system = system
        self.messages = messages
        self.start = start
        self.summary = summary
        self.inputs = dict(inputs or {})
        self._counted_from = counted_from

    @property
    def end(self) -> int:
        """Index of the message that comes next."""
        return self.start + len(self.messages)

    def add(self, messages: Sequence[Message]) -> None:
        self.messages.extend(messages)

    def move(self, to: int, summary: str, inputs: Mapping[int, Message]) -> None:
        """Begin at another index from now on, with a summary of what is no longer seen."""
        del self.messages[: to - self.start]
        self._counted_from = self.end
        self.start, self.summary, self.inputs = to, summary, dict(inputs)

    @property
    def seen(self) -> tuple[Message, ...]:
        """What the model is shown. A summary is nobody's instruction, so it is no system text."""
        told = [UserMessage(_SUMMARY_HEAD + self.summary)] if self.summary else []
        return (*told, *self.inputs.values(), *self.messages)

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
            messages=self.seen,
            tools=tuple(tool.spec for tool in tools),
            max_output_tokens=max_output_tokens,
            temperature=agent.temperature,
            session=span.session,
            turn=span.turn,
        )

    @property
    def last_input(self) -> str:
        """What a person said last."""
        messages = (*self.inputs.values(), *self.messages)
        said = (m.text for m in reversed(messages) if isinstance(m, UserMessage))
        return next(said, "")

    def since_last_answer(self) -> tuple[Usage | None, list[Message]]:
        """The newest answer's real usage, and what was said after it: the basis of an input bound.

        None when there is no usage to build on; then everything counts as new.
        """
        first = max(0, self._counted_from - self.start)
        for index in range(len(self.messages) - 1, first - 1, -1):
            message = self.messages[index]
            if isinstance(message, AssistantMessage) and message.usage.total_tokens:
                return message.usage, self.messages[index + 1 :]
        return None, list(self.seen)


class TranscriptReader:
    """Reads transcripts, and keeps the messages of those it read last.

    History is append-only, so what was read once stays true and a further turn reads the new
    messages only. What identifies a history is its session's time of creation (an id may be used
    again after a delete) and where its context starts; one that starts further on has less to keep.

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
        counted_from: int = 0,
        turn: str = "",
    ) -> Transcript:
        """Read the messages of the current context.

        Args:
            context_start: index of its first message; a negative one counts from the end, for a
                look at the newest messages alone.
            counted_from: see `Transcript`.
            turn: the turn under way, whose inputs are seen also from before the context.

        """
        call = self._store.redis.call
        known = self._kept.get(session.ref)
        known = None if known is None else known.beginning(created_ms, context_start)
        known = known or _History((created_ms, context_start), context_start)
        texts = call("HMGET", session.text, "system_prompt", "context", "summary", "inputs")
        raw: list[bytes] = await call("LRANGE", session.messages, known.end, -1)
        prompt, context, summary, inputs = map(text, await texts)
        system = "\n\n".join(part for part in (agent.instructions, prompt, context) if part)
        grown = known.grown(raw, self._max_history_bytes)
        if context_start >= 0:
            self._keep(session.ref, grown)
        return Transcript(
            system,
            list(grown.messages),
            start=grown.end - len(grown.messages),
            summary=summary,
            inputs=await self._inputs(session, turn, inputs),
            counted_from=counted_from,
        )

    async def _inputs(self, session: SessionKeys, turn: str, noted: str) -> dict[int, Message]:
        """Read what a summary left out, if it is of this turn: ``<turn> <index> <index> …``."""
        whose, *indexes = noted.split() or [""]
        if not indexes or whose != turn:
            return {}
        call = self._store.redis.call
        found = await asyncio.gather(*(call("LINDEX", session.messages, i) for i in indexes))
        return {int(i): decode_message(raw) for i, raw in zip(indexes, found, strict=True)}

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

    def beginning(self, created_ms: str, context_start: int) -> "_History | None":
        """Of this history, what a context that starts there has of it; None if it is another."""
        identity = (created_ms, context_start)
        if identity == self.identity:
            return self
        known_ms, known_start = self.identity
        if created_ms != known_ms or not known_start <= context_start <= self.end:
            return None
        first = max(0, context_start - self.end + len(self.messages))
        sizes = self.sizes[first:]
        return _History(identity, self.end, self.messages[first:], sizes, sum(sizes))

    def grown(self, raw: Sequence[bytes], max_bytes: int) -> "_History":
        messages = (*self.messages, *map(decode_message, raw))
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
