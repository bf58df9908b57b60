"""What ``bursar dev`` does: keep an installation up until a signal."""

import signal
import sys
import threading
from pathlib import Path
from types import FrameType

from bursar.cli.supervisor import Installation

__all__ = ["serve"]

_TEND_EVERY_S = 0.25


def serve(
    *, port: int, workers: int, data: Path | None, agents: str, redis_url: str, verbose: bool
) -> None:
    """Run until SIGINT or SIGTERM.

    Raises:
        BursarError: it cannot start, or one of its processes cannot be kept up.

    """
    stopping = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    # A flag instead of an exception: nothing is interrupted halfway and no process is forgotten.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    installation = Installation(
        workers=workers,
        port=port,
        data=data,
        agents=agents,
        redis_url=redis_url,
        verbose=verbose,
        say=_say,
        stopping=stopping,
    )
    try:
        with installation:
            print(f"ready {installation.url} key={installation.key}", flush=True)
            _say(f"logs are in {installation.logs}; Ctrl-C stops")
            while not stopping.wait(_TEND_EVERY_S):
                installation.tend()
            _say("stopping")
    except KeyboardInterrupt:
        _say("stopped before it was ready")


def _say(line: str) -> None:
    print(f"bursar: {line}", file=sys.stderr, flush=True)
