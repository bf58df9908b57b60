"""The server settings and the user file, as a server reads them and as people do."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bursar.settings import Settings
from bursar.store.opening import open_store

if TYPE_CHECKING:
    from subprocess import CompletedProcess

Render = Callable[[dict[str, str]], "CompletedProcess[str]"]

DEPLOY = Path(__file__).parents[2] / "deploy"
SOURCE = Path(__file__).parents[2]


async def test_server_takes_the_configuration_and_is_fit_for_bursar(
    as_role: Callable[[str], Settings],
) -> None:
    store = await open_store(as_role("worker"))
    info = await store.redis.call("INFO")
    await store.aclose()

    assert info["maxmemory_policy"] == "noeviction"
    assert info["maxmemory"] == 1 << 30
    assert info["aof_enabled"] == 1
    assert info["maxclients"] == 4096


def test_every_setting_stands_under_a_reason() -> None:
    paragraphs = (DEPLOY / "redis.conf").read_text().split("\n\n")
    bare = [text for text in paragraphs if text.strip() and not text.startswith("#")]
    assert bare == []


def test_rendered_acl_has_one_user_a_line_and_no_clear_passwords(
    acl: str, passwords: dict[str, str]
) -> None:
    lines = acl.splitlines()
    assert [line.split()[1] for line in lines] == [
        "default", "health", "gateway", "worker", "dashboard", "operator"
    ]  # fmt: skip
    assert all(line.startswith("user ") for line in lines)
    assert "@R" not in acl
    assert not any(password in acl for password in passwords.values())


@pytest.mark.parametrize("value", ["", "short"])
def test_rendering_refuses_a_missing_or_short_password(
    render: Render,
    passwords: dict[str, str],
    value: str,
) -> None:
    rendered = render(passwords | {"REDIS_WORKER_PASSWORD": value})
    assert rendered.returncode == 1
    assert rendered.stdout == ""
    assert "REDIS_WORKER_PASSWORD" in rendered.stderr


def test_a_password_may_hold_any_character(render: Render, passwords: dict[str, str]) -> None:
    odd = "a&b/c\\d $(touch x) 'q' \"q\" `x` | # @Z@"
    rendered = render(passwords | {"REDIS_WORKER_PASSWORD": odd})
    assert rendered.returncode == 0, rendered.stderr
    assert len(rendered.stdout.splitlines()) == 6


@pytest.mark.parametrize("role", ["gateway", "worker"])
def test_a_role_has_every_command_that_scripts_call(acl: str, role: str) -> None:
    """Either may run any script of the shared package, so neither is missing one on a rare path."""
    # Gateways alone trim the ledger, spread what the outbox holds over webhooks, and make sessions
    # of drafts.
    alone = {"xtrim", "xdel", "rename"} if role == "worker" else set()
    assert commands_in_lua() - granted(acl, role) == alone


def test_nothing_is_granted_that_nobody_calls(acl: str) -> None:
    used = commands_in_lua() | commands_in_python() | CONNECTING | ARQ
    unused = {role: granted(acl, role) - used for role in ("gateway", "worker")}
    assert unused == {"gateway": set(), "worker": set()}


CONNECTING = {"ping", "select", "client|setinfo", "client|setname", "info", "time"}
ELSEWHERE = "BLPOP|(?:UN)?SUBSCRIBE|ROLE|ASKING|WAIT|WAITAOF"
"""Commands that are sent on connections of their own."""
ARQ = {
    "watch", "unwatch", "multi", "exec", "discard", "get", "incrby", "expire", "psetex", "setex",
    "zincrby", "zcard", "zscore", "zrangebyscore", "zremrangebyscore", "zrange", "zrem", "del",
    "exists", "dbsize",
}  # fmt: skip
"""What arq sends. redis-py turns its `incr` into INCRBY."""


def granted(acl: str, role: str) -> set[str]:
    line = next(line for line in acl.splitlines() if line.startswith(f"user {role} "))
    return set(re.findall(r" \+([a-z|]+)", line))


def commands_in_lua() -> set[str]:
    found: set[str] = set()
    for path in SOURCE.glob("shared/bursar/store/lua/**/*.lua"):
        found |= {name.lower() for name in re.findall(r"redis\.call\('([A-Z]+)'", path.read_text())}
    return found


def commands_in_python() -> set[str]:
    """Commands as they stand in calls, and those that are sent otherwise."""
    found = {"evalsha", "script|load"}
    for package in ("shared", "worker", "gateway"):
        for path in SOURCE.glob(f"{package}/**/*.py"):
            text = path.read_text()
            found |= {name.lower() for name in re.findall(r"call\(\s*\"([A-Z]+)\"", text)}
            found |= {name.lower() for name in re.findall(rf"\"({ELSEWHERE})\"", text)}
            pairs = re.findall(r"\"(CONFIG|CLUSTER)\", \"([A-Z]+)\"", text)
            found |= {f"{first}|{second}".lower() for first, second in pairs}
    return found
