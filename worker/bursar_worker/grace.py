"""Whether sessions may be taken over now.

After an outage of Redis, a change of its primary or a jump of its clock, leases look older than
they are: their drives could not renew, but they are well and come back within a second. So for the
time of one lease nobody is taken over.
"""

import logging

from bursar.clock import monotonic_s

__all__ = ["Grace"]

_JUMP_S = 1.0  # how far Redis's clock and ours may drift apart between two looks

logger = logging.getLogger(__name__)


class Grace:
    """One a worker, which asks it before each take-over."""

    def __init__(self, lease_ms: int) -> None:
        self._lease_s = lease_ms / 1000
        self._until_s = float("-inf")
        self._offset_s: float | None = None
        self._connects: int | None = None

    @property
    def is_over(self) -> bool:
        return monotonic_s() >= self._until_s

    def begin(self, why: str) -> None:
        if self.is_over:
            logger.warning("no take-overs for %g s: %s", self._lease_s, why)
        self._until_s = monotonic_s() + self._lease_s

    def observe(self, redis_ms: int, connects: int) -> None:
        """Compare with the last look: Redis's clock, and how often we had to connect to it."""
        offset_s = redis_ms / 1000 - monotonic_s()
        if self._offset_s is not None and abs(offset_s - self._offset_s) > _JUMP_S:
            self.begin("the clock of Redis has jumped")
        if self._connects is not None and connects != self._connects:
            self.begin("the connection to Redis was lost")
        self._offset_s, self._connects = offset_s, connects
