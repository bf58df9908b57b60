"""Typed call of the script that puts timers off."""

from bursar.store.codec import text
from bursar.store.keys import WorkspaceKeys
from bursar.store.scripts.loader import Script
from bursar.store.store import Store

__all__ = ["defer_timer"]

_DEFER = Script("timer_defer")


async def defer_timer(store: Store, workspace: WorkspaceKeys, member: str, *, for_ms: int) -> bool:
    """Take a due timer for a while; False if somebody else has, or it is gone.

    It is due again after that, should its taker not have removed it.
    """
    reply = await store.run(_DEFER, [workspace.shard.timers], [member, for_ms])
    return text(reply[0]) == "ok"
