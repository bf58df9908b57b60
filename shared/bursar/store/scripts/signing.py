"""The typed call of the script that changes the keys which sign capabilities and seals."""

from collections.abc import Mapping, Sequence

import msgspec

from bursar.audit.entries import Record
from bursar.store.keys import GlobalKeys
from bursar.store.scripts.loader import Script
from bursar.store.store import Store

__all__ = ["KeyChange", "change_keys"]

_CHANGE = Script("signing_change")


class KeyChange(msgspec.Struct, frozen=True):
    """A key's new public record. ``secret``: its private half; empty drops the one there is."""

    kid: str
    value: bytes
    secret: str = ""


async def change_keys(
    store: Store, known: Mapping[bytes, bytes], changes: Sequence[KeyChange], record: Record
) -> bool:
    """Change keys; False, and nothing is changed, if they are not as ``known`` says any more."""
    names = [
        GlobalKeys.signing_keys,
        GlobalKeys.signing_secrets,
        GlobalKeys.install,
        GlobalKeys.audit,
    ]
    before = [part for pair in known.items() for part in pair]
    after = [part for one in changes for part in (one.kid, one.value, one.secret)]
    args = [len(known), *before, len(changes), *after, record.body]
    reply = await store.run(_CHANGE, names, args)
    return bool(reply[0] == "ok")
