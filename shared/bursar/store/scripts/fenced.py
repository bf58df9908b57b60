"""Running a script under a lease.

A caller that lost a reply repeats the call with the same lease: `Lease.append_no` makes Redis
answer the repeat without applying it twice.
"""

from typing import Any

from bursar.leases import Lease
from bursar.store.codec import text
from bursar.store.scripts.loader import Script
from bursar.store.statuses import raise_for
from bursar.store.store import Store

__all__ = ["note_waiting", "run_fenced"]

_WROTE = {"ok", "repeat", "not_queued", "merged"}
_LEFT = {
    "more",
    "fits",
    "not_waiting",
    "injected",
    "blocked",
    "stale",
    "void",
    "too_many",
    "refused",
    "children",
}
"""Answers of a script that wrote nothing, which its caller deals with."""


async def run_fenced(
    store: Store,
    lease: Lease,
    script: Script,
    keys: list[str],
    args: list[Any],
    *,
    durably: bool = False,
) -> list[Any]:
    """Run a fenced script under the lease's next number; raise on ``fenced`` and other refusals."""
    number = lease.append_no + 1
    fenced = [lease.epoch, lease.owner, number, *args]
    reply = await store.run(script, keys, fenced, durably=durably)
    if reply[0] in _WROTE:
        lease.append_no = number
    elif reply[0] not in _LEFT:
        raise_for(reply)
    return reply


def note_waiting(lease: Lease, names: Any) -> None:
    """Money came free at accounts where turns wait for it."""
    if text(names):
        lease.freed.update(text(names).split(","))
