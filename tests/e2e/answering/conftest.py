"""A gateway and a worker whose agent calls what it is told, and terminals in front of them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bursar.cli.supervisor import Installation
from bursar.client import Client, SessionView
from support.terminal import Terminal

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("files")
    (root / "desk").mkdir()
    return root


@pytest.fixture(scope="module")
def site(files: Path) -> Iterator[Installation]:
    env = {
        "BURSAR_FILES_ROOT": str(files),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
    }
    with Installation(workers=1, agents="support.puppet", env=env) as running:
        yield running


@pytest.fixture
def client(site: Installation) -> Iterator[Client]:
    """In a workspace of the test's own, so that no question of another test is open."""
    with site.client() as admin:
        name = f"w{len(admin.list_workspaces())}"
        admin.create_workspace(name)
    with site.client(name) as made:
        yield made


@pytest.fixture
def env(site: Installation, client: Client, files: Path) -> dict[str, str]:
    return {
        "BURSAR_URL": site.url,
        "BURSAR_API_KEY": site.key,
        "BURSAR_WORKSPACE": client.routes.workspace,
        "BURSAR_FILES_ROOT": str(files),
        "EDITOR": "",
        "VISUAL": "",
    }


@pytest.fixture
def session(client: Client) -> SessionView:
    return client.create_session("puppet", workspace_path="desk", user="ann")


@pytest.fixture
def chat(env: dict[str, str], session: SessionView) -> Iterator[Terminal]:
    with Terminal("chat", "puppet", "--session", session.id, env=env) as terminal:
        terminal.expect("\n> ")
        yield terminal
