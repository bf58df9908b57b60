import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bursar.cli.child import Child
from support.waiting import wait_for

SLEEP = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = "import signal; signal.signal(15, signal.SIG_IGN); " + SLEEP


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Callable[..., Child]]:
    made: list[Child] = []

    def start(code: str, *, echo: bool = False) -> Child:
        child = Child("kid", [sys.executable, "-c", code], {}, tmp_path / "kid.log", echo=echo)
        made.append(child)
        child.start()
        return child

    yield start
    for child in made:
        child.kill()


def test_its_output_is_in_the_log_and_its_status_known(spawn: Callable[..., Child]) -> None:
    child = spawn("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")
    child.wait(10)
    assert (child.alive, child.exit_status, child.wanted) == (False, 3, True)
    assert sorted(child.log_tail().splitlines()) == ["err", "out"]


def test_the_log_goes_on_across_starts_and_its_tail_is_short(spawn: Callable[..., Child]) -> None:
    child = spawn("print('line\\n' * 3, end='')")
    child.wait(10)
    child.start()
    child.wait(10)
    assert child.log_tail(100).count("line") == 6
    assert len(child.log_tail(2).splitlines()) == 2


def test_it_can_be_asked_to_stop(spawn: Callable[..., Child]) -> None:
    child = spawn(SLEEP)
    child.terminate()
    child.wait(10)
    assert (child.exit_status, child.wanted) == (-signal.SIGTERM, False)


def test_one_that_does_not_stop_is_killed(spawn: Callable[..., Child]) -> None:
    child = spawn(STUBBORN)
    wait_for(lambda: "up" in child.log_tail(), "the child to run")
    child.terminate()
    child.wait(0.1)
    assert child.exit_status == -signal.SIGKILL


def test_a_kill_is_no_death_by_itself(spawn: Callable[..., Child]) -> None:
    child = spawn(SLEEP)
    pid = child.pid
    child.kill()
    assert (child.alive, child.wanted, child.exit_status) == (False, False, -signal.SIGKILL)
    assert pid > 0


def test_it_is_out_of_reach_of_the_terminals_ctrl_c(spawn: Callable[..., Child]) -> None:
    child = spawn(SLEEP)
    assert os.getpgid(child.pid) == child.pid != os.getpgid(0)


def test_lines_are_echoed_with_its_name(
    spawn: Callable[..., Child], capsys: pytest.CaptureFixture[str]
) -> None:
    child = spawn("print('hello')", echo=True)
    child.wait(10)
    assert capsys.readouterr().err == "kid | hello\n"
    assert child.log_tail() == "hello"
