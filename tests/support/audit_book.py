"""An audit log that was never in Redis: made, sealed and written as lines, to be verified."""

from collections.abc import Mapping, Sequence

import msgspec

from bursar.audit.chain import genesis, join_marks, link, mark
from bursar.audit.entries import Record
from bursar.audit.keyring import KeyRing
from bursar.audit.lines import FORMAT, End, Head, State, item_line
from bursar.audit.seals import Seal, sign, sign_head
from bursar.audit.verdicts import Verdict
from bursar.audit.verifying import Verifier
from bursar.signing import SigningKey

__all__ = ["NOW_MS", "Book", "verified"]

NOW_MS = 1_700_000_000_000
_HOUR_MS = 3_600_000


class Book:
    """Ten entries, sealed by three, three and three; the last one has no seal yet."""

    def __init__(
        self, workspace: str = "acme", key: SigningKey | None = None, *, entries: int = 10
    ) -> None:
        self.workspace = workspace
        self.key = key or SigningKey.generate()
        self.bodies = {seq: self.body(seq) for seq in range(1, entries + 1)}
        self.seals: list[Seal] = []
        for last in range(3, entries + 1, 3):
            self.seal_up_to(last)

    def body(self, seq: int, **facts: object) -> bytes:
        record = Record(workspace=self.workspace, actor="system", action="x", decision="done")
        return msgspec.json.encode(
            {**msgspec.to_builtins(record), **facts, "seq": seq, "at_ms": NOW_MS}
        )

    def seal_up_to(
        self, to_seq: int, key: SigningKey | None = None, at_ms: int = NOW_MS - _HOUR_MS
    ) -> Seal:
        first = self.seals[-1].to_seq + 1 if self.seals else 1
        previous = bytes.fromhex(self.seals[-1].head) if self.seals else genesis(self.workspace)
        head = previous
        for seq in range(first, to_seq + 1):
            head = link(head, seq, self.bodies[seq])
        seal = sign(
            key or self.key,
            workspace=self.workspace,
            from_seq=first,
            to_seq=to_seq,
            previous=previous,
            head=head,
            marks=join_marks(mark(seq, self.bodies[seq]) for seq in range(first, to_seq + 1)),
            at_ms=at_ms,
        )
        self.seals.append(seal)
        return seal

    @property
    def ring(self) -> KeyRing:
        return KeyRing.of_texts({self.key.kid: self.key.public})

    @property
    def head(self) -> dict[int, str]:
        """The head of the last seal, as somebody would keep it."""
        return {self.seals[-1].to_seq: self.seals[-1].head}

    def lines(self, *, until: int | None = None, trimmed: int = 0, **state: object) -> list[bytes]:
        """The lines of an export.

        Args:
            until: as of an export of what is sealed; None for all there is.
            trimmed: as of a log whose entries up to there are gone.
            state: what the first line says instead of the truth.

        """
        last = max(self.bodies, default=0)
        sealed = self.seals[-1].to_seq if self.seals else 0
        facts = {
            "workspace": self.workspace, "audit_seq": last, "sealed_seq": sealed,
            "trimmed_seq": trimmed, "published": self.seals[-1] if self.seals else None, **state,
        }  # fmt: skip
        first = Head(FORMAT, NOW_MS, msgspec.convert(facts, State), until)
        lines = [msgspec.json.encode(first)]
        bodies = {
            seq: body
            for seq, body in sorted(self.bodies.items())
            if trimmed < seq <= (until or last)
        }
        head = genesis(self.workspace)
        seals = {seal.to_seq: seal for seal in self.seals if seal.to_seq >= trimmed}
        if trimmed:
            lines.append(self._seal_line(seals.pop(trimmed)))
            head = bytes.fromhex(next(seal.head for seal in self.seals if seal.to_seq == trimmed))
        for seq, body in bodies.items():
            lines.append(item_line("entry", f"{seq}-0", body, ()).rstrip())
            head = link(head, seq, body)
            if seq in seals:
                lines.append(self._seal_line(seals[seq]))
        end = sign_head(
            self.key, workspace=self.workspace, after_seq=trimmed, seq=max(bodies, default=0),
            head=head, at_ms=NOW_MS,
        )  # fmt: skip
        keys = {self.key.kid: self.key.public}
        lines.append(msgspec.json.encode(End(end, last, sealed, keys)))
        return lines

    @staticmethod
    def _seal_line(seal: Seal) -> bytes:
        return item_line("seal", f"{seal.to_seq}-0", msgspec.json.encode(seal), ()).rstrip()

    def verify(
        self, lines: Sequence[bytes] | None = None, heads: Mapping[int, str] | None = None
    ) -> Verdict:
        return verified(self.lines() if lines is None else lines, self.ring, heads)


def verified(
    lines: Sequence[bytes], ring: KeyRing, heads: Mapping[int, str] | None = None
) -> Verdict:
    verifier = Verifier(ring, heads=heads)
    for line in lines:
        verifier.feed(line)
    return verifier.finish()
