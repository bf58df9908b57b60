"""Reserve and commit over four accounts: session, parent, user, workspace.

Three figures, taken in turn in each round, so that a machine that slows down slows all of them:
pairs a second from one process against what the server could do at most, which is one second over
the time that it says the two scripts take; that time itself; and a reserve against a script that
does nothing, one at a time over a raw socket.
"""

import argparse
import asyncio
import itertools
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import uvloop
from hiredis import Reader, pack_command

from bench.report import Bar, median, percentile, report
from bench.trees import Spender, claim, open_tree, put_turn
from bursar.embedded import EmbeddedServer
from bursar.ids import new_id, new_secret
from bursar.settings import Settings
from bursar.store.opening import open_store
from bursar.store.scripts.loader import Script
from bursar.store.scripts.sessions import open_workspace
from bursar.store.store import Store

WORKSPACE, USER = "default", "ada"
PLENTY = 10**12
LEASE_MS = 10**9
"""Nobody renews the lease here."""
COST, ACTUAL = 500, 400
SECRET = new_secret()
NO_OP = "#!lua\nreturn 1"


@dataclass
class Found:
    """One value a round."""

    pairs_s: list[float] = field(default_factory=list)
    ceiling_s: list[float] = field(default_factory=list)
    reserve_us: list[float] = field(default_factory=list)
    end_us: list[float] = field(default_factory=list)
    pair_us: list[float] = field(default_factory=list)
    single_s: list[float] = field(default_factory=list)
    no_op_s: list[float] = field(default_factory=list)


