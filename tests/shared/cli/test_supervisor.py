"""How an installation keeps its children; whole ones are started in tests/e2e."""

import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bursar.cli.child import Child
from bursar.cli.supervisor import Installation
from bursar.embedded import EmbeddedServer
from bursar.errors import BursarError, Conflict, InvalidInput
from support.waiting import wait_for

SLEEP = "import time; time.sleep(60)"
DIE = "import sys; print('no such module'); sys.exit(4)"


class Toy(Installation):
    """An installation whose children run a line of Python instead of Bursar."""

    code = SLEEP

    def _child(self, name: str, module: str, env: object) -> Child:
        self.logs.mkdir(parents=True, exist_ok=True)
        return Child(name, [sys.executable, "-c", self.code], {}, self.logs / f"{name}.log")


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def toy(tmp_path: Path, said: list[str]) -> Iterator[Toy]:
    made = Toy(data=tmp_path / "data", redis_url="redis://127.0.0.1:9/0", say=said.append)
    yield made
    made.stop()


def _end(child: Child) -> None:
    """Let a child die by itself, as far as the supervisor can tell."""
    child.kill()
    child.wanted = True


def test_a_port_in_use_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InvalidInput, match="in use") as caught, Installation(port=port):
            pass
    assert caught.value.code == "port_in_use"


def test_two_installations_cannot_share_a_data_folder(tmp_path: Path) -> None:
    first, second = Toy(data=tmp_path), Toy(data=tmp_path)
    first._open_data()
    with pytest.raises(Conflict) as caught:
        second._open_data()
    assert caught.value.code == "data_in_use"
    second.stop()
    first.stop()
    third = Toy(data=tmp_path)
    third._open_data()
    third.stop()


def test_a_folder_of_its_own_is_gone_at_the_end() -> None:
    toy = Toy()
    toy._open_data()
    assert toy.logs.is_dir()
    toy.stop()
    assert not toy.data.exists()


def test_the_key_is_given_or_of_the_environment_or_random(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURSAR_API_KEY", "from-env")
    assert (Installation(key="given").key, Installation().key) == ("given", "from-env")
    monkeypatch.delenv("BURSAR_API_KEY")
    assert Installation().key != Installation().key


def test_children_get_settings_but_only_the_gateway_gets_the_key(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BURSAR_API_KEY", "from-env")
    monkeypatch.setenv("BURSAR_SLOTS", "3")
    made = Installation(
        data=tmp_path, agents="mine", redis_url="redis://x/0", env={"BURSAR_A": "1"}
    )
    made._first_workers = 0
    gateway = made._child("gateway", "bursar_gateway", {"BURSAR_API_KEY": made.key})
    worker = made._child("worker-1", "bursar_worker", {"BURSAR_AGENTS": "mine"})
    assert gateway._env["BURSAR_API_KEY"] == "from-env"
    assert "BURSAR_API_KEY" not in worker._env
    for child in (gateway, worker):
        assert child._env["BURSAR_REDIS_URL"] == "redis://x/0"
        assert (child._env["BURSAR_SLOTS"], child._env["BURSAR_A"]) == ("3", "1")


def test_a_server_of_our_own_is_for_development(monkeypatch: pytest.MonkeyPatch) -> None:
    """It writes no file, so the profile that the environment asks for is of another one."""
    monkeypatch.setenv("BURSAR_DURABILITY", "strict")
    with EmbeddedServer() as server:
        ours, given = Installation(), Installation(redis_url=server.url)
        ours.server = server
        asked = [site._child("gateway", "bursar_gateway", {})._env for site in (ours, given)]
    assert [env["BURSAR_DURABILITY"] for env in asked] == ["dev", "strict"]


def test_a_worker_that_dies_is_started_again(toy: Toy, said: list[str]) -> None:
    toy.start_worker(ready=False)
    (worker,) = toy.workers
    before = worker.pid
    toy.tend()
    assert (worker.pid, said) == (before, [])
    _end(worker)
    toy.tend()
    assert worker.alive
    assert worker.pid != before
    assert said == ["worker-1 ended with status -9; starting it again"]


def test_a_worker_that_was_killed_on_purpose_stays_dead(toy: Toy) -> None:
    index = toy.start_worker(ready=False)
    other = toy.start_worker(ready=False)
    toy.kill_worker(index)
    toy.tend()
    assert toy.worker_pids == [toy.workers[other].pid]
    toy.stop_worker(other)
    toy.tend()
    assert toy.worker_pids == []


def test_one_that_dies_at_once_again_and_again_ends_it_all(toy: Toy, said: list[str]) -> None:
    toy.code = DIE
    toy.start_worker(ready=False)
    (worker,) = toy.workers
    for _ in range(2):
        wait_for(lambda: not worker.alive, "the child to die")
        toy.tend()
    wait_for(lambda: not worker.alive, "the child to die")
    with pytest.raises(BursarError, match="no such module") as caught:
        toy.tend()
    assert "status 4" in str(caught.value)
    assert len(said) == 2


def test_deaths_far_apart_are_not_counted_together(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bursar.cli.supervisor._QUICK_DEATH_S", 0.0)
    toy.start_worker(ready=False)
    for _ in range(5):
        _end(toy.workers[0])
        toy.tend()
    assert toy.workers[0].alive


def test_a_child_that_ends_during_the_start_shows_its_log(toy: Toy) -> None:
    toy.code = DIE
    with pytest.raises(BursarError, match="worker-1 ended with status 4") as caught:
        toy.start_worker()
    assert "no such module" in str(caught.value)


def test_a_start_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    toy = Toy(data=tmp_path, redis_url="redis://127.0.0.1:9/0", start_timeout_s=0.2)
    with pytest.raises(BursarError, match=r"not ready within 0\.2 s"):
        toy.start_worker()
    toy.stop()


def test_a_signal_ends_the_wait_for_the_start(tmp_path: Path) -> None:
    stopping = threading.Event()
    toy = Toy(data=tmp_path, redis_url="redis://127.0.0.1:9/0", stopping=stopping)
    stopping.set()
    with pytest.raises(KeyboardInterrupt):
        toy.start_worker()
    toy.stop()
    assert toy.worker_pids == []


def test_stopping_leaves_no_child(toy: Toy) -> None:
    for _ in range(2):
        toy.start_worker(ready=False)
    assert len(toy.worker_pids) == 2
    toy.stop()
    assert toy.worker_pids == []
    toy.tend()
    assert toy.worker_pids == []
