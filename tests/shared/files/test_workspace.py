"""Files confined to a folder: what works, what is refused, and that nothing outside is touched."""

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bursar.errors import InvalidInput
from bursar.files import WorkspaceFiles
from bursar.files.tree import check_spelling, open_folder, scan

LIMIT = 1000
SECRET = "secret"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A session's folder with a twin beside it and every kind of thing that leads out."""
    root = tmp_path / "ws"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "a.txt").write_text("one")
    (root / "sub" / "b.txt").write_text("two")
    outside = tmp_path / "ws-evil"
    outside.mkdir()
    (outside / "canary").write_text(SECRET)
    (root / "link").symlink_to(outside)
    (root / "link.txt").symlink_to(outside / "canary")
    (root / "new.txt").symlink_to(outside / "new")
    (root / "sub" / "up").symlink_to("../../ws-evil")
    (root / "within").symlink_to("sub")
    (root / "hard.txt").hardlink_to(outside / "canary")
    os.mkfifo(root / "pipe")
    return root


@pytest.fixture
def files(root: Path) -> WorkspaceFiles:
    return WorkspaceFiles(root.parent, root.name)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def untouched(root: Path) -> bool:
    outside = root.parent / "ws-evil"
    return names(outside) == ["canary"] and (outside / "canary").read_text() == SECRET


def test_files_are_written_read_replaced_and_deleted(root: Path, files: WorkspaceFiles) -> None:
    assert files.write("new/er/c.txt", b"one", max_bytes=LIMIT)
    assert files.read("./new//er/c.txt", max_bytes=LIMIT) == b"one"
    assert not files.write("new/er/c.txt", b"two", max_bytes=LIMIT)
    assert (root / "new/er/c.txt").read_bytes() == b"two"
    files.delete("new/er/c.txt")
    assert names(root / "new/er") == []


def test_a_replaced_file_keeps_its_mode(root: Path, files: WorkspaceFiles) -> None:
    (root / "a.txt").chmod(0o750)
    files.write("a.txt", b"new", max_bytes=LIMIT)
    assert (root / "a.txt").stat().st_mode & 0o7777 == 0o750


def test_odd_names_that_lead_nowhere_are_ordinary(files: WorkspaceFiles) -> None:
    for name in ("...", "a..b", ".hidden", "~", "a:b", "a\\b", "-rf"):
        files.write(name, b"x", max_bytes=LIMIT)
        assert files.read(name, max_bytes=LIMIT) == b"x"


ACTS: dict[str, Callable[[WorkspaceFiles, str], Any]] = {
    "read": lambda files, path: files.read(path, max_bytes=LIMIT),
    "peek": lambda files, path: files.read(path, max_bytes=LIMIT, whole=False),
    "write": lambda files, path: files.write(path, b"x", max_bytes=LIMIT),
    "update": lambda files, path: files.update(path, lambda _: b"x", max_bytes=LIMIT),
    "delete": lambda files, path: files.delete(path),
}
OUT = [
    "../ws-evil/canary",
    "missing/../../ws-evil/canary",
    "sub/../link/canary",
    "/etc/hosts",
    "link/canary",
    "link/new",
    "link/new/er",
    "link.txt",
    "new.txt",
    "sub/up/canary",
    "within/b.txt",
    "a.txt/x",
    "pipe",
    "sub",
    "",
    "a\x00b",
]


@pytest.mark.parametrize("path", OUT)
@pytest.mark.parametrize("act", ACTS)
def test_what_leads_out_is_refused_and_touches_nothing(
    root: Path, files: WorkspaceFiles, act: str, path: str
) -> None:
    before = names(root)
    with pytest.raises(InvalidInput) as caught:
        ACTS[act](files, path)
    assert caught.value.field == "path"
    assert untouched(root)
    assert names(root) == before


def test_a_symlink_is_called_one(files: WorkspaceFiles) -> None:
    for path, name in (("link/canary", "link"), ("link.txt", "link.txt"), ("sub/up/x", "up")):
        with pytest.raises(InvalidInput, match=f"'{name}' is a symlink"):
            files.read(path, max_bytes=LIMIT)
        with pytest.raises(InvalidInput, match=f"'{name}' is a symlink"):
            files.write(path, b"", max_bytes=LIMIT)


@pytest.mark.parametrize("act", ["write", "update", "delete"])
def test_a_file_with_a_second_name_is_not_changed(
    root: Path, files: WorkspaceFiles, act: str
) -> None:
    with pytest.raises(InvalidInput, match="more than one name"):
        ACTS[act](files, "hard.txt")
    assert untouched(root)


