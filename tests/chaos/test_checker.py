"""The linearizability checker accepts what can have happened, and nothing else."""

import pytest

from support.linearizable import NEVER, Op, is_linearizable

LIMIT = 10


def reserve(amount: int, start: int, end: int = NEVER, *, fits: bool = True) -> Op:
    return Op("reserve", amount, fits, start, end)


def release(amount: int, start: int, end: int = NEVER) -> Op:
    return Op("release", amount, True, start, end)


def read(seen: int, start: int, end: int) -> Op:
    return Op("read", seen, True, start, end)


@pytest.mark.parametrize(
    "history",
    [
        [],
        [reserve(6, 0, 1), read(6, 2, 3)],
        [reserve(6, 0, 3), read(0, 1, 2)],
        [reserve(6, 0, 3), read(6, 1, 2)],
        [reserve(6, 0, 1), reserve(6, 2, 3, fits=False)],
        [reserve(6, 0, 2), reserve(6, 1, 3, fits=False)],
        [reserve(6, 0, 1), reserve(6, 2, 5), release(6, 3, 4)],
        [reserve(6, 0), read(0, 1, 2), read(6, 3, 4)],
        [reserve(6, 0), read(0, 1, 2), reserve(6, 3, 4)],
        [reserve(6, 0), reserve(6, 1, 2, fits=False)],
        [reserve(6, 0, 1), release(6, 2), reserve(10, 3, 4)],
    ],
)
def test_what_can_have_happened_is_accepted(history: list[Op]) -> None:
    assert is_linearizable(history, LIMIT)


@pytest.mark.parametrize(
    "history",
    [
        [reserve(6, 0, 1), read(0, 2, 3)],
        [reserve(6, 0, 1), reserve(6, 2, 3)],
        [reserve(6, 0, 2), reserve(6, 1, 3)],
        [reserve(6, 0, 1, fits=False)],
        [reserve(6, 0, 5), read(6, 1, 2), read(0, 3, 4)],
        [reserve(6, 2), read(6, 0, 1)],
        [reserve(6, 0), read(6, 1, 2), read(0, 3, 4)],
        [reserve(6, 0), reserve(6, 1), read(12, 2, 3)],
        [reserve(6, 0, 1), reserve(6, 2, 3), release(6, 4, 5)],
        [reserve(4, 0, 1), reserve(4, 2, 3), read(4, 4, 5)],
    ],
)
def test_what_cannot_have_happened_is_refused(history: list[Op]) -> None:
    assert not is_linearizable(history, LIMIT)
