from collections.abc import Iterator

import pytest

from bursar.cli.app import run
from bursar.cli.output import console
from support.command import Bursar, Ran
from support.stub_gateway import StubGateway


@pytest.fixture
def stub() -> Iterator[StubGateway]:
    with StubGateway() as gateway:
        yield gateway


@pytest.fixture
def bursar(
    stub: StubGateway, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Bursar:
    """Runs a command in this process, against the stub."""
    monkeypatch.setenv("BURSAR_URL", stub.url)
    monkeypatch.setenv("BURSAR_API_KEY", "secret")
    monkeypatch.delenv("BURSAR_WORKSPACE", raising=False)
    monkeypatch.setattr("bursar.client.problems._FIRST_PAUSE_S", 0.001)

    def command(*argv: str) -> Ran:
        console.cache_clear()  # It holds on to the streams that it first saw.
        status = run(argv)
        printed = capsys.readouterr()
        console.cache_clear()
        return Ran(status, printed.out, printed.err)

    return command
