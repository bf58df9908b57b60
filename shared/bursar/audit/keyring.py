"""The public keys that a verification believes, wherever they come from: no store is needed."""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping
from typing import Protocol

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from bursar.errors import InvalidInput

__all__ = ["KeyRing", "KeyView"]


class KeyView(Protocol):
    """A public key as it is listed. See `bursar.signing.SigningKeyView`."""

    @property
    def kid(self) -> str: ...

    @property
    def public(self) -> str: ...

    @property
    def state(self) -> str: ...


class _View(msgspec.Struct, frozen=True):
    kid: str
    public: str
    state: str


class KeyRing:
    """Public keys by their ids.

    A key that its id was not made of is none of them: it was put in another one's place.
    ``revoked`` ones are among them: what they sealed long ago holds as long as a good key has
    sealed what follows it, because that is linked to it.
    """

    def __init__(self, keys: Mapping[str, Ed25519PublicKey], revoked: Iterable[str] = ()) -> None:
        self._keys = dict(keys)
        self.revoked = frozenset(revoked)

    @classmethod
    def of(cls, views: Iterable[KeyView]) -> "KeyRing":
        """Raises `InvalidInput` for what is no public key."""
        listed = list(views)
        revoked = [view.kid for view in listed if view.state == "revoked"]
        return cls(_read_all((view.kid, view.public) for view in listed), revoked)

    @classmethod
    def read(cls, listed: bytes) -> "KeyRing":
        """Likewise, from JSON as the gateway lists them. Raises `ValueError` for anything else."""
        return cls.of(msgspec.json.decode(listed, type=list[_View]))

    @classmethod
    def of_texts(cls, keys: Mapping[str, str]) -> "KeyRing":
        """Likewise, from ids and base64url alone."""
        return cls(_read_all(keys.items()))

    def get(self, kid: str) -> Ed25519PublicKey | None:
        return self._keys.get(kid)

    def texts(self, kids: Iterable[str]) -> dict[str, str]:
        """Those of these keys that are known, in base64url."""
        return {
            kid: base64.urlsafe_b64encode(key.public_bytes_raw()).rstrip(b"=").decode()
            for kid in kids
            if (key := self._keys.get(kid)) is not None
        }


def _read_all(texts: Iterable[tuple[str, str]]) -> dict[str, Ed25519PublicKey]:
    found = {}
    for kid, text in texts:
        try:
            raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            key = Ed25519PublicKey.from_public_bytes(raw)
        except (binascii.Error, ValueError):
            raise InvalidInput(f"the key {kid} is no Ed25519 public key", field="keys") from None
        if kid == f"sk_{hashlib.sha256(raw).hexdigest()[:24]}":
            found[kid] = key
    return found
