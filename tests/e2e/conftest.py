"""A real installation: a Redis server, a gateway and two workers as processes of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bursar.cli.supervisor import Installation
from bursar.client import Client


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace folder ``papers`` with a few files to read."""
    root = tmp_path_factory.mktemp("files")
    papers = root / "papers"
    papers.mkdir()
    (papers / "tides.md").write_text(
        "# Tides\n\nThe moon raises the tides of the sea. Spring tides come at new and full moon.\n"
        "Neap tides are the weakest tides, when sun and moon pull at right angles.\n"
    )
    (papers / "boats.txt").write_text("Boats wait for the tide, as they need water below.\n")
    return root


@pytest.fixture(scope="module")
def installation(folder: Path) -> Iterator[Installation]:
    env = {"BURSAR_FILES_ROOT": str(folder)}
    with Installation(workers=2, env=env) as running:
        yield running


@pytest.fixture
def client(installation: Installation) -> Iterator[Client]:
    with installation.client() as made:
        yield made
