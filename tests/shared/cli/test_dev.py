"""``bursar dev`` as people run it: one line when it is ready, and an orderly end."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bursar.client import Client
from bursar.errors import GatewayUnreachable

Dev = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Dev]:
    started: list[subprocess.Popen[str]] = []

    def start(*flags: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "bursar.cli", "dev", "--port", "0", *flags]
        env = {name: value for name, value in os.environ.items() if name != "BURSAR_API_KEY"}
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.terminate()
        process.communicate(timeout=40)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_ready_serves_and_leaves_nothing_behind(dev: Dev, number: signal.Signals) -> None:
    process = dev("--workers", "1")
    assert process.stdout is not None
    line = process.stdout.readline()
    match = re.fullmatch(r"ready (http://127\.0\.0\.1:\d+) key=(\S+)\n", line)
    assert match, line
    with Client(match[1], match[2], retries=0) as client:
        (worker,) = client.list_workers()
        assert client.run(client.create_session("echo"), "Hello").text == "Hello"
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out) == (0, "")
        assert "Traceback" not in err
        assert not _is_alive(worker.pid)
        with pytest.raises(GatewayUnreachable):
            client.get_readiness()


def test_agents_that_cannot_be_loaded_end_it_with_their_error(dev: Dev, tmp_path: Path) -> None:
    (tmp_path / "broken_agents.py").write_text("import nothing_like_that\n")
    process = dev("--workers", "1", "--agents", "broken_agents")
    out, err = process.communicate(timeout=40)
    assert (process.returncode, out) == (1, "")
    assert "nothing_like_that" in err
    assert err.startswith("bursar: worker-1 ended")
