"""A worker container's health: exits with 0 if the worker of this host is alive, else with 1.

Each worker writes to Redis every few seconds that it lives. One whose event loop is stuck stops
doing so, although its process is still there. What is wrong goes to standard error.
"""

import asyncio
import socket
import sys

from bursar.errors import BursarError
from bursar.registry import list_workers
from bursar.settings import WorkerSettings
from bursar.store.redis import connect
from bursar.store.store import Store

__all__ = ["main"]


async def _announced(settings: WorkerSettings, host: str) -> bool:
    client = connect(settings.redis_url, timeout_s=settings.redis_timeout_s)
    try:
        store = Store(client, settings, generation=0, pepper="")
        return any(worker.host == host for worker in await list_workers(store))
    finally:
        await client.aclose()


def main() -> int:
    host = socket.gethostname()
    try:
        if asyncio.run(_announced(WorkerSettings(), host)):
            return 0
    except BursarError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stderr.write(f"no worker on {host} has announced itself in the last seconds\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
