"""What a call through the gate costs when nobody has to be asked: server time and round trips.

The worker's own gatekeeper admits calls, as many at a time as a step may have, by each of the
things that a call can rest on. Commands are counted where they leave the process.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from bench.gate.desk import Desk, opened
from bursar.embedded import EmbeddedServer
from bursar.gate import granting, minting
from bursar.gate.granting import NewAllowance
from bursar.gate.terms import NewCapability

__all__ = ["CASES", "Case", "Cost", "measure"]

_STEP_CALLS = 32
_KEYS_READ_EVERY_S = 0.5  # who verifies a capability looks at the signing keys so often
_BY = "key:bench"
_FREE = ("tool://local/free", "tool://local/paid")


@dataclass(frozen=True)
class Case:
    """What lets the calls of ``tool`` through."""

    tool: str = "free"
    allow: Sequence[str] = ()
    prepare: Callable[[Desk], Awaitable[object]] | None = None
    reads_keys: bool = False


def _allowance(max_uses: int | None = None) -> Callable[[Desk], Awaitable[object]]:
    async def prepare(desk: Desk) -> object:
        wish = NewAllowance(pattern="tool://local/*", max_uses=max_uses)
        return await granting.allow(desk.store, desk.workspace, wish, by=_BY)

    return prepare


async def _capability(desk: Desk) -> object:
    wish = NewCapability(patterns=("tool://local/*",))
    return await minting.mint(desk.store, desk.workspace, desk.signing, wish, by=_BY)


async def _one_among_many(desk: Desk) -> object:
    for number in range(100):
        wish = NewAllowance(pattern=f"tool://local/other{number}", max_uses=3)
        await granting.allow(desk.store, desk.workspace, wish, by=_BY)
    return await _allowance(10**9)(desk)


CASES = {
    "policy": Case(allow=_FREE),
    "policy, with a hold": Case("paid", allow=_FREE),
    "allowance without a bound": Case(prepare=_allowance()),
    "allowance with a bound": Case(prepare=_allowance(10**9)),
    "allowance with a bound, with a hold": Case("paid", prepare=_allowance(10**9)),
    "allowance, one among a hundred": Case(prepare=_one_among_many),
    "capability": Case(prepare=_capability, reads_keys=True),
    "capability, with a hold": Case("paid", prepare=_capability, reads_keys=True),
}


@dataclass
class Cost:
    """Of one case: a value a round, and how many commands went out for so many calls."""

    used_us: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    """Of this process."""
    calls: int = 0
    commands: int = 0
    """Without looks at the signing keys, as far as those are due."""
    key_reads: int = 0


async def measure(case: Case, *, rounds: int, steps: int) -> Cost:
    """So many rounds of so many steps, on a server of its own."""
    cost = Cost()
    with EmbeddedServer() as server:
        async with opened(server.url, allow=case.allow) as desk:
            if case.prepare is not None:
                await case.prepare(desk)
            await _step(desk, case, Cost())
            for _ in range(rounds):
                found = Cost()
                for _ in range(steps):
                    await _step(desk, case, found)
                cost.used_us.append(sum(found.used_us) / found.calls)
                cost.cpu_us.append(sum(found.cpu_us) / found.calls)
                cost.calls += found.calls
                cost.commands += found.commands
                cost.key_reads += found.key_reads
    return cost


async def _step(desk: Desk, case: Case, found: Cost) -> None:
    calls = await desk.intend(case.tool, _STEP_CALLS)
    await desk.reset()
    sent, began, cpu = desk.server.sent, time.monotonic(), time.process_time()
    for call in calls:
        if not await desk.admit(call):
            raise RuntimeError(f"the gate did not admit {call}")
    took_s, used_s = time.monotonic() - began, time.process_time() - cpu
    commands = desk.server.sent - sent
    due = int(took_s / _KEYS_READ_EVERY_S) + 1 if case.reads_keys else 0
    key_reads = min(due, commands - len(calls))
    found.used_us.append(await desk.used_us())
    found.cpu_us.append(used_s * 1e6)
    found.calls += len(calls)
    found.commands += commands - key_reads
    found.key_reads += key_reads
