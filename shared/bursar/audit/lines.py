"""An audit log as lines of JSON: what an export is, and what is verified.

The first line says what it is and how far the log goes. Then come the entries in their order, and
each seal behind the entries that it is for; of a trimmed log, first the seal with which it begins.
The last line is signed: this is what the log was.

    {"bursar_audit":1,"at_ms":…,"until_seq":…,"state":{…}}
    {"entry":"1-0","body":{…}}
    {"seal":"1-0","body":{…}}
    {"end":{…},"audit_seq":…,"sealed_seq":…,"keys":{"<kid>":"<public key>"}}

Bodies stand there byte by byte as they are stored, because the hashes are over these bytes. One
that is no JSON object stands there as ``encoded``, in base64, and the names of fields that do not
belong to an entry as ``other``.
"""

import base64

import msgspec

from bursar.audit.seals import Seal, SignedHead

__all__ = ["FORMAT", "End", "Head", "Item", "State", "item_line", "read_line"]

FORMAT = 1


class State(msgspec.Struct, frozen=True):
    """How far a log went when the export began. See `bursar.audit.reading.AuditState`."""

    workspace: str
    audit_seq: int
    sealed_seq: int
    trimmed_seq: int
    published: Seal | None


class Head(msgspec.Struct, frozen=True):
    """The first line. ``until_seq`` is the last entry that is exported; None for all there are."""

    bursar_audit: int
    at_ms: int
    state: State
    until_seq: int | None = None


class End(msgspec.Struct, frozen=True):
    """The last line.

    ``audit_seq`` and ``sealed_seq`` are the log's counters when the export ended; ``keys`` are the
    public keys of the seals, for those who have no other way to get them.
    """

    end: SignedHead
    audit_seq: int
    sealed_seq: int
    keys: dict[str, str]


class Item(msgspec.Struct, frozen=True):
    """An entry or a seal, by the id under which it is stored; the other one's id is empty."""

    entry: str = ""
    seal: str = ""
    body: msgspec.Raw = msgspec.Raw(b"")
    encoded: str = ""
    other: tuple[str, ...] = ()

    @property
    def stored(self) -> bytes:
        """The body as it is stored."""
        return base64.b64decode(self.encoded) if self.encoded else bytes(self.body)


class _Line(Item, frozen=True):
    bursar_audit: int = 0
    end: msgspec.Raw = msgspec.Raw(b"")


def read_line(line: bytes) -> Head | Item | End:
    """Raises `ValueError` (`msgspec.MsgspecError` is one) for what is no such line."""
    found = msgspec.json.decode(line, type=_Line)
    if found.bursar_audit:
        return msgspec.json.decode(line, type=Head)
    if bytes(found.end):
        return msgspec.json.decode(line, type=End)
    return found


def item_line(kind: str, ident: str, body: bytes, other: tuple[bytes, ...]) -> bytes:
    """The line of an entry or a seal (``kind``), whatever somebody made of it."""
    if _is_object(body) and not other:
        return b'{"%s":"%s","body":%s}\n' % (kind.encode(), ident.encode(), body)
    names = [name.decode(errors="replace") for name in other]
    line = {kind: ident, "encoded": base64.b64encode(body).decode(), "other": names}
    return msgspec.json.encode(line) + b"\n"


def _is_object(body: bytes) -> bool:
    if not body.startswith(b"{") or not body.endswith(b"}") or b"\n" in body or b"\r" in body:
        return False
    try:
        msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
    return True
