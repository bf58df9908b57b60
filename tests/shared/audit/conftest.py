from collections.abc import Callable

import pytest

from bursar import workspaces
from bursar.audit.chain import INSTALLATION
from bursar.audit.keyring import KeyRing
from bursar.settings import GatewaySettings, Settings
from bursar.signing import SigningKeys
from bursar.store.scripts.audit import AuditLog
from bursar.store.store import Store
from support.audit_desk import Desk


@pytest.fixture
async def signing(store: Store, settings: Settings) -> SigningKeys:
    return await SigningKeys.load(store, GatewaySettings(redis_url=settings.redis_url))


@pytest.fixture
def ring(signing: SigningKeys) -> KeyRing:
    return KeyRing.of_texts({signing.current.kid: signing.current.public})


@pytest.fixture(params=["acme", INSTALLATION])
async def desk(
    request: pytest.FixtureRequest, store: Store, signing: SigningKeys, ring: KeyRing
) -> Desk:
    """A log on a real server, with one entry: a workspace's, then the installation's."""
    await workspaces.create(store, "acme")
    return Desk(store, AuditLog.of(store, request.param), signing.current, ring)


@pytest.fixture
def make_desk(store: Store, signing: SigningKeys, ring: KeyRing) -> Callable[[str], Desk]:
    return lambda name: Desk(store, AuditLog.of(store, name), signing.current, ring)
