from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from bursar.client import AsyncClient, Client
from support.both_clients import Make
from support.stub_gateway import StubGateway


@pytest.fixture
def stub() -> Iterator[StubGateway]:
    with StubGateway() as gateway:
        yield gateway


@pytest.fixture(params=[Client, AsyncClient])
async def make(request: pytest.FixtureRequest) -> AsyncIterator[Make]:
    """Makes clients of either kind; all are closed at the end."""
    made: list[Client | AsyncClient] = []

    def build(url: str, **options: Any) -> Client | AsyncClient:
        made.append(request.param(url, "secret", **({"workspace": "acme"} | options)))
        return made[-1]

    yield build
    for client in made:
        if isinstance(client, Client):
            client.close()
        else:
            await client.aclose()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bursar.client.problems._FIRST_PAUSE_S", 0.001)
