from collections.abc import Iterator
from pathlib import Path

import pytest

from bursar.cli.supervisor import Installation
from support.tutorial import Tutorial


@pytest.fixture(scope="session")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tutorial]:
    """What `bursar dev` gives you: an address and a key."""
    files: Path = tmp_path_factory.mktemp("files")
    with Installation(workers=1, env={"BURSAR_FILES_ROOT": str(files)}) as running:
        yield Tutorial(running.url, running.key, files)
