"""The chain of hashes over an audit log: it says what a log is, entry by entry.

    head(0) = SHA-256("bursar-audit-chain-v1", newline, workspace, newline)
    head(n) = SHA-256(head(n-1), n as 8 bytes, big-endian, the entry's body as it is stored)

A mark is the first bytes of the hash of one entry alone. Marks say which entry of many is not the
one that was sealed; they prove nothing.
"""

import base64
import hashlib
from collections.abc import Iterable

__all__ = ["INSTALLATION", "genesis", "join_marks", "link", "mark", "split_marks"]

INSTALLATION = "*"
"""What takes the place of a workspace's name in the log of what is of no workspace."""

_MARK_BYTES = 6  # two entries of a seal have the same mark once in 10^8 seals of a thousand entries


def genesis(workspace: str) -> bytes:
    """The head of a log without entries; each workspace has another one."""
    return hashlib.sha256(f"bursar-audit-chain-v1\n{workspace}\n".encode()).digest()


def link(head: bytes, seq: int, body: bytes) -> bytes:
    """The head after one more entry."""
    return hashlib.sha256(head + seq.to_bytes(8, "big") + body).digest()


def mark(seq: int, body: bytes) -> bytes:
    return hashlib.sha256(seq.to_bytes(8, "big") + body).digest()[:_MARK_BYTES]


def join_marks(marks: Iterable[bytes]) -> str:
    """Marks as they stand in a seal."""
    return base64.urlsafe_b64encode(b"".join(marks)).decode()


def split_marks(text: str) -> list[bytes]:
    """Raises `ValueError` for what `join_marks` cannot have made."""
    joined = base64.b64decode(text, altchars=b"-_", validate=True)
    if len(joined) % _MARK_BYTES:
        raise ValueError("not a whole number of marks")
    return [joined[at : at + _MARK_BYTES] for at in range(0, len(joined), _MARK_BYTES)]
