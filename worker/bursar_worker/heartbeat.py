"""Renews the leases of all drives from a thread of its own, with its own connection.

A thread, because a blocked event loop (a tool that computes, a slow import) must not cost a healthy
worker its sessions. Each answer also says how far the inbox has grown, so a drive hears of a cancel
within a second even when the direct poke was lost.
"""

import asyncio
import logging
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Protocol

from bursar.clock import monotonic_s
from bursar.leases import Lease
from bursar.settings import WorkerSettings
from bursar.store.codec import text
from bursar.store.scripts.leases import RENEW, renew_command
from bursar.store.threads import ThreadClient, connect_thread

__all__ = ["Heartbeat", "Listener"]

_TIMEOUT_S = 1.0
_AT_ONCE = 100  # leases a script call: keeps it well below a millisecond
_BLOCKED_S = 2.0  # from when on a silent event loop is worth a warning

logger = logging.getLogger(__name__)


class Listener(Protocol):
    """Who drives under a lease. Called on the event loop."""

    lease: Lease

    def renewed(self, inbox_seq: int, sent_s: float) -> None:
        """The lease was renewed by a call that was sent at this monotonic time."""

    def fence(self) -> None:
        """The lease is another's."""


class Heartbeat:
    """Renews whatever was added, until it is removed."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._listeners: dict[str, Listener] = {}
        self._guard = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bursar-heartbeat", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = 0
        self._loop_seen_s = 0.0
        self._warned = False

    def start(self) -> None:
        """Start renewing, for listeners of the event loop that runs now."""
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._loop_seen_s = monotonic_s()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=2 * _TIMEOUT_S + self._settings.renew_every_s)

    def add(self, listener: Listener) -> None:
        with self._guard:
            self._listeners[listener.lease.owner] = listener

    def remove(self, listener: Listener) -> None:
        with self._guard:
            self._listeners.pop(listener.lease.owner, None)

    def _run(self) -> None:
        redis = connect_thread(self._settings.redis_url, timeout_s=_TIMEOUT_S)
        while not self._stop.wait(self._settings.renew_every_s):
            self._watch_loop()
            with self._guard:
                current = list(self._listeners.values())
            if current:
                self._renew(redis, current)
        redis.close()

    def _renew(self, redis: ThreadClient, current: list[Listener]) -> None:
        batches = list(_batches(current))
        calls = [
            renew_command([listener.lease for listener in batch], lease_ms=self._settings.lease_ms)
            for batch in batches
        ]
        sent_s = monotonic_s()
        lost: Counter[str] = Counter()
        for batch, reply in zip(batches, redis.run_each(RENEW, calls), strict=True):
            if isinstance(reply, Exception):
                lost[str(reply)] += len(batch)
            else:
                self._tell(batch, [text(answer) for answer in reply[1]], sent_s)
        for why, count in lost.items():
            logger.warning("could not renew %d leases: %s", count, why)

    def _tell(self, batch: Sequence[Listener], answers: Sequence[str], sent_s: float) -> None:
        assert self._loop is not None  # noqa: S101
        for listener, answer in zip(batch, answers, strict=True):
            if answer == "fenced":
                self._loop.call_soon_threadsafe(listener.fence)
            else:
                self._loop.call_soon_threadsafe(listener.renewed, int(answer), sent_s)

    def _watch_loop(self) -> None:
        """Warn of a blocked event loop and say what it is at: its sessions stay, nothing moves."""
        assert self._loop is not None  # noqa: S101
        silent_s = monotonic_s() - self._loop_seen_s
        if silent_s > _BLOCKED_S + self._settings.renew_every_s and not self._warned:
            self._warned = True
            frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001
            where = "".join(traceback.format_stack(frame))
            logger.warning("the event loop has been blocked for %.1f s:\n%s", silent_s, where)
        self._loop.call_soon_threadsafe(self._loop_lives)

    def _loop_lives(self) -> None:
        self._loop_seen_s = monotonic_s()
        self._warned = False


def _batches(listeners: Sequence[Listener]) -> Iterator[list[Listener]]:
    """Listeners of one shard each, not too many."""

    def shard(listener: Listener) -> int:
        return listener.lease.session.workspace.shard.shard

    for _, group in groupby(sorted(listeners, key=shard), key=shard):
        same = list(group)
        for start in range(0, len(same), _AT_ONCE):
            yield same[start : start + _AT_ONCE]
