"""From raising a budget to the turns that waited for it going on, each seen in its own stream.

Turns that do not fit wait at one workspace's account; then its limit is raised by HTTP, at another
gateway than the one that streams. Each takes from the moment the request is sent.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator

import uvloop

from bench.http import Connection
from bench.report import Bar, median, percentile, report
from bursar.cli.supervisor import Installation

_SHORT = 1  # micro-USD: pays for nothing
_ENOUGH = 10_000_000_000
_BAR_MS = 100


class Round:
    """Some turns of one workspace that wait for money."""

    def __init__(self, url: str, key: str, workspace: str) -> None:
        self._url, self._key = url, key
        self._prefix = f"/v1/workspaces/{workspace}"
        self._workspace = workspace
        self._waiting = 0
        self._resumed_s: list[float] = []

    async def run(self, other_url: str, turns: int) -> list[float]:
        """Milliseconds from the raise to each turn that goes on."""
        admin = Connection(other_url, self._key)
        await admin.request(
            "POST", "/v1/workspaces", {"id": self._workspace, "limit_microusd": _SHORT}
        )
        async with asyncio.TaskGroup() as group:
            for _ in range(turns):
                group.create_task(self._talk())
            while self._waiting < turns:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.2)
            raised_s = time.perf_counter()
            await admin.request("PATCH", f"{self._prefix}/budget", {"limit_microusd": _ENOUGH})
        await admin.aclose()
        return [(each - raised_s) * 1000 for each in self._resumed_s]

    async def _talk(self) -> None:
        connection = Connection(self._url, self._key)
        session = await connection.request("POST", f"{self._prefix}/sessions", {"agent": "echo"})
        path = f"{self._prefix}/sessions/{session['id']}/turns"
        kinds: AsyncIterator[str] = connection.stream(path, {"input": "hi"})
        async for kind in kinds:
            self._waiting += kind == "turn.waiting"
            if kind == "turn.resumed":
                self._resumed_s.append(time.perf_counter())
        await connection.aclose()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--turns", type=int, default=10, help="that wait together")
    options = parser.parse_args()
    found: list[float] = []
    with (
        Installation(workers=2) as site,
        Installation(workers=0, redis_url=site.redis_url, key=site.key, workspace="") as other,
    ):
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", flush=True)
            waiting = Round(site.url, site.key, f"purse-{number}")
            found += uvloop.run(waiting.run(other.url, options.turns))
    worst = max(found)
    report(
        "purse",
        0,
        [
            ("turns that waited", str(len(found))),
            ("raise → turn goes on, p50", f"{median(found):.1f} ms"),
            ("raise → turn goes on, p99", f"{percentile(found, 99):.1f} ms"),
        ],
        [
            Bar(
                "purse",
                "raise → turn goes on, longest, ms",
                round(worst, 1),
                f"≤ {_BAR_MS}",
                worst <= _BAR_MS,
            )
        ],
    )


if __name__ == "__main__":
    main()
