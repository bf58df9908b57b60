"""A place for workers to work at."""

from collections.abc import AsyncIterator

import pytest

from bursar.store.store import Store
from support.workers import Site, site


@pytest.fixture
async def place(store: Store) -> AsyncIterator[Site]:
    """What workers share: a store, a queue, bells. Tests start the workers themselves."""
    async with site(store) as made:
        yield made
