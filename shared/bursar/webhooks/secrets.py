"""What messages are signed with. Both ends have it, so gateways keep it as it is."""

import base64
import secrets

import msgspec

from bursar.store.codec import decode_json, encode_json

__all__ = ["KEEP_MS", "Secrets", "new_secret"]

KEEP_MS = 86_400_000
"""How long the old secret of an endpoint goes on signing beside the new one."""
_BYTES = 32


def new_secret() -> str:
    """A secret in the form of Standard Webhooks."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(_BYTES)).decode()


class Secrets(msgspec.Struct, frozen=True, omit_defaults=True):
    """Those of one endpoint. ``previous`` is valid until then as well."""

    current: str
    previous: str = ""
    previous_until_ms: int = 0

    @classmethod
    def decode(cls, stored: bytes) -> "Secrets":
        return decode_json(stored, cls)

    def encode(self) -> bytes:
        return encode_json(self)

    def valid(self, now_ms: int) -> list[str]:
        """What a message has to be signed with now, the newest first."""
        old = self.previous and now_ms < self.previous_until_ms
        return [self.current, self.previous] if old else [self.current]

    def rotated(self, now_ms: int) -> "Secrets":
        return Secrets(new_secret(), self.current, now_ms + KEEP_MS)
