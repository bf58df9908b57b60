"""Who serves what in a Redis Cluster: slots of keys, their owners, what a wrong node answers."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from redis.crc import key_slot
from redis.exceptions import ResponseError

from bursar.store.codec import text
from bursar.store.keys import GlobalKeys
from bursar.store.topology import Address

__all__ = ["HOME", "Redirect", "SlotMap", "slot_of_command"]

HOME = key_slot(GlobalKeys.install.encode())
"""What names no key goes where the installation's own keys are."""

_KEYLESS = {"CLUSTER", "CONFIG", "DBSIZE", "ECHO", "INFO", "KEYS", "PING", "SCRIPT", "TIME"}
_FIRST_KEY_OF_EVALSHA = 3


def slot_of_command(command: Sequence[Any]) -> int:
    """The slot of a command's first key; all keys of a command are in one."""
    name = command[0]
    if name in _KEYLESS:
        return HOME
    key = command[_FIRST_KEY_OF_EVALSHA if name == "EVALSHA" else 1]
    return key_slot(key if isinstance(key, bytes) else str(key).encode())


class SlotMap:
    """Ranges of slots with the primaries that own them."""

    def __init__(self, ranges: Iterable[tuple[int, int, Address]] = ()) -> None:
        self._ranges = sorted(ranges)
        self._starts = [start for start, _, _ in self._ranges]
        self.owners = tuple(dict.fromkeys(owner for _, _, owner in self._ranges))

    @classmethod
    def read(cls, reply: Sequence[Any], asked: Address) -> "SlotMap":
        """The reply of CLUSTER SLOTS; a node that does not know its own host leaves it empty."""
        return cls(
            (int(start), int(end), (text(primary[0]) or asked[0], int(primary[1])))
            for start, end, primary, *_ in reply
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SlotMap) and self._ranges == other._ranges

    __hash__ = None  # type: ignore[assignment]

    def owner(self, slot: int) -> Address | None:
        """None: nobody serves it."""
        index = bisect_right(self._starts, slot) - 1
        if index < 0 or slot > self._ranges[index][1]:
            return None
        return self._ranges[index][2]


class Redirect(msgspec.Struct, frozen=True):
    """A node says that another one has the slot; the command did not run.

    ``address`` is None if it does not know the other's host. ``once`` means that the slot is on
    its way there: only this command is to follow.
    """

    address: Address | None
    once: bool

    @classmethod
    def of(cls, error: BaseException) -> "Redirect | None":
        """What an error reply says, if it is a redirect."""
        if not isinstance(error, ResponseError):
            return None
        kind, _, rest = str(error).partition(" ")
        if kind not in {"MOVED", "ASK"}:
            return None
        host, _, port = rest.partition(" ")[2].rpartition(":")
        return cls(None if host in {"", "?"} else (host, int(port)), kind == "ASK")
