"""A child process: its log, its end, and how often it died too soon."""

import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

__all__ = ["Child"]

_TAIL_BYTES = 4000


class Child:
    """A process of ours that writes to a log file, also across starts.

    It gets a process group of its own, so that Ctrl-C reaches only us and we stop it in order.

    Args:
        echo: also write each line to stderr, behind the child's name.

    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        env: Mapping[str, str],
        log: Path,
        *,
        echo: bool = False,
    ) -> None:
        self.name = name
        self.wanted = False
        """True while it ought to run: started, and neither stopped nor killed by us."""
        self.quick_deaths = 0
        self._command = list(command)
        self._env = dict(env)
        self._log = log
        self._echo = echo
        self._started_s = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._pump: threading.Thread | None = None

    def start(self) -> None:
        self.wanted = True
        self._started_s = time.monotonic()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if self._echo else log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if self._process.stdout is not None:
            pump = threading.Thread(target=self._copy, args=[self._process.stdout], daemon=True)
            pump.start()
            self._pump = pump

    def _copy(self, lines: BinaryIO) -> None:
        with lines, self._log.open("ab", buffering=0) as log:
            for line in lines:
                log.write(line)
                sys.stderr.write(f"{self.name} | {line.decode(errors='replace')}")

    @property
    def pid(self) -> int:
        """Its process id; 0 before its first start."""
        return self._process.pid if self._process else 0

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def exit_status(self) -> int | None:
        """As of `subprocess`: negative for a signal, None while it runs."""
        return self._process.poll() if self._process else None

    @property
    def lived_s(self) -> float:
        """Seconds since its last start."""
        return time.monotonic() - self._started_s

    def terminate(self) -> None:
        """Ask it to stop; `wait` for that."""
        self.wanted = False
        if self._process and self.alive:
            self._process.terminate()

    def kill(self) -> None:
        """End it at once, like a crash does."""
        self.wanted = False
        if self._process:
            self._process.kill()
            self._process.wait()

    def wait(self, timeout_s: float) -> None:
        """Wait for its end, and kill it if that takes longer."""
        if self._process is None:
            return
        try:
            self._process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
        if self._pump is not None:
            self._pump.join(timeout=1)

    def log_tail(self, lines: int = 15) -> str:
        """The last lines of its log."""
        try:
            tail = self._log.read_bytes()[-_TAIL_BYTES:]
        except FileNotFoundError:
            return ""
        return "\n".join(tail.decode(errors="replace").splitlines()[-lines:])
