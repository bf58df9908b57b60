"""The demo's scenes, as somebody without a terminal sees them."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("scene", ["report", "purse"])
def test_a_scene_ends_with_a_report(scene: str, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "bursar.cli", "demo", "--scene", scene],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        stdin=subprocess.DEVNULL,
        cwd=tmp_path,
    )
    assert ran.returncode == 0, ran.stderr
    *_, report = ran.stdout.split()
    assert Path(report).is_file()
    dry = "The purse is empty" in ran.stdout
    assert dry == (scene == "purse")
    assert ("the turn goes on" in ran.stdout) == dry
