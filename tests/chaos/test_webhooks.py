"""A thousand events, bad endpoints, gateways killed: all arrive. See `bench.webhooks`."""

from pathlib import Path

import pytest
from bench.webhooks.run import deliver

from support.seeds import SEED


@pytest.mark.parametrize("seed", [pytest.param(SEED, id=f"seed-{SEED}")])
async def test_every_message_arrives_under_one_id_and_verifies(tmp_path: Path, seed: int) -> None:
    result = await deliver(tmp_path, events=1000, kills=6, seed=seed)
    assert result.lost == []
    assert result.renamed == []
    assert result.forged == []
    assert result.left == []
    assert result.expected == 2000
    assert result.kills == 6
    assert result.at_point >= 1
    assert result.tries > 1.3 * result.expected, "some were sent more than once"
