"""Public halves of the keys that sign, and what they are at the moment."""

import asyncio
import base64
import binascii
import re
from dataclasses import dataclass
from typing import Literal, Protocol

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from bursar.clock import monotonic_s
from bursar.store.codec import decode_json, text
from bursar.store.keys import GlobalKeys
from bursar.store.store import Store

__all__ = [
    "MAX_AGE_S",
    "REREAD_S",
    "KeyState",
    "KnownKeys",
    "PublicKey",
    "PublicKeys",
    "SigningKeyView",
    "StoredKey",
    "base64url",
    "issuer_of",
    "read_stored",
    "unbase64",
    "view_of",
]

KeyState = Literal["current", "retired", "revoked"]

MAX_AGE_S = 1.0
"""How old what a process knows of the keys may be, and so how late a revocation is felt."""
REREAD_S = 0.5
"""Half of that, so that what was just read again is good for the other half."""

_UNKNOWN_S = 0.1
"""Whoever makes up names of keys does not make a process read them more often than this."""
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")


class SigningKeyView(msgspec.Struct, frozen=True):
    """A key's public half: ``public`` is base64url of its 32 bytes."""

    kid: str
    public: str
    state: KeyState
    created_ms: int
    retired_ms: int | None = None
    revoked_ms: int | None = None


class StoredKey(msgspec.Struct, frozen=True, omit_defaults=True):
    """The same under its ``kid``, as it is stored."""

    public: str
    created_ms: int
    state: KeyState
    retired_ms: int | None = None
    revoked_ms: int | None = None


@dataclass(frozen=True, slots=True)
class PublicKey:
    """What verifies. A key in state ``revoked`` proves nothing any more to who asks for a right."""

    view: SigningKeyView
    key: Ed25519PublicKey

    @property
    def kid(self) -> str:
        return self.view.kid

    @property
    def is_revoked(self) -> bool:
        return self.view.state == "revoked"

    def verify(self, signature: bytes, data: bytes) -> bool:
        """Whether the key signed ``data``. Says nothing of whether it is revoked."""
        try:
            self.key.verify(signature, data)
        except InvalidSignature:
            return False
        return True


class KnownKeys(Protocol):
    """Keys to verify with, as far as they are known."""

    @property
    def issuer(self) -> str:
        """Who signs here."""
        ...

    def known(self, kid: str) -> PublicKey | None:
        """Return a key, also a revoked one; None if none of that name is known for sure."""


class PublicKeys:
    """The public halves as a process knows them, read anew when they are half a second old.

    `get` reads when it has to. `known` answers at once, for who called `refresh` right before, and
    knows nothing once what was read is older than a second.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = asyncio.Lock()
        self._read_s = float("-inf")
        self._keys: dict[str, PublicKey] = {}

    @classmethod
    async def load(cls, store: Store) -> "PublicKeys":
        keys = cls(store)
        await keys.refresh()
        return keys

    @property
    def issuer(self) -> str:
        """Who signs here. A store that lost its data is another one: it forgot what was revoked."""
        return issuer_of(self._store)

    async def get(self, kid: str) -> PublicKey | None:
        """Return a key, also a revoked one; None if there is none of that name."""
        await self.refresh()
        if kid not in self._keys:
            await self.refresh(max_age_s=_UNKNOWN_S)
        return self._keys.get(kid)

    def known(self, kid: str) -> PublicKey | None:
        if monotonic_s() - self._read_s > MAX_AGE_S:
            return None
        return self._keys.get(kid)

    async def refresh(self, *, max_age_s: float = REREAD_S) -> None:
        async with self._lock:
            now = monotonic_s()
            if now - self._read_s <= max_age_s:
                return
            found = await read_stored(self._store)
            self._keys = {
                text(kid): _public_key(text(kid), decode_json(value, StoredKey))
                for kid, value in found.items()
            }
            self._read_s = now  # from before the read: what it answers may be as old as that

    async def list_keys(self) -> list[SigningKeyView]:
        """All keys, the newest first."""
        await self.refresh(max_age_s=0)
        views = [key.view for key in self._keys.values()]
        return sorted(views, key=lambda view: (view.created_ms, view.kid), reverse=True)


async def read_stored(store: Store) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = await store.redis.call("HGETALL", GlobalKeys.signing_keys)
    return found


def issuer_of(store: Store) -> str:
    return f"bursar:{store.generation}"


def view_of(kid: str, stored: StoredKey) -> SigningKeyView:
    return SigningKeyView(kid=kid, **msgspec.structs.asdict(stored))


def _public_key(kid: str, stored: StoredKey) -> PublicKey:
    raw = unbase64(stored.public) or b""
    return PublicKey(view_of(kid, stored), Ed25519PublicKey.from_public_bytes(raw))


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unbase64(encoded: str) -> bytes | None:
    if not _BASE64.fullmatch(encoded):
        return None
    plain = encoded.rstrip("=").replace("+", "-").replace("/", "_")
    try:
        return base64.urlsafe_b64decode(plain + "=" * (-len(plain) % 4))
    except binascii.Error:
        return None
