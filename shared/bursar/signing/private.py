"""Private halves of the keys that sign: what a gateway signs with, rotation and revocation."""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bursar.audit.entries import Record
from bursar.clock import monotonic_s
from bursar.errors import (
    Conflict,
    InvalidInput,
    LimitReached,
    NotFound,
    StoreUnavailable,
    StoreUnfit,
)
from bursar.registry import redis_ms
from bursar.settings import GatewaySettings
from bursar.signing.public import (
    REREAD_S,
    KeyState,
    SigningKeyView,
    StoredKey,
    base64url,
    issuer_of,
    read_stored,
    unbase64,
    view_of,
)
from bursar.store.codec import decode_json, encode_json, text
from bursar.store.keys import GlobalKeys
from bursar.store.scripts.signing import KeyChange, change_keys
from bursar.store.store import Store

__all__ = ["SigningKey", "SigningKeys"]

_MAX_KEYS = 1000
_TRIES = 10
_SETTING = "BURSAR_SIGNING_KEY"
_REVOKED = f"the key in {_SETTING} was revoked: start the gateways with another one"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """What signs. ``kid`` follows from the key, so the same key has the same one everywhere."""

    kid: str
    private: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def generate(cls) -> "SigningKey":
        return cls._of(Ed25519PrivateKey.generate())

    @classmethod
    def from_seed(cls, seed: str, *, setting: str = _SETTING) -> "SigningKey":
        """Read base64 of 32 bytes; raises `InvalidInput` that names ``setting``, not the seed."""
        decoded = unbase64(seed.strip())
        if decoded is None or len(decoded) != 32:
            raise InvalidInput(
                "expected base64 of 32 random bytes, as `openssl rand -base64 32` prints",
                field=setting,
            )
        return cls._of(Ed25519PrivateKey.from_private_bytes(decoded))

    @classmethod
    def _of(cls, private: Ed25519PrivateKey) -> "SigningKey":
        public = private.public_key().public_bytes_raw()
        return cls(f"sk_{hashlib.sha256(public).hexdigest()[:24]}", private)

    @property
    def seed(self) -> str:
        """The private half as it is kept; never to be shown."""
        return base64url(self.private.private_bytes_raw())

    @property
    def public(self) -> str:
        return base64url(self.private.public_key().public_bytes_raw())

    def sign(self, data: bytes) -> bytes:
        return self.private.sign(data)


