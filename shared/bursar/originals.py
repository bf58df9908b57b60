"""What is read of a session that is copied, whether into a fork or into a document."""

from typing import Any

import msgspec

from bursar.budgets.accounts import AccountView, read_accounts
from bursar.errors import NotFound
from bursar.sessions import locate
from bursar.store.codec import decode_json, text
from bursar.store.keys import SessionKeys
from bursar.store.store import Store

__all__ = ["Original", "read_original"]


class Original(msgspec.Struct, frozen=True):
    """A session's hash and its long texts as they are stored, and its account."""

    keys: SessionKeys
    fields: dict[str, str]
    texts: dict[str, str]
    account: AccountView

    @property
    def tags(self) -> tuple[str, ...]:
        return tuple(tag for tag in self.fields["tags"].split(",") if tag)

    @property
    def custom(self) -> dict[str, Any]:
        return decode_json(self.texts.get("custom") or "{}", dict[str, Any])

    def number(self, field: str) -> int:
        """A number of the hash; 0 if it is not there."""
        return int(self.fields.get(field) or 0)


async def read_original(store: Store, workspace: str, sid: str) -> Original:
    """Raises `NotFound` (``session_not_found``)."""
    keys = locate(store, workspace, sid)
    # Text first: were the context cleared in between, a summary would be of no context at all.
    texts = store.redis.call("HGETALL", keys.text)
    hashed = store.redis.call("HGETALL", keys.hash)
    found, fields = _decoded(await texts), _decoded(await hashed)
    if not fields:
        raise NotFound("no such session in this workspace", code="session_not_found")
    (account,) = await read_accounts(store, workspace, [f"s:{keys.id}"])
    return Original(keys, fields, found, account)


def _decoded(reply: dict[bytes, bytes]) -> dict[str, str]:
    return {text(name): text(value) for name, value in reply.items()}
