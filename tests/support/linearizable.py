"""Could these overlapping calls have happened one after the other? (Wing and Gong, 1993.)

For one account with a limit: a call takes effect at one moment between its start and its answer,
and every answer is what the account would have said at that moment. One without an answer may have
taken effect at any time after its start, or never.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

__all__ = ["NEVER", "Op", "is_linearizable"]

NEVER = 1 << 62


class Op(NamedTuple):
    """One call. Times are numbers in the order of what happened."""

    kind: Literal["reserve", "release", "read"]
    amount: int
    """What is held or given back; of a read, what it saw."""
    fits: bool
    """The answer of a reserve."""
    start: int
    end: int = NEVER

    def apply(self, used: int, limit: int) -> int | None:
        """What is used afterwards; None if the answer would have been another one."""
        if self.kind == "read":
            return used if used == self.amount else None
        if self.kind == "release":
            return used - self.amount
        if (used + self.amount <= limit) != self.fits:
            return None
        return used + self.amount if self.fits else used


class _Place(NamedTuple):
    """How far a search has come: all answered calls before ``first`` and those in ``beyond``."""

    first: int
    beyond: frozenset[int]
    maybe: frozenset[int]
    used: int


def is_linearizable(history: Sequence[Op], limit: int) -> bool:
    """Search for an order; each place is visited once, however many orders lead to it."""
    answered = sorted((op for op in history if op.end != NEVER), key=lambda op: op.start)
    # A reserve that did not fit changed nothing; only one that did could matter.
    maybe = [op._replace(fits=True) for op in history if op.end == NEVER and op.kind != "read"]
    start = _Place(0, frozenset(), frozenset(), 0)
    seen = {start}
    ways = [_steps(start, answered, maybe, limit)]
    while ways:
        place = next(ways[-1], None)
        if place is None:
            ways.pop()
        elif place not in seen:
            seen.add(place)
            ways.append(_steps(place, answered, maybe, limit))
            if place.first == len(answered):
                return True
    return not answered


def _steps(
    place: _Place, answered: Sequence[Op], maybe: Sequence[Op], limit: int
) -> Iterator[_Place]:
    """Places that one more call leads to, the likeliest first: the call that was answered first."""
    found: list[tuple[int, int]] = []
    horizon = NEVER
    index = place.first
    while index < len(answered) and answered[index].start < horizon:
        if index not in place.beyond:
            found.append((answered[index].end, index))
            horizon = min(horizon, answered[index].end)
        index += 1
    after = [(index, answered[index].apply(place.used, limit)) for _, index in sorted(found)]
    # One that may come now and changes nothing loses nothing by coming now: no need to try others.
    quiet = [(index, used) for index, used in after if used == place.used]
    for index, used in quiet[:1] or after:
        if used is not None:
            yield _after(place, index, used)
    for number, op in enumerate([] if quiet else maybe):
        if number not in place.maybe and op.start < horizon:
            used = op.apply(place.used, limit)
            if used is not None:
                yield place._replace(maybe=place.maybe | {number}, used=used)


def _after(place: _Place, index: int, used: int) -> _Place:
    first, beyond = place.first, place.beyond | {index}
    while first in beyond:
        beyond -= {first}
        first += 1
    return _Place(first, beyond, place.maybe, used)
