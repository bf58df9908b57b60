"""An office whose gateways do everything a hundred times as fast."""

from collections.abc import AsyncIterator

import pytest

from bursar.settings import GatewaySettings
from bursar.store.store import Store
from bursar_gateway.webhooks import courier as courier_module
from bursar_gateway.webhooks import line
from support.office import Office
from support.webhooks import Post


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks, leases and outages of tens of milliseconds."""
    monkeypatch.setattr(courier_module, "_LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(line, "_LEASE_MS", 300)
    monkeypatch.setattr(line, "_RENEW_S", 0.05)
    monkeypatch.setattr(line, "_OUTAGE_S", 0.05)


@pytest.fixture
async def office(store: Store, quick: None) -> AsyncIterator[Office]:
    settings = GatewaySettings(
        redis_url=store.settings.redis_url,
        webhook_http=True,
        webhook_allow_nets="127.0.0.0/8",  # type: ignore[arg-type]
        webhook_retry_s=0.02,
        webhook_timeout_s=2,
    )
    made = Office(store, await Post.build(store), settings)
    yield made
    await made.close()
