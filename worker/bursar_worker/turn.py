"""One turn on its way: steps until the agent has answered, then its end."""

import logging
from collections.abc import Sequence

import msgspec

from bursar.clock import wall_ms
from bursar.errors import Conflict, Fenced, ModelError, StoreUnavailable, TreeCancelled
from bursar.events import Event, Span
from bursar.failpoints import failpoint
from bursar.leases import InboxItem
from bursar.messages import Message
from bursar.registry import redis_ms
from bursar.store.codec import decode_json, encode_json, text
from bursar.store.scripts import turns as scripts
from bursar.store.scripts.parking import Parking
from bursar.store.scripts.turns import Commit, Finished
from bursar_worker.answer import Answer
from bursar_worker.calls import OpenCalls, intents
from bursar_worker.children.answers import StructuredAnswer
from bursar_worker.children.jobs import job_of
from bursar_worker.collecting import collect_context
from bursar_worker.compaction import compact
from bursar_worker.deferred import DeferredCall
from bursar_worker.ending import Ending, Stopped, Verdict
from bursar_worker.finishing import finish_turn, verdict_of_cancel
from bursar_worker.intake import admitted, blocked_record, joined_messages, read_transcript
from bursar_worker.money import Unpaid, book_late, may_close, spent_own_part
from bursar_worker.parking import Parked, Stopping, Waited, park, resume
from bursar_worker.questions import AwaitsAnswer, News, close_all, questions_of
from bursar_worker.scope import Scope
from bursar_worker.step import ModelStep
from bursar_worker.toolbox import Toolbox
from bursar_worker.transcript import Transcript, unanswered

__all__ = ["TurnRun"]

_RATE_LIMIT_PATIENCE_MS = 3_600_000  # how long a turn waits for a provider in all
_INTERNAL = "an internal error ended the turn; the worker's log has it"
_CLOSED = "the money for it is spent: the answer closes with what there was"
_POISON = "its workers died three times in a row without any progress"

logger = logging.getLogger(__name__)


