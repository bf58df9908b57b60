"""Whole turns a second: HTTP in, hold, model stub, commit, events, terminal event on the stream.

One gateway, two workers, 20 sessions at once, an embedded server. The anchor is stock arq with two
workers and jobs that do nothing, alternately in the same run.
"""

import argparse
import asyncio
import time

import uvloop

from bench.http import Connection
from bench.report import Bar, median, report
from bench.stock_arq import jobs_per_second
from bursar.cli.supervisor import Installation
from bursar.embedded import EmbeddedServer

TERMINAL = "turn.succeeded"


async def turns_per_second(url: str, key: str, *, sessions: int, seconds: float) -> float:
    """Each session sends its next input as soon as the last turn's terminal event is here."""
    done = 0
    deadline = time.perf_counter() + seconds

    async def converse() -> None:
        nonlocal done
        connection = Connection(url, key)
        prefix = "/v1/workspaces/default/sessions"
        session = await connection.request("POST", prefix, {"agent": "echo"})
        while time.perf_counter() < deadline:
            last = ""
            async for kind in connection.stream(
                f"{prefix}/{session['id']}/turns", {"input": "hello there"}
            ):
                last = kind
            if last != TERMINAL:
                raise RuntimeError(f"a turn ended with {last!r}")
            done += 1
            if done % 200 == 0:
                # History grows with each turn; real sessions clear or end.
                await connection.request("POST", f"{prefix}/{session['id']}/clear", {})
        await connection.aclose()

    began = time.perf_counter()
    await asyncio.gather(*(converse() for _ in range(sessions)))
    return done / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=600)
    options = parser.parse_args()
    turns: list[float] = []
    jobs: list[float] = []
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}: turns …", flush=True)
        with Installation(workers=options.workers) as site:
            ways = {"sessions": options.sessions, "seconds": options.seconds}
            uvloop.run(turns_per_second(site.url, site.key, sessions=10, seconds=1))
            turns.append(uvloop.run(turns_per_second(site.url, site.key, **ways)))
        print(f"  {turns[-1]:,.0f}/s; stock arq …", flush=True)
        with EmbeddedServer() as server:
            jobs.append(
                uvloop.run(jobs_per_second(server.url, workers=options.workers, jobs=options.jobs))
            )
        print(f"  {jobs[-1]:,.0f} no-op jobs/s", flush=True)
    rate = median(turns)
    ratio = median([ours / theirs for ours, theirs in zip(turns, jobs, strict=True)])
    report(
        "turns",
        0,
        [("stock arq, no-op jobs/s, 2 workers", f"{median(jobs):,.0f}")],
        [
            Bar("P2", "whole turns/s", round(rate, 1), "≥ 500", rate >= 500),
            Bar("P2", "turns / stock arq's no-op jobs", round(ratio, 2), "≥ 2", ratio >= 2),
        ],
    )


if __name__ == "__main__":
    main()