class SigningKeys:
    """A gateway's right to sign.

    Args:
        own: the key of the settings; None for the one that is kept in the store.

    """

    def __init__(self, store: Store, own: SigningKey | None) -> None:
        self._store = store
        self._own = own
        self._held: SigningKey | None = None
        self._lock = asyncio.Lock()
        self._read_s = float("-inf")

    @classmethod
    async def load(cls, store: Store, settings: GatewaySettings) -> "SigningKeys":
        """Take the key that signs, and make one if there is none yet.

        Raises:
            InvalidInput: ``BURSAR_SIGNING_KEY`` is no key.
            StoreUnfit: it was revoked (``signing_key_revoked``).

        """
        secret = settings.signing_key
        own = SigningKey.from_seed(secret.get_secret_value()) if secret else None
        keys = cls(store, own)
        async with keys._lock:
            await keys._settle(starts=True)
        if keys._held is None:
            raise StoreUnfit(_REVOKED, code="signing_key_revoked")
        return keys

    @property
    def issuer(self) -> str:
        """As `PublicKeys.issuer`."""
        return issuer_of(self._store)

    @property
    def current(self) -> SigningKey:
        """The key to sign with, as of the last `refresh`.

        Raises:
            Conflict: it is set by ``BURSAR_SIGNING_KEY`` and was revoked (``signing_key_revoked``).

        """
        if self._held is None:
            raise Conflict(_REVOKED, code="signing_key_revoked")
        return self._held

    async def refresh(self, *, max_age_s: float = REREAD_S) -> None:
        """Take up what another gateway rotated or revoked. To be called before `current`."""
        async with self._lock:
            if monotonic_s() - self._read_s > max_age_s:
                await self._settle()

    async def rotate(self, actor: str) -> SigningKeyView:
        """Make a new key the current one; those before it go on verifying.

        Raises:
            Conflict: the key is a setting, and so is changed there (``signing_key_is_set``).
            LimitReached: there are too many keys (``too_many_signing_keys``).

        """
        if self._own is not None:
            raise Conflict(
                f"the key is set by {_SETTING}: start the gateways with another one; what this "
                "one signed stays valid",
                code="signing_key_is_set",
            )
        async with self._lock:
            for _ in range(_TRIES):
                known = await read_stored(self._store)
                if len(known) >= _MAX_KEYS:
                    raise LimitReached(
                        f"an installation has at most {_MAX_KEYS} signing keys",
                        code="too_many_signing_keys",
                    )
                fresh = SigningKey.generate()
                if await self._install(known, fresh, actor=actor, action="signing_key.rotate"):
                    self._held = fresh
                    return await self._view(fresh.kid)
        raise _contended()

    async def revoke(self, kid: str, actor: str) -> SigningKeyView:
        """End all that a key ever signed. A new one takes the place of the current one.

        Raises:
            Conflict: it is revoked already (``signing_key_revoked``).
            NotFound: no such key (``signing_key_not_found``).

        """
        async with self._lock:
            for _ in range(_TRIES):
                known = await read_stored(self._store)
                if kid.encode() not in known:
                    raise NotFound("no such signing key", code="signing_key_not_found")
                stored = decode_json(known[kid.encode()], StoredKey)
                if stored.state == "revoked":
                    raise Conflict("this key was revoked before", code="signing_key_revoked")
                now = await redis_ms(self._store)
                ended = msgspec.structs.replace(stored, state="revoked", revoked_ms=now)
                record = _record("signing_key.revoke", kid, actor)
                change = KeyChange(kid, encode_json(ended))
                if await change_keys(self._store, known, [change], record):
                    await self._settle()
                    return await self._view(kid)
        raise _contended()

    async def _settle(self, *, starts: bool = False) -> None:
        """Find what to sign with, or make it.

        A key of the settings that was retired comes to the front when a gateway starts with it, and
        only then: two gateways with two keys would else go on pushing each other aside.
        """
        for _ in range(_TRIES):
            read_s = monotonic_s()
            known = await read_stored(self._store)
            states: dict[str, KeyState] = {
                text(kid): decode_json(value, StoredKey).state for kid, value in known.items()
            }
            wanted = self._own or await self._of_store(states) or SigningKey.generate()
            state = states.get(wanted.kid)
            if state is not None and (state != "retired" or not starts):
                self._held = None if state == "revoked" else wanted
                self._read_s = read_s
                return
            action = "signing_key.create" if state is None else "signing_key.rotate"
            await self._install(known, wanted, actor="system", action=action)
        raise _contended()

    async def _of_store(self, states: Mapping[str, KeyState]) -> SigningKey | None:
        """The current key; else the one that was, as long as it is good."""
        for kid, state in states.items():
            if state == "current":
                seed = await self._store.redis.call("HGET", GlobalKeys.signing_secrets, kid)
                if seed is not None:
                    return SigningKey.from_seed(text(seed), setting="signing_secrets")
        held = self._held
        return held if held is not None and states.get(held.kid) == "retired" else None

    async def _install(
        self, known: Mapping[bytes, bytes], key: SigningKey, *, actor: str, action: str
    ) -> bool:
        """Make a key the current one and drop the private halves of all others."""
        now = await redis_ms(self._store)
        stored = known.get(key.kid.encode())
        made_ms = decode_json(stored, StoredKey).created_ms if stored else now
        seed = "" if self._own is not None else key.seed
        current = StoredKey(public=key.public, created_ms=made_ms, state="current")
        changes = [KeyChange(key.kid, encode_json(current), seed)]
        for kid, value in known.items():
            other = decode_json(value, StoredKey)
            if other.state == "current" and text(kid) != key.kid:
                retired = msgspec.structs.replace(other, state="retired", retired_ms=now)
                changes.append(KeyChange(text(kid), encode_json(retired)))
        return await change_keys(self._store, known, changes, _record(action, key.kid, actor))

    async def _view(self, kid: str) -> SigningKeyView:
        value = await self._store.redis.call("HGET", GlobalKeys.signing_keys, kid)
        return view_of(kid, decode_json(value, StoredKey))


def _record(action: str, kid: str, actor: str) -> Record:
    return Record(workspace="", actor=actor, action=action, decision="done", proof_id=kid)


def _contended() -> StoreUnavailable:
    return StoreUnavailable("the signing keys went on changing while they were being changed")
