"""Reads what a workspace's rules and grants are, and keeps it until something of it changes."""

import asyncio
from collections import OrderedDict

from bursar.clock import monotonic_s
from bursar.gate.allowances import decode_allowances
from bursar.gate.capabilities import decode_stored
from bursar.gate.snapshot import Snapshot
from bursar.registry import redis_ms
from bursar.signing import PublicKeys
from bursar.store.codec import text
from bursar.store.keys import GlobalKeys, WorkspaceKeys
from bursar.store.store import Store

__all__ = ["SnapshotReader"]

_MAX_KEPT = 1000


class SnapshotReader:
    """Reads snapshots of workspaces and trees, and keeps those it read last."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keys = PublicKeys(store)
        self._kept: OrderedDict[tuple[str, str], Snapshot] = OrderedDict()

    async def read(
        self, workspace: WorkspaceKeys, root: str, *, max_age_s: float | None = None
    ) -> Snapshot:
        """Return what holds in a workspace and the tree of ``root``.

        Args:
            max_age_s: A kept one may be so old; None takes one of any age, because whoever starts
                a call by it is told if it is out of date.

        """
        place = (workspace.id, root)
        kept = self._kept.get(place)
        if kept is not None and (max_age_s is None or kept.age_s <= max_age_s):
            self._kept.move_to_end(place)
            if kept.capabilities:
                # The end of a key raises no workspace's version.
                await self._keys.refresh()
            return kept
        fresh = await self._read(workspace, root)
        self._kept[place] = fresh
        if len(self._kept) > _MAX_KEPT:
            self._kept.popitem(last=False)
        return fresh

    async def _read(self, workspace: WorkspaceKeys, root: str) -> Snapshot:
        call = self._store.redis.call
        # The version first: what is newer than it only makes the start of a call look again.
        version = call("HGET", workspace.hash, "gate_version")
        now = redis_ms(self._store)
        keys = (
            workspace.policies,
            workspace.allowances,
            workspace.session(root).allowances,
            workspace.capabilities,
            workspace.used,
            workspace.revoked,
        )
        generation = call("HGET", GlobalKeys.install, "generation")
        read = [call("HGETALL", key) for key in keys]
        replies = await asyncio.gather(version, now, generation, *read)
        await self._keys.refresh()
        # Of a store that lost data: what was approved before has to be approved again, once.
        self._store.generation = int(text(replies[2]) or self._store.generation)
        policies, of_workspace, of_tree, capabilities, used, revoked = replies[3:]
        allowances = decode_allowances(of_workspace, of_tree)
        return Snapshot(
            version=text(replies[0]) or "0",
            policies=policies,
            allowances=tuple(allowance for allowance, _ in allowances),
            capabilities=tuple(
                decode_stored(
                    capabilities,
                    workspace=workspace.id,
                    keys=self._keys,
                    used=used,
                    revoked=revoked,
                )
            ),
            read_ms=replies[1],
            read_s=monotonic_s(),
        )
