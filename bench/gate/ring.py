"""Keys and tokens that need no server."""

import itertools
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from bursar.gate.capabilities import Capability, read_token
from bursar.gate.tokens import Claims, sign
from bursar.signing import PublicKey, SigningKey, SigningKeyView
from bursar.signing.public import unbase64

__all__ = ["ISSUER", "NOW_MS", "NOW_S", "Ring", "claims", "public_of"]

ISSUER = "bursar:1"
NOW_S = 1_800_000_000
NOW_MS = NOW_S * 1000

_numbers = itertools.count(1)


def public_of(key: SigningKey, state: Any = "current") -> PublicKey:
    view = SigningKeyView(kid=key.kid, public=key.public, state=state, created_ms=1)
    return PublicKey(view, Ed25519PublicKey.from_public_bytes(unbase64(key.public) or b""))


@dataclass
class Ring:
    """A key that signs, and what verifies beside it."""

    signing: SigningKey = field(default_factory=SigningKey.generate)
    issuer: str = ISSUER
    others: dict[str, PublicKey] = field(default_factory=dict)

    def known(self, kid: str) -> PublicKey | None:
        return self.others.get(kid) or {self.signing.kid: public_of(self.signing)}.get(kid)

    def revoking(self, key: SigningKey) -> "Ring":
        return replace(self, others=self.others | {key.kid: public_of(key, "revoked")})

    def mint(self, parent: Capability | None = None, **changes: Any) -> Capability:
        """A signed token with these claims, whatever they are."""
        said = claims(**changes)
        if parent is not None:
            said = msgspec.structs.replace(
                said,
                parent=parent.token,
                ancestors=(parent.id, *parent.chain),
                depth=changes.get("depth", max(0, parent.claims.depth - 1)),
            )
        return read_token(sign(said, self.signing))


def claims(**changes: Any) -> Claims:
    """What a token for reading everything in ``acme`` says, but for the changes."""
    said = Claims(
        issuer=ISSUER,
        workspace="acme",
        id=f"cap_{next(_numbers)}",
        subject="workspace",
        issued_s=NOW_S,
        not_before_s=NOW_S,
        expires_s=NOW_S + 3600,
        patterns=("file+read://**",),
        single_use=False,
        audit_seq=7,
        approval="",
        manifest="",
        outside=(),
        depth=4,
        ancestors=(),
        parent="",
        created_by="key:k1",
        note="",
    )
    return msgspec.structs.replace(said, **changes)
