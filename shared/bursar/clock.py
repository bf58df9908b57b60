"""The two clocks of a process.

Deadlines that others read are Redis TIME, read inside the scripts. What stays in one process uses
these: wall clock for what is shown, monotonic for what is subtracted.
"""

import time

__all__ = ["monotonic_s", "wall_ms"]


def wall_ms() -> int:
    """Unix time in milliseconds. For display and logs; never subtract two of them."""
    return time.time_ns() // 1_000_000


def monotonic_s() -> float:
    """Seconds on a clock that never jumps. For timeouts, leases and durations."""
    return time.monotonic()