class TurnRun:
    """Owns nothing but its place: all that matters is committed under the drive's lease."""

    def __init__(
        self, scope: Scope, tid: str, *, exhausted: bool = False, taken_over: bool = False
    ) -> None:
        self._taken_over = taken_over
        self._scope = scope
        self._writer = scope.writer
        self.id = tid
        self.state = "running"
        self.cancelled = False
        self.draining = False
        self.joined: list[InboxItem] = []
        """Inputs that joined this turn and that the agent has not seen."""
        self._exhausted = exhausted
        self.handed_back = False
        self.parking: Parked | Unpaid | AwaitsAnswer | Stopping | None = None
        self.news = News()
        self._seen_news: int | None = None
        self._records: list[bytes] = []  # audit entries that go with the turn's end
        self._deferred: DeferredCall | None = None
        self._steps = 0
        self._started_ms = 0
        self._wake_at_ms = 0
        self.first_attempt = 1
        """Number of the next step's first attempt: those before it were lost with their worker."""
        self._waited = Waited()
        self._unbooked: Answer | None = None
        self._verdict: Verdict | None = None
        self._answer: Answer | None = None
        self._step: ModelStep | None = None
        self._open: OpenCalls | None = None
        self._transcript = Transcript("", [])
        self._structured = StructuredAnswer(scope)
        self._job = job_of(scope, tid)

    @property
    def _span(self) -> Span:
        return Span(self._scope.session.id, self.id, self._steps + 1)

    async def load(self, effects: dict[str, bytes]) -> None:
        """Read what the turn needs to go on from where it is."""
        store, session = self._scope.store, self._scope.session
        numbers = ("steps", "started_ms", "wake_at_ms")
        fields = ("state", "deferred", "verdict", *numbers, *Waited.__struct_fields__)
        record = store.redis.call("HMGET", session.workspace.turn(self.id), *fields)
        try:
            self._transcript = await self._read_transcript()
        except msgspec.MsgspecError:
            if not self._exhausted:
                raise
            logger.exception("turn %s has a history that cannot be read", self.id)
        self.state, deferred, verdict, *values = map(text, await record)
        if verdict:
            self._verdict = decode_json(verdict, Verdict)
        self._steps, self._started_ms, self._wake_at_ms = (int(each or 0) for each in values[:3])
        self._waited = Waited(*values[3:])
        answer = unanswered(self._transcript.messages) if effects else None
        self._open = OpenCalls.of(answer, effects) if answer is not None else None
        self._deferred = (
            await DeferredCall.load(self._scope, deferred, effects) if deferred else None
        )
        if self._deferred is not None:
            self._open = self._deferred.calls
        if self._step is not None and self._step.number <= self._steps:
            self._step = None

    async def _read_transcript(self) -> Transcript:
        return await read_transcript(self._scope, self.id, tail=self._exhausted)

    async def wake(self, items: list[InboxItem], *, early: bool) -> None:
        """Run again after having been parked; ``early`` parks it once more for the time left."""
        waited = self._waited
        await resume(self._scope, self._span, waited, items)
        if waited.waiter and waited.woken == "denied":
            self._verdict = Verdict("failed", "budget_exhausted", waited.woken_reason)
        if waited.waiter:
            return
        left_ms = self._wake_at_ms - await redis_ms(self._scope.store)
        if early and left_ms > 0:
            self.parking = Parked(left_ms / 1000, "its time has not come")

    async def work(self) -> None:
        """Take steps until there is an answer, or something stops the turn."""
        self._seen_news = None
        if self.cancelled or self.parking is not None or self._verdict is not None:
            raise Stopped
        if self._exhausted:
            self._verdict = Verdict("quarantined", "quarantined", _POISON)
            raise Stopped
        try:
            if self._job is not None:
                self._seen_news = self.news.count
                self._verdict = await self._job.go_on()
                return
            if self._steps == 0 and self._open is None:
                await self._admit()
            if self._deferred is not None:
                await self._deferred.begin(self._scope, self.id)
            if self._open is not None:
                await self._run_tools(self._open)
            while self._answer is None:
                await self._take_step()
        except Parked as parked:
            self._park_or_fail(parked)
            raise Stopped from parked
        except AwaitsAnswer as waits:
            self.parking = waits
            raise Stopped from waits
        except Unpaid as unpaid:
            if unpaid.can_wait and not spent_own_part(self._scope, unpaid):
                self.parking = unpaid
                raise Stopped from unpaid
            self._verdict = Verdict("failed", unpaid.refused.code, unpaid.refused.message)
        except ModelError as error:
            self._verdict = Verdict("failed", error.code, error.message)
        except TreeCancelled as error:
            self._verdict = Verdict("cancelled", "cancelled", error.message)
        except (Stopped, Fenced, StoreUnavailable):
            raise
        except Exception:
            # Repeating it elsewhere would only cost more: whatever it is, it comes from this turn.
            logger.exception("turn %s failed", self.id)
            self._verdict = Verdict("failed", "internal", _INTERNAL)

    async def _admit(self) -> None:
        """Let the agent's hooks and its context provider say what they have to, before a step."""
        blocked = await admitted(self._scope, self.id)
        if blocked is not None:
            self._verdict = Verdict("failed", "hook_blocked", blocked.reason)
            self._records.append(blocked_record(self._scope, self.id, blocked))
            raise Stopped
        collected = await collect_context(self._scope, self.id)
        if collected or self._scope.hooks.has("user_prompt"):
            self._transcript = await self._read_transcript()

    def _park_or_fail(self, parked: Parked) -> None:
        waited_ms = wall_ms() - self._started_ms + parked.wait_s * 1000
        if waited_ms > _RATE_LIMIT_PATIENCE_MS:
            self._verdict = Verdict("failed", "model_unavailable", f"gave up waiting: {parked}")
        else:
            self.parking = parked

    async def _take_step(self) -> None:
        if self.draining:
            self.handed_back = True
            raise Stopped
        await self._take_in()
        limit = self._scope.agent.max_steps or self._scope.kit.settings.max_steps
        if self._steps >= limit:
            self._verdict = Verdict("failed", "step_limit", f"no answer within {limit} steps")
            raise Stopped
        failpoint("C5")
        await compact(self._scope, self._span, self._transcript)
        span, verdict = self._span, Verdict("succeeded")
        try:
            answer = await self._ask()
        except Unpaid as unpaid:
            if self._steps == 0 or not may_close(self._scope, unpaid):
                raise
            answer = await self._close(unpaid)
            verdict = Verdict("succeeded", "budget_closed", _CLOSED)
        self.first_attempt = 1
        calls, history = answer.message.tool_calls, self._transcript.messages
        said = None if calls else await self._structured.objection(answer.message, history)
        if not calls and said is None:
            # The last answer is committed together with the turn's end, in one script.
            self._answer, self._verdict = answer, verdict
            return
        await self._commit(answer, span, [said] if said else [])
        self._steps += 1
        if calls:
            self._open = OpenCalls.of(answer.message, {})
            await self._run_tools(self._open, span)

    async def _ask(self, *, closing: bool = False) -> Answer:
        scope = self._scope
        model_name, model = scope.kit.model_of(scope.agent, scope.fields["model"])
        self._step = ModelStep(scope, self._span, self.first_attempt, closing=closing)
        self._unbooked = await self._step.run(model_name, model, self._transcript)
        return self._unbooked

    async def _close(self, unpaid: Unpaid) -> Answer:
        """Ask for a last answer, paid from what is kept back; if that is gone, wait for money."""
        try:
            return await self._ask(closing=True)
        except Unpaid:
            raise unpaid from None
        except Conflict as conflict:
            if conflict.code != "closing_used":
                raise
            raise unpaid from None

    async def _take_in(self) -> None:
        """Put the inputs that joined the turn before the agent."""
        items, self.joined = self.joined, []
        if not items:
            return
        messages = await joined_messages(self._scope, self.id, items)
        if not messages:
            return
        span = self._span.at(attempt=0)
        event = span.event("message.committed", role="user", count=len(messages))
        await self._commit_step(Commit(items=items, messages=messages), [event])
        self._transcript.add(messages)

    async def go_on(self) -> bool:
        """Take the answer as that of a step, because the turn is not over. False: it was none."""
        if self._verdict is None or self._verdict.outcome != "succeeded":
            return False
        answer, self._answer, self._verdict = self._answer, None, None
        if answer is None:
            # It was committed before, when the turn still had to wait for its sub-agents to stop.
            self.parking = None
            await self._commit_step(Commit(turn_done=["verdict"]), [])
            return True
        await self._commit(answer, self._span)
        self._steps += 1
        return True

    async def _commit(self, answer: Answer, span: Span, also: Sequence[Message] = ()) -> None:
        calls = answer.message.tool_calls
        events = [
            *answer.events,
            *(span.event("tool.requested", call=call.id, name=call.name) for call in calls),
        ]
        commit = answer.commit(span, intents(calls))
        messages = [*commit.messages, *also]
        await self._commit_step(msgspec.structs.replace(commit, messages=messages), events)
        failpoint("C9")
        self._unbooked = None
        self._transcript.add(messages)
        self._step = None

    async def _commit_step(self, commit: Commit, events: list[Event]) -> None:
        scope = self._scope
        await self._writer.write(
            lambda: scripts.commit_step(scope.store, scope.lease, self.id, commit, events)
        )
        scope.progressed()

    async def _run_tools(self, open_calls: OpenCalls, span: Span | None = None) -> None:
        span = span or self._span.at(step=self._steps)
        asked_of = self._transcript.last_input
        toolbox = Toolbox(self._scope, span, news=self.news, asked_of=asked_of)
        try:
            await toolbox.run(open_calls)
        finally:
            self._seen_news = toolbox.seen_news
        messages = self._results(open_calls, span)
        turn_done = ["deferred"] if self._deferred else []
        commit = Commit(messages=messages, effects_done=open_calls.fields(), turn_done=turn_done)
        role = "user" if self._deferred else "tool"
        event = span.event("message.committed", role=role, count=len(messages))
        await self._commit_step(commit, [event])
        self._open = self._deferred = None
        self._transcript.add(messages)

    def _results(self, open_calls: OpenCalls, span: Span) -> Sequence[Message]:
        return self._deferred.messages(span) if self._deferred else open_calls.messages(span)

    @property
    def answered(self) -> bool:
        """The last answer is there and its hold will be settled with the turn's end."""
        return self._answer is not None

    @property
    def open_hold(self) -> str:
        """Id of the hold of a failed call, which is settled with the turn's end; or empty."""
        hold = self._step.open_hold if self._step else None
        return hold.id if hold else ""

    @property
    def has_news(self) -> bool:
        """Something came in about a question, at which the turn has not looked."""
        return self._seen_news is not None and self.news.count > self._seen_news

    def abandon(self) -> None:
        """Say that the model call under way will be made again by another worker."""
        if self._step is not None:
            self._writer.emit(self._step.abandoned("its worker was stopped"))

    async def book_late(self) -> None:
        """Book what an answer really cost that could not be committed."""
        answer, self._unbooked = self._unbooked, None
        if answer is not None:
            tokens = answer.message.usage.total_tokens
            await book_late(self._scope, answer.hold, answer.cost_microusd, tokens)

    async def park(self, seen_seq: int) -> Parking:
        """Let the session go until what the turn waits for is there."""
        assert self.parking is not None  # noqa: S101
        return await park(self._scope, self._span, self.parking, seen_seq)

    async def finish(self, items: Sequence[InboxItem]) -> Ending:
        """End the turn: with its answer, or with what there is of it."""
        verdict = await self._final_verdict()
        left = self._open.questions if self._open else []
        if self._taken_over:
            left = await questions_of(self._scope, self.id)
        await close_all(self._scope, left, f"the turn is {verdict.outcome}")
        commit, events = await self._last_words(verdict, items)
        if self._job is not None:
            messages = [*commit.messages, await self._job.summary()]
            commit = msgspec.structs.replace(commit, messages=messages)
        finished = await finish_turn(self._scope, self._span, verdict, commit, events)
        if finished is Finished.CHILDREN:
            await self._settle_words(verdict)
        elif finished is not Finished.INJECTED:
            self._unbooked = None
        return Ending[finished.name]

    async def _settle_words(self, verdict: Verdict) -> None:
        """Commit what the turn ends with, which has to wait: for what it spawned to stop."""
        commit, events = await self._last_words(verdict, [])
        done = self._open.fields() if self._open else []
        # With its verdict: whoever goes on after a crash must not ask the model once more.
        commit = msgspec.structs.replace(commit, effects_done=done, verdict=encode_json(verdict))
        await self._commit_step(commit, events)
        self._transcript.add(commit.messages)
        self._steps += commit.steps
        self._answer = self._unbooked = self._step = self._open = self._deferred = None
        self._records = []
        self._verdict = verdict
        self.parking = Stopping()

    async def _final_verdict(self) -> Verdict:
        if self._verdict is not None and not self.cancelled:
            return self._verdict
        return await verdict_of_cancel(self._scope, self.id)

    async def _last_words(
        self, verdict: Verdict, items: Sequence[InboxItem]
    ) -> tuple[Commit, list[Event]]:
        joined = [item for item in items if item.kind == "inject"]
        if verdict.outcome == "succeeded" and joined:
            # Not dealt with by this answer: the script will refuse to end the turn.
            items, joined = [item for item in items if item not in joined], []
        # What joined a turn that ends otherwise was accepted: it stays in the history.
        late = await joined_messages(self._scope, self.id, joined)
        if self._answer is not None:
            # Also when the turn was cancelled meanwhile: it is there, and its real cost is known.
            commit = self._answer.commit(self._span, {})
            messages = [*commit.messages, *late]
            commit = msgspec.structs.replace(commit, items=items, messages=messages)
            return commit, list(self._answer.events)
        words: list[Message] = []
        if self._open is not None:
            # Every call gets a result, else the next model call would be refused.
            words.extend(self._results(self._open, self._span.at(step=self._steps)))
        commit = self._step.last_words() if self._step else Commit()
        messages, records = [*words, *commit.messages, *late], [*commit.records, *self._records]
        return msgspec.structs.replace(commit, items=items, messages=messages, records=records), []
