"""One client process: spends, writes down what it does, and is killed at any moment.

The one that takes its place reads the journal and sends again what was not answered, under the same
id. Now and then it does not, as if its notes were lost; the hold then expires.
"""

import argparse
import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec
import uvloop

from bench.overspend.journal import Journal, Note, What, read_notes
from bench.overspend.plan import TOKENS_A_MICROUSD, WORKSPACE, Plan, Seat, pick_debit, seats
from bench.planted import PlantedStore
from bench.trees import Spender, claim
from bursar.clock import monotonic_s
from bursar.errors import BudgetRefused, Conflict, StoreUnavailable
from bursar.ids import new_secret
from bursar.settings import Settings
from bursar.store.opening import open_store
from bursar.store.scripts.budgets import EndedHold, HoldRef
from bursar.store.scripts.leases import RENEW, renew_command
from bursar.store.store import Store

__all__: list[str] = []

T = TypeVar("T")

_ENDINGS = {
    "committed": What.COMMITTED,
    "released": What.RELEASED,
    "unconfirmed": What.UNCONFIRMED,
}
_FORGETS = 0.2
"""Share of the open debits that the next process does not take up again."""
_PROBES = 0.2
"""Share of the debits after which their id is used for another amount."""
_PAUSE_S = 0.002
_PATIENCE_S = 60.0  # without an answer: then whoever started this is gone, too


class Tally(msgspec.Struct):
    """Counted by one process, lost with it."""

    tries: int = 0
    unanswered: int = 0


