"""The gateway as a process: starts, says where, stops, and says why it cannot."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from bursar.embedded import EmbeddedServer

_ROOT = Path(__file__).parents[2]


def _environment(**values: str) -> dict[str, str]:
    paths = os.pathsep.join(str(_ROOT / name) for name in ("shared", "worker", "gateway"))
    ours = {f"BURSAR_{name}": value for name, value in values.items()}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BURSAR_")}
    return {**kept, "PYTHONPATH": paths, **ours}


@contextmanager
def _process(**values: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "bursar_gateway"]
    process = subprocess.Popen(
        command, env=_environment(**values), stderr=subprocess.PIPE, text=True, cwd="/"
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=10)


def _url(process: "subprocess.Popen[str]") -> str:
    assert process.stderr is not None
    line = process.stderr.readline()
    match = re.search(r"gateway listening on (http://127\.0\.0\.1:\d+)$", line)
    assert match, line
    return match[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_on_a_free_port_and_stops_in_good_order(
    redis_server: EmbeddedServer, number: int
) -> None:
    with _process(REDIS_URL=redis_server.url, PORT="0", API_KEY="k") as process:
        url = _url(process)
        assert httpx.get(f"{url}/healthz").json() == {"status": "up"}
        headers = {"Authorization": "Bearer k"}
        made = httpx.post(f"{url}/v1/workspaces", json={"id": "from-main"}, headers=headers)
        assert made.status_code in {201, 409}
        process.send_signal(number)
        assert process.wait(timeout=10) == 0


def test_an_absent_redis_is_one_clear_line() -> None:
    with _process(REDIS_URL="redis://127.0.0.1:1/0", PORT="0") as process:
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "cannot start: Redis did not answer" in errors
    assert "Traceback" not in errors


def test_a_taken_port_is_one_clear_line(redis_server: EmbeddedServer) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with _process(REDIS_URL=redis_server.url, PORT=port) as process:
            _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "cannot listen" in errors
    assert "Traceback" not in errors


def test_a_bad_setting_is_named() -> None:
    with _process(PORT="many") as process:
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "BURSAR_PORT" in errors
    assert "Traceback" not in errors
