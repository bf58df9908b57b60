"""The short form of `bench approvals`, and proof that its audits see what they are there to see."""

import json
from pathlib import Path
from typing import Any

import pytest
from bench.approvals import changed, crashes, doubles, latency, lost, starts
from bench.approvals.effects import Effect, read_effects
from bench.approvals.mutants import MUTATORS, SPELLINGS
from bench.approvals.office import Reply
from bench.plants import PLANTS, PlantedStore

from bursar.store.scripts.loader import Script
from bursar.store.store import Store

SEED = 20261125


@pytest.mark.timeout(120)
async def test_open_questions_survive_the_death_of_everything(tmp_path: Path) -> None:
    found = await lost.run(tmp_path, questions=24, seed=SEED)
    assert found.wrong == []
    assert found.asked >= 24
    assert found.children > 0
    assert all(found.answers[each] > 0 for each in ("approve", "edit", "deny"))


@pytest.mark.timeout(120)
async def test_answers_that_nobody_hears_of_are_found_out(tmp_path: Path) -> None:
    found = await lost.run(
        tmp_path, questions=6, seed=SEED, workers=1, gateways=1, plant="answers wake nobody",
        stuck_after_s=1,
    )  # fmt: skip
    assert found.not_run
    assert found.stuck


async def test_no_call_starts_but_the_one_that_was_approved() -> None:
    found = await starts.run_alone(mutations=2500, seed=SEED)
    assert (found.executed, found.refused) == ([], [])
    assert found.controls > 20
    assert set(MUTATORS) < set(found.tried)
    assert SPELLINGS


@pytest.mark.parametrize("plant", ["arguments are not compared", "the state is not looked at"])
async def test_a_start_that_leaves_out_a_check_is_found_out(plant: str) -> None:
    found = await starts.run_alone(mutations=500, seed=SEED, plant=plant)
    assert found.executed


@pytest.mark.timeout(120)
async def test_workers_run_no_call_that_changed_since_it_was_approved(tmp_path: Path) -> None:
    found = await changed.run(tmp_path, calls=2, seed=SEED)
    assert (found.executed, found.wrong) == ([], [])
    assert found.controls == 2


@pytest.mark.timeout(120)
async def test_of_eight_answers_at_once_one_counts(tmp_path: Path) -> None:
    found = await doubles.run(tmp_path, questions=32, seed=SEED)
    assert found.wrong == []
    assert found.replies == {"200": 32, "already_answered": 7 * 32}


@pytest.mark.timeout(120)
async def test_a_gateway_that_takes_every_answer_is_found_out(tmp_path: Path) -> None:
    found = await doubles.run(tmp_path, questions=4, seed=SEED, plant="every answer counts")
    assert len(found.not_one) == 4


@pytest.mark.timeout(120)
async def test_an_answer_brings_about_its_call(tmp_path: Path) -> None:
    found = await latency.run(tmp_path, answers=8, seed=SEED)
    assert found.wrong == []
    assert (len(found.alone_ms), len(found.burst_ms)) == (8, 8)


@pytest.mark.timeout(240)
async def test_killed_workers_run_nothing_twice_and_nothing_unapproved(tmp_path: Path) -> None:
    found = await crashes.run(tmp_path, seconds=3, seed=SEED, workers=2)
    assert found.wrong == []
    assert found.deeds["kill a worker"] > 0
    assert found.asked > 20


@pytest.mark.timeout(240)
def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


async def test_calls_that_leave_no_mark_are_found_out(tmp_path: Path) -> None:
    for number in range(4):  # whether a kill meets such a call is up to chance
        found = await crashes.run(
            made(tmp_path / str(number)), seconds=2, seed=SEED + number, workers=2,
            plant="calls leave no mark", failpoints="C12=kill@3",
        )  # fmt: skip
        if found.twice:
            return
    pytest.fail("no call ran twice")


# -- the audits by themselves


QUESTIONS: list[dict[str, Any]] = [
    {"id": f"apr_{call}", "session": "s", "turn": "t", "call": call} for call in "abc"
]
PLAN = {"apr_a": "approve", "apr_b": "deny", "apr_c": "edit"}
GOOD = {"a": "a", "c": "c!edited"}


def ran(path: Path, **calls: str) -> Path:
    lines = [f"at_most_once w s t 1 {call} key {what} 7\n" for call, what in calls.items()]
    path.write_text("".join(lines))
    return path


@pytest.mark.parametrize(
    ("calls", "where"),
    [
        (GOOD, ""),
        ({"c": "c!edited"}, "not_run"),
        (GOOD | {"b": "b"}, "denied_ran"),
        (GOOD | {"c": "c"}, "other_arguments"),
        (GOOD | {"x": "x"}, "denied_ran"),
    ],
)
def test_effects_are_compared_with_the_answers(
    tmp_path: Path, calls: dict[str, str], where: str
) -> None:
    found = lost.Lost()
    lost.compare(ran(tmp_path / "effects", **calls), QUESTIONS, PLAN, found)
    assert bool(found.wrong) == bool(where)
    assert not where or getattr(found, where)


def test_an_effect_that_happened_twice_is_seen(tmp_path: Path) -> None:
    path = ran(tmp_path / "effects", **GOOD)
    path.write_text(path.read_text() * 2)
    found = lost.Lost()
    lost.compare(path, QUESTIONS, PLAN, found)
    assert len(found.twice) == 2
    assert read_effects(path)[0] == Effect("at_most_once", "w", "s", "t", 1, "a", "key", "a", 7)


def test_a_problem_says_its_code() -> None:
    assert Reply(409, json.loads('{"code": "already_answered"}')).code == "already_answered"


@pytest.mark.parametrize("name", sorted(PLANTS))
async def test_a_plant_breaks_its_script_and_no_other(store: Store, name: str) -> None:
    """It says so when there is nothing left of what it breaks."""
    plant = PLANTS[name]
    right = Script(plant.script).text(shebang=True)
    assert plant.apply(right) != right
    with pytest.raises(ValueError, match="nothing to break"):
        plant.apply("")
    assert PlantedStore.over(store, name).plant == name
