"""Nothing gets out of the workspace folder, and what did would be noticed. See `bench.boundary`."""

import random
from pathlib import Path

import pytest
from bench.boundary.run import ask_gate, attack, race
from bench.boundary.subjects import Checked, TextOnly, Tools
from bench.boundary.world import World

from support.seeds import SEED


@pytest.fixture(params=[pytest.param(SEED, id=f"seed-{SEED}")])
def world(tmp_path: Path) -> World:
    return World.build(tmp_path)


def test_no_hostile_path_leads_out(world: World) -> None:
    findings = attack(Tools(world), world, random.Random(SEED), 2000)
    assert findings.escapes == []
    assert findings.crashes == []
    assert findings.acts["read done"] > 0
    assert findings.acts["write done"] > 0


def test_no_swapped_name_leads_out(world: World) -> None:
    findings = race(Tools(world), world, random.Random(SEED), 6)
    assert findings.escapes == []
    assert findings.crashes == []
    assert findings.acts["read done"] > 0
    assert findings.acts["read refused"] > 0
    assert findings.acts["write done"] > 0


def test_the_gate_sees_every_path_that_leads_out(world: World) -> None:
    assert ask_gate(world, random.Random(SEED), 500) == []


def test_a_tool_that_looks_at_the_text_only_is_found_out(world: World) -> None:
    findings = attack(TextOnly(world), world, random.Random(SEED), 1000)
    assert any("gave the secret away" in escape for escape in findings.escapes)
    assert any("changed by" in escape for escape in findings.escapes)


def test_a_tool_that_checks_first_and_opens_later_is_found_out(world: World) -> None:
    """The corpus alone does not find it: that takes the race."""
    assert attack(Checked(world), world, random.Random(SEED), 500).escapes == []
    rng = random.Random(SEED)
    assert any(race(Checked(world), world, rng, 2).escapes for _ in range(10))
