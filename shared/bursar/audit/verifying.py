"""Verifying an audit log from its lines alone (see `bursar.audit.lines`), with the public keys.

It recomputes the chain over every entry and compares it with each seal, with the head that is
published apart from the log, with the counters, and with heads that somebody kept from earlier. A
seal that holds is believed from there on, so that one change does not hide the next one.
"""

from collections.abc import Mapping

import msgspec

from bursar.audit.chain import genesis, link, mark, split_marks
from bursar.audit.ends import Ends
from bursar.audit.keyring import KeyRing
from bursar.audit.lines import End, Head, Item, read_line
from bursar.audit.seals import Seal, is_signed
from bursar.audit.verdicts import Verdict, Verdicts

__all__ = ["Verifier"]


class _Facts(msgspec.Struct, frozen=True):
    """What verifying needs of an entry's body."""

    seq: int = 0
    action: str = ""
    details: dict[str, object] = {}


class _Entry(msgspec.Struct, frozen=True):
    seq: int
    mark: bytes
    head: bytes


class Verifier:
    """Takes the lines in order; `finish` says what was found.

    Args:
        known: the public keys that seals may be signed with.
        heads: the chain's heads, in hex, that somebody kept from earlier, by their entry.

    """

    def __init__(self, known: KeyRing, *, heads: Mapping[int, str] | None = None) -> None:
        self._known = known
        self._heads = dict(heads or {})
        self._found = Verdicts()
        self._first: Head | None = None
        self._last: End | None = None
        self._seq, self._head = 0, b""
        self._entries = self._seals = 0
        self._batch: list[_Entry] = []
        """Entries since the last seal that holds."""
        self._sealed_seq, self._sealed_head = 0, b""
        self._due: list[Seal] = []
        """Seals of entries that did not come, so far."""
        self._believed: list[Seal] = []
        """Seals that hold, from the published one on."""
        self._begun = False
        self._kids: dict[str, None] = {}
        self._trimmed_to = 0

    def feed(self, line: bytes) -> None:
        """Take in one line; what is no such line is a finding."""
        try:
            read = read_line(line)
        except (ValueError, RecursionError):
            self._found.add(self._seq + 1, "file", "a line is not of an audit log")
            return
        if isinstance(read, Head):
            self._begin(read)
        elif self._first is None or self._last is not None:
            self._found.add(
                self._seq + 1, "file", "a line stands before the first or after the last"
            )
        elif isinstance(read, End):
            self._last = read
        elif read.entry:
            self._take_entry(read)
        else:
            self._take_seal(read)

    def finish(self) -> Verdict:
        """Say what is wrong, after the last line."""
        first = self._first
        if first is None:
            self._found.add(0, "file", "this is no audit log")
        else:
            self._settle_due(first)
            Ends(self._found, first, self._last, self._known).check(
                seq=self._seq,
                head=self._head,
                sealed_seq=self._sealed_seq,
                seals=self._believed,
                heads_missing=self._heads,
                trimmed_to=self._trimmed_to,
            )
        findings = self._found.sorted()
        return Verdict(
            workspace=self._workspace,
            ok=not findings,
            wrong_seq=findings[0].seq if findings else None,
            entries=self._entries,
            seals=self._seals,
            first_seq=self._begins + 1,
            last_seq=self._seq,
            sealed_seq=self._sealed_seq,
            head=self._sealed_head.hex(),
            keys=tuple(self._kids),
            findings=findings,
        )

    def _begin(self, first: Head) -> None:
        if self._first is not None or first.bursar_audit != 1:
            self._found.add(
                self._seq + 1, "file", "there are several first lines, or of a later version"
            )
            return
        self._first = first
        self._head = self._sealed_head = genesis(first.state.workspace)
        self._seq = self._sealed_seq = first.state.trimmed_seq

    def _take_entry(self, item: Item) -> None:
        seq, part = _numbers(item.entry)
        self._entries += 1
        if self._begins and not self._begun:
            # Without it nobody can say what came before.
            self._found.add(self._begins, "seal", "the seal with which the log begins is missing")
        self._begun = True
        if self._due:
            self._settle_all(self._due)
        if part or seq <= self._seq:
            self._found.add(seq, "inserted", f"entry {item.entry} does not belong there")
            return
        if seq > self._seq + 1:
            self._miss(seq - 1)
        body = item.stored
        facts = _facts(body)
        if item.other or item.encoded or facts.seq != seq:
            self._found.add(seq, "changed", f"entry {seq} is not one, or says another number")
        if facts.action == "audit.trim" and isinstance(to := facts.details.get("to_seq"), int):
            self._trimmed_to = to
        self._seq, self._head = seq, link(self._head, seq, body)
        self._batch.append(_Entry(seq, mark(seq, body), self._head))
        self._compare_kept(seq, self._head)

    def _take_seal(self, item: Item) -> None:
        self._seals += 1
        number, part = _numbers(item.seal)
        seal = _seal(item)
        if seal is None or part or number != seal.to_seq:
            self._found.add(
                self._sealed_seq + 1, "seal", f"the seal that is stored as {item.seal} is changed"
            )
        elif not self._begun and seal.to_seq == self._begins:
            self._begin_from(seal)
        elif seal.to_seq > self._seq:
            self._due.append(seal)
        else:
            self._settle(seal)

    @property
    def _workspace(self) -> str:
        return self._first.state.workspace if self._first else ""

    @property
    def _begins(self) -> int:
        """The last entry that was trimmed away."""
        return self._first.state.trimmed_seq if self._first else 0

    def _begin_from(self, seal: Seal) -> None:
        """Of a trimmed log the first seal stands for all that came before."""
        self._begun = True
        if self._holds(seal):
            self._head = self._sealed_head = bytes.fromhex(seal.head)
            self._believe(seal)
            self._compare_kept(seal.to_seq, self._head)

    def _believe(self, seal: Seal) -> None:
        published = self._first.state.published if self._first else None
        if published is None or seal.to_seq >= published.to_seq:
            self._believed.append(seal)

    def _settle_due(self, first: Head) -> None:
        """Seals may be newer than the last entry that was read, or entries are missing."""
        counted = self._last.audit_seq if self._last else 0
        self._settle_all(
            [
                seal
                for seal in self._due
                if not first.state.audit_seq < seal.to_seq <= counted or first.until_seq is not None
            ]
        )

    def _settle_all(self, seals: list[Seal]) -> None:
        for seal in list(seals):
            self._miss(seal.to_seq)
            self._settle(seal)
        seals.clear()

    def _miss(self, to_seq: int) -> None:
        if to_seq > self._seq:
            which = f"{self._seq + 1}" + (f" to {to_seq}" if to_seq > self._seq + 1 else "")
            self._found.add(self._seq + 1, "missing", f"entry {which} is missing")

    def _settle(self, seal: Seal) -> None:
        """Compare what came since the last seal with what was sealed."""
        if not self._holds(seal):
            self._sealed_seq = max(self._sealed_seq, seal.to_seq)
            return
        if seal.from_seq != self._sealed_seq + 1:
            self._found.add(
                self._sealed_seq + 1,
                "seal",
                f"the seal before that of entries {seal.from_seq} to {seal.to_seq} is missing",
            )
        reached = next((entry.head for entry in self._batch if entry.seq == seal.to_seq), b"")
        if reached.hex() != seal.head:
            self._tell_apart(seal)
            self._seq, self._head = max(self._seq, seal.to_seq), bytes.fromhex(seal.head)
        self._batch.clear()
        self._sealed_seq, self._sealed_head = seal.to_seq, bytes.fromhex(seal.head)
        self._believe(seal)

    def _holds(self, seal: Seal) -> bool:
        """Whether it is ours: by its signature, and for this log."""
        self._kids[seal.kid] = None
        where = f"the seal of entries {seal.from_seq} to {seal.to_seq}"
        at = self._begins if seal.to_seq == self._begins else self._sealed_seq + 1
        signed = is_signed(seal, self._known)
        if signed is None:
            self._found.add(
                at, "key", f"{where} is signed with a key that is not known: {seal.kid}"
            )
        elif not signed:
            self._found.add(
                at, "seal", f"{where} is changed, or signed with another key than it says"
            )
        elif seal.workspace != self._workspace:
            self._found.add(at, "seal", f"{where} is of another log")
        return bool(signed) and seal.workspace == self._workspace

    def _tell_apart(self, seal: Seal) -> None:
        """Find the entries that make the difference."""
        marks = {entry.seq: entry.mark for entry in self._batch}
        told = False
        for seq, sealed in enumerate(split_marks(seal.marks), seal.from_seq):
            if seq in marks and marks[seq] != sealed:
                self._found.add(seq, "changed", f"entry {seq} is not as it was sealed")
            told = told or marks.get(seq) != sealed
        if not told:
            # All that this seal tells apart is right, so it is something before it.
            first = self._batch[0].seq if self._batch else self._sealed_seq + 1
            self._found.add(
                min(first, seal.from_seq),
                "changed",
                f"an entry before {seal.from_seq}, from {first} on, is not as it was sealed",
            )

    def _compare_kept(self, seq: int, head: bytes) -> None:
        kept = self._heads.pop(seq, None)
        if kept is not None and kept != head.hex():
            self._found.add(seq, "head", f"up to entry {seq} the log is not what it was earlier")


def _numbers(ident: str) -> tuple[int, int]:
    seq, _, part = ident.partition("-")
    return (int(seq), int(part)) if seq.isdecimal() and part.isdecimal() else (0, 1)


def _facts(body: bytes) -> _Facts:
    try:
        return msgspec.json.decode(body, type=_Facts)
    except (ValueError, RecursionError):
        return _Facts()


def _seal(item: Item) -> Seal | None:
    if item.other or item.encoded:
        return None
    try:
        seal = msgspec.json.decode(item.stored, type=Seal)
    except (ValueError, RecursionError):
        return None
    return seal if msgspec.json.encode(seal) == item.stored else None
