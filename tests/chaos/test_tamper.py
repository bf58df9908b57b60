"""Every planted change of a real audit log is found where it is. See `bench.tamper`."""

import pytest
from bench.tamper.run import plant
from bench.tamper.site import opened

from bursar.settings import GatewaySettings, Settings
from bursar.store.store import Store
from support.seeds import SEED

COUNT = 700


@pytest.mark.parametrize("seed", [pytest.param(SEED, id=f"seed-{SEED}")])
async def test_no_change_is_missed_or_misplaced_and_no_untouched_log_is_an_alarm(
    store: Store, settings: Settings, seed: int
) -> None:
    own = GatewaySettings(redis_url=settings.redis_url)
    async with opened(store, own, seed) as site:
        result = await plant(site, COUNT)
    assert result.missed == []
    assert result.misplaced == []
    assert len(result.planted) == 38, "every kind of change"
    assert min(result.planted.values()) >= 10
    assert result.untouched > 10
    assert result.false_alarms == []
