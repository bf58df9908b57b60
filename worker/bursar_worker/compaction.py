"""A context that nears its model's window: its oldest messages give way to a summary of them.

The history stays as it is; what moves is where the context begins. The summary is a model call like
any other: held for before it is made, and booked in the script that moves the beginning. Whatever
goes wrong leaves the context as it was, and the turn goes on.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from bursar.budgets.bounds import input_bound_tokens, likely_input_tokens
from bursar.budgets.pricing import Quote
from bursar.errors import BudgetRefused, Fenced, ModelError
from bursar.events import Event, Span
from bursar.ids import new_secret
from bursar.messages import Message, Usage, UserMessage
from bursar.models import Model, ModelRequest
from bursar.sessions import is_near_limit
from bursar.store.scripts import contexts
from bursar.store.scripts.budgets import EndedAs, HoldRef, HoldWish
from bursar.store.scripts.contexts import Moved
from bursar.store.scripts.turns import Commit
from bursar_worker.answer import call_record
from bursar_worker.kit import Kit
from bursar_worker.money import book_late, hold_next
from bursar_worker.scope import Scope
from bursar_worker.stream import AnswerStream
from bursar_worker.summarising import SUMMARY_INSTRUCTIONS, begin_of_recent, told
from bursar_worker.transcript import Transcript

__all__ = ["compact", "window_tokens"]

_GROWTH_PERCENT = 5  # of the window: by so much the context grows until the next attempt
_BYTES_A_TOKEN = 3
_INPUT_PERCENT = 60  # of the window, at three bytes a token: it fits with two a token as well
_OUTPUT_SHARE = 8  # a summary takes an eighth of the window at most
_MAX_INPUTS = 32  # that a turn is shown from before its context: its own, and the last that joined

logger = logging.getLogger(__name__)


async def compact(scope: Scope, span: Span, transcript: Transcript) -> None:
    """Summarise the oldest part of a context that is near the model's limit, if that helps.

    Raises:
        Fenced: another worker drives the session.
        ModelError: the model or its price is unknown, so that the turn cannot go on either.

    """
    settings = scope.kit.settings
    model_name, model = scope.kit.model_of(scope.agent, scope.fields["model"])
    window = window_tokens(scope.kit, model_name, model)
    tokens = _size(scope, span, transcript)
    if not settings.compact_percent or not is_near_limit(tokens, window, settings.compact_percent):
        return
    # At the limit itself the next call would fail: then it is tried whatever came of it before.
    if tokens <= int(scope.fields.get("compact_above") or 0) and tokens < window:
        return
    begin = begin_of_recent(transcript.messages, settings.keep_recent)
    inputs = _inputs(transcript, begin, span.turn)
    gone = [
        m for i, m in enumerate(transcript.messages[:begin]) if transcript.start + i not in inputs
    ]
    wanted = scope.agent.max_output_tokens or settings.max_output_tokens
    max_output = max(1, min(wanted, window // _OUTPUT_SHARE))
    if _likely(gone) <= max_output:
        return
    room = window * _INPUT_PERCENT // 100 * _BYTES_A_TOKEN
    # In a thread, because a long history takes a while; the worker's other drives go on.
    text = await asyncio.to_thread(told, transcript.summary, transcript.messages[:begin], room)
    request = ModelRequest(
        model=model_name,
        system=SUMMARY_INSTRUCTIONS,
        messages=(UserMessage(text, span.turn),),
        max_output_tokens=max_output,
        temperature=scope.agent.temperature,
        session=span.session,
        turn=span.turn,
    )
    quote = scope.kit.prices.quote(model_name, getattr(model, "price", None))
    growth = window * _GROWTH_PERCENT // 100
    attempt = _Attempt(scope, span, transcript, request, quote, tokens, growth)
    await attempt.run(model, transcript.start + begin, inputs)


def window_tokens(kit: Kit, model_name: str, model: Model) -> int:
    """How many tokens a model takes: it says so itself, or the price table, or the settings."""
    own: Any = getattr(model, "max_input_tokens", None)
    if isinstance(own, int) and own > 0:
        return own
    return kit.prices.window_tokens(model_name) or kit.settings.context_window_tokens


@dataclass
class _Attempt:
    """One summary on its way. ``tokens`` is the size of the context before it."""

    scope: Scope
    span: Span
    transcript: Transcript
    request: ModelRequest
    quote: Quote
    tokens: int
    growth: int

    async def run(self, model: Model, to: int, inputs: dict[int, Message]) -> None:
        scope, stream = self.scope, AnswerStream()
        try:
            hold = await self._hold()
        except (BudgetRefused, ModelError) as error:
            await self._give_up(str(error), Commit())
            return
        try:
            await scope.authority.require()
            await stream.read(model, self.request, scope.kit.settings.model_timeout_s)
            summary = _summary(stream)
        except ModelError as error:
            await self._give_up(str(error), *self._failed(error, stream, hold))
            return
        usage = stream.usage or Usage()
        # A provider that reports no usage is charged what was held: the money may be gone.
        cost = hold.cost_microusd if stream.usage is None else self.quote.cost_microusd(usage)
        try:
            await self._move(to, summary, inputs, self._settled(hold, cost, usage))
        except Fenced:
            await book_late(scope, hold, cost, usage.total_tokens)
            raise

    async def _hold(self) -> HoldRef:
        span, request = self.span, self.request
        bound = input_bound_tokens(request, None, ())
        wish = HoldWish(
            hold_id="",
            secret=new_secret(),
            cost_microusd=self.quote.worst_case_microusd(bound, request.max_output_tokens),
            tokens=bound + request.max_output_tokens,
            sent=True,
            ttl_ms=int(self.scope.kit.settings.hold_open_s * 1000),
            turn=span.turn,
            step=span.step,
            kind=f"compact:{request.model}",
            price=self.quote.version,
        )
        place = f"{span.session}/{span.turn}/{span.step}"
        # A step's attempt is a number alone, and a tool's call ends with one: no other id is so.
        hold, _ = await hold_next(self.scope, wish, lambda number: f"{place}/{number}/compact")
        return hold

    def _settled(
        self,
        hold: HoldRef,
        cost_microusd: int,
        usage: Usage,
        ended_as: EndedAs = "committed",
        outcome: str = "answered",
    ) -> tuple[Commit, list[Event]]:
        """How a call is booked, and what is told of it."""
        span, model = self.span, self.request.model
        record = call_record(self.scope, span, model, outcome, cost_microusd)
        tokens = hold.tokens if ended_as == "unconfirmed" else usage.total_tokens
        commit = Commit(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            hold=hold,
            actual_microusd=cost_microusd,
            actual_tokens=tokens,
            ended_as=ended_as,
            warning=span.event("budget.warning").body,
            records=[msgspec.structs.replace(record, details={"for": "summary"}).body],
        )
        used = span.event(
            "usage",
            model=model,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cost_microusd=cost_microusd,
            held_microusd=hold.cost_microusd,
            price=self.quote.version,
        )
        return commit, [used] if ended_as == "committed" else []

    def _failed(
        self, error: ModelError, stream: AnswerStream, hold: HoldRef
    ) -> tuple[Commit, list[Event]]:
        """Settle a call that brought no summary, with what it cost as far as that is known."""
        if stream.usage is not None:
            cost = self.quote.cost_microusd(stream.usage)
            return self._settled(hold, cost, stream.usage, outcome="failed")
        # With an HTTP error the provider did no work. Everything else may have been billed.
        if isinstance(error.details.get("status"), int) and not stream.started:
            return self._settled(hold, 0, Usage(), "released", "failed")
        return self._settled(hold, hold.cost_microusd, Usage(), "unconfirmed", "failed")

    async def _give_up(self, why: str, commit: Commit, events: Sequence[Event] = ()) -> None:
        logger.warning("session %s was not summarised: %s", self.scope.session.ref, why)
        await self._write(None, self.tokens, commit, events)

    async def _move(
        self, to: int, summary: str, inputs: dict[int, Message], settled: tuple[Commit, list[Event]]
    ) -> None:
        scope, transcript = self.scope, self.transcript
        start = int(scope.fields["context_start"])
        after = Transcript(
            transcript.system,
            transcript.messages[to - transcript.start :],
            start=to,
            summary=summary,
            inputs=inputs,
            counted_from=transcript.end,
        )
        left = _size(scope, self.span, after)
        commit, events = settled
        told_of = self.span.event(
            "context.compacted",
            **{"from": start, "to": to, "tokens_before": self.tokens},
            cost_microusd=commit.actual_microusd,
        )
        commit = msgspec.structs.replace(commit, token_count=left)
        await self._write(Moved(start, to, summary, list(inputs)), left, commit, [told_of, *events])
        transcript.move(to, summary, inputs)

    async def _write(
        self, moved: Moved | None, tokens: int, commit: Commit, events: Sequence[Event]
    ) -> None:
        scope, retry = self.scope, tokens + self.growth

        async def write() -> None:
            await contexts.compact(
                scope.store,
                scope.lease,
                self.span.turn,
                moved,
                retry_tokens=retry,
                commit=commit,
                events=events,
            )
            # In here, because the write lands also if the turn is stopped meanwhile: the drive's
            # next look at the context has to be at the new one.
            scope.fields["compact_above"] = str(retry)
            if moved is not None:
                scope.fields["context_start"] = str(moved.to)
                scope.fields["counted_from"] = str(self.transcript.end)

        await scope.writer.write(write)
        scope.progressed()


def _summary(stream: AnswerStream) -> str:
    text = stream.text.strip()
    if not text:
        raise ModelError("the summary was empty", code="summary_empty")
    return text


def _size(scope: Scope, span: Span, transcript: Transcript) -> int:
    request = transcript.request(scope.agent, scope.tools.values(), "", 1, span)
    return likely_input_tokens(request, *transcript.since_last_answer())


def _likely(messages: Sequence[Message]) -> int:
    return likely_input_tokens(ModelRequest("", "", tuple(messages)), None, ())


def _inputs(transcript: Transcript, begin: int, turn: str) -> dict[int, Message]:
    """What of the messages before ``begin`` the agent has to see: what its turn is to do."""
    known = transcript.inputs
    old = list(enumerate(transcript.messages[:begin], transcript.start))
    said = [(index, m) for index, m in old if isinstance(m, UserMessage)]
    inputs = known | {index: m for index, m in said if m.turn == turn}
    in_sight = any(isinstance(m, UserMessage) for m in transcript.messages[begin:])
    if not inputs and not in_sight and said:
        inputs = dict(said[-1:])
    numbers = list(inputs)
    kept = numbers[:1] + numbers[1:][1 - _MAX_INPUTS :]
    return {index: inputs[index] for index in kept}
