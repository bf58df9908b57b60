"""What a client writes down before it sends anything, and after it was answered.

Records have one size and are written with one system call each, so that a kill leaves whole ones.
They are in the kernel's hands then: a killed process loses nothing, and nothing else dies here.
"""

import os
import struct
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

__all__ = ["Journal", "Note", "What", "newest_number", "read_notes"]

_RECORD = struct.Struct("<BBxxIq")


class What(IntEnum):
    """A debit's way: first what was meant, then what became of it."""

    WISH = 1
    """About to reserve the amount."""
    HELD = 2
    REFUSED = 3
    SPEND = 4
    """About to commit the amount."""
    COMMITTED = 5
    RELEASED = 6
    UNCONFIRMED = 7
    ENDED = 8
    """The hold had ended before this client could go on with it."""
    FORGOTTEN = 9
    """Left to expire by the process that came after, as if this journal had been lost."""
    PROBED = 10
    """The id was used for another amount: 1 if that was refused as it must be."""

    @property
    def final(self) -> bool:
        return self not in {What.WISH, What.HELD, What.SPEND, What.PROBED}


class Note(NamedTuple):
    what: What
    seat: int
    """Which of the client's sessions."""
    number: int
    """Of the debit, from 1."""
    amount: int


class Journal:
    """One client's notes, continued by the process that takes its place."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(self, what: What, seat: int, number: int, amount: int = 0) -> None:
        os.write(self._file, _RECORD.pack(what, seat, number, amount))


def read_notes(path: Path) -> Iterator[Note]:
    if not path.exists():
        return
    data = path.read_bytes()
    for what, seat, number, amount in _RECORD.iter_unpack(data):
        yield Note(What(what), seat, number, amount)


def newest_number(path: Path) -> int:
    """About how far a client has come: the debit that its last note is about."""
    if not path.exists():
        return 0
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if size < _RECORD.size:
            return 0
        file.seek(size - size % _RECORD.size - _RECORD.size)
        number: int = _RECORD.unpack(file.read(_RECORD.size))[2]
    return number
