"""The demo's scenes, without a terminal and with one."""

import subprocess
import sys
from pathlib import Path

import pytest

from support.answering import PROMPT
from support.terminal import Terminal


@pytest.mark.parametrize("scene", ["report", "purse", "approval"])
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
    _check_the_approval_scene(ran.stdout, asked=scene == "approval")


def _check_the_approval_scene(printed: str, *, asked: bool) -> None:
    assert printed.count("There is no terminal to ask at") == 2 * asked
    assert printed.count("The next session was not asked about.") == asked
    assert ("kill -9 of the gateway and all workers" in printed) == asked
    assert ("bursar allowances revoke alw_" in printed) == asked
    if asked:
        after = printed.split("What the audit log has of it:")[1]
        for word in ("policy.set", "allowance.grant", "allowance.revoke", " ask ", " allow "):
            assert word in after
        assert " ok" in after


def test_somebody_at_a_terminal_answers_the_approval_scene_in_place(tmp_path: Path) -> None:
    with Terminal("demo", "--scene", "approval", env={"TMPDIR": str(tmp_path)}) as terminal:
        # Whether the question is put before or after the kill depends on who is faster.
        terminal.expect("they run again", timeout_s=60)
        terminal.expect("Answer below", timeout_s=60)
        terminal.expect(PROMPT)
        assert terminal.screen.count("reader wants write_report") == 1
        terminal.line("w")
        terminal.expect("The next session was not asked about", timeout_s=60)
        terminal.expect("Answer below", timeout_s=60)
        terminal.expect(PROMPT)
        assert terminal.screen.count("reader wants write_report") == 2
        terminal.line("d no more of it")
        terminal.expect("Computed anew from its first entry", timeout_s=60)
        assert terminal.ended(timeout_s=60) == 0
        assert "a colleague" not in terminal.screen.split("a colleague does.")[-1]
        assert terminal.echoes()