class Client:
    def __init__(self, plan: Plan, number: int) -> None:
        self._plan = plan
        self._number = number
        self._path = plan.journal(number)
        self._journal = Journal(self._path)
        self._chance = random.Random(f"{plan.seed}/{number}/{os.getpid()}")
        self._seats = seats(number)
        self._spenders: list[Spender] = []
        self._next = 1
        self.tally = Tally()

    async def run(self) -> None:
        store = await self._again(self._open)
        owner = new_secret()
        for seat in self._seats:
            self._spenders.append(await self._again(partial(self._claim, store, seat, owner)))
        renewing = asyncio.create_task(self._renew(store))
        await self._take_up()
        await asyncio.gather(*(self._spend() for _ in range(self._plan.callers)))
        renewing.cancel()
        await asyncio.wait([renewing])

    async def _claim(self, store: Store, seat: Seat, owner: str) -> Spender:
        turn = self._plan.turns[seat.sids[-1]]
        lease_ms = self._plan.lease_ms
        return await claim(
            store, WORKSPACE, seat.sids, turn, user=seat.user, owner=owner, lease_ms=lease_ms
        )

    async def _open(self) -> Store:
        settings = Settings(
            redis_url=self._plan.urls[self._number],
            redis_timeout_s=self._plan.timeout_s,
            hold_ttl_s=60,
        )
        store = await open_store(settings)
        return PlantedStore.over(store) if self._plan.planted else store

    async def _renew(self, store: Store) -> None:
        keys, args = renew_command(
            [spender.lease for spender in self._spenders], lease_ms=self._plan.lease_ms
        )
        while True:
            await asyncio.sleep(self._plan.lease_ms / 4000)
            await self._again(lambda: store.run(RENEW, keys, args))

    async def _take_up(self) -> None:
        """Go on with what the process before this one left open."""
        opened: dict[int, dict[What, Note]] = {}
        for note in read_notes(self._path):
            self._next = max(self._next, note.number + 1)
            if note.what.final:
                opened.pop(note.number, None)
            elif note.what is not What.PROBED:
                opened.setdefault(note.number, {})[note.what] = note
        await asyncio.gather(*(self._finish(notes) for notes in opened.values()))

    async def _finish(self, notes: dict[What, Note]) -> None:
        wish = notes[What.WISH]
        if self._chance.random() < _FORGETS:
            self._journal.note(What.FORGOTTEN, wish.seat, wish.number)
        elif What.SPEND in notes:
            await self._commit(wish, notes[What.SPEND].amount)
        elif await self._reserve(wish):
            await self._commit(wish, self._chance.randint(0, wish.amount))

    async def _spend(self) -> None:
        while self._next <= self._plan.debits_each:
            number, self._next = self._next, self._next + 1
            seat = self._chance.randrange(len(self._seats))
            cost, actual = pick_debit(self._chance)
            wish = Note(What.WISH, seat, number, cost)
            self._journal.note(*wish)
            if not await self._reserve(wish):
                continue
            if self._chance.random() < _PROBES:
                await self._probe(wish)
            self._journal.note(What.SPEND, seat, number, actual)
            await self._commit(wish, actual)
            if self._chance.random() < _PROBES:
                await self._probe(wish)

    async def _reserve(self, wish: Note) -> bool:
        try:
            await self._copies(lambda: self._hold(wish, wish.amount))
        except BudgetRefused:
            self._journal.note(What.REFUSED, wish.seat, wish.number)
            return False
        except Conflict:
            self._journal.note(What.ENDED, wish.seat, wish.number)
            return False
        self._journal.note(What.HELD, wish.seat, wish.number)
        return True

    def _hold(self, wish: Note, cost: int) -> Awaitable[HoldRef]:
        return self._spenders[wish.seat].reserve(
            wish.number,
            cost,
            secret=self._secret(wish),
            tokens=cost * TOKENS_A_MICROUSD,
            # By the number, so that a repeat says the same.
            sent=wish.number % 3 > 0,
            ttl_ms=self._plan.hold_ms,
        )

    async def _commit(self, wish: Note, actual: int) -> None:
        def commit() -> Awaitable[EndedHold]:
            return self._spenders[wish.seat].commit(
                wish.number, actual, secret=self._secret(wish), tokens=actual * TOKENS_A_MICROUSD
            )

        ended = await self._copies(commit)
        self._journal.note(_ENDINGS[ended.state], wish.seat, wish.number, ended.actual_microusd)

    def _secret(self, wish: Note) -> str:
        """Made from what the journal knows, so that it need not be written down."""
        return f"{self._plan.seed}-{self._number}-{wish.number}"

    async def _probe(self, wish: Note) -> None:
        """The id with another amount must be refused, whatever became of the hold."""
        refused = False
        try:
            await self._again(lambda: self._hold(wish, wish.amount + 1))
        except (Conflict, BudgetRefused) as error:
            refused = error.code == "id_conflict"
        self._journal.note(What.PROBED, wish.seat, wish.number, int(refused))

    async def _copies(self, call: Callable[[], Awaitable[T]]) -> T:
        """Send a call one to ``copies`` times at once; the best of the answers."""
        count = self._chance.randint(1, self._plan.copies)
        answers = await asyncio.gather(
            *(self._again(call) for _ in range(count)), return_exceptions=True
        )
        for answer in answers:
            if not isinstance(answer, BaseException):
                return answer
        raise next(answer for answer in answers if isinstance(answer, BaseException))

    async def _again(self, call: Callable[[], Awaitable[T]]) -> T:
        """Until there is an answer: the same call, so the same id."""
        give_up_s = monotonic_s() + _PATIENCE_S
        while True:
            self.tally.tries += 1
            try:
                return await call()
            except StoreUnavailable:
                self.tally.unanswered += 1
                if monotonic_s() > give_up_s:
                    raise
                await asyncio.sleep(_PAUSE_S)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("plan", type=Path)
    parser.add_argument("number", type=int)
    options = parser.parse_args()
    plan = msgspec.json.decode(options.plan.read_bytes(), type=Plan)
    client = Client(plan, options.number)
    uvloop.run(client.run())
    print(msgspec.json.encode(client.tally).decode())


if __name__ == "__main__":
    main()
