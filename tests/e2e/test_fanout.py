"""One parent, one sub-agent for each file, and workers that die on the way."""

import threading
from pathlib import Path

import pytest

from bursar.cli.supervisor import Installation
from support.waiting import wait_for

FILES = 45


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "texts"
    made.mkdir()
    for number in range(FILES):
        text = f"# Note {number}\n\nThe important fact number {number} is that tide {number} comes."
        (made / f"note-{number:02}.md").write_text(text)
    return made


@pytest.mark.parametrize("point", ["C15=kill@20", "C14=kill@2", "C16=kill@20"])
def test_each_file_is_read_once_although_each_worker_dies(
    folder: Path, tmp_path: Path, point: str
) -> None:
    """They are started again, and die there once more."""
    env = {"BURSAR_FILES_ROOT": str(folder.parent), "BURSAR_FAILPOINTS": point}
    with Installation(workers=2, data=tmp_path / "site", env=env) as site, site.client() as client:
        session = client.create_session("editor", workspace_path="texts", limit_microusd=2_000_000)
        turn = client.start_turn(session, "What is important?").turn
        over = threading.Event()
        tending = threading.Thread(target=_tend, args=(site, over))
        tending.start()
        try:
            wait_for(lambda: client.get_turn(turn).ended, "end of the turn", timeout_s=60)
        finally:
            over.set()
            tending.join()
        result = client.get_result(turn)
        assert result.ok, result
        events = list(client.turn_events(turn))
        finished = [each.data for each in events if each.kind == "child.finished"]
        spawned = [each.data for each in events if each.kind == "child.spawned"]
        account = client.get_session_budget(session).account
        audit = client.audit_budget()
    report = (folder / "bursar-report" / "report.md").read_text()
    assert all(f"note-{number:02}.md" in report for number in range(FILES))
    assert sorted(each["description"] for each in spawned) == [
        f"note-{number:02}.md" for number in range(FILES)
    ]
    assert {each["child"] for each in finished} == {each["child"] for each in spawned}
    assert len(finished) == FILES
    assert all(each["outcome"] == "succeeded" for each in finished)
    assert account.pending_microusd == 0
    assert account.posted_microusd <= 2_000_000
    assert audit.differences == []


def _tend(site: Installation, over: threading.Event) -> None:
    while not over.wait(0.1):
        site.tend()
