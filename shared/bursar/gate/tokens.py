"""Capabilities as text: JSON Web Tokens of one kind, signed with Ed25519, in one spelling each.

The algorithm is fixed, the header says no more than which key it was, and a token that is written
in any other way than the one it was signed in is none: nobody gets a second token out of one by
changing bits that do not matter.
"""

import base64
import re
from typing import Literal

import jwt
import msgspec

from bursar.errors import Denied
from bursar.gate.grants import PathGrant
from bursar.signing import PublicKey, SigningKey

__all__ = [
    "MAX_TOKEN_CHARS",
    "Claims",
    "denied",
    "parse",
    "sign",
    "verify_signature",
]

MAX_TOKEN_CHARS = 8192

_ALGORITHM = "EdDSA"
_TYPE = "bursar+cap"
_PART = re.compile(r"[A-Za-z0-9_-]+")
_JWS = jwt.PyJWS(algorithms=[_ALGORITHM])


class Claims(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a token says, under the names of RFC 7519 where that has one. Times are in seconds.

    Args:
        subject: ``workspace``, ``tree:<root>`` or ``session:<root>/<session>``: whose calls.
        patterns: of the actions that it permits.
        single_use: for one call in all, counting those of tokens that were derived from it.
        audit_seq: the entry of the workspace's audit log that approved it; 0 for none.
        approval: the question that it answered.
        manifest: hash of the tool as it was; another form of it is not meant.
        folder: the session's folder that its patterns are meant in; empty for any.
        outside: places outside of the session's folder that it opens.
        depth: how many times more something may be derived from it.
        ancestors: ids of the tokens that it was derived from, nearest first.
        parent: the token that it was derived from.
        created_by: who asked for it.

    """

    issuer: str = msgspec.field(name="iss")
    workspace: str = msgspec.field(name="aud")
    id: str = msgspec.field(name="jti")
    subject: str = msgspec.field(name="sub")
    issued_s: int = msgspec.field(name="iat")
    not_before_s: int = msgspec.field(name="nbf")
    expires_s: int = msgspec.field(name="exp")
    patterns: tuple[str, ...] = msgspec.field(name="res")
    single_use: bool = msgspec.field(name="once")
    audit_seq: int = msgspec.field(name="seq")
    approval: str = msgspec.field(name="apr")
    manifest: str = msgspec.field(name="man")
    folder: str = msgspec.field(name="dir", default="")
    outside: tuple[PathGrant, ...] = msgspec.field(name="out")
    depth: int = msgspec.field(name="dep")
    ancestors: tuple[str, ...] = msgspec.field(name="anc")
    parent: str = msgspec.field(name="par")
    created_by: str = msgspec.field(name="by")
    note: str


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    alg: Literal["EdDSA"]
    kid: str
    typ: Literal["bursar+cap"]


def denied(code: str, message: str) -> Denied:
    """Return the refusal of a token; ``code`` is the same for the same cause, everywhere."""
    error = Denied(message, code=f"capability_{code}")
    error.field = "token"
    return error


def sign(claims: Claims, key: SigningKey) -> str:
    payload = msgspec.json.encode(claims)
    headers = {"kid": key.kid, "typ": _TYPE}
    return _JWS.encode(payload, key.private, algorithm=_ALGORITHM, headers=headers)


def parse(token: str) -> tuple[str, Claims]:
    """Read the name of the key and what the token says. Nothing is proved by that.

    Raises:
        Denied: ``capability_malformed``; it is none, or spelled in another way than tokens are.

    """
    parts = token.split(".")
    if len(token) > MAX_TOKEN_CHARS or len(parts) != 3:
        raise denied("malformed", "this is not a capability's token")
    try:
        header, payload, _ = (_decoded(part) for part in parts)
        kid = msgspec.json.decode(header, type=_Header).kid
        claims = msgspec.json.decode(payload, type=Claims)
    except (ValueError, RecursionError) as error:
        raise denied("malformed", f"this is not a capability's token: {error}") from None
    return kid, claims


def verify_signature(token: str, key: PublicKey | None) -> None:
    """Check who signed a token.

    Raises:
        Denied: ``capability_unknown_key``, ``capability_key_revoked`` or ``capability_signature``.

    """
    if key is None:
        raise denied("unknown_key", "no key of this installation has the name that the token gives")
    if key.is_revoked:
        raise denied("key_revoked", f"the key {key.kid} that signed the token was revoked")
    try:
        _JWS.decode_complete(token, key.key, algorithms=[_ALGORITHM])
    except jwt.InvalidTokenError:
        raise denied("signature", "the token's signature is wrong: it was changed") from None


def _decoded(part: str) -> bytes:
    """Raises ``ValueError`` (msgspec's errors are such, too) for any spelling but the shortest."""
    if not _PART.fullmatch(part):
        raise ValueError("expected base64url")
    decoded = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if base64.urlsafe_b64encode(decoded).rstrip(b"=").decode() != part:
        raise ValueError("expected base64url without spare bits")
    return decoded
