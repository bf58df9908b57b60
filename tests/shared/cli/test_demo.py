"""How the demo chooses its folder; the whole demo runs in tests/e2e."""

from pathlib import Path

import pytest

from bursar.cli import demo
from support.command import Bursar


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "notes"
    (source / "deep").mkdir(parents=True)
    (source / "a.txt").write_text("one")
    (source / "deep" / "b.md").write_text("two")
    (source / ".hidden").write_text("no")
    (source / "image.png").write_bytes(b"\x89PNG\x00")
    (source / "bursar-report").mkdir()
    (source / "bursar-report" / "report.md").write_text("an earlier one")
    return source


def _names(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def test_a_given_folder_is_used_as_it_is(folder: Path, tmp_path: Path) -> None:
    place = demo._prepare(folder, tmp_path / "base", in_place=True)
    assert (place.folder, place.copied) == (folder, False)
    assert place.report == folder / "bursar-report" / "report.md"
    assert not (tmp_path / "base").exists()


def test_a_folder_that_must_not_be_written_to_is_copied_as_far_as_it_is_text(
    folder: Path, tmp_path: Path
) -> None:
    before = _names(folder)
    place = demo._prepare(folder, tmp_path / "base", in_place=False)
    assert (place.folder, place.copied) == (tmp_path / "base" / "notes", True)
    assert _names(place.folder) == ["a.txt", "deep/b.md"]
    assert _names(folder) == before


@pytest.mark.parametrize("name", ["we:ird", "br{ce}", "x" * 65])
def test_a_folder_whose_name_no_session_can_have_is_copied(
    folder: Path, tmp_path: Path, name: str
) -> None:
    named = folder.rename(tmp_path / name)
    place = demo._prepare(named, tmp_path / "base", in_place=True)
    assert (place.folder, place.copied) == (tmp_path / "base" / "input", True)


def test_a_missing_folder_is_said_before_anything_starts(bursar: Bursar, tmp_path: Path) -> None:
    ran = bursar("demo", "--input", str(tmp_path / "nowhere"))
    assert ran.status == 2
    assert ran.err == f"bursar: --input: there is no folder {tmp_path / 'nowhere'}\n"


def test_a_folder_without_text_is_said_before_anything_starts(
    bursar: Bursar, tmp_path: Path
) -> None:
    (tmp_path / "image.png").write_bytes(b"\x00")
    ran = bursar("demo", "--input", str(tmp_path))
    assert (ran.status, "no text files" in ran.err) == (2, True)
