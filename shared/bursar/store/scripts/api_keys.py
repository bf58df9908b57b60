"""The typed call of the script that adds API keys and takes them away."""

from bursar.audit.entries import Record
from bursar.store.keys import GlobalKeys
from bursar.store.scripts.loader import Script
from bursar.store.statuses import raise_for
from bursar.store.store import Store

__all__ = ["change_api_key"]

_CHANGE = Script("api_key_change")


async def change_api_key(store: Store, key_id: str, value: bytes, record: Record) -> None:
    """Store what is kept of a key, or take the key away (``value`` is empty).

    Raises:
        NotFound: there is no such key to be taken away (``key_not_found``).

    """
    keys = [GlobalKeys.api_keys, GlobalKeys.install, GlobalKeys.audit]
    reply = await store.run(_CHANGE, keys, [key_id, value, record.body])
    if reply[0] != "ok":
        raise_for(reply)
