"""Every script runs on a real server and on fakeredis: `any_store` is one after the other."""

from collections.abc import AsyncIterator

import pytest

from bursar.leases import Lease
from bursar.settings import Settings
from bursar.store.opening import adopt, open_store
from bursar.store.store import Store
from support.fake import fake_client
from support.invariants import check_accounts, check_audit_logs, check_lifetimes, check_trees
from support.stage import Stage


@pytest.fixture(params=["real", "fake"])
async def any_store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """An empty store, first on a real server, then on fakeredis (which takes no ``#!lua`` line)."""
    if request.param == "real":
        settings: Settings = request.getfixturevalue("settings")
        emptied = await open_store(settings)
        await emptied.redis.call("FLUSHALL")
        await emptied.aclose()
        opened = await open_store(settings)
    else:
        opened = await adopt(fake_client(), Settings(closing_microusd=0))
    yield opened
    await check_lifetimes(opened)
    await check_trees(opened)
    await check_accounts(opened)
    await check_audit_logs(opened)
    await opened.aclose()


@pytest.fixture
async def stage(any_store: Store) -> Stage:
    """A workspace without a limit and a session that may spend 1,000,000 micro-USD."""
    return await Stage.build(any_store)


@pytest.fixture
async def lease(stage: Stage) -> Lease:
    """A lease of the stage's session, with a turn under way."""
    lease, _ = await stage.running()
    return lease
