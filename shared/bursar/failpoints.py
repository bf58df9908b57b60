"""Places at which a test makes a process die, stop, fail or fall asleep. Otherwise they do nothing.

``BURSAR_FAILPOINTS=C7=kill@3,C11=sleep:0.5`` kills the process when it comes to C7 for the third
time, and holds up its event loop for half a second each time that it comes to C11. In production
the variable is refused.
"""

import os
import re
import signal
import time
from collections.abc import Callable

from bursar.errors import InvalidInput
from bursar.settings import Settings

__all__ = ["POINTS", "FailpointError", "arm", "disarm", "failpoint"]

POINTS = {
    "C0": "gateway, before an input is put",
    "C1": "gateway, an input is put and rung for, the client does not know",
    "C2": "gateway, an input is put, nobody was told",
    "C3": "worker, a bell was heard, no lease yet",
    "C4": "worker, the lease is taken, nothing was read",
    "C5": "worker, a step begins",
    "C6": "worker, a model call is paid for and not sent",
    "C7": "worker, a model answers",
    "C8": "worker, an answer is whole and not recorded",
    "C9": "worker, an answer is recorded, its tools have not begun",
    "C10": "worker, a tool call is intended and not sent",
    "C11": "worker, a tool call is sent and has not begun",
    "C12": "worker, a tool has run, its result is not recorded",
    "C13": "worker, a result is recorded",
    "C14": "worker, a turn is parked",
    "C15": "worker, sub-agents are opened and nobody was told",
    "C16": "worker, a turn has ended",
    "C17": "gateway, a webhook is due and not sent",
    "C18": "gateway, a part of a job's inputs is to be written",
    "C19": "gateway, a job's inputs are all there, it is not started",
    "C20": "worker, more items of a job are to be opened",
}
"""Where a process may be lost, in the order of a turn's way."""

_SPEC = re.compile(
    r"(?P<point>\w+)=(?P<action>kill|stop|raise|sleep)(?::(?P<seconds>\d+(?:\.\d+)?))?"
    r"(?:@(?P<nth>[1-9]\d*))?"
)
_armed: dict[str, Callable[[], None]] = {}


class FailpointError(Exception):
    """What the action ``raise`` raises."""


def failpoint(name: str) -> None:
    """Do what a test has armed this point with."""
    action = _armed.get(name)
    if action is not None:
        action()


def arm(settings: Settings) -> None:
    """Arm the points that the settings name.

    Raises:
        InvalidInput: it says no such point or action, or this is production.

    """
    if not settings.failpoints:
        return
    if settings.env == "production":
        raise InvalidInput("not in production", field="BURSAR_FAILPOINTS")
    wanted = {}
    for part in settings.failpoints.split(","):
        match = _SPEC.fullmatch(part.strip())
        if match is None or match["point"] not in POINTS:
            raise InvalidInput(
                f"expected {', '.join(POINTS)} = kill, stop, raise or sleep:<seconds>, with @<nth> "
                f"if not each time; got {part!r}",
                field="BURSAR_FAILPOINTS",
            )
        act = _action(match["action"], float(match["seconds"] or 1))
        wanted[match["point"]] = _each(act, int(match["nth"] or 0))
    _armed.update(wanted)


def disarm() -> None:
    _armed.clear()


def _action(name: str, seconds: float) -> Callable[[], None]:
    if name == "kill":
        return lambda: os.kill(os.getpid(), signal.SIGKILL)
    if name == "stop":
        return lambda: os.kill(os.getpid(), signal.SIGSTOP)
    if name == "sleep":
        return lambda: time.sleep(seconds)
    return _fail


def _fail() -> None:
    raise FailpointError("a failpoint is armed here")


def _each(act: Callable[[], None], nth: int) -> Callable[[], None]:
    """Act each time, or only the nth time."""
    passed = 0

    def count() -> None:
        nonlocal passed
        passed += 1
        if nth in {0, passed}:
            act()

    return count
