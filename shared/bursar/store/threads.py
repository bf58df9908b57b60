"""Running scripts from a thread of its own, such as the heartbeat's: each call waits for its reply.

What goes to one server travels in one pipeline. A server that does not answer costs its own calls
only, and is asked last the next time, so that its timeout holds up nobody else's.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, ReadOnlyError, RedisError
from redis.retry import Retry
from redis.sentinel import Sentinel

from bursar.store.codec import text
from bursar.store.scripts.loader import Script
from bursar.store.slots import Redirect, SlotMap, slot_of_command
from bursar.store.topology import Address, Topology

__all__ = ["ScriptCall", "ThreadClient", "connect_thread"]

ScriptCall = tuple[Sequence[str], Sequence[str | int]]
"""KEYS and ARGV."""


class ThreadClient(Protocol):
    def run_each(self, script: Script, calls: Sequence[ScriptCall]) -> list[Any]:
        """A reply for each call, or in its place the error that it met."""
        ...

    def close(self) -> None: ...


def connect_thread(url: str, *, timeout_s: float) -> ThreadClient:
    """A client for what a URL stands for; it connects when it is first used."""
    topology = Topology.parse(url)
    if topology.kind == "cluster":
        return _ThreadCluster(topology, timeout_s)
    if topology.kind == "standalone":
        return _ThreadServer(_redis(url, timeout_s))
    watch: Any = Sentinel([])  # type: ignore[no-untyped-call]
    watch.sentinels = [
        _redis(topology.sentinel_url(node), timeout_s / 2) for node in topology.nodes
    ]
    any_server = _redis(topology.server_url(topology.nodes[0]), timeout_s)
    options = dict(any_server.connection_pool.connection_kwargs)
    del options["host"], options["port"]
    tls = any_server.connection_pool.connection_class is redis.SSLConnection
    return _ThreadServer(watch.master_for(topology.service, ssl=tls, **options))


def _redis(url: str, timeout_s: float) -> redis.Redis:
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry_on_timeout=False,
        retry=Retry(NoBackoff(), 0),
    )


class _ThreadServer:
    def __init__(self, client: Any) -> None:
        self.client = client

    def run_each(self, script: Script, calls: Sequence[ScriptCall]) -> list[Any]:
        replies = self._run(script, calls)
        forgotten = [i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if forgotten:
            # The server restarted; NOSCRIPT means that nothing ran.
            try:
                self.client.script_load(script.text(shebang=True))
            except (RedisError, OSError) as error:
                return [error if i in forgotten else reply for i, reply in enumerate(replies)]
            again = self._run(script, [calls[i] for i in forgotten])
            for i, reply in zip(forgotten, again, strict=True):
                replies[i] = reply
        return replies

    def _run(self, script: Script, calls: Sequence[ScriptCall]) -> list[Any]:
        pipeline = self.client.pipeline(transaction=False)
        for keys, args in calls:
            pipeline.execute_command("EVALSHA", script.sha(shebang=True), len(keys), *keys, *args)
        try:
            replies: list[Any] = pipeline.execute(raise_on_error=False)
        except (RedisError, OSError) as error:
            return [error] * len(calls)
        if any(isinstance(reply, ReadOnlyError) for reply in replies):
            # A primary that is none any more: the next connection finds the one that is.
            self.client.connection_pool.disconnect()
        return replies

    def close(self) -> None:
        self.client.close()


class _ThreadCluster:
    def __init__(self, topology: Topology, timeout_s: float) -> None:
        self._topology = topology
        self._timeout_s = timeout_s
        self._servers: dict[Address, _ThreadServer] = {}
        self._map = SlotMap()
        self._stale = True
        self._slow: set[Address] = set()

    def run_each(self, script: Script, calls: Sequence[ScriptCall]) -> list[Any]:
        replies: list[Any] = [None] * len(calls)
        if self._stale:
            try:
                self._map = self._ask_for_map()
            except RedisError as error:
                return [error] * len(calls)
            self._stale = False
        parts: dict[Address, list[int]] = {}
        for i, (keys, _) in enumerate(calls):
            owner = self._map.owner(slot_of_command(("GET", keys[0])))
            if owner is None:
                self._stale = True
                replies[i] = RedisError("no node of the Cluster serves that slot now")
            else:
                parts.setdefault(owner, []).append(i)
        for address in sorted(parts, key=lambda each: each in self._slow):
            answers = self._server(address).run_each(script, [calls[i] for i in parts[address]])
            for i, answer in zip(parts[address], answers, strict=True):
                replies[i] = answer
            self._note(address, answers)
        return replies

    def _note(self, address: Address, answers: Sequence[Any]) -> None:
        lost = [a for a in answers if isinstance(a, RedisError | OSError)]
        self._stale = self._stale or bool(lost)
        if lost and Redirect.of(lost[0]) is None:
            self._slow.add(address)
        else:
            self._slow.discard(address)

    def _server(self, address: Address) -> _ThreadServer:
        if address not in self._servers:
            url = self._topology.server_url(address)
            self._servers[address] = _ThreadServer(_redis(url, self._timeout_s))
        return self._servers[address]

    def _ask_for_map(self) -> SlotMap:
        known = dict.fromkeys([*self._map.owners, *self._topology.nodes])
        last: Exception = RedisError("no node is known")
        for address in sorted(known, key=lambda each: each in self._slow):
            try:
                reply = self._server(address).client.execute_command("CLUSTER", "SLOTS")
            except (RedisError, OSError) as error:
                self._slow.add(address)
                last = error
                continue
            found = SlotMap.read(reply, address)
            if found.owners:
                return found
        raise RedisError(f"the Cluster does not say who serves what: {text(str(last))}")

    def close(self) -> None:
        for server in self._servers.values():
            server.close()
