"""A whole installation on one machine: a Redis server, a gateway and workers, as our children."""

import fcntl
import os
import secrets
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from bursar.cli.child import Child
from bursar.client import Client
from bursar.embedded import EmbeddedServer, free_port
from bursar.errors import BursarError, Conflict, GatewayUnreachable, InvalidInput, StoreUnavailable

__all__ = ["Installation"]

_QUICK_DEATH_S = 5.0
_QUICK_DEATHS_MAX = 3
_WORKER_STOP_S = 20.0  # longer than a worker's default drain time
_GATEWAY_STOP_S = 12.0
_POLL_S = 0.05


class Installation:
    """Starts on entering a ``with`` block, stops in order at its end: workers, gateway, server.

    Args:
        workers: how many worker processes.
        port: of the gateway on loopback; 0 chooses a free one.
        data: folder for the server's data and the logs, kept; None for one that is thrown away.
        agents: modules that the workers serve; empty for the built-in ones.
        redis_url: use this server instead of an embedded one.
        key: the administrator's API key; empty for ``BURSAR_API_KEY``, else a random one.
        workspace: created with default settings unless it exists; empty for none.
        env: further variables for all children, such as ``BURSAR_FILES_ROOT``.
        verbose: copy the children's logs to stderr.
        say: takes a line for people about what happens to a child.
        stopping: once set, waiting for the start ends with `KeyboardInterrupt`.

    """

    def __init__(
        self,
        *,
        workers: int = 2,
        port: int = 0,
        data: Path | None = None,
        agents: str = "",
        redis_url: str = "",
        key: str = "",
        workspace: str = "default",
        env: Mapping[str, str] | None = None,
        verbose: bool = False,
        say: Callable[[str], None] | None = None,
        start_timeout_s: float = 30.0,
        stopping: threading.Event | None = None,
    ) -> None:
        self.key = key or os.environ.get("BURSAR_API_KEY", "") or f"bk_dev_{secrets.token_hex(16)}"
        self.redis_url = redis_url
        self.server: EmbeddedServer | None = None
        self.gateway: Child | None = None
        self.workers: list[Child] = []
        self.data = data or Path()
        self._keep = data is not None
        self._port = port
        self._agents = agents
        self._first_workers = workers
        self._workspace = workspace
        self._extra = dict(env or {})
        self._verbose = verbose
        self._say = say or (lambda _: None)
        self._start_timeout_s = start_timeout_s
        self._stopping = stopping or threading.Event()
        self._undo = ExitStack()

    # -- what it is

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    @property
    def worker_pids(self) -> list[int]:
        """Process ids of the workers that live, in the order of their start."""
        return [worker.pid for worker in self.workers if worker.alive]

    def client(self, workspace: str = "default") -> Client:
        """Make a client with the administrator's key; the caller closes it."""
        return Client(self.url, self.key, workspace=workspace)

    # -- start and stop

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything and wait until the gateway and all workers are ready.

        Raises:
            InvalidInput: the port is in use.
            Conflict: another installation uses the data folder.
            BursarError: a child ended; carries the last lines of its log.

        """
        self._choose_port()
        self._open_data()
        if not self.redis_url:
            self.server = EmbeddedServer(data=self.data / "redis" if self._keep else None)
            self.redis_url = self.server.url
        self.gateway = self._child("gateway", "bursar_gateway", {"BURSAR_API_KEY": self.key})
        self.gateway.start()
        for _ in range(self._first_workers):
            self._add_worker({})
        self.wait_ready()
        self._create_workspace()

    def stop(self) -> None:
        """Stop what runs, in order. Workers hand their sessions back before they go."""
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            worker.wait(_WORKER_STOP_S)
        if self.gateway is not None:
            self.gateway.terminate()
            self.gateway.wait(_GATEWAY_STOP_S)
        if self.server is not None:
            self.server.stop()
        self._undo.close()

    def _choose_port(self) -> None:
        if self._port == 0:
            self._port = free_port()
            return
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", self._port))
            except OSError as error:
                raise InvalidInput(
                    f"port {self._port} cannot be used ({error.strerror}); "
                    "choose another one, or 0 for any that is free",
                    field="port",
                    code="port_in_use",
                ) from None

    def _open_data(self) -> None:
        if not self._keep:
            self.data = Path(tempfile.mkdtemp(prefix="bursar-"))
            self._undo.callback(shutil.rmtree, self.data, ignore_errors=True)
        self.logs.mkdir(parents=True, exist_ok=True)
        # Two servers that append to one file would destroy it.
        lock = self._undo.enter_context((self.data / "lock").open("w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                f"another installation runs on the data folder {self.data}", code="data_in_use"
            ) from None

    def _create_workspace(self) -> None:
        if not self._workspace:
            return
        with self.client() as client:
            try:
                client.create_workspace(self._workspace)
            except Conflict as error:
                if error.code != "workspace_exists":
                    raise

    # -- children

    def start_worker(self, env: Mapping[str, str] | None = None, *, ready: bool = True) -> int:
        """Start one more worker and return its index; with ``ready`` wait until it serves."""
        index = self._add_worker(env or {})
        if ready:
            self.wait_ready()
        return index

    def kill_worker(self, index: int) -> None:
        """Kill a worker like a crash does. It is not started again."""
        self.workers[index].kill()

    def stop_worker(self, index: int) -> None:
        """Stop a worker in good order. It is not started again."""
        self.workers[index].terminate()
        self.workers[index].wait(_WORKER_STOP_S)

    def _add_worker(self, env: Mapping[str, str]) -> int:
        agents = {"BURSAR_AGENTS": self._agents} if self._agents else {}
        name = f"worker-{len(self.workers) + 1}"
        worker = self._child(name, "bursar_worker", {**agents, **env})
        self.workers.append(worker)
        worker.start()
        return len(self.workers) - 1

    def _child(self, name: str, module: str, env: Mapping[str, str]) -> Child:
        # Workers have no use for the key, and tools that they run must not find it.
        inherited = {
            k: v for k, v in os.environ.items() if k not in {"BURSAR_API_KEY", "BURSAR_PORT"}
        }
        settings = {
            "BURSAR_REDIS_URL": self.redis_url,
            "BURSAR_HOST": "127.0.0.1",
            "BURSAR_PORT": str(self._port),
        }
        if self.server is not None:
            # Ours is for development, whatever the environment asks of another one.
            settings["BURSAR_DURABILITY"] = "dev"
        return Child(
            name,
            [sys.executable, "-m", module],
            {**inherited, **settings, **self._extra, **env},
            self.logs / f"{name}.log",
            echo=self._verbose,
        )

    def wait_ready(self) -> None:
        """Wait until the gateway is ready and every worker that lives is announced."""
        deadline = time.monotonic() + self._start_timeout_s
        with Client(self.url, self.key, retries=0) as client:
            while not self._is_ready(client):
                for child in self._children():
                    if child.wanted and not child.alive:
                        raise self._failed(child, f"ended with status {child.exit_status}")
                if time.monotonic() > deadline:
                    slow = self.gateway if self.gateway and not self.workers else self.workers[-1]
                    raise self._failed(slow, f"was not ready within {self._start_timeout_s:g} s")
                if self._stopping.wait(_POLL_S):
                    raise KeyboardInterrupt

    def _is_ready(self, client: Client) -> bool:
        try:
            client.get_readiness()
            serving = {worker.pid for worker in client.list_workers()}
        except (GatewayUnreachable, StoreUnavailable):
            return False
        return all(
            worker.alive and worker.pid in serving for worker in self.workers if worker.wanted
        )

    def tend(self) -> None:
        """Start again what died by itself; to be called every now and then.

        Raises:
            BursarError: it dies at once, again and again.

        """
        self._tend_server()
        for child in self._children():
            if not child.wanted or child.alive:
                continue
            quick = child.lived_s < _QUICK_DEATH_S
            child.quick_deaths = child.quick_deaths + 1 if quick else 0
            if child.quick_deaths >= _QUICK_DEATHS_MAX:
                raise self._failed(child, f"dies at once, with status {child.exit_status}")
            self._say(f"{child.name} ended with status {child.exit_status}; starting it again")
            child.start()

    def _tend_server(self) -> None:
        server = self.server
        if server is None or server.process is None or server.process.poll() is None:
            return
        if not self._keep:
            raise BursarError(
                "the embedded Redis server died, and its data with it", code="no_server"
            )
        self._say("the embedded Redis server died; starting it again on its data")
        server.start()

    def _children(self) -> list[Child]:
        return ([self.gateway] if self.gateway else []) + self.workers

    def _failed(self, child: Child, what: str) -> BursarError:
        tail = child.log_tail()
        shown = f"; its last lines:\n{tail}" if tail else ""
        return BursarError(f"{child.name} {what}{shown}", code="installation_failed")
