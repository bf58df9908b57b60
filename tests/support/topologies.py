"""Servers that belong together: a primary with replicas, Sentinels over it, a Cluster."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import redis

from bursar.embedded import EmbeddedServer, find_server, free_port

__all__ = ["SERVICE", "ClusterServers", "Replicated", "SentinelProcess", "ask", "paused", "until"]

SERVICE = "purse"
_SLOTS = 16_384


def until(what: str, happened: Callable[[], Any], *, timeout_s: float = 20.0) -> Any:
    """Poll until something is so. What cannot be asked yet is not so."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            found = happened()
        except redis.RedisError:
            found = None
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"within {timeout_s:g} s there was no {what}")


@contextmanager
def paused(server: EmbeddedServer) -> Iterator[None]:
    """A server that is there and says nothing."""
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


class SentinelProcess(EmbeddedServer):
    """Watches over a primary; starts with the file that it keeps its own notes in."""

    def __init__(self, folder: Path, primary_port: int, *, service: str = SERVICE) -> None:
        folder.mkdir(parents=True)
        (folder / "sentinel.conf").write_text(
            f"sentinel monitor {service} 127.0.0.1 {primary_port} 2\n"
            f"sentinel down-after-milliseconds {service} 1000\n"
            f"sentinel failover-timeout {service} 4000\n"
            f"sentinel parallel-syncs {service} 2\n"
        )
        super().__init__(data=folder)

    def command(self) -> list[str]:
        conf = str(self.folder / "sentinel.conf")
        where = ("--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder))
        return [find_server(), conf, "--sentinel", *where]


class Replicated:
    """A primary and its replicas, all writing each change to disk; Sentinels if asked for."""

    def __init__(
        self, folder: Path, *, replicas: int, sentinels: int = 0, extra: tuple[str, ...] = ()
    ) -> None:
        self._stack = ExitStack()
        options = ("--appendfsync", "always", "--repl-diskless-sync-delay", "0", *extra)
        self.primary = self._start(EmbeddedServer(data=folder / "primary", extra=options))
        follow = ("--replicaof", "127.0.0.1", str(self.primary.port))
        self.replicas = [
            self._start(EmbeddedServer(data=folder / f"replica{i}", extra=(*options, *follow)))
            for i in range(replicas)
        ]
        self.sentinels = [
            self._start(SentinelProcess(folder / f"sentinel{i}", self.primary.port))
            for i in range(sentinels)
        ]
        with self._stack.pop_all() as started:
            self._wait_until_joined()
            self._stack = started.pop_all()

    def _start(self, server: EmbeddedServer) -> EmbeddedServer:
        self._stack.callback(server.stop)
        return server

    def _wait_until_joined(self) -> None:
        until("replica in step", partial(_has_replicas, self.primary.port, len(self.replicas)))
        for sentinel in self.sentinels:
            until("Sentinel that knows all", partial(self._knows_all, sentinel.port))

    def _knows_all(self, port: int) -> bool:
        with closing(_client(port)) as client:
            state = client.sentinel_masters()[SERVICE]
        others = len(self.sentinels) - 1
        return bool(
            state["num-other-sentinels"] == others and state["num-slaves"] == len(self.replicas)
        )

    @property
    def url(self) -> str:
        """By way of the Sentinels if there are any."""
        if not self.sentinels:
            return self.primary.url
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{SERVICE}/0"

    def stop(self) -> None:
        self._stack.close()


class ClusterServers:
    """A Cluster of three primaries, each with a replica if asked for."""

    def __init__(
        self, folder: Path, *, replicas: bool = False, extra: tuple[str, ...] = ()
    ) -> None:
        self._stack = ExitStack()
        self._folder = folder
        self._extra = extra
        self.nodes = [self._start(i) for i in range(6 if replicas else 3)]
        with self._stack.pop_all() as started:
            self._join()
            if replicas:
                self._assign_replicas()
            self._stack = started.pop_all()

    def _start(self, number: int) -> EmbeddedServer:
        options = (
            *("--cluster-enabled", "yes", "--cluster-port", str(free_port())),
            *("--cluster-node-timeout", "1000", "--cluster-require-full-coverage", "no"),
            *("--appendfsync", "always", "--repl-diskless-sync-delay", "0", *self._extra),
        )
        node = EmbeddedServer(data=self._folder / f"node{number}", extra=options)
        self._stack.callback(node.stop)
        return node

    def _join(self) -> None:
        share = _SLOTS // 3
        for i, node in enumerate(self.primaries):
            last = _SLOTS - 1 if i == 2 else (i + 1) * share - 1
            self.ask(node, "CLUSTER", "ADDSLOTSRANGE", i * share, last)
        for i, node in enumerate(self.nodes, 1):
            self.ask(node, "CLUSTER", "SET-CONFIG-EPOCH", i)
            bus = self.ask(node, "CONFIG", "GET", "cluster-port")[1]
            self.ask(self.nodes[0], "CLUSTER", "MEET", "127.0.0.1", node.port, bus)
        for node in self.nodes:
            until("node that knows all", partial(self._is_whole, node))

    def _is_whole(self, node: EmbeddedServer) -> bool:
        info = self.ask(node, "CLUSTER", "INFO")
        return b"cluster_state:ok" in info and b"known_nodes:%d\r" % len(self.nodes) in info

    def _assign_replicas(self) -> None:
        for primary, replica in zip(self.primaries, self.nodes[3:], strict=True):
            mine = self.ask(primary, "CLUSTER", "MYID")
            until(
                "replica that knows its primary",
                partial(self.ask, replica, "CLUSTER", "REPLICATE", mine),
            )
        for primary in self.primaries:
            until("replica in step", partial(_has_replicas, primary.port, 1))

    @property
    def primaries(self) -> list[EmbeddedServer]:
        """As they were at first."""
        return self.nodes[:3]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.primaries)

    def ask(self, node: EmbeddedServer, *command: Any) -> Any:
        return ask(node.port, *command)

    def owner(self, key: str) -> EmbeddedServer:
        """The node that has a key's slot now, by what the first one says."""
        slot = self.ask(self.nodes[0], "CLUSTER", "KEYSLOT", key)
        for first, last, (_, port, *_), *_ in self.ask(self.nodes[0], "CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == port)
        raise AssertionError(f"nobody has slot {slot}")

    def empty(self) -> None:
        for node in self.primaries:
            self.ask(node, "FLUSHALL")

    def stop(self) -> None:
        self._stack.close()


def ask(port: int, *command: Any) -> Any:
    """One command on a connection of its own; the reply as it came."""
    with closing(_client(port)) as client:
        client.response_callbacks.clear()
        return client.execute_command(*command)


def _client(port: int) -> Any:
    return redis.Redis(port=port, socket_timeout=5)


def _has_replicas(port: int, count: int) -> bool:
    info = ask(port, "INFO", "replication")
    return b"connected_slaves:%d\r" % count in info and ask(port, "WAIT", count, 100) == count
