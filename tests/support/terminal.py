"""A terminal with a command in it, and somebody who reads the screen and types."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

__all__ = ["Terminal"]

_PROGRAM = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # only so does Ctrl-C in this terminal become a signal
from bursar.cli.app import run
sys.exit(run())
"""
_STEERING = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """Runs ``bursar`` with a pseudo-terminal as its input and output, until the block's end.

    Attributes:
        raw: all that was written to the terminal, as it came.

    """

    def __init__(
        self, *argv: str, env: Mapping[str, str], columns: int = 100, term: str = "xterm"
    ) -> None:
        self.raw = ""
        self._seen = 0
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        kept = {k: v for k, v in os.environ.items() if k not in {"COLUMNS", "LINES", "NO_COLOR"}}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, *argv],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**kept, "TERM": term, **env},
            start_new_session=True,
        )
        os.close(theirs)

    @property
    def screen(self) -> str:
        """What was written, without what steers the terminal."""
        return _STEERING.sub("", self.raw).replace("\r\n", "\n")

    def expect(self, text: str, *, timeout_s: float = 20.0) -> str:
        """Wait until a text stands in what was written since the last text that was waited for."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            found = self.screen.find(text, self._seen)
            if found >= 0:
                before = self.screen[self._seen : found]
                self._seen = found + len(text)
                return before
            if not self._read(0.1) and self._process.poll() is not None:
                break
        raise AssertionError(f"no {text!r} after:\n{self.screen[self._seen :]}")

    def press(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def line(self, text: str = "") -> None:
        self.press(f"{text}\r")

    def ended(self, *, timeout_s: float = 20.0) -> int:
        """Wait for the command's end; returns its exit status."""
        deadline = time.monotonic() + timeout_s
        while self._process.poll() is None and time.monotonic() < deadline:
            self._read(0.1)
        while self._read(0.0):
            pass
        status = self._process.poll()
        assert status is not None, f"the command still runs after:\n{self.screen}"
        return status

    def terminate(self) -> None:
        """Ask the command to stop, as `kill` does."""
        self._process.terminate()

    def echoes(self) -> bool:
        """Whether the terminal shows what is typed by itself, as it does when nobody asks."""
        return bool(termios.tcgetattr(self._ours)[3] & termios.ECHO)

    def _read(self, timeout_s: float) -> bool:
        ready, _, _ = select.select([self._ours], [], [], timeout_s)
        if not ready:
            return False
        try:
            data = os.read(self._ours, 65536)
        except OSError:  # the other end is closed
            return False
        self.raw += data.decode(errors="replace")
        return bool(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.terminate()  # what it has started would outlive a kill
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(20)
            self._process.kill()
            self._process.wait()
        os.close(self._ours)
