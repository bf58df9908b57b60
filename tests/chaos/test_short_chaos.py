"""The short forms of `bench chaos`: real processes, real kills, then the auditor.

The long forms are the same code with larger numbers.
"""

from pathlib import Path

import pytest
from bench.chaos import flushes, mix, pauses, points, reconnects
from bench.chaos.site import BrokenSite

pytestmark = pytest.mark.timeout(300)
SEED = 20261124


async def test_everything_at_once_leaves_nothing_wrong(tmp_path: Path) -> None:
    async with BrokenSite(tmp_path, workers=3) as site:
        done = await mix.run(site, seconds=12, seed=SEED, producers=2)
    assert done.findings.wrong == []
    quarantined = done.findings.turns["quarantined"]
    innocent = quarantined - 2  # poison is that has to be; audited one by one
    assert innocent <= done.accepted // 50, "a session is hit three times in a row by chance"
    assert done.findings.turns["succeeded"] == done.accepted - quarantined
    assert done.deeds["kill a worker"] > 0


@pytest.mark.parametrize("effect", points.CLASSES)
async def test_a_kill_at_each_point_repeats_and_hides_nothing(tmp_path: Path, effect: str) -> None:
    done = await points.run(tmp_path, effect, kills=1, seed=SEED, sessions=40, points=())
    assert done.findings.wrong == []
    assert set(done.reached) == set(points.OF_TURNS)
    assert done.findings.effects[effect] > 0


async def test_workers_paused_beyond_their_lease_write_nothing_stale(tmp_path: Path) -> None:
    done = await pauses.run(tmp_path, pauses=10, seed=SEED, sessions=40)
    assert done.findings.wrong == []
    assert done.fenced > 0, "nobody was replaced, so nothing was shown"


async def test_streams_that_are_cut_show_every_event_once(tmp_path: Path) -> None:
    done = await reconnects.run(tmp_path, reconnects=150, kills=6, seed=SEED)
    assert done.wrong == []
    assert (done.lost, done.doubled) == (0, 0)
    assert done.events > 1000


async def test_an_emptied_queue_delays_turns_and_loses_none(tmp_path: Path) -> None:
    done = await flushes.run(tmp_path, flushes=8, seed=SEED, sessions=30)
    assert done.findings.wrong == []
    assert len(done.during_s) > 30
