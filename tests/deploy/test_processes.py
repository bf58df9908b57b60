"""The real processes on the shipped configuration, each connected as its own user."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from redis import Redis

from bursar.embedded import free_port
from bursar.settings import Settings

TOP = Path(__file__).parents[2]
PACKAGES = os.pathsep.join(str(TOP / name) for name in ("shared", "worker", "gateway"))
DEADLINE_S = 30

Start = Callable[[str], "dict[str, str]"]


@pytest.fixture
def environment(as_role: Callable[[str], Settings]) -> Start:
    def build(role: str) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": PACKAGES,
            "BURSAR_REDIS_URL": as_role(role).redis_url,
            "BURSAR_ENV": "production",
            "BURSAR_API_KEY": "key-of-this-test",
        }

    return build


@contextmanager
def process(module: str, environment: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    started = subprocess.Popen([sys.executable, "-m", module], env=environment)
    try:
        yield started
    finally:
        started.terminate()
        assert started.wait(timeout=DEADLINE_S) == 0


def health(environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, TOP / "deploy" / "worker_health.py"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def wait_until_ready(client: httpx.Client) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        # Until it listens, the connection is refused.
        with suppress(httpx.TransportError):
            if client.get("/readyz").is_success and client.get("/v1/workers").json():
                return
        time.sleep(0.05)
    pytest.fail("gateway and worker did not come up")


def test_a_turn_runs_and_no_command_is_refused(
    environment: Start, as_role: Callable[[str], Settings]
) -> None:
    port = free_port()
    before = refusals(as_role("operator").redis_url)
    assert health(environment("worker")).returncode == 1
    with ExitStack() as stack:
        stack.enter_context(
            process("bursar_gateway", environment("gateway") | {"BURSAR_PORT": str(port)})
        )
        stack.enter_context(process("bursar_worker", environment("worker")))
        client = stack.enter_context(
            httpx.Client(
                base_url=f"http://127.0.0.1:{port}",
                headers={"Authorization": "Bearer key-of-this-test"},
                timeout=DEADLINE_S,
            )
        )
        wait_until_ready(client)
        assert run_turn(client) == "turn.succeeded"
        well = health(environment("worker"))
        assert (well.returncode, well.stderr) == (0, "")
    assert refusals(as_role("operator").redis_url) == before


def refusals(url: str) -> int:
    """How often this server has refused anybody anything so far."""
    with Redis.from_url(url) as operator:
        return sum(entry["count"] for entry in operator.acl_log())


def run_turn(client: httpx.Client) -> str:
    """Returns the kind of the last event."""
    client.post("/v1/workspaces", json={"id": "processes", "limit_microusd": 1_000_000})
    sessions = "/v1/workspaces/processes/sessions"
    session = client.post(sessions, json={"agent": "echo", "user": "u1"}).json()["id"]
    kinds: list[str] = []
    deadline = time.monotonic() + DEADLINE_S
    with client.stream(
        "POST",
        f"{sessions}/{session}/turns",
        json={"input": "hello"},
        headers={"Accept": "text/event-stream"},
    ) as response:
        for line in response.iter_lines():
            assert time.monotonic() < deadline, kinds
            if line.startswith("event: "):
                kinds.append(line.removeprefix("event: "))
    return kinds[-1]
