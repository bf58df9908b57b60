"""Waiting for something to become true, with a deadline and a name for it."""

import time
from collections.abc import Callable

from bursar.client import Client

__all__ = ["ended", "wait_for"]


def wait_for(condition: Callable[[], bool], what: str, *, timeout_s: float = 10.0) -> None:
    """Poll until ``condition`` holds; fail the test, naming ``what``, when it takes too long."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s:g} s for {what}"
        time.sleep(0.01)


def ended(client: Client, turn: str) -> bool:
    return client.get_turn(turn).ended
