"""The keys that sign capabilities and audit seals: Ed25519, told apart by ``kid``.

Gateways sign, so they alone have private halves: one made at the first start and kept in Redis, or
``BURSAR_SIGNING_KEY``, of which nothing private is stored. Everybody verifies with the public
halves. One key is *current*; those before it are *retired* and go on verifying until they are
*revoked*, which ends all that they ever signed, everywhere within a second.
"""

from bursar.signing.private import SigningKey, SigningKeys
from bursar.signing.public import (
    MAX_AGE_S,
    KeyState,
    KnownKeys,
    PublicKey,
    PublicKeys,
    SigningKeyView,
)

__all__ = [
    "MAX_AGE_S",
    "KeyState",
    "KnownKeys",
    "PublicKey",
    "PublicKeys",
    "SigningKey",
    "SigningKeyView",
    "SigningKeys",
]
