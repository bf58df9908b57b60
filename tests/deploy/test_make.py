"""The Makefile, the continuous integration script and the pins."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

TOP = Path(__file__).parents[2]
TARGETS = ("setup", "demo", "test", "check", "fmt", "bench", "help", "clean")


def make(*arguments: str, cwd: Path = TOP) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def pins() -> dict[str, str]:
    lines = (TOP / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def test_help_lists_every_target() -> None:
    listed = make("help")
    assert listed.returncode == 0
    assert set(re.findall(r"^  make (\w+) ", listed.stdout, re.MULTILINE)) == set(TARGETS)


@pytest.mark.parametrize("target", ["setup", "demo", "test", "check", "fmt", "bench"])
def test_each_target_sets_up_the_environment_by_itself(target: str) -> None:
    planned = make("--dry-run", "--always-make", target).stdout
    assert "-m venv" in planned
    assert "constraints.txt" in planned


def test_arguments_reach_the_programs() -> None:
    assert 'bursar demo --input "a b"' in make("--dry-run", "demo", "INPUT=a b").stdout
    assert 'bursar demo --scene "purse"' in " ".join(
        make("--dry-run", "demo", "SCENE=purse").stdout.split()
    )
    assert "-m pytest -k ledger" in make("--dry-run", "test", "ARGS=-k ledger").stdout
    assert "-m bench.tails --n 3" in make("--dry-run", "bench", "NAME=tails", "ARGS=--n 3").stdout


@pytest.mark.parametrize("too_old", ["true", "no-such-python"])
def test_an_unfit_python_is_named_with_the_way_out(tmp_path: Path, too_old: str) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text((TOP / name).read_text())
    python = tmp_path / too_old
    if too_old == "true":
        python.write_text("#!/bin/sh\necho Python 3.9.1\nexit 1\n")
        python.chmod(0o755)
    refused = make(f"PYTHON={python}", "test", cwd=tmp_path)
    assert refused.returncode != 0
    assert "needs Python 3.11 or newer" in refused.stderr
    assert "make PYTHON=python3.12 test" in refused.stderr
    assert not (tmp_path / ".venv").exists()


def test_pins_cover_every_requirement_and_fit_its_range() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        wanted += extra
    for requirement in map(Requirement, wanted):
        if requirement.name != "bursar":
            version = pins()[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(version), requirement


def test_pins_are_plain_versions_of_other_packages() -> None:
    assert "bursar" not in pins()
    text = (TOP / "constraints.txt").read_text()
    assert not re.search(r"://| @ |^-", text, re.MULTILINE)


def test_continuous_integration_runs_checks_and_tests() -> None:
    script = TOP / ".ci" / "run"
    assert os.access(script, os.X_OK)
    text = script.read_text()
    assert "set -euo pipefail" in text
    assert re.findall(r"^make .*? (\w+)$", text, re.MULTILINE) == ["check", "test"]
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