def test_a_socket_and_a_device_are_no_files(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for base, name in ((tmp_path, "socket"), (Path("/dev"), "null")):
            with pytest.raises(InvalidInput, match="no regular file"):
                WorkspaceFiles(base).read(name, max_bytes=LIMIT)


def test_sizes_are_bounded(root: Path, files: WorkspaceFiles) -> None:
    (root / "big").write_bytes(b"x" * (LIMIT + 1))
    with pytest.raises(InvalidInput, match="1001 bytes"):
        files.read("big", max_bytes=LIMIT)
    assert len(files.read("big", max_bytes=10, whole=False)) == 10
    with pytest.raises(InvalidInput, match="got 1001"):
        files.write("new", b"x" * (LIMIT + 1), max_bytes=LIMIT)
    with pytest.raises(InvalidInput, match="got 1001"):
        files.update("a.txt", lambda _: b"x" * (LIMIT + 1), max_bytes=LIMIT)
    assert (root / "a.txt").read_text() == "one"


def test_a_failed_write_leaves_the_old_file_and_no_other(
    root: Path, files: WorkspaceFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise OSError(28, "full")

    for name in ("fsync", "rename"):
        before = names(root)
        with monkeypatch.context() as patch:
            patch.setattr(os, name, fails)
            with pytest.raises(InvalidInput, match="cannot be written"):
                files.write("a.txt", b"new", max_bytes=LIMIT)
        assert (root / "a.txt").read_text() == "one"
        assert names(root) == before


def test_edits_at_the_same_time_all_arrive(root: Path, files: WorkspaceFiles) -> None:
    (root / "count").write_text("0")

    def work() -> None:
        for _ in range(25):
            files.update("count", lambda data: str(int(data) + 1).encode(), max_bytes=LIMIT)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (root / "count").read_text() == "200"


def test_folders_are_listed_and_walked_without_following_anything(files: WorkspaceFiles) -> None:
    kinds = {entry.path: entry.kind for entry in files.entries()}
    assert kinds == {
        "a.txt": "file", "hard.txt": "file", "sub": "folder", "link": "other", "link.txt": "other",
        "new.txt": "other", "within": "other", "pipe": "other",
    }  # fmt: skip
    walked = [entry.path for entry in files.walk(enter=lambda _: True)]
    assert walked == ["a.txt", "hard.txt", "sub/b.txt"]
    assert [entry.path for entry in files.walk("sub", enter=lambda _: True)] == ["sub/b.txt"]
    assert [e.path for e in files.walk(enter=lambda _: False)] == ["a.txt", "hard.txt"]
    for wrong in ("link", "sub/up", "..", "a.txt", "missing"):
        with pytest.raises(InvalidInput):
            files.entries(wrong)


def test_names_that_no_argument_can_have_are_not_listed(root: Path, files: WorkspaceFiles) -> None:
    for name in (b"a\nb", b"\xff", "u\u0308".encode()):
        (root / "sub" / "deep" / os.fsdecode(name)).write_text("")
    assert files.entries("sub/deep") == []


def test_the_way_to_the_folder_itself_is_walked_too(root: Path) -> None:
    """One session must not lead another, whose folder lies in its own, out."""
    for folder in ("ws/link", "ws/sub/up", "ws/missing", "../x"):
        with pytest.raises(InvalidInput) as caught:
            WorkspaceFiles(root.parent, folder).read("canary", max_bytes=LIMIT)
        assert caught.value.field == "workspace_path"


def test_a_folder_that_was_opened_stays_the_one_that_it_was(
    root: Path, files: WorkspaceFiles
) -> None:
    with files.open("sub") as handle:
        (root / "sub").rename(root / "moved")
        (root / "sub").symlink_to(root.parent / "ws-evil")
        assert {entry.path for entry in scan(handle, ())} == {"b.txt", "deep", "up"}


def test_no_descriptor_is_left_open(files: WorkspaceFiles) -> None:
    def count() -> int:
        return len(names(Path("/dev/fd")))

    before = count()
    for act in ACTS.values():
        for path in OUT:
            with pytest.raises(InvalidInput):
                act(files, path)
    list(files.walk(enter=lambda _: True))
    files.write("x", b"", max_bytes=LIMIT)
    assert count() == before


def test_another_spelling_of_a_name_is_refused_where_the_system_takes_it(root: Path) -> None:
    """As on file systems for which `Notes` and `notes` are one; here the folder only plays one."""
    folder = open_folder(root)
    try:
        check_spelling(folder, "a.txt", field="path", exact_only=True)
        check_spelling(folder, "missing", field="path", exact_only=True)
    finally:
        os.close(folder)


def test_a_twin_in_case_is_found(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = open_folder(root)
    monkeypatch.setattr(os, "stat", lambda *_, **__: None)  # the system finds it all the same
    try:
        with pytest.raises(InvalidInput, match=r"another spelling of 'A\.TXT'"):
            check_spelling(folder, "A.TXT", field="path", exact_only=True)
    finally:
        os.close(folder)
