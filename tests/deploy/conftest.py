"""A server that runs with the deployment's own redis.conf and users."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from bursar.embedded import EmbeddedServer, free_port
from bursar.settings import Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
ROLES = ("gateway", "worker", "dashboard", "operator")
PASSWORDS = {f"REDIS_{role.upper()}_PASSWORD": f"only-for-tests-{role}" for role in ROLES}

Render = Callable[[dict[str, str]], "CompletedProcess[str]"]


@pytest.fixture(scope="session")
def render() -> Render:
    """Runs `render-acl.sh` with an environment of nothing else."""

    def run(environment: dict[str, str]) -> "CompletedProcess[str]":
        return subprocess.run(
            ["/bin/sh", DEPLOY / "render-acl.sh"],
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def passwords() -> dict[str, str]:
    return dict(PASSWORDS)


@pytest.fixture(scope="session")
def acl(render: Render) -> str:
    """The ACL file as Redis reads it."""
    rendered = render(PASSWORDS)
    assert rendered.returncode == 0, rendered.stderr
    return rendered.stdout


@pytest.fixture(scope="session")
def guarded_server(acl: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """`redis.conf` and the users as shipped, but for the server's address and folder."""
    folder = tmp_path_factory.mktemp("redis")
    users = folder / "users.acl"
    users.write_text(acl)
    port = free_port()
    # Later options win, so what the file says about addresses is said again after it.
    extra = (
        *("--include", str(DEPLOY / "redis.conf"), "--aclfile", str(users)),
        *("--bind", "127.0.0.1", "--port", str(port)),
    )
    with EmbeddedServer(data=folder / "data", port=port, extra=extra) as server:
        yield server


@pytest.fixture
def as_role(guarded_server: EmbeddedServer) -> Callable[[str], Settings]:
    """Settings of a process that connects as one of the roles."""

    def settings(role: str) -> Settings:
        password = PASSWORDS[f"REDIS_{role.upper()}_PASSWORD"]
        return Settings(redis_url=f"redis://{role}:{password}@127.0.0.1:{guarded_server.port}/0")

    return settings
