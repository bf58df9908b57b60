"""What a workspace's rules and grants were at one moment, as a worker keeps them.

Every change of a policy, an allowance or a capability raises the workspace's ``gate_version``. The
script that starts a call compares it with that of the snapshot which the call was judged by, so a
decision never rests on what is not in force any more. A call costs no reading as long as nothing
changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bursar.clock import monotonic_s
from bursar.gate.allowances import Allowance

if TYPE_CHECKING:
    from bursar.gate.capabilities import StoredCapability

__all__ = ["NOTHING_GRANTED", "Snapshot"]


@dataclass(frozen=True)
class Snapshot:
    """``policies`` is the workspace's hash of them, read by `bursar.gate.policies`."""

    version: str = "0"
    policies: Mapping[bytes, bytes] = field(default_factory=dict)
    allowances: tuple[Allowance, ...] = ()
    capabilities: "tuple[StoredCapability, ...]" = ()
    read_ms: int = 0
    read_s: float = 0.0

    @property
    def now_ms(self) -> int:
        """Redis time, going on from when this was read."""
        return self.read_ms + int((monotonic_s() - self.read_s) * 1000)

    @property
    def age_s(self) -> float:
        return monotonic_s() - self.read_s


NOTHING_GRANTED = Snapshot()
