"""One model call: paid for before it starts, streamed while it runs, settled when it ends."""

import asyncio
import re

import msgspec

from bursar.audit.entries import Record
from bursar.budgets.bounds import fit_output_tokens, fit_tokens, input_bound_tokens
from bursar.budgets.pricing import Quote
from bursar.clock import wall_ms
from bursar.errors import BudgetRefused, ModelError
from bursar.events import Event, Span
from bursar.failpoints import failpoint
from bursar.ids import new_id, new_secret
from bursar.messages import AssistantMessage, ToolCall, Usage, well_formed
from bursar.models import Model, ModelRequest
from bursar.store.scripts import budgets
from bursar.store.scripts.budgets import HoldRef, HoldWish
from bursar.store.scripts.turns import Commit
from bursar_worker.answer import Answer, call_record
from bursar_worker.money import CLOSING_NOTE, WARNING_NOTE, Unpaid, hold_next
from bursar_worker.parking import Parked
from bursar_worker.scope import Scope
from bursar_worker.stream import AnswerStream
from bursar_worker.transcript import Transcript

__all__ = ["ModelStep"]

_MAX_FITS = 4  # how often a refused hold is tried again with fewer output tokens
_PATIENT_S = 2.0  # waits for a provider up to here keep the lease; longer ones park the turn
_NOTE_TOKENS = max(len(WARNING_NOTE), len(CLOSING_NOTE))
_MAX_WAIT_S = 7 * 86400.0
_CALL_ID = re.compile(r"[!-~]{1,200}")  # it stands in names of fields, and between blanks


