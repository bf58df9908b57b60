"""Seals: a head of the chain, signed. Anybody with the public key can check one, with no server.

What is signed is a few lines of text, each ended by a newline, the first of which says what it is,
so that no signature over anything else passes for one of these.
"""

import base64
import binascii
from typing import Protocol, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bursar.audit.keyring import KeyRing

__all__ = ["Seal", "SealingKey", "SignedHead", "is_signed", "sign", "sign_head"]


class SealingKey(Protocol):
    """A private key with its id."""

    @property
    def kid(self) -> str: ...

    @property
    def private(self) -> Ed25519PrivateKey: ...


class Seal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Entries ``from_seq`` to ``to_seq``, as they were when they were sealed.

    ``previous`` and ``head`` are the chain's heads before the first and after the last of them, in
    hex; ``marks`` tell the entries apart, see `bursar.audit.chain`. ``workspace`` is ``*`` for the
    installation's log. ``signature`` is base64url over all that stands before it.
    """

    workspace: str
    from_seq: int
    to_seq: int
    count: int
    previous: str
    head: str
    marks: str
    at_ms: int
    kid: str
    signature: str

    @property
    def signed(self) -> bytes:
        """What the signature is over."""
        lines = [getattr(self, name) for name in self.__struct_fields__[:-1]]
        return _lines("bursar-audit-seal-v1", *lines)


class SignedHead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a log was at a moment, from the entry after ``after_seq`` to ``seq``: ends an export."""

    workspace: str
    after_seq: int
    seq: int
    head: str
    at_ms: int
    kid: str
    signature: str

    @property
    def signed(self) -> bytes:
        lines = [getattr(self, name) for name in self.__struct_fields__[:-1]]
        return _lines("bursar-audit-export-v1", *lines)


S = TypeVar("S", Seal, SignedHead)


def sign(
    key: SealingKey,
    *,
    workspace: str,
    from_seq: int,
    to_seq: int,
    previous: bytes,
    head: bytes,
    marks: str,
    at_ms: int,
) -> Seal:
    """Seal the entries between two heads."""
    return _signed(
        key,
        Seal(
            workspace=workspace,
            from_seq=from_seq,
            to_seq=to_seq,
            count=to_seq - from_seq + 1,
            previous=previous.hex(),
            head=head.hex(),
            marks=marks,
            at_ms=at_ms,
            kid=key.kid,
            signature="",
        ),
    )


def sign_head(
    key: SealingKey, *, workspace: str, after_seq: int, seq: int, head: bytes, at_ms: int
) -> SignedHead:
    return _signed(key, SignedHead(workspace, after_seq, seq, head.hex(), at_ms, key.kid, ""))


def is_signed(statement: Seal | SignedHead, known: KeyRing) -> bool | None:
    """Whether the signature is that of the key it names; None if that key is not known."""
    key = known.get(statement.kid)
    if key is None:
        return None
    try:
        signature = base64.b64decode(statement.signature, altchars=b"-_", validate=True)
        key.verify(signature, statement.signed)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    # The same bytes can be written in several ways, of which one is ours.
    return _base64(signature) == statement.signature


def _signed(key: SealingKey, statement: S) -> S:
    signature = _base64(key.private.sign(statement.signed))
    return msgspec.structs.replace(statement, signature=signature)


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode()


def _lines(*values: str | int) -> bytes:
    return "".join(f"{value}\n" for value in values).encode()
