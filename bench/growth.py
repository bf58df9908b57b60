"""What grows must not slow turns down: long conversations, many sessions, and memory for each.

A turn in a conversation of 10,000 messages against one of 10, the same where the model's window is
small and the long one is summarised on its first turn, and turns beside 100,000 idle
sessions against turns beside 100, alternately on the same workers. Then the memory that an idle
session takes in Redis once its event log has expired, by the server's own count.
"""

import argparse
import asyncio
import time
from typing import Any

import uvloop
from redis.asyncio import Redis

from bench.http import Connection
from bench.report import Bar, median, report
from bursar.cli.supervisor import Installation
from bursar.messages import AssistantMessage, UserMessage
from bursar.store.codec import encode_message
from bursar.store.keys import SessionKeys, WorkspaceKeys

PREFIX = "/v1/workspaces/default/sessions"
SHORT, LONG = 10, 10_000
FEW, MANY = 100, 100_000
WORDS = (
    "Some twenty words that stand for what people and agents say to each other, again and again. "
)


class Bench:
    def __init__(self, site: Installation) -> None:
        self.site = site
        self.redis: Redis = Redis.from_url(site.redis_url)
        self.connection = Connection(site.url, site.key)
        self.ws = WorkspaceKeys("default", 16)

    async def session(self, agent: str = "stub") -> SessionKeys:
        made = await self.connection.request("POST", PREFIX, {"agent": agent})
        return self.ws.session(made["id"])

    async def turn_ms(self, session: SessionKeys) -> float:
        began = time.perf_counter()
        path = f"{PREFIX}/{session.id}/turns"
        last = ""
        async for kind in self.connection.stream(path, {"input": "go on"}):
            last = kind
        if last != "turn.succeeded":
            raise RuntimeError(f"a turn ended with {last!r}")
        return (time.perf_counter() - began) * 1000

    async def fill(self, session: SessionKeys, messages: int) -> None:
        """Write a history as finished turns would have left it."""
        pair = [
            encode_message(UserMessage(WORDS)),
            encode_message(AssistantMessage(WORDS)),
        ]
        for _ in range(messages // 200):
            await self.redis.rpush(session.messages, *(pair * 100))  # type: ignore[misc]
        if messages % 200:
            await self.redis.rpush(session.messages, *(pair * (messages % 200 // 2)))  # type: ignore[misc]
        await self.redis.hset(session.hash, "message_count", messages)  # type: ignore[misc, arg-type]

    async def alternate(self, one: SessionKeys, other: SessionKeys, count: int) -> list[float]:
        """Medians of turns in two sessions that take turns."""
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(count):
            for session, found in zip((one, other), times, strict=True):
                found.append(await self.turn_ms(session))
                await asyncio.sleep(0.005)
        return [median(found[count // 5 :]) for found in times]

    async def histories(self, agent: str, messages: int, count: int) -> list[float]:
        """Medians of turns after few messages and after many; the first of each come before."""
        short, long = await self.session(agent), await self.session(agent)
        await self.fill(short, SHORT)
        await self.fill(long, messages)
        for session in (short, long):
            await self.turn_ms(session)
        return await self.alternate(short, long, count)

    async def compactions(self) -> int:
        """How often a context was summarised, as the ledger says."""
        entries = await self.redis.xrange(self.ws.ledger)
        return sum(fields[b"kind"].startswith(b"compact:") for _, fields in entries)

    async def add_sessions(self, count: int) -> None:
        """Open idle sessions through the API, many at once."""
        left = iter(range(count))

        async def open_some(connection: Connection) -> None:
            for _ in left:
                await connection.request("POST", PREFIX, {"agent": "stub", "user": f"u{_ % 5000}"})

        connections = [Connection(self.connection.url, self.connection.key) for _ in range(16)]
        await asyncio.gather(*map(open_some, connections))
        for connection in connections:
            await connection.aclose()

    async def memory(self) -> int:
        return int((await self.redis.info("memory"))["used_memory"])

    async def drop(self, pattern: str) -> int:
        """Delete what would have expired; returns the memory that this gave back."""
        before = await self.memory()
        async for key in self.redis.scan_iter(match=pattern, count=1000):
            await self.redis.delete(key)
        return before - await self.memory()

    async def bytes_a_session(self, count: int) -> dict[str, float]:
        """Memory for each of ``count`` sessions that had one turn."""
        left = iter(range(count))

        async def open_and_use(bench: "Bench") -> None:
            for _ in left:
                await bench.turn_ms(await bench.session())

        before = await self.memory()
        await asyncio.gather(*(open_and_use(Bench(self.site)) for _ in range(8)))
        await asyncio.sleep(2)
        parts = {
            "event log, lives 1 h": await self.drop("*:events"),
            "hold, lives 15 min": await self.drop("*:hold:*"),
            "messages": await self.drop("*:messages"),
            "ledger entry": await self.drop("*:ledger"),
            "audit entries and seals": await self.drop("*:audit*"),
        }
        parts["idle session"] = await self.memory() - before
        parts["of that its turn's record, lives 7 days"] = await self.drop("*:t:*")
        return {name: size / count for name, size in parts.items()}


async def measure(site: Installation, options: argparse.Namespace) -> dict[str, Any]:
    bench, count = Bench(site), options.count
    sizes = await bench.bytes_a_session(options.memory_sessions)
    print("histories …", flush=True)
    histories = await bench.histories("stub", options.messages, count)
    print("histories, summarised …", flush=True)
    before = await bench.compactions()
    summarised = await bench.histories("brief", options.messages, count)
    compactions = await bench.compactions() - before
    if not compactions:
        raise RuntimeError("nothing was summarised")
    print(f"{options.sessions:,} sessions …", flush=True)
    probe = await bench.session()
    await bench.add_sessions(FEW)
    beside: tuple[list[float], list[float]] = ([], [])
    beside[0].extend([await bench.turn_ms(probe) for _ in range(count)])
    await bench.add_sessions(options.sessions)
    beside[1].extend([await bench.turn_ms(probe) for _ in range(count)])
    await bench.connection.aclose()
    await bench.redis.aclose()
    return {
        "sizes": sizes,
        "histories": histories,
        "summarised": summarised,
        "compactions": compactions,
        "beside": [median(found[count // 5 :]) for found in beside],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--messages", type=int, default=LONG)
    parser.add_argument("--sessions", type=int, default=MANY)
    parser.add_argument("--memory-sessions", type=int, default=4000)
    options = parser.parse_args()
    with Installation(workers=2, agents="bench.agents") as site:
        found = uvloop.run(measure(site, options))
    histories, summarised, beside = found["histories"], found["summarised"], found["beside"]
    longer, shortened, more = (each[1] / each[0] for each in (histories, summarised, beside))
    sizes, long = found["sizes"], f"{options.messages:,} messages"
    idle = sizes["idle session"]
    rows = [(f"bytes: {name}", f"{size:,.0f}") for name, size in sizes.items()]
    rows += [
        (f"turn after {SHORT} messages, p50", f"{histories[0]:.2f} ms"),
        (f"turn after {long}, p50", f"{histories[1]:.2f} ms"),
        (f"small window, turn after {SHORT} messages, p50", f"{summarised[0]:.2f} ms"),
        (f"small window, turn after {long}, p50", f"{summarised[1]:.2f} ms"),
        ("small window, contexts summarised on the way", f"{found['compactions']}"),
        (f"turn beside {FEW} sessions, p50", f"{beside[0]:.2f} ms"),
        (f"turn beside {options.sessions:,} sessions, p50", f"{beside[1]:.2f} ms"),
    ]
    report(
        "growth",
        0,
        rows,
        [
            Bar("P7", f"{long} / {SHORT}", round(longer, 2), "≤ 2", longer <= 2),
            Bar("P7", "the same, summarised", round(shortened, 2), "≤ 2", shortened <= 2),
            Bar("P7", f"{options.sessions:,} sessions / 100", round(more, 2), "≤ 1.1", more <= 1.1),
            Bar("P7", "bytes an idle session", round(idle), "≤ 2048", idle <= 2048),
        ],
    )


if __name__ == "__main__":
    main()
