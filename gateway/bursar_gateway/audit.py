"""The sealer: signs what was appended to the audit logs, every few seconds, of all workspaces.

No election: each gateway tries to take a lock for a round. Two rounds at once would seal nothing
twice, they would only waste a little work. Workspaces where nothing happens cost one read inside a
script for hundreds of them.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence

import msgspec

from bursar.audit.chain import INSTALLATION
from bursar.audit.entries import SYSTEM, Record
from bursar.audit.keyring import KeyRing
from bursar.audit.listing import readable
from bursar.audit.reading import as_seal, read_entries
from bursar.audit.sealing import Sealed, seal_log
from bursar.errors import BursarError, StoreUnavailable
from bursar.registry import redis_ms
from bursar.signing import PublicKeys, SigningKeys
from bursar.store.codec import encode_json, text
from bursar.store.keys import GlobalKeys
from bursar.store.scripts.audit import AuditLog, append, find_lagging
from bursar.store.store import Store

__all__ = ["Sealer", "SealingState", "read_sealing"]

logger = logging.getLogger(__name__)

_AT_ONCE = 8
_LOGS_A_SCRIPT = 500
_LOCK_SHARE = 0.9  # of the time between two rounds, so that the next one finds the lock free


class SealingState(msgspec.Struct, frozen=True):
    """What the last round of any gateway left behind.

    ``lag_ms`` is the age of the oldest entry without a seal, ``broken`` the number of logs that
    could not be sealed because something in them is wrong.
    """

    at_ms: int
    unsealed: int
    lag_ms: int
    broken: int


class Sealer:
    """Seals all logs. `run` must run beside it.

    Args:
        name: of this gateway, for whoever wonders which one sealed last.

    """

    def __init__(
        self, store: Store, signing: SigningKeys, public: PublicKeys, *, every_s: float, name: str
    ) -> None:
        self._store = store
        self._signing = signing
        self._public = public
        self._every_s = every_s
        self._name = name
        self._names: set[bytes] = set()
        self._shards: dict[int, list[AuditLog]] = {}
        self._revoked: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Work round by round until cancelled. Whatever goes wrong is logged, and tried again."""
        while True:
            try:
                await self.seal_all()
            except BursarError as error:
                logger.warning("audit logs were not sealed: %s", error)
            except Exception:
                logger.exception("audit logs were not sealed")
            await asyncio.sleep(self._every_s)

    async def seal_all(self) -> SealingState | None:
        """One round; None if another gateway is at it."""
        lock_ms = max(1, int(self._every_s * 1000 * _LOCK_SHARE))
        if not await self._store.redis.call(
            "SET", GlobalKeys.seal, self._name, "NX", "PX", lock_ms
        ):
            return None
        ring = await self.ring()
        await self._seal_anew(ring)
        lagging = await self._lagging()
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(log: AuditLog) -> Sealed:
            async with gate:
                try:
                    return await self.seal(log, ring)
                except StoreUnavailable as error:
                    # A node of a Cluster that is away must not hold up the logs on others.
                    return Sealed(0, problem=error.message)

        sealed = await asyncio.gather(*(one(log) for log in lagging))
        return await self._report(dict(zip(lagging, sealed, strict=True)))

    async def ring(self) -> KeyRing:
        """The public keys as they are now."""
        return KeyRing.of(await self._public.list_keys())

    async def seal(self, log: AuditLog, ring: KeyRing | None = None) -> Sealed:
        """Seal one log, now."""
        ring = ring or await self.ring()
        await self._signing.refresh()
        now = await redis_ms(self._store)
        sealed = await seal_log(self._store, log, self._signing.current, ring, now_ms=now)
        if sealed.problem:
            logger.error("the audit log of %s is not in order: %s", log.workspace, sealed.problem)
        return sealed

    async def _lagging(self) -> list[AuditLog]:
        await self._find_logs()
        installation = AuditLog.of(self._store, INSTALLATION)
        lots = [
            logs[first : first + _LOGS_A_SCRIPT]
            for logs in (*self._shards.values(), [installation])
            for first in range(0, len(logs), _LOGS_A_SCRIPT)
        ]
        counters = [[log.counter for log in lot] for lot in lots]
        answers = await asyncio.gather(
            *(find_lagging(self._store, some) for some in counters), return_exceptions=True
        )
        lagging = []
        for lot, found in zip(lots, answers, strict=True):
            if isinstance(found, StoreUnavailable):
                logger.warning("%d audit logs cannot be looked at: %s", len(lot), found)
            elif isinstance(found, BaseException):
                raise found
            else:
                lagging += [lot[at] for at, _, _ in found]
        return lagging

    async def _find_logs(self) -> None:
        names: set[bytes] = set(await self._store.redis.call("SMEMBERS", GlobalKeys.workspaces))
        if names == self._names:
            return
        shards: dict[int, list[AuditLog]] = defaultdict(list)
        for name in sorted(map(text, names)):
            shard = self._store.workspace(name).shard.shard
            shards[shard].append(AuditLog.of(self._store, name))
        self._names, self._shards = names, dict(shards)

    async def _seal_anew(self, ring: KeyRing) -> None:
        """Let a good key vouch for what a revoked one sealed last: an entry says so, and is sealed.

        From then on whoever has the revoked key cannot put another end in the place of that one.
        """
        if ring.revoked <= self._revoked:
            return
        heads = await self._store.redis.call("HGETALL", GlobalKeys.audit_heads)
        for name, raw in heads.items():
            seal = as_seal(raw)
            if seal is not None and seal.kid in ring.revoked:
                log = AuditLog.of(self._store, text(name))
                record = Record(
                    workspace=log.recorded_as,
                    actor=SYSTEM,
                    action="audit.reseal",
                    decision="done",
                    details={"revoked": seal.kid, "to_seq": seal.to_seq, "head": seal.head},
                )
                await append(self._store, log, record)
        self._revoked = ring.revoked

    async def _report(self, sealed: Mapping[AuditLog, Sealed]) -> SealingState:
        now = await redis_ms(self._store)
        wrong = {log: one for log, one in sealed.items() if one.problem}
        left = [await self._left(log, one) for log, one in wrong.items()]
        oldest = [at_ms for _, at_ms in left if at_ms]
        state = SealingState(
            at_ms=now,
            unsealed=sum(count for count, _ in left),
            lag_ms=max(0, now - min(oldest)) if oldest else 0,
            broken=len(wrong),
        )
        problems = {log.workspace: one.problem for log, one in wrong.items()}
        fields = {**msgspec.structs.asdict(state), "sealer": self._name}
        flat = [part for pair in fields.items() for part in pair]
        await self._store.redis.call(
            "HSET", GlobalKeys.audit_state, *flat, "problems", encode_json(problems)
        )
        return state

    async def _left(self, log: AuditLog, sealed: Sealed) -> tuple[int, int]:
        """How many entries have no seal, and when the oldest of them was written."""
        counted = text(await self._store.redis.call("HGET", log.counter, "audit_seq"))
        try:
            first = await read_entries(
                self._store, "XRANGE", log.entries, f"{sealed.to_seq + 1}-0", "+", "COUNT", 1
            )
        except BursarError:
            first = []
        at_ms = readable(log.workspace, first[0]).at_ms if first else 0
        return max(0, int(counted or 0) - sealed.to_seq), at_ms


async def read_sealing(store: Store) -> SealingState | None:
    """How sealing goes; None if no gateway ever did a round.

    A sealer that does not come any more is a lag, too.
    """
    names: Sequence[str] = SealingState.__struct_fields__
    values = await store.redis.call("HMGET", GlobalKeys.audit_state, *names)
    if values[0] is None:
        return None
    state = SealingState(*(int(text(value) or 0) for value in values))
    silent_ms = max(0, await redis_ms(store) - state.at_ms)
    return msgspec.structs.replace(state, lag_ms=max(state.lag_ms, silent_ms))
