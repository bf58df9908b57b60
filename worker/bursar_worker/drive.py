"""A drive: one session moved on under its lease, turn after turn, until nothing is left to do.

It works on one turn in a task and meanwhile listens: for its inbox (a cancel), for the loss of its
lease, for the wish that the worker stops. Whatever happens, it either ends the turn, or leaves a
state from which any other worker goes on.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

from bursar.agents import Agent
from bursar.errors import BursarError, Fenced, StoreUnavailable
from bursar.events import Span
from bursar.failpoints import failpoint
from bursar.leases import Claimed, InboxItem
from bursar.store.codec import text
from bursar.store.scripts import budgets, leases
from bursar.store.scripts import turns as scripts
from bursar.store.scripts.parking import Parking
from bursar.store.scripts.turns import Started
from bursar_worker.authority import Authority
from bursar_worker.ending import Ending, Stopped
from bursar_worker.freed import Freed
from bursar_worker.kit import Kit
from bursar_worker.scope import Scope
from bursar_worker.stopping import stop
from bursar_worker.turn import TurnRun
from bursar_worker.writer import SessionWriter

__all__ = ["Drive"]

_AGAIN_S = 5.0  # what a tool gets to clean up before it is cancelled once more
_NEWS = frozenset({"approval", "join"})
_MAX_ATTEMPTS = 3  # claims in a row that died without any progress

logger = logging.getLogger(__name__)


class Drive:
    """Made from a successful claim; `run` returns when the session is let go.

    Args:
        agent: None if this worker does not serve the session's agent. It was given the session all
            the same, because a turn is to be cancelled; that one it ends, and starts no other.
        claimed_s: monotonic time before the claim was sent.
        on_progress: called whenever something of a turn was committed.

    """

    def __init__(
        self,
        kit: Kit,
        agent: Agent | None,
        claimed: Claimed,
        *,
        claimed_s: float,
        on_progress: Callable[[], None],
    ) -> None:
        self._kit = kit
        self._agent = agent
        self._authority = Authority(kit.settings.lease_ms, claimed_s)
        self._claimed = claimed
        self.lease = claimed.lease
        self._session = claimed.lease.session
        self._inbox = claimed.inbox
        self._seen_seq = int(claimed.fields["inbox_seq"])
        self._news = asyncio.Event()
        self._draining = False
        self._abandoning = False
        self._attempts = int(claimed.fields["attempts"])
        self._on_progress = on_progress
        self._next_attempt = 1
        self._yields = False  # a second turn comes after sessions that wait for their first
        self._lost: BursarError | None = None
        self._writer = SessionWriter(kit.store, self.lease, self._lose)
        self._turn: TurnRun | None = None
        self._freed = Freed(kit, self.lease)

    def look(self, inbox_seq: int | None = None) -> None:
        """There may be news in the inbox; with a number, only if it is beyond what was seen."""
        if inbox_seq is None or inbox_seq > self._seen_seq:
            self._news.set()

    def renewed(self, inbox_seq: int, sent_s: float) -> None:
        """The heartbeat has renewed the lease; the inbox goes up to this number now."""
        self._authority.renew(sent_s)
        self.look(inbox_seq)

    def drain(self, *, now: bool = False) -> None:
        """Give the session back at the next step boundary; or ``now``, abandoning the step."""
        self._draining = True
        self._abandoning = now
        self._news.set()

    def fence(self) -> None:
        self._lose(Fenced("the lease was taken over"))

    def _lose(self, error: BursarError) -> None:
        self._lost = error
        self._news.set()

    async def run(self) -> None:
        """Drive until the session is let go. Errors end in the log: the lease then runs out."""
        ref = self._session.ref
        try:
            # In this order: should this worker die here, the holds make the next one say it again.
            self._announce_lost_call()
            await self._end_stale_holds(self._claimed.effects)
            await self._work_off()
        except Fenced as error:
            logger.info("%s: fenced, another worker goes on (%s)", ref, error)
            if self._turn is not None:
                await self._turn.book_late()
        except StoreUnavailable as error:
            logger.warning("%s: given up while Redis is away: %s", ref, error)
        except Exception:
            logger.exception("%s: the drive failed; another worker will take over", ref)
        finally:
            await self._writer.settle()
            await self._freed.settle()

    def _announce_lost_call(self) -> None:
        """Say so if a model call was under way when its worker was lost: it will be made again."""
        for hold_id in _holds(self._claimed.effects):
            session, turn, step, *attempt = hold_id.split("/")
            if len(attempt) == 1 and turn == self._claimed.fields["turn"]:
                span = Span(session, turn, int(step), int(attempt[0]))
                self._next_attempt = max(self._next_attempt, span.attempt + 1)
                lost = {"reason": "its worker was lost", "code": "worker_lost"}
                self._writer.emit(span.event("step.abandoned", **lost))

    async def _work_off(self) -> None:
        turn: TurnRun | None = None
        if self._claimed.fields["turn"]:
            turn = await self._resume()
        elif self._agent is not None:
            turn = await self._start_next()
        while turn is not None:
            self._turn = turn
            ending = await self._attend(turn)
            self._progressed()
            if ending is Ending.RELEASE:
                break
            if ending in {Ending.PARKED, Ending.REST}:
                await self._freed.ring()
                return
            self._yields = True
            turn = None if self._draining or self._agent is None else await self._start_next()
        await self._release()

    async def _scope(self) -> Scope:
        return await Scope.open(
            self._kit,
            self._agent,
            self.lease,
            self._claimed.fields,
            writer=self._writer,
            authority=self._authority,
            progressed=self._progressed,
        )

    def _progressed(self) -> None:
        """As in Redis: whoever takes the session over from here counts attempts anew."""
        self._attempts = 0
        self._on_progress()
        self._freed.wake_waiters()

    async def _resume(self) -> TurnRun | None:
        """Go on with the turn that a former lease left behind, running or parked."""
        tid = self._claimed.fields["turn"]
        turn = await self._loaded(tid, self._claimed.effects)
        turn.first_attempt = self._next_attempt
        self._tell(turn)
        if self._agent is None and not turn.cancelled:
            return None
        if turn.state == "waiting":
            kinds = {"timer", "budget", *_NEWS}
            timers = [item for item in self._inbox if item.target == tid and item.kind in kinds]
            await turn.wake(timers, early=not timers and not turn.cancelled)
        return turn

    async def _loaded(self, tid: str, effects: dict[str, bytes]) -> TurnRun:
        if self._agent is not None:
            await self._kit.mcp.connect(self._agent)
        scope = await self._writer.write(self._scope)
        turn = TurnRun(
            scope,
            tid,
            exhausted=self._attempts >= _MAX_ATTEMPTS,
            taken_over=self._claimed.takeover,
        )
        await self._writer.write(lambda: turn.load(effects))
        return turn

    async def _start_next(self) -> TurnRun | None:
        """Begin the oldest input that still wants to run; drop what no longer matters."""
        stale: list[InboxItem] = []
        if not self._inbox:
            self._seen_seq, self._inbox = await self._take([])
        while self._inbox:
            item = self._inbox.pop(0)
            if item.kind != "input":
                stale.append(item)
                continue
            started = await self._start(item)
            if started is Started.YES:
                return await self._loaded(item.target, {})
            if started is Started.BLOCKED:
                return None
        self._seen_seq, self._inbox = await self._take(stale)
        return await self._start_next() if self._inbox else None

    async def _start(self, item: InboxItem) -> Started:
        span = Span(self._session.id, item.target)
        agent = self._claimed.fields["agent"]
        event = span.event("turn.started", agent=agent, worker=self._kit.worker_id)
        return await self._writer.write(
            lambda: scripts.start(self._kit.store, self.lease, item, [event], yields=self._yields)
        )

    async def _attend(self, turn: TurnRun) -> "Ending":
        """Work on the turn until it has ended, or is let go."""
        while True:
            work = await self._watch(turn)
            if work.cancelled():
                await self._reload(turn)
            if turn.parking is not None and not turn.cancelled:
                parked = await self._park(turn)
                if parked is None:
                    continue
                return parked
            if self._abandoning and work.cancelled() and not turn.cancelled:
                turn.abandon()
                turn.handed_back = True
            if turn.handed_back:
                await self._end_stale_holds(await self._effects())
                return Ending.RELEASE
            if not turn.answered:
                await self._end_stale_holds(await self._effects(), but=turn.open_hold)
            ending = await self._finish(turn)
            if ending is not None:
                return ending

    async def _reload(self, turn: TurnRun) -> None:
        """A write that was under way has landed, but the work did not live to note it."""
        await self._writer.settle()
        effects = await self._effects()
        await self._writer.write(lambda: turn.load(effects))

    async def _watch(self, turn: TurnRun) -> "asyncio.Task[None]":
        """Run the turn's work as a task and react to what happens meanwhile."""
        work = asyncio.create_task(turn.work())
        try:
            while True:
                news = asyncio.create_task(self._news.wait())
                await asyncio.wait({work, news}, return_when=asyncio.FIRST_COMPLETED)
                news.cancel()
                if self._lost is not None:
                    raise self._lost
                if work.done():
                    break
                self._news.clear()
                turn.draining = self._draining
                await self._look_into_inbox(turn)
                if turn.cancelled or self._abandoning:
                    break
        finally:
            await stop(work, again_s=_AGAIN_S)
        with contextlib.suppress(asyncio.CancelledError, Stopped):
            work.result()
        return work

    async def _finish(self, turn: TurnRun) -> "Ending | None":
        """End the turn. None: an input joined it at the last moment, so it goes on."""
        while True:
            about_it = [item for item in self._inbox if item.target == turn.id]
            ending = await turn.finish(about_it)
            if ending is Ending.CHILDREN:
                if await self._stop_children(turn):
                    return Ending.PARKED
                continue
            if ending is not Ending.INJECTED:
                failpoint("C16")
                return ending
            await self._look_into_inbox(turn)
            if not turn.cancelled and await turn.go_on():
                return None

    async def _stop_children(self, turn: TurnRun) -> bool:
        """Stop what the turn has spawned, and wait without a worker until that has ended.

        False: it has, or something came in; try to end the turn once more.
        """
        await self._kit.inputs.cancel_below(self._session, "what it was for has ended")
        parked = await turn.park(self._seen_seq)
        if parked is Parking.NEWS:
            await self._look_into_inbox(turn)
        return parked is Parking.DONE

    async def _park(self, turn: TurnRun) -> "Ending | None":
        """Let go of a turn that waits; if something came in meanwhile, look at that first.

        None: what it was to wait for is there, so it goes on.
        """
        while not turn.has_news:
            parked = await turn.park(self._seen_seq)
            if parked is Parking.DONE:
                failpoint("C14")
                return Ending.PARKED
            if parked is Parking.FITS:
                break
            await self._look_into_inbox(turn)
            if turn.cancelled:
                ending = await self._finish(turn)
                assert ending is not None  # noqa: S101
                return ending
        turn.parking = None
        return None

    async def _look_into_inbox(self, turn: TurnRun) -> None:
        self._seen_seq, self._inbox = await self._take(self._answers(turn))
        self._tell(turn)

    def _answers(self, turn: TurnRun) -> list[InboxItem]:
        """Items that say no more than that the turn should look again at what it waits for."""
        return [item for item in self._inbox if item.kind in _NEWS and item.target == turn.id]

    def _tell(self, turn: TurnRun) -> None:
        """Tell a turn what the inbox holds about it."""
        about_it = [item for item in self._inbox if item.target == turn.id]
        turn.cancelled = any(item.kind == "cancel" for item in about_it)
        turn.joined = [item for item in about_it if item.kind == "inject"]
        if self._answers(turn):
            turn.news.tell()

    async def _take(self, done: list[InboxItem]) -> tuple[int, list[InboxItem]]:
        return await self._writer.write(
            lambda: leases.take_inbox(self._kit.store, self.lease, done)
        )

    async def _effects(self) -> dict[str, bytes]:
        """The open effects after all writes that were queued before."""
        found = await self._writer.read("HGETALL", self._session.effects)
        return {text(field): value for field, value in found.items()}

    async def _end_stale_holds(self, effects: dict[str, bytes], *, but: str = "") -> None:
        """End holds that nobody will end any more: sent ones are booked in full, others go back."""
        for hold_id, names in _holds(effects).items():
            if hold_id == but:
                continue
            await self._writer.write(self._expire(hold_id, names))

    def _expire(self, hold_id: str, names: str) -> Any:
        turn = hold_id.split("/")[1]

        async def expire() -> None:
            ended = await budgets.end_hold(
                self._kit.store, self._session, op="expire", hold_id=hold_id, names=names, turn=turn
            )
            self.lease.freed.update(ended.waiting if ended else ())

        return expire

    async def _release(self) -> None:
        ring = await self._writer.write(lambda: leases.release(self._kit.store, self.lease))
        # Those that waited for this place first, or it would be taken from them again.
        await self._freed.ring()
        if ring is not None:
            await self._kit.bells.ring(ring)


def _holds(effects: dict[str, bytes]) -> dict[str, str]:
    """Open holds by id, ``session/turn/step/attempt`` for model calls, with their accounts."""
    return {
        field.removeprefix("hold:"): text(names)
        for field, names in effects.items()
        if field.startswith("hold:")
    }
