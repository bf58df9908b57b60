"""The kill switch of a workspace: stop everything in it, now, and let nothing start.

It is recorded first: from then on inputs are refused and sessions are not claimed. Then all open
turns are cancelled, by whoever threw the switch and, should that one die on the way, by the
sweeper, for which a timer stays until nothing is open any more.
"""

import asyncio
from collections.abc import Sequence

from bursar.audit.entries import SYSTEM
from bursar.errors import Conflict
from bursar.ids import check_workspace
from bursar.inbox import Inputs, check_reason
from bursar.store.codec import text, text_list
from bursar.store.keys import WorkspaceKeys
from bursar.store.scripts.sessions import kill_workspace
from bursar.store.store import Store
from bursar.workspaces import WorkspaceView, change, get

__all__ = ["kill", "revive", "sweep_killed"]

_OPEN = ("running", "waiting", "queued")
_AT_ONCE = 100
_SAMPLE = 200  # sessions in each state that one sweep looks at


async def kill(
    store: Store, inputs: Inputs, workspace: str, reason: str, *, actor: str = SYSTEM
) -> WorkspaceView:
    """Throw the switch and cancel what is open. Running calls stop within a second or two."""
    ws = store.workspace(check_workspace(workspace))
    await kill_workspace(store, ws, check_reason(reason), actor=actor)
    for state in _OPEN:
        sids = text_list(await store.redis.call("ZRANGE", ws.sessions_in_state(state), 0, -1))
        await _cancel(inputs, ws, sids, reason)
    return await get(store, workspace)


async def revive(store: Store, workspace: str, *, actor: str = SYSTEM) -> WorkspaceView:
    """Take inputs again and let sessions run.

    Raises:
        Conflict: it was not killed (``workspace_alive``).

    """
    if not (await get(store, workspace)).killed:
        raise Conflict("the workspace was not killed", code="workspace_alive")
    alive = {"killed": 0, "paused": 0}
    return await change(store, workspace, alive, actor=actor, action="workspace.revive")


async def sweep_killed(store: Store, inputs: Inputs, workspace: str) -> None:
    """Cancel some of what is still open, and forget the workspace once nothing is.

    A random part of it, so that sessions whose worker takes its time do not hide the others.
    """
    ws = store.workspace(workspace)
    killed, reason = map(text, await store.redis.call("HMGET", ws.hash, "killed", "kill_reason"))
    samples = [
        store.redis.call("ZRANDMEMBER", ws.sessions_in_state(state), _SAMPLE) for state in _OPEN
    ]
    sids = [sid for sample in samples for sid in text_list(await sample)]
    if killed != "1" or not sids:
        await store.redis.call("ZREM", ws.shard.timers, ws.kill_timer)
    else:
        await _cancel(inputs, ws, sids, reason)


async def _cancel(inputs: Inputs, ws: WorkspaceKeys, sids: Sequence[str], reason: str) -> None:
    for start in range(0, len(sids), _AT_ONCE):
        part = sids[start : start + _AT_ONCE]
        await asyncio.gather(*(inputs.cancel_session(ws.session(sid), reason) for sid in part))
