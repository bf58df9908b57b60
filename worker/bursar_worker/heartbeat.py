"""Renews the leases of all drives from a thread of its own, with its own connection.

A thread, because a blocked event loop (a tool that computes, a slow import) must not cost a healthy
worker its sessions. Each reply also says how far the inbox has grown, so a drive hears of a cancel
within a second even when the direct poke was lost.
"""

import logging
import threading
from collections.abc import Callable
from typing import Any

from redis.exceptions import NoScriptError, RedisError

from bursar.leases import Lease
from bursar.settings import WorkerSettings
from bursar.store.codec import text
from bursar.store.redis import connect_blocking
from bursar.store.scripts.leases import RENEW, renew_command

__all__ = ["Heartbeat"]

_TIMEOUT_S = 1.0

logger = logging.getLogger(__name__)

Listener = Callable[[str, int], None]


class Heartbeat:
    """Renews whatever was added, until it is removed.

    A listener is called on the heartbeat's thread, with ``("ok", inbox_seq)`` or ``("fenced", 0)``.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._leases: dict[str, tuple[Lease, Listener]] = {}
        self._guard = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bursar-heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=2 * _TIMEOUT_S + self._settings.renew_every_s)

    def add(self, lease: Lease, listener: Listener) -> None:
        with self._guard:
            self._leases[lease.owner] = (lease, listener)

    def remove(self, lease: Lease) -> None:
        with self._guard:
            self._leases.pop(lease.owner, None)

    def _run(self) -> None:
        redis = connect_blocking(self._settings.redis_url, timeout_s=_TIMEOUT_S)
        while not self._stop.wait(self._settings.renew_every_s):
            with self._guard:
                current = list(self._leases.values())
            if not current:
                continue
            try:
                self._renew(redis, current)
            except (RedisError, OSError) as error:
                logger.warning("could not renew %d leases: %s", len(current), error)
        redis.close()

    def _renew(self, redis: Any, current: list[tuple[Lease, Listener]]) -> None:
        pipeline = redis.pipeline(transaction=False)
        for lease, _ in current:
            keys, args = renew_command(lease, lease_ms=self._settings.lease_ms)
            pipeline.execute_command("EVALSHA", RENEW.sha(shebang=True), len(keys), *keys, *args)
        replies = pipeline.execute(raise_on_error=False)
        if any(isinstance(reply, NoScriptError) for reply in replies):
            # The server restarted and forgot; nothing of these ran. The next beat renews.
            redis.script_load(RENEW.text(shebang=True))
            return
        for (_, listener), reply in zip(current, replies, strict=True):
            if isinstance(reply, Exception):
                logger.warning("a renewal was refused: %s", reply)
            else:
                status = text(reply[0])
                listener(status, int(reply[1]) if status == "ok" else 0)
