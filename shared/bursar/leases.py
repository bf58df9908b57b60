"""The lease: one worker's right to drive one session, and what it was given to go on with."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from bursar.store.codec import text
from bursar.store.keys import SessionKeys

if TYPE_CHECKING:
    from bursar.store.scripts.leases import Told

__all__ = ["ClaimRefused", "Claimed", "InboxItem", "Lease"]


@dataclass
class Lease:
    """Fences every write: ``epoch`` grows with each claim, ``owner`` is random per claim.

    ``append_no`` is the number of the last write that Redis is known to have applied; the next
    write carries the next one, and a repeat after a lost reply carries the same again.
    """

    session: SessionKeys
    epoch: int
    owner: str
    append_no: int = 0
    next_blocked: list[str] = field(default_factory=list)
    """Sessions that a freed place lets run, as ``<cap> <ref>``; the drive rings for them."""
    freed: set[str] = field(default_factory=set)
    """Accounts where money came free that turns wait for; the drive wakes them."""

    told: "list[Told]" = field(default_factory=list)
    """Sessions above that wait for the end of a turn that was driven; the drive tells them."""

    def note_blocked(self, refs: str) -> None:
        """Sessions may take the places under caps that a script has freed."""
        self.next_blocked.extend(filter(None, refs.split(",")))


class InboxItem(msgspec.Struct, frozen=True):
    """One thing to react to, about a turn, the ``target``.

    Its kind is ``input``, ``inject``, ``cancel``, or what a turn that waits has news of: ``timer``,
    ``budget``, ``approval`` or ``join``.
    """

    seq: int
    kind: str
    target: str

    @classmethod
    def parse(cls, item: bytes) -> "InboxItem":
        seq, kind, target = text(item).split(" ", 2)
        return cls(int(seq), kind, target)

    @property
    def raw(self) -> str:
        """The item as it stands in the list, which is how it is removed."""
        return f"{self.seq} {self.kind} {self.target}"


class Claimed(msgspec.Struct, frozen=True):
    """A successful claim: everything a drive needs but the messages."""

    lease: Lease
    takeover: bool
    """The former owner never gave the lease back: it died or was cut off."""
    fields: dict[str, str]
    inbox: list[InboxItem]
    effects: dict[str, bytes]


class ClaimRefused(msgspec.Struct, frozen=True):
    """``status`` is ``gone``, ``held``, ``idle``, ``unserved``, ``suspect`` or ``blocked``.

    ``detail`` says by whom or why.
    """

    status: str
    detail: str = ""
