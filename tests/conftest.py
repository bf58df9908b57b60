"""Fixtures for all tests. A Redis server is started by the tests themselves; none is no excuse."""

import signal
from collections.abc import AsyncIterator, Iterator

import pytest

from bursar.embedded import EmbeddedServer
from bursar.inbox import Inputs
from bursar.queue import Bells, connect_queue
from bursar.registry import AgentEntry, Registry, announce
from bursar.settings import Settings
from bursar.store.opening import open_store
from bursar.store.redis import RedisClient
from bursar.store.store import Store
from support.invariants import check_accounts, check_audit_logs, check_lifetimes, check_trees
from support.seeds import SEED
from support.topologies import ClusterServers


def pytest_configure() -> None:
    """Undo what shells do to jobs in the background: no child of ours would heed Ctrl-C."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> str:
    return f"seed: BURSAR_TEST_SEED={SEED}"


@pytest.fixture(scope="session")
def redis_server() -> Iterator[EmbeddedServer]:
    """One real server for the whole run; each test that uses `store` finds it empty."""
    with EmbeddedServer() as server:
        yield server


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterServers]:
    """A Cluster of a module's own, whose tests may take nodes away."""
    servers = ClusterServers(tmp_path_factory.mktemp("cluster"))
    yield servers
    servers.stop()


@pytest.fixture
def settings(redis_server: EmbeddedServer) -> Settings:
    # Nothing kept back, so that limits mean what they say; tests of that set it.
    return Settings(redis_url=redis_server.url, closing_microusd=0)


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    """An opened store on an empty real server; at the end no key leaked and the money adds up."""
    opened = await open_store(settings)
    await opened.redis.call("FLUSHALL")
    await opened.aclose()
    opened = await open_store(settings)
    yield opened
    await check_lifetimes(opened)
    await check_trees(opened)
    await check_accounts(opened)
    await check_audit_logs(opened)
    await opened.aclose()


@pytest.fixture
async def queue(settings: Settings, store: Store) -> AsyncIterator[RedisClient]:
    pool = await connect_queue(settings)
    yield pool
    await pool.aclose()


@pytest.fixture
async def registry(store: Store) -> Registry:
    """A registry in which the agent ``echo`` is served by a live worker."""
    worker: dict[str, str | int] = {
        "id": "w1", "host": "test", "pid": 1, "group": "default", "slots": 1, "busy": 0,
        "agents": "echo", "started_ms": 1,
    }  # fmt: skip
    await announce(store, worker, [AgentEntry("echo", "default", "m", model="local:echo")])
    return Registry(store, max_age_s=0)


@pytest.fixture
async def inputs(store: Store, queue: RedisClient, registry: Registry) -> Inputs:
    return Inputs(store, registry, Bells(store, queue, registry))
