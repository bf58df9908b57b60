"""An audit log on a server with all that one does with it."""

from collections.abc import Mapping
from dataclasses import dataclass

from bursar.audit.entries import Record
from bursar.audit.exporting import export_log
from bursar.audit.keyring import KeyRing
from bursar.audit.reading import AuditState, read_seals, read_state
from bursar.audit.sealing import Sealed, seal_log
from bursar.audit.seals import Seal
from bursar.audit.verdicts import Verdict
from bursar.audit.verifying import Verifier
from bursar.signing import SigningKey
from bursar.store.scripts.audit import AuditLog, append
from bursar.store.store import Store

__all__ = ["Desk"]

SEALED_MS = 1_700_000_000_000


@dataclass
class Desk:
    store: Store
    log: AuditLog
    key: SigningKey
    ring: KeyRing

    async def write(self, count: int = 1, action: str = "x", session: str = "") -> None:
        record = Record(
            workspace=self.log.recorded_as, actor="key:ann", action=action, decision="done",
            session=session,
        )  # fmt: skip
        for _ in range(count):
            await append(self.store, self.log, record)

    async def seal(self, *, now_ms: int = SEALED_MS) -> Sealed:
        return await seal_log(self.store, self.log, self.key, self.ring, now_ms=now_ms)

    async def written(self, *batches: int) -> None:
        """Entries under a seal for each batch."""
        for count in batches:
            await self.write(count)
            assert (await self.seal()).problem == ""

    async def state(self) -> AuditState:
        return await read_state(self.store, self.log)

    async def seals(self) -> list[Seal]:
        return await read_seals(self.store, self.log, after=0, limit=1000)

    async def export(self, *, unsealed: bool = False) -> list[bytes]:
        chunks = [
            chunk
            async for chunk in export_log(
                self.store, self.log, self.key, self.ring, unsealed=unsealed
            )
        ]
        return b"".join(chunks).splitlines()

    async def verify(self, heads: Mapping[int, str] | None = None) -> Verdict:
        verifier = Verifier(self.ring, heads=heads)
        for line in await self.export(unsealed=True):
            verifier.feed(line)
        return verifier.finish()
