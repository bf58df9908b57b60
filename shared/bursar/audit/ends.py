"""The end of a verification: does a log reach as far as everybody says that it does?"""

from collections.abc import Mapping, Sequence

from bursar.audit.keyring import KeyRing
from bursar.audit.lines import End, Head
from bursar.audit.seals import Seal, is_signed
from bursar.audit.verdicts import Verdicts

__all__ = ["Ends"]

_PUBLISHED_WITHIN_MS = 60_000
"""A seal of that age has long been published, whatever a sealer was busy with."""


class Ends:
    """Compares the last entry and the last seals with counters and heads. Adds what it finds."""

    def __init__(self, found: Verdicts, first: Head, last: End | None, known: KeyRing) -> None:
        self._found = found
        self._first = first
        self._last = last
        self._known = known

    def check(
        self,
        *,
        seq: int,
        head: bytes,
        sealed_seq: int,
        seals: Sequence[Seal],
        heads_missing: Mapping[int, str],
        trimmed_to: int,
    ) -> None:
        """Args are what was computed.

        Args:
            seq: the last entry, with the chain's ``head`` after it.
            sealed_seq: the last entry under a seal; ``seals`` are those that hold.
            heads_missing: heads kept from earlier, of entries that did not come.
            trimmed_to: what the log itself says about where it was trimmed.

        """
        self._check_entries(seq)
        self._check_seals(sealed_seq)
        self._check_published(sealed_seq, seals)
        self._check_keys(seals)
        for kept, _ in sorted(heads_missing.items()):
            gone = kept <= self._first.state.trimmed_seq
            what = "was trimmed" if gone else "is missing"
            self._found.add(kept if gone else seq + 1, "head", f"entry {kept}, of the head, {what}")
        # Only a log that is whole can say how far it was trimmed.
        if not self._found:
            self._check_trimming(trimmed_to)
        self._check_last_line(seq, head)

    def _check_entries(self, seq: int) -> None:
        until = self._first.until_seq
        must = self._first.state.audit_seq if until is None else until
        if seq < must:
            self._found.add(seq + 1, "missing", f"entries {seq + 1} to {must} are missing")
        may = until
        if until is None and self._last is not None:
            may = self._last.audit_seq
        if may is not None and seq > may:
            self._found.add(
                may + 1, "inserted", f"entries from {may + 1} on were never counted by the log"
            )

    def _check_seals(self, sealed_seq: int) -> None:
        must = self._first.state.sealed_seq
        if sealed_seq < must:
            self._found.add(sealed_seq + 1, "seal", f"the seals up to entry {must} are missing")
        if self._last is not None and sealed_seq > self._last.sealed_seq:
            self._found.add(
                self._last.sealed_seq + 1,
                "seal",
                "there are seals behind the last one that was counted",
            )

    def _check_published(self, sealed_seq: int, seals: Sequence[Seal]) -> None:
        """The newest seal is kept apart from the log as well; it may be a moment late."""
        state, until_ms = self._first.state, self._first.at_ms - _PUBLISHED_WITHIN_MS
        published = state.published
        long_since = [
            seal for seal in seals if seal.to_seq <= state.sealed_seq and seal.at_ms < until_ms
        ]
        if published is None:
            if long_since:
                seq = long_since[0].to_seq
                self._found.add(seq, "head", "its head was published, and is not any more")
            return
        if not is_signed(published, self._known):
            self._found.add(
                sealed_seq, "head", "the published head is not signed with a key of ours"
            )
        elif published.to_seq > sealed_seq:
            self._found.add(
                sealed_seq + 1,
                "head",
                f"the head of entry {published.to_seq} was published: what led to it is missing",
            )
        elif published not in seals:
            self._found.add(
                published.to_seq,
                "head",
                f"entry {published.to_seq} was published with another head",
            )
        elif long_since and published.to_seq < long_since[-1].to_seq:
            self._found.add(
                published.to_seq + 1, "head", "the published head is older than the log's last seal"
            )

    def _check_keys(self, seals: Sequence[Seal]) -> None:
        """What a revoked key sealed is believed because of what a good one sealed after it."""
        if seals and seals[-1].kid in self._known.revoked:
            last = seals[-1]
            self._found.add(
                last.from_seq, "key", f"the last seal is signed with a revoked key: {last.kid}"
            )

    def _check_trimming(self, trimmed_to: int) -> None:
        begins = self._first.state.trimmed_seq
        if begins and trimmed_to != begins:
            self._found.add(
                begins + 1, "trim", f"no entry says that the log was trimmed up to {begins}"
            )
        if trimmed_to > begins:
            self._found.add(begins + 1, "trim", f"the log was trimmed up to {trimmed_to}, it says")

    def _check_last_line(self, seq: int, head: bytes) -> None:
        if self._last is None:
            self._found.add(seq + 1, "file", "the last line is missing")
            return
        end = self._last.end
        signed = is_signed(end, self._known)
        if not signed:
            what = "a key that is not known" if signed is None else "another key than it says"
            self._found.add(seq, "key", f"the last line is signed with {what}: {end.kid}")
        elif end.workspace != self._first.state.workspace:
            self._found.add(0, "file", "the last line is of another log")
        elif not self._found and (
            (end.seq, end.head, end.after_seq) != (seq, head.hex(), self._first.state.trimmed_seq)
        ):
            self._found.add(
                min(seq, end.seq) + 1, "file", "the lines are not those that the last one ends"
            )
