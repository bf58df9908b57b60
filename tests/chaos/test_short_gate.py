"""The short form of `bench gate`, and proof that its audits see what they are there to see."""

from pathlib import Path
from typing import Any

import pytest
from bench.gate import cost, revocation, takers
from bench.gate.forgeries import try_forgeries

from bursar.gate.capabilities import Capability, read_token

SEED = 20261125


@pytest.mark.parametrize("name", sorted(cost.CASES))
async def test_a_call_that_nobody_is_asked_about_takes_one_round_trip(name: str) -> None:
    found = await cost.measure(cost.CASES[name], rounds=1, steps=1)
    assert found.calls > 0
    assert found.commands == found.calls


def test_a_check_that_skips_the_signature_is_found_out() -> None:
    def careless(token: str, *_: object, **__: Any) -> Capability:
        return read_token(token)

    assert try_forgeries(100, seed=SEED, check=careless).accepted


@pytest.mark.timeout(120)
async def test_a_right_that_was_taken_back_is_used_by_no_worker(tmp_path: Path) -> None:
    kinds = ("allowance", "parent of a capability", "signing key", "block")
    found = await revocation.run(tmp_path, rounds=1, seed=SEED, kinds=kinds)
    assert found.wrong == []
    assert {
        kind: ms for kind, delays in found.delays_ms.items() for ms in delays if ms > 1000
    } == {}


@pytest.mark.timeout(120)
async def test_rules_that_workers_do_not_hear_of_are_found_out(tmp_path: Path) -> None:
    plant = "new rules raise no version"
    found = await revocation.run(tmp_path, rounds=1, seed=SEED, kinds=("policy",), plant=plant)
    assert found.delays_ms["policy"][0] > 1000


async def test_as_many_calls_start_as_an_allowance_has_uses() -> None:
    found = await takers.by_scripts(rounds=150, seed=SEED)
    assert found.wrong == []
    assert found.rounds == 150


@pytest.mark.timeout(120)
async def test_of_several_workers_one_gets_the_one_use(tmp_path: Path) -> None:
    found = await takers.by_workers(tmp_path, rounds=3, seed=SEED, workers=3)
    assert found.wrong == []


async def test_uses_that_are_not_counted_are_found_out() -> None:
    found = await takers.by_scripts(rounds=5, seed=SEED, plant="uses are not counted")
    assert len(found.wrong) == 5
