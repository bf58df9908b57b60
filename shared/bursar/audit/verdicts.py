"""What a verification says."""

from typing import Literal

import msgspec

__all__ = ["Finding", "Kind", "Verdict", "Verdicts"]

Kind = Literal["missing", "inserted", "changed", "seal", "key", "head", "trim", "file"]
"""What is wrong: entries that are gone, too many, or not as they were sealed; a seal; a seal by a
key that is none of ours; a head that is not what it was; a trimming that nobody recorded; the file
itself."""

_MAX = 100  # findings; whoever changed more than that is found out by the first ones


class Finding(msgspec.Struct, frozen=True):
    """``seq`` is the first entry that it is about."""

    seq: int
    kind: Kind
    what: str


class Verdict(msgspec.Struct, frozen=True):
    """A log that was verified.

    ``wrong_seq`` is the first entry with which something is wrong; None if nothing is. ``entries``
    from ``first_seq`` on were looked at; those behind ``sealed_seq`` have no seal yet, so that a
    change of them would not show. ``head`` is the chain's after ``sealed_seq``: whoever keeps the
    two can tell later whether all of this is still the same. ``keys`` signed the seals.
    """

    workspace: str
    ok: bool
    wrong_seq: int | None
    entries: int
    seals: int
    first_seq: int
    last_seq: int
    sealed_seq: int
    head: str
    keys: tuple[str, ...]
    findings: tuple[Finding, ...]


class Verdicts:
    """Collects findings, the same one once."""

    def __init__(self) -> None:
        self._found: dict[Finding, None] = {}

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, seq: int, kind: Kind, what: str) -> None:
        if len(self._found) < _MAX:
            self._found[Finding(seq, kind, what)] = None

    def sorted(self) -> tuple[Finding, ...]:
        return tuple(sorted(self._found, key=lambda finding: finding.seq))
