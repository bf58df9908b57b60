from pathlib import Path

import pytest

from bursar.errors import InvalidInput
from bursar.testing import tool_context
from bursar_worker.builtin import echo, reader
from bursar_worker.builtin.reports import write_report


def write(root: Path | None, path: str, markdown: str = "# Hi\n") -> str:
    return write_report(tool_context(files=root), path, markdown)


def test_a_report_is_written_below_its_folder_and_replaced(tmp_path: Path) -> None:
    write(tmp_path, "deep/er/report.md", "old")
    assert write(tmp_path, "deep/er/report.md") == "bursar-report/deep/er/report.md (5 bytes)"
    assert (tmp_path / "bursar-report/deep/er/report.md").read_text() == "# Hi\n"
    assert len(list((tmp_path / "bursar-report/deep/er").iterdir())) == 1


@pytest.mark.parametrize("path", ["../x.md", "/x.md", "a/../../x.md", "x.txt", "x\x00.md"])
def test_other_places_are_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(InvalidInput):
        write(tmp_path, path)
    assert list(tmp_path.iterdir()) == []


def test_symlinks_lead_nowhere(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "bursar-report").symlink_to(outside)
    with pytest.raises(InvalidInput):
        write(root, "x.md")
    (root / "bursar-report").unlink()
    (root / "inside").mkdir()
    (root / "bursar-report").symlink_to(root / "inside")
    with pytest.raises(InvalidInput):
        write(root, "x.md")
    assert list(outside.iterdir()) == list((root / "inside").iterdir()) == []


def test_reports_have_a_size_limit_and_need_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        write(tmp_path, "x.md", "x" * (1024 * 1024 + 1))
    with pytest.raises(InvalidInput):
        write(None, "x.md")


def test_the_builtin_agents_may_do_their_work_without_being_asked() -> None:
    for tool in reader.tools:
        assert reader.policy.decide(tool.action({}), tool.effect).verdict == "allow"
    assert (reader.name, echo.name) == ("reader", "echo")