class OneAtATime:
    """Commands over a socket of their own: what is left is Redis and the way to it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname or "", parts.port or 6379))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = Reader()

    def call(self, *command: Any) -> Any:
        return self._exchange(pack_command(command))

    def rate(self, commands: Sequence[tuple[Any, ...]]) -> float:
        """Commands a second, each sent when the one before it was answered."""
        packed = [pack_command(command) for command in commands]
        began = time.perf_counter()
        replies = [self._exchange(command) for command in packed]
        took_s = time.perf_counter() - began
        if any(isinstance(reply, Exception) for reply in replies):
            raise RuntimeError(str(replies[0]))
        return len(commands) / took_s

    def _exchange(self, packed: bytes) -> Any:
        self._socket.sendall(packed)
        while True:
            self._reader.feed(self._socket.recv(65536))
            reply = self._reader.gets()
            if reply is not False:
                return reply

    def close(self) -> None:
        self._socket.close()


class Recorder(Store):
    """Runs nothing, to learn which commands typed calls would send."""

    commands: list[tuple[Any, ...]]

    async def run(
        self, script: Script, keys: Sequence[str], args: Iterable[Any], **_: Any
    ) -> list[Any]:
        self.commands.append(("EVALSHA", script.sha(shebang=True), len(keys), *keys, *args))
        return ["ok", b"0"]


async def reserve_commands(spender: Spender, numbers: Iterable[int]) -> list[tuple[Any, ...]]:
    recorder = Recorder(spender.store.redis, spender.store.settings, generation=0, pepper="")
    recorder.commands = []
    aside = replace(spender, store=recorder)
    for number in numbers:
        await aside.reserve(number, COST, secret=SECRET)
    return recorder.commands


async def in_flight(count: int, work: Callable[[], Awaitable[None]]) -> float:
    """Seconds until so many callers, that each call again and again, have found no more to do."""
    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(count)))
    return time.perf_counter() - began


async def script_us(store: Store) -> float:
    """Server time of scripts since the last reset, in all."""
    stats = await store.redis.call("INFO", "commandstats")
    return float(stats["cmdstat_evalsha"]["usec"])


async def apart(
    spender: Spender, numbers: Iterator[int], pairs: int, callers: int, found: Found
) -> None:
    """All reserves, then all commits, so that the server tells their times apart."""
    store = spender.store
    left = iter(range(pairs))
    held: list[int] = []

    async def reserve() -> None:
        for _ in left:
            number = next(numbers)
            await spender.reserve(number, COST, secret=SECRET)
            held.append(number)

    async def commit() -> None:
        while held:
            await spender.commit(held.pop(), ACTUAL, secret=SECRET)

    for work, times in ((reserve, found.reserve_us), (commit, found.end_us)):
        await store.redis.call("CONFIG", "RESETSTAT")
        await in_flight(callers, work)
        times.append(await script_us(store) / pairs)


async def together(
    spender: Spender, numbers: Iterator[int], pairs: int, callers: int, found: Found
) -> None:
    """A reserve and its commit, as a worker does."""
    left = iter(range(pairs))

    async def pair() -> None:
        for _ in left:
            number = next(numbers)
            await spender.reserve(number, COST, secret=SECRET)
            await spender.commit(number, ACTUAL, secret=SECRET)

    await spender.store.redis.call("CONFIG", "RESETSTAT")
    took_s = await in_flight(callers, pair)
    used_us = await script_us(spender.store) / pairs
    found.pairs_s.append(pairs / took_s)
    found.pair_us.append(used_us)
    found.ceiling_s.append(1e6 / used_us)


async def alone(spender: Spender, url: str, numbers: Iterator[int], count: int) -> list[float]:
    """Reserves and scripts that do nothing, in turn, one in flight: each a second."""
    link = OneAtATime(url)
    sha = link.call("SCRIPT", "LOAD", NO_OP).decode()
    rates = []
    for _ in range(2):
        commands = await reserve_commands(spender, itertools.islice(numbers, count))
        rates.append([link.rate(commands), link.rate([("EVALSHA", sha, 0)] * count)])
    link.close()
    return [median(each) for each in zip(*rates, strict=True)]


async def measure(url: str, rounds: int, pairs: int, callers: int) -> Found:
    store = await open_store(Settings(redis_url=url))
    await open_workspace(store, WORKSPACE, limit=str(PLENTY), warn_percent=80, settings={})
    sids = (new_id("ses"), new_id("ses"))
    await open_tree(store, WORKSPACE, sids, user=USER, limit=PLENTY)
    turn = await put_turn(store, WORKSPACE, sids[-1], user=USER)
    spender = await claim(
        store, WORKSPACE, sids, turn, user=USER, owner=new_secret(), lease_ms=LEASE_MS
    )
    numbers = itertools.count(1)
    await together(spender, numbers, pairs // 2, callers, Found())
    found = Found()
    for _ in range(rounds):
        await apart(spender, numbers, pairs, callers, found)
        await together(spender, numbers, pairs, callers, found)
        single, no_op = await alone(spender, url, numbers, pairs // 4)
        found.single_s.append(single)
        found.no_op_s.append(no_op)
    await store.aclose()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--pairs", type=int, default=2000, help="in each round")
    parser.add_argument("--callers", type=int, default=64, help="pairs in flight")
    options = parser.parse_args()
    with EmbeddedServer() as server:
        found = uvloop.run(measure(server.url, options.rounds, options.pairs, options.callers))
    share = median([a / b for a, b in zip(found.pairs_s, found.ceiling_s, strict=True)])
    # What disturbs a server only adds to its times.
    pair_us = percentile(found.pair_us, 25)
    single = median([a / b for a, b in zip(found.single_s, found.no_op_s, strict=True)])
    report(
        "ledger",
        0,
        [
            (
                f"pairs/s from one process, {options.callers} in flight",
                f"{median(found.pairs_s):,.0f}",
            ),
            ("the server's own ceiling, pairs/s", f"{median(found.ceiling_s):,.0f}"),
            ("server time of a reserve, p25", f"{percentile(found.reserve_us, 25):.1f} µs"),
            ("server time of a commit, p25", f"{percentile(found.end_us, 25):.1f} µs"),
            ("server time of a pair, p50", f"{median(found.pair_us):.1f} µs"),
            ("reserves/s, one in flight", f"{median(found.single_s):,.0f}"),
            ("scripts that do nothing/s, one in flight", f"{median(found.no_op_s):,.0f}"),
        ],
        [
            Bar("P3", "pairs/s / the server's ceiling", round(share, 2), "≥ 0.85", share >= 0.85),
            Bar("P3", "server time of a pair, p25, µs", round(pair_us, 1), "≤ 100", pair_us <= 100),
            Bar("P3", "reserve / no-op, one in flight", round(single, 2), "≥ 0.25", single >= 0.25),
        ],
    )


if __name__ == "__main__":
    main()
