"""A job's turn: it asks no model, but opens an item after the other until all have ended.

What it knows stands in Redis: which items this round is about, how far it is, how each ended. So
a job goes on under any worker, and waits under none. A round runs items once; with attempts left,
those that failed by themselves are run again in another one, when all the others have ended.
"""

import asyncio
from collections.abc import Mapping

import msgspec

from bursar.children import Task
from bursar.clock import wall_ms
from bursar.events import Span
from bursar.failpoints import failpoint
from bursar.jobs.records import (
    JOIN,
    OPTIONS,
    Item,
    JobOptions,
    Slot,
    item_field,
    slot_field,
    spent_field,
    tries_field,
)
from bursar.messages import AssistantMessage
from bursar.store.codec import decode_json, text
from bursar.store.scripts import jobs as scripts
from bursar.store.scripts.children import NewChild
from bursar_worker.children.joins import Children, fitting
from bursar_worker.children.offspring import Offspring
from bursar_worker.ending import Verdict
from bursar_worker.questions import AwaitsAnswer
from bursar_worker.scope import Scope

__all__ = ["JobWork", "job_of"]

_READ = 500  # fields a command
_item_decoder = msgspec.msgpack.Decoder(Item)


def job_of(scope: Scope, turn: str) -> "JobWork | None":
    """The work of a turn, if its session is a job."""
    return JobWork(scope, turn) if scope.fields.get("job") == "1" else None


class JobWork:
    """One a turn and drive; it may be asked to go on as often as there is news."""

    def __init__(self, scope: Scope, turn: str) -> None:
        self._scope = scope
        self._turn = turn

    async def go_on(self) -> Verdict:
        """Open what may be open now; how the turn ends, when nothing is left.

        Raises:
            AwaitsAnswer: items are open, and their ends bring the turn back.

        """
        joins = self._scope.session.joins
        options = decode_json(await self._scope.writer.read("HGET", joins, OPTIONS), JobOptions)
        fields = f"{JOIN}:turn", f"{JOIN}:round"
        turn, number = await self._scope.writer.read("HMGET", joins, *fields)
        current = int(text(number) or 0)
        if text(turn) != self._turn:
            current = 1
            slots = await self._slots()
            left = [at for at, slot in enumerate(slots) if slot.outcome != "succeeded"]
            await self._begin(left, current, first=not any(slot.session for slot in slots))
        while True:
            await self._open_more(options, current)
            again = await self._failed() if current < options.attempts else []
            if not again:
                return await self._verdict()
            current += 1
            await self._begin(again, current)

    async def _open_more(self, options: JobOptions, number: int) -> None:
        children = _Items(self._scope, Span(self._scope.session.id, self._turn), options, number)
        state = await children.state(JOIN)
        if state is None or state.decided:
            return
        failpoint("C20")
        await children.refill(JOIN, state)
        raise AwaitsAnswer((), 1, children.again_ms)

    async def _begin(self, slots: list[int], number: int, *, first: bool = False) -> None:
        """Begin a round. One whose last part was not written is begun anew, with the same items."""
        window = 2 * self._scope.kit.settings.max_tree_running
        new = scripts.Round(self._turn, number, len(slots), window)
        listed = [] if first else slots
        for at in range(0, max(1, len(listed)), scripts.ROUND_PART):
            part = listed[at : at + scripts.ROUND_PART]
            await self._add(new, part, at=at, begins=at + len(part) == len(listed))

    async def _add(self, new: scripts.Round, part: list[int], *, at: int, begins: bool) -> None:
        # Each part is a write of its own: one that lost its reply must not be taken for another.
        scope = self._scope
        await scope.writer.write(
            lambda: scripts.add_to_round(scope.store, scope.lease, new, part, at=at, begins=begins)
        )

    async def _failed(self) -> list[int]:
        return [at for at, slot in enumerate(await self._slots()) if slot.may_try_again]

    async def _slots(self) -> list[Slot]:
        """Where every item is."""
        total, _, _ = await self._counts()
        found: list[Slot] = []
        for start in range(0, total, _READ):
            part = range(start, min(start + _READ, total))
            fields = [slot_field(slot) for slot in part]
            values = await self._scope.writer.read("HMGET", self._scope.session.joins, *fields)
            found += [Slot.parse(text(value)) for value in values]
        return found

    async def _verdict(self) -> Verdict:
        total, succeeded, _ = await self._counts()
        if succeeded == total:
            return Verdict("succeeded")
        return Verdict("succeeded", "partial", f"{total - succeeded} of {total} items failed")

    async def summary(self) -> AssistantMessage:
        """What the turn says last, for people."""
        total, succeeded, failed = await self._counts()
        left = total - succeeded - failed
        rest = f", {left} not run" if left else ""
        said = f"{succeeded} of {total} items succeeded, {failed} failed{rest}."
        return AssistantMessage(said, turn=self._turn, at_ms=wall_ms())

    async def _counts(self) -> tuple[int, int, int]:
        """How many items there are, how many have succeeded and how many failed."""
        names = ("job_total", "job_succeeded", "job_failed")
        total, succeeded, failed = map(
            int, await self._scope.writer.read("HMGET", self._scope.session.hash, *names)
        )
        return total, succeeded, failed


class _Items(Children):
    """The items of one round of a job, in its order."""

    def __init__(self, scope: Scope, span: Span, options: JobOptions, number: int) -> None:
        self._offspring = Offspring(scope, span, of_people=True)
        super().__init__(scope, span, self._offspring)
        self._options = options
        self._round = number

    async def following(
        self, join: str, places: range
    ) -> tuple[list[NewChild], Mapping[str, bytes]]:
        listed, *todo = await self._read(
            "HMGET", f"{join}:listed", *(f"{join}:todo:{place}" for place in places)
        )
        slots = [int(slot) for slot in todo] if int(listed) else list(places)
        items = await self._read("HMGET", *map(item_field, slots))
        tasks = [
            (slot, self._task(_item_decoder.decode(item)))
            for slot, item in zip(slots, items, strict=True)
        ]
        children = fitting(await self._offspring.of(join, tasks, self._round))
        return children, await self._history(slots[: len(children)])

    def _task(self, item: Item) -> Task:
        scope, options = self._scope, self._options
        return Task(
            item.input,
            scope.fields["agent"],
            options.description,
            scope.fields["model"],
            options.limit_microusd,
            options.timeout_s,
            options.output,
            item.custom,
        )

    async def _history(self, slots: list[int]) -> dict[str, bytes]:
        """What those have behind them that were run before."""
        fields = [name(slot) for slot in slots for name in (slot_field, tries_field, spent_field)]
        values = list(map(text, await self._read("HMGET", *fields)))
        behind = [
            (slot, Slot.parse(values[at]).session, values[at + 1], values[at + 2])
            for slot, at in zip(slots, range(0, len(values), 3), strict=True)
            if values[at]
        ]
        costs = await asyncio.gather(*(self._posted(session) for _, session, _, _ in behind))
        plan: dict[str, bytes] = {}
        for (slot, _, tries, spent), cost in zip(behind, costs, strict=True):
            plan[tries_field(slot)] = b"%d" % (int(tries or 1) + 1)
            plan[spent_field(slot)] = b"%d" % (int(spent or 0) + cost)
        return plan

    async def _posted(self, sid: str) -> int:
        account = self._scope.session.workspace.session(sid).account
        return int(text(await self._scope.store.redis.call("HGET", account, "posted")) or 0)
