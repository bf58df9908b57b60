"""The person at the terminal: a line that is asked for while other things go on, and taken back.

`input` would block until somebody presses Enter. Here, keys are read while events of a stream come
in by other threads, both from one place to wait at, and a prompt can be put away at any time.
"""

import codecs
import contextlib
import os
import re
import select
import signal
import sys
import termios
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from rich.cells import cell_len

__all__ = ["Failed", "Keyboard", "Mailbox", "Typed", "is_interactive"]

_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.|.)?")
_ERASE, _CLEAR, _END = {"\x7f", "\b"}, "\x15", "\x04"
_MAX_LINE = 4000


def is_interactive() -> bool:
    """Whether somebody can be asked: a terminal to read from and one to write to."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


@dataclass(frozen=True)
class Typed:
    """A line that a person has finished; None for the end of input."""

    text: str | None


@dataclass(frozen=True)
class Failed:
    """A source of a mailbox ended, with an error or because nothing more will come."""

    source: str
    error: BaseException | None = None


class Keyboard:
    """A line editor below a prompt. While it is open, keys are not echoed by the terminal.

    What was typed before the prompt was there is dropped: it was not meant as an answer to it.
    """

    def __init__(self) -> None:
        self.is_open = False
        self.fd = sys.stdin.fileno()
        self._label = ""
        self._text = ""
        self._shown = 0
        self._saved: list[Any] = []
        self._handler: Any = signal.SIG_DFL
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def open(self, label: str) -> None:
        """Show a prompt; ``label`` is ours, and no text of a model."""
        self._label, self._text = label, ""
        if not self.is_open:
            self._saved = termios.tcgetattr(self.fd)
            mode = termios.tcgetattr(self.fd)
            mode[3] &= ~(termios.ICANON | termios.ECHO)
            mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
            termios.tcsetattr(self.fd, termios.TCSADRAIN, mode)
            self._handler = signal.signal(signal.SIGTERM, _terminated)
            self.is_open = True
        termios.tcflush(self.fd, termios.TCIFLUSH)
        self.hide()
        self.show()

    def close(self) -> None:
        """Take the prompt away."""
        if self.is_open:
            self.hide()
            self.is_open = False
            termios.tcsetattr(self.fd, termios.TCSADRAIN, self._saved)
            signal.signal(signal.SIGTERM, self._handler)

    def show(self) -> None:
        """Show the prompt, unless it is there."""
        if self._shown:
            return
        line = self._label + self._text
        sys.stdout.write(line)
        sys.stdout.flush()
        self._shown = cell_len(line)

    def hide(self) -> None:
        """Clear the prompt's lines, so that something else can be printed in their place."""
        if not self._shown:
            return
        width = max(1, os.get_terminal_size(sys.stdout.fileno()).columns)
        up = (self._shown - 1) // width
        sys.stdout.write((f"\x1b[{up}A" if up else "") + "\r\x1b[J")
        sys.stdout.flush()
        self._shown = 0

    def read(self) -> Typed | None:
        """Take in what was typed; a line if one is complete. There has to be something to read."""
        data = os.read(self.fd, 4096)
        keys = _SEQUENCE.sub("", self._decoder.decode(data)) if data else _END
        for key in keys:
            # What follows in the same breath was pasted, and is no answer to what comes next.
            if key in "\r\n":
                return self._finished(self._text)
            if key == _END and not self._text:
                return self._finished(None)
            self._edit(key)
        self.hide()
        self.show()
        return None

    def _finished(self, text: str | None) -> Typed:
        # The line stays on the screen, as it would with `input`.
        self.hide()
        sys.stdout.write(f"{self._label}{text or ''}\n")
        sys.stdout.flush()
        self._text = ""
        return Typed(text)

    def _edit(self, key: str) -> None:
        if key in _ERASE:
            self._text = self._text[:-1]
        elif key == _CLEAR:
            self._text = ""
        elif key.isprintable() and len(self._text) < _MAX_LINE:
            self._text += key


def _terminated(number: int, frame: object) -> None:
    """End in order, so that whoever has the terminal next finds it as it was."""
    del frame
    raise SystemExit(128 + number)


class Mailbox:
    """Where things from several threads arrive, and what is typed beside them."""

    def __init__(self) -> None:
        self._items: SimpleQueue[Any] = SimpleQueue()
        self._out, self._in = os.pipe()
        os.set_blocking(self._in, False)

    def put(self, item: Any) -> None:
        self._items.put(item)
        # A full pipe wakes the reader as well as one more byte would.
        with contextlib.suppress(BlockingIOError):
            os.write(self._in, b".")

    def next(self, keyboard: Keyboard | None = None, *, timeout_s: float | None = None) -> Any:
        """Wait for the next item, or for a `Typed` line; None when the time is over."""
        while True:
            with contextlib.suppress(Empty):
                return self._items.get_nowait()
            sources = [self._out]
            if keyboard is not None and keyboard.is_open:
                sources.append(keyboard.fd)
            ready, _, _ = select.select(sources, [], [], timeout_s)
            if not ready:
                return None
            if self._out in ready:
                os.read(self._out, 4096)
            elif keyboard is not None and (line := keyboard.read()) is not None:
                return line

    def empty(self) -> bool:
        return self._items.empty()

    def fill(self, name: str, source: Callable[[], Iterable[Any]]) -> None:
        """Let a thread put everything of a source here, and at its end a `Failed`.

        The thread does not keep the program alive: a source that waits for ever may be left.
        """
        Thread(target=self._fill, args=[name, source], daemon=True, name=name).start()

    def _fill(self, name: str, source: Callable[[], Iterable[Any]]) -> None:
        error: BaseException | None = None
        try:
            for item in source():
                self.put(item)
        except BaseException as failed:  # noqa: BLE001  (raised again by whoever reads it)
            error = failed
        self.put(Failed(name, error))
