"""What ends with a session: its open questions, and what was allowed or given to it."""

from bursar.gate import approvals, capability_views, granting
from bursar.gate.closing import close
from bursar.store.codec import text, text_list
from bursar.store.keys import SessionKeys
from bursar.store.store import Store

__all__ = ["clear_up"]


async def clear_up(store: Store, session: SessionKeys) -> None:
    """End all of it. Again, it changes nothing."""
    ws = session.workspace
    root = text(await store.redis.call("HGET", session.hash, "root"))
    ids = text_list(await store.redis.call("SMEMBERS", session.approvals))
    for question in await approvals.list_of(store, ws, ids):
        await close(store, session, question, "cancelled", "the session has ended")
    if root:
        await granting.end_of_session(store, ws, session.id, root)
        await capability_views.end_of_session(store, ws, session.id, root)
