"""The typed call of the script that accepts a changed tool of an MCP server."""

from bursar.audit.entries import Record
from bursar.store.keys import GlobalKeys
from bursar.store.scripts.loader import Script
from bursar.store.statuses import raise_for
from bursar.store.store import Store

__all__ = ["accept"]

_ACCEPT = Script("manifest_accept")


async def accept(
    store: Store, field: str, *, expected: bytes, accepted: bytes, record: Record
) -> None:
    """Record a tool as it was seen, with an entry in the installation's audit log.

    Args:
        field: ``<agent>/<server>/<tool>``.
        expected: what stands in the record of what was seen.

    Raises:
        Conflict: nothing is there to accept (``manifest_not_changed``), or it changed once more
            since it was looked at (``manifest_changed``).

    """
    keys = [GlobalKeys.manifests, GlobalKeys.manifests_seen, GlobalKeys.install, GlobalKeys.audit]
    reply = await store.run(_ACCEPT, keys, [field, expected, accepted, record.body])
    if reply[0] != "ok":
        raise_for(reply)
