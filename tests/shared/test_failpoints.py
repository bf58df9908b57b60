"""Failpoints do what a test has armed them with, when it said, and are refused in production."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bursar import failpoints
from bursar.clock import monotonic_s
from bursar.errors import InvalidInput
from bursar.failpoints import POINTS, FailpointError, arm, disarm, failpoint
from bursar.settings import Settings


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    disarm()


def armed(spec: str, **more: str) -> None:
    arm(Settings(failpoints=spec, **more))  # type: ignore[arg-type]


def fails(point: str) -> bool:
    try:
        failpoint(point)
    except FailpointError:
        return True
    return False


def test_a_point_that_is_not_armed_does_nothing() -> None:
    for point in POINTS:
        failpoint(point)


def test_nothing_is_armed_by_an_empty_setting() -> None:
    armed("")
    assert not any(fails(point) for point in POINTS)


def test_raise_fails_at_its_point() -> None:
    armed("C7=raise")
    with pytest.raises(FailpointError):
        failpoint("C7")


def test_other_points_than_the_armed_one_do_nothing() -> None:
    armed("C7=raise")
    assert [point for point in POINTS if fails(point)] == ["C7"]


def test_without_a_number_a_point_acts_each_time() -> None:
    armed("C7=raise")
    assert [fails("C7") for _ in range(3)] == [True] * 3


def test_with_a_number_a_point_acts_at_that_passage_alone() -> None:
    armed("C7=raise@3")
    assert [fails("C7") for _ in range(5)] == [False, False, True, False, False]


def test_several_points_are_armed_at_once_and_count_by_themselves() -> None:
    armed("C7=raise@2, C11=raise")
    assert [(fails("C7"), fails("C11")) for _ in range(2)] == [(False, True), (True, True)]


@pytest.mark.parametrize(("spec", "least_s"), [("C7=sleep:0.2", 0.2), ("C7=sleep", 1.0)])
def test_sleep_holds_up_whoever_comes_there(spec: str, least_s: float) -> None:
    armed(spec)
    since_s = monotonic_s()
    failpoint("C7")
    assert least_s <= monotonic_s() - since_s < least_s + 0.8


def test_disarmed_points_do_nothing() -> None:
    armed("C7=raise")
    disarm()
    failpoint("C7")


@pytest.mark.parametrize(
    "spec",
    [
        "C7", "C7=", "=raise", "C99=raise", "c7=raise", "C7=burn", "C7=raise@", "C7=raise@x",
        "C7=sleep:", "C7=sleep:-1", "C7=raise C8=raise", "C7=raise;C8=raise", "C7=raise,",
        "C7=raise@-1", "C7=sleep:1.2.3", "C7=sleep:.", "C7=raise@0",
    ],
)  # fmt: skip
def test_a_wrong_spec_is_refused_and_says_what_is_expected(spec: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        armed(spec)
    assert caught.value.field == "BURSAR_FAILPOINTS"
    assert "kill, stop, raise or sleep:<seconds>" in caught.value.message


def test_a_wrong_spec_arms_nothing() -> None:
    with pytest.raises(InvalidInput):
        armed("C7=raise,C8=burn")
    failpoint("C7")


def test_failpoints_are_refused_in_production() -> None:
    with pytest.raises(InvalidInput) as caught:
        armed("C7=raise", env="production")
    assert caught.value.field == "BURSAR_FAILPOINTS"
    failpoint("C7")


def test_production_without_failpoints_is_fine() -> None:
    armed("", env="production")


def process(spec: str) -> "subprocess.Popen[str]":
    """A process that passes a point twice and says so."""
    program = (
        "from bursar.failpoints import arm, failpoint\n"
        "from bursar.settings import Settings, load_settings\n"
        "arm(load_settings(Settings))\n"
        "for passage in (1, 2):\n"
        "    print(f'before {passage}', flush=True)\n"
        "    failpoint('C7')\n"
        "print('after', flush=True)\n"
    )
    shared = Path(failpoints.__file__).parents[1]
    environment = os.environ | {"BURSAR_FAILPOINTS": spec, "PYTHONPATH": str(shared)}
    return subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True
    )


def test_kill_ends_the_process_without_a_chance_to_clean_up() -> None:
    with process("C7=kill@2") as killed:
        said, _ = killed.communicate(timeout=30)
    assert (killed.returncode, said.split("\n")[:-1]) == (
        -signal.SIGKILL,
        ["before 1", "before 2"],
    )


def test_stop_halts_the_process_until_it_is_continued() -> None:
    with process("C7=stop@1") as stopped:
        try:
            _, status = os.waitpid(stopped.pid, os.WUNTRACED)
            assert os.WIFSTOPPED(status)
            assert os.WSTOPSIG(status) == signal.SIGSTOP
            stopped.send_signal(signal.SIGCONT)
            said, _ = stopped.communicate(timeout=30)
        finally:
            stopped.kill()
    assert said.split("\n")[:-1] == ["before 1", "before 2", "after"]
