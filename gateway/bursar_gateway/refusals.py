"""Refused logins, in the installation's audit log: counted, so that guessing does not flood it."""

import asyncio
import logging
import re

from bursar.audit.chain import INSTALLATION
from bursar.audit.entries import SYSTEM, Record
from bursar.errors import BursarError
from bursar.store.scripts.audit import AuditLog, append
from bursar.store.store import Store

__all__ = ["Refusals"]

logger = logging.getLogger(__name__)

_PAUSE_S, _PAUSE_MAX_S = 1.0, 60.0
_NAMED = 5  # addresses and keys that an entry names; the count is of all
_KEY = re.compile(r"bk_([0-9a-z]{1,64})_")


class Refusals:
    """Counts what this gateway refuses. `run` must run beside it.

    The first one is recorded at once, those after it together: at most one entry a second, and
    fewer while they do not end.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._count = 0
        self._addresses: set[str] = set()
        self._keys: set[str] = set()
        self._some = asyncio.Event()

    def note(self, address: str, token: str) -> None:
        """A request came without a valid key. Nothing secret of ``token`` is kept."""
        self._count += 1
        found = _KEY.match(token)
        for names, name in ((self._addresses, address), (self._keys, found[1] if found else "")):
            if name and len(names) < _NAMED:
                names.add(name)
        self._some.set()

    async def run(self) -> None:
        """Record until cancelled."""
        pause_s = _PAUSE_S
        while True:
            try:
                await asyncio.wait_for(self._some.wait(), pause_s)
            except TimeoutError:
                pause_s = _PAUSE_S  # It has become quiet.
                await self._some.wait()
            await self.flush()
            await asyncio.sleep(pause_s)
            pause_s = min(_PAUSE_MAX_S, pause_s * 2)

    async def flush(self) -> None:
        """Record what was counted; what could not be recorded is kept for the next time."""
        if not self._count:
            return
        count, addresses, keys = self._count, sorted(self._addresses), sorted(self._keys)
        record = Record(
            workspace="",
            actor=SYSTEM,
            action="login.refused",
            decision="deny",
            details={"count": count, "addresses": addresses, "keys": keys},
        )
        try:
            await append(self._store, AuditLog.of(self._store, INSTALLATION), record)
        except BursarError as error:
            logger.warning("%d refused logins are not on record yet: %s", count, error)
            return
        self._count -= count
        self._addresses.clear()
        self._keys.clear()
        if not self._count:
            self._some.clear()