class ModelStep:
    """One step's model call with its attempts. Made anew for each step.

    Args:
        first_attempt: number of the first attempt; a step that was under way on a worker that died
            goes on counting, because hold ids are made of it.
        closing: whether this is the last answer of a turn whose money is spent, paid from what its
            session kept back for it. Calls that it asks for all the same are dropped.

    """

    def __init__(
        self, scope: Scope, span: Span, first_attempt: int, *, closing: bool = False
    ) -> None:
        self._closing = closing
        self._scope = scope
        self._settings = scope.kit.settings
        self._writer = scope.writer
        self._span = span.at(attempt=first_attempt)
        self._stream = AnswerStream()
        self._hold: HoldRef | None = None
        self._refused_unread = False
        self._model_name = ""

    @property
    def open_hold(self) -> HoldRef | None:
        """The hold of a call that ended without an answer; it is settled with the turn's end."""
        return self._hold

    @property
    def number(self) -> int:
        return self._span.step

    def partial(self) -> AssistantMessage | None:
        """What had arrived when the step was stopped, marked as partial. None if nothing had."""
        text = self._stream.text
        if not text:
            return None
        return AssistantMessage(
            text=text,
            reasoning="".join(self._stream.reasoning),
            turn=self._span.turn,
            step=self._span.step,
            at_ms=wall_ms(),
            partial=True,
        )

    def last_words(self) -> Commit:
        """What a step leaves that ends without an answer: its partial text, and its hold settled.

        In one script with the turn's end, because a worker that takes over in between would make
        the call again without knowing of the first.
        """
        partial = self.partial()
        booked = None if self._refused_unread else self._hold
        held = booked.cost_microusd if booked else 0
        return Commit(
            messages=[partial] if partial else [],
            hold=self._hold,
            actual_microusd=held,
            actual_tokens=booked.tokens if booked else 0,
            ended_as="released" if self._refused_unread else "unconfirmed",
            warning=self._span.event("budget.warning").body,
            records=[self._record("failed", held).body] if self._hold else [],
        )

    def _record(self, outcome: str, cost_microusd: int) -> Record:
        return call_record(self._scope, self._span, self._model_name, outcome, cost_microusd)

    def abandoned(self, reason: str, code: str = "abandoned") -> Event:
        """The event that tells clients to forget what they saw of the current attempt."""
        return self._span.event("step.abandoned", reason=reason, code=code)

    async def run(self, model_name: str, model: Model, transcript: Transcript) -> Answer:
        """Ask until an answer is there.

        Raises:
            Unpaid: the purse cannot pay for even a short answer.
            ModelError: the provider failed, or failed too often.
            Parked: the provider asks for a longer pause.

        """
        self._model_name = model_name
        quote = self._scope.kit.prices.quote(model_name, getattr(model, "price", None))
        for tried in range(1, self._settings.model_attempts + 1):
            request = await self._reserve(model_name, quote, transcript)
            self._writer.emit(
                self._span.event("step.started", model=model_name, held_microusd=self._held)
            )
            try:
                await self._scope.authority.require()
                failpoint("C6")
                await self._consume(model, request)
            except ModelError as error:
                await self._failed(error, last=tried == self._settings.model_attempts)
                continue
            failpoint("C8")
            return self._answer(quote, model_name)
        raise AssertionError("the last attempt raises")

    @property
    def _held(self) -> int:
        return self._hold.cost_microusd if self._hold else 0

    async def _reserve(self, model_name: str, quote: Quote, transcript: Transcript) -> ModelRequest:
        """Hold the worst case; on a small purse, that of a shorter answer."""
        wanted = self._scope.agent.max_output_tokens or self._settings.max_output_tokens
        scope = self._scope
        tools = scope.tools.values()
        request = transcript.request(scope.agent, tools, model_name, wanted, self._span)
        bound = input_bound_tokens(request, *transcript.since_last_answer()) + _NOTE_TOKENS
        floor = min(self._settings.min_output_tokens, wanted)
        hold, tried = None, 0
        while hold is None:
            tried += 1
            try:
                hold = await self._hold_for(model_name, quote, bound, wanted)
            except BudgetRefused as refused:
                fitting = _fitting(refused, quote, bound, wanted, floor)
                if not 0 < fitting < wanted or tried == _MAX_FITS:
                    least = quote.worst_case_microusd(bound, floor)
                    raise Unpaid(refused, least, bound + floor) from refused
                wanted = fitting
        self._hold = hold
        note = CLOSING_NOTE if self._closing else WARNING_NOTE if hold.warned else ""
        system = request.system + note
        return msgspec.structs.replace(request, system=system, max_output_tokens=wanted)

    async def _hold_for(
        self, model_name: str, quote: Quote, bound: int, max_output_tokens: int
    ) -> HoldRef:
        span = self._span
        place = f"{span.session}/{span.turn}/{span.step}"
        wish = HoldWish(
            hold_id=place,
            secret=new_secret(),
            cost_microusd=quote.worst_case_microusd(bound, max_output_tokens),
            tokens=bound + max_output_tokens,
            sent=True,
            ttl_ms=int(self._settings.hold_open_s * 1000),
            turn=span.turn,
            step=span.step,
            kind=f"{'closing' if self._closing else 'model'}:{model_name}",
            price=quote.version,
        )
        hold, number = await hold_next(self._scope, wish, lambda no: f"{place}/{no}", span.attempt)
        self._span = span.at(attempt=number)
        return hold

    async def _consume(self, model: Model, request: ModelRequest) -> None:
        self._stream = AnswerStream(lambda kind, text: self._writer.delta(self._span, kind, text))
        await self._stream.read(model, request, self._settings.model_timeout_s)

    async def _failed(self, error: ModelError, *, last: bool) -> None:
        """Settle a failed attempt; raise unless another one should be made."""
        # With an HTTP error the provider did no work. Everything else may have been billed.
        unread = isinstance(error.details.get("status"), int) and not self._stream.started
        if not error.retryable or self._stream.started or last:
            self._refused_unread = unread
            raise error
        # In this order: without its hold, nobody could tell any more that the call was made.
        self._writer.emit(self.abandoned(error.message, error.code))
        await self._end_hold("release" if unread else "expire")
        asked_s = float(error.details.get("retry_after_s") or 0.25 * 2**self._span.attempt)
        wait_s = min(max(asked_s, 0.0), _MAX_WAIT_S) if asked_s == asked_s else _MAX_WAIT_S  # noqa: PLR0124
        self._span = self._span.at(attempt=self._span.attempt + 1)
        if wait_s > _PATIENT_S:
            raise Parked(wait_s, error.message)
        await asyncio.sleep(wait_s)

    async def _end_hold(self, op: budgets.EndOp) -> None:
        """End the open hold of a call whose real usage is not known."""
        hold, self._hold = self._hold, None
        assert hold is not None  # noqa: S101
        ended = await self._writer.write(
            lambda: budgets.end_hold(
                self._scope.store,
                self._scope.session,
                op=op,
                hold_id=hold.id,
                names=hold.names,
                turn=self._span.turn,
                secret=hold.secret,
            )
        )
        self._scope.lease.freed.update(ended.waiting if ended else ())

    def _answer(self, quote: Quote, model_name: str) -> Answer:
        assert self._hold is not None  # noqa: S101
        hold, self._hold = self._hold, None
        stream, span = self._stream, self._span
        usage = stream.usage
        # A provider that reports no usage is charged what was held: the money may be gone.
        cost = hold.cost_microusd if usage is None else quote.cost_microusd(usage)
        usage = usage or Usage()
        message = AssistantMessage(
            text=stream.text,
            reasoning="".join(stream.reasoning),
            tool_calls=() if self._closing else _distinct(stream.calls),
            usage=usage,
            turn=span.turn,
            step=span.step,
            at_ms=wall_ms(),
        )
        events = [
            span.event("message.committed", role="assistant", tool_calls=len(message.tool_calls)),
            span.event(
                "usage",
                model=model_name,
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                cost_microusd=cost,
                held_microusd=hold.cost_microusd,
                price=quote.version,
            ),
        ]
        return Answer(message, hold, cost, events, self._record("answered", cost))


def _fitting(refused: BudgetRefused, quote: Quote, bound: int, wanted: int, floor: int) -> int:
    """How many output tokens what is left can pay for; 0 for too few."""
    if refused.details["unit"] == "tokens":
        return fit_tokens(int(refused.details["available_tokens"]), bound, wanted, floor)
    available = int(refused.details["available_microusd"])
    return fit_output_tokens(available, quote, bound, wanted, floor)


def _distinct(calls: list[ToolCall]) -> tuple[ToolCall, ...]:
    """Give calls an id of their own that have none, one used twice, or one that is none for us."""
    seen: set[str] = set()
    distinct = []
    for call in calls:
        fit = _CALL_ID.fullmatch(call.id) is not None and call.id not in seen
        call_id = call.id if fit else new_id("call")
        seen.add(call_id)
        texts = (well_formed(part) for part in (call_id, call.name, call.arguments))
        distinct.append(ToolCall(*texts))
    return tuple(distinct)
