"""``bursar gateway`` and ``bursar worker`` turn flags into settings and become the process."""

import os
import sys

import pytest

from support.command import Bursar


class _Became(Exception):
    pass


@pytest.fixture
def becomes(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    calls: list[list[str]] = []

    def execv(_path: str, argv: list[str]) -> None:
        calls.append(argv)
        raise _Became

    monkeypatch.setattr(os, "execv", execv)
    for name in ("HOST", "PORT", "REDIS_URL", "AGENTS", "GROUP", "SLOTS"):
        monkeypatch.setenv(f"BURSAR_{name}", "untouched")
    return calls


def test_gateway(bursar: Bursar, becomes: list[list[str]]) -> None:
    with pytest.raises(_Became):
        bursar("gateway", "--host", "0.0.0.0", "--port", "0")  # noqa: S104
    assert becomes == [[sys.executable, "-m", "bursar_gateway"]]
    given = [os.environ[f"BURSAR_{name}"] for name in ("HOST", "PORT", "REDIS_URL")]
    assert given == ["0.0.0.0", "0", "untouched"]  # noqa: S104


def test_worker(bursar: Bursar, becomes: list[list[str]]) -> None:
    with pytest.raises(_Became):
        bursar("worker", "--agents", "mine", "--slots", "4", "--redis-url", "redis://x/0")
    assert becomes == [[sys.executable, "-m", "bursar_worker"]]
    names = ("AGENTS", "SLOTS", "REDIS_URL", "GROUP")
    given = [os.environ[f"BURSAR_{name}"] for name in names]
    assert given == ["mine", "4", "redis://x/0", "untouched"]


def test_what_is_not_installed_is_said_with_the_way_to_get_it(
    bursar: Bursar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    ran = bursar("worker")
    assert (ran.status, "bursar[worker]" in ran.err) == (1, True)
