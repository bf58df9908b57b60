"""May this drive start something that has an effect?

Redis fences every write of a drive that has lost its lease, but nothing fences a call to a model
or a tool. So a drive starts none unless its lease is fresh: if it was not renewed for most of its
time, another worker may be about to take the session over. A later renewal lets it go on.
"""

import asyncio

from bursar.clock import monotonic_s

__all__ = ["Authority"]

_FRESH = 0.6  # of a lease's time; the rest is for what was started on time to begin elsewhere


class Authority:
    """One a drive.

    Args:
        lease_ms: the lease's whole time.
        since_s: monotonic time before the claim was sent, so that the reply's way counts, too.

    """

    def __init__(self, lease_ms: int, since_s: float) -> None:
        self._fresh_s = lease_ms / 1000 * _FRESH
        self._since_s = since_s
        self._renewed = asyncio.Event()

    @property
    def is_fresh(self) -> bool:
        return monotonic_s() - self._since_s < self._fresh_s

    def renew(self, since_s: float) -> None:
        """The lease was renewed by a call that was sent at this monotonic time."""
        self._since_s = max(self._since_s, since_s)
        self._renewed.set()

    async def require(self) -> None:
        """Wait until the lease is fresh. A drive that is fenced meanwhile is stopped in here."""
        while not self.is_fresh:
            self._renewed.clear()
            await self._renewed.wait()
