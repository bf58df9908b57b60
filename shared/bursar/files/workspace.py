"""What tools do with the files of a session, confined to its folder."""

import contextlib
import os
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from bursar.errors import InvalidInput, LimitReached
from bursar.files.names import check_name, split_path
from bursar.files.tree import Entry, open_file, open_folder, scan, step_down
from bursar.files.writing import changing, delete_file, replace_file

__all__ = ["WorkspaceFiles"]

_MAX_VISITED = 20_000


class WorkspaceFiles:
    """The files below ``base/folder``. All paths are relative to it; calls block.

    ``base`` is the operator's, and symlinks on the way to it are followed. From there on nothing
    is: sessions may have written what lies below, also the folders that lead to another session's.

    All methods raise `InvalidInput` with ``field`` for paths that lead out, through symlinks, or to
    anything but regular files and folders, and with ``field="workspace_path"`` when the folder
    itself is missing.
    """

    def __init__(self, base: Path, folder: str = "") -> None:
        self._base = base
        self._folder = split_path(folder, field="workspace_path")

    @contextlib.contextmanager
    def open(self, folder: str = "", *, field: str = "path") -> Iterator[int]:
        """Open a folder for as long as the block lasts; gives its descriptor."""
        with self._opened(split_path(folder, field=field), field=field) as handle:
            yield handle

    def read(self, path: str, *, max_bytes: int, whole: bool = True, field: str = "path") -> bytes:
        """Return what a file holds, at most ``max_bytes``.

        Args:
            path: Relative to the workspace folder.
            max_bytes: A larger file is refused if it was to be read as a ``whole``, else cut.
            whole: See above.
            field: The argument that errors name.

        """
        *above, name = self._file(path, field)
        with self._opened(tuple(above), field=field) as folder:
            return _read(folder, name, max_bytes, whole=whole, field=field)

    def write(self, path: str, data: bytes, *, max_bytes: int, field: str = "path") -> bool:
        """Create or replace a file and the folders above it; True if there was none.

        A reader sees the old file or the new one, never a part, also after a crash.
        """
        _check_size(data, max_bytes, field)
        *above, name = self._file(path, field)
        with (
            self._opened(tuple(above), field=field, make=True) as folder,
            changing(folder, field=field),
        ):
            return replace_file(folder, name, data, field=field)

    def update(
        self,
        path: str,
        change: Callable[[bytes], bytes],
        *,
        max_bytes: int,
        field: str = "path",
    ) -> None:
        """Replace a file by what ``change`` makes of it; no other change comes in between."""
        *above, name = self._file(path, field)
        with (
            self._opened(tuple(above), field=field) as folder,
            changing(folder, field=field),
        ):
            data = change(_read(folder, name, max_bytes, whole=True, field=field))
            _check_size(data, max_bytes, field)
            replace_file(folder, name, data, field=field)

    def delete(self, path: str, *, field: str = "path") -> None:
        *above, name = self._file(path, field)
        with (
            self._opened(tuple(above), field=field) as folder,
            changing(folder, field=field),
        ):
            delete_file(folder, name, field=field)

    def entries(self, folder: str = "", *, field: str = "path") -> list[Entry]:
        """Return what lies in one folder, by name."""
        parts = split_path(folder, field=field)
        with self._opened(parts, field=field) as handle:
            return _sorted(handle, parts)

    def walk(
        self, folder: str = "", *, enter: Callable[[Entry], bool], field: str = "path"
    ) -> Iterator[Entry]:
        """Yield the files below a folder: first its own by name, then folder by folder.

        Folders that ``enter`` declines or that went away are left out.

        Raises:
            LimitReached: There are more than 20,000 files and folders; the rest was not looked at.

        """
        found = self.entries(folder, field=field)
        folders: list[Entry] = []
        left = _MAX_VISITED
        while True:
            for entry in found[:left]:
                if entry.kind == "file":
                    yield entry
            left -= len(found)
            below = [entry for entry in found if entry.kind == "folder" and enter(entry)]
            folders.extend(reversed(below))
            if left <= 0:
                raise LimitReached(f"there are more than {_MAX_VISITED:,} files and folders")
            if not folders:
                return
            found = self._below(folders.pop())

    def _below(self, folder: Entry) -> list[Entry]:
        """Return what lies in a folder that a walk came to."""
        try:
            return self.entries(folder.path)
        except InvalidInput:
            return []  # gone, too deep, not accessible, or swapped for a symlink since it was seen

    @contextlib.contextmanager
    def _opened(self, parts: tuple[str, ...], *, field: str, make: bool = False) -> Iterator[int]:
        try:
            handle = open_folder(self._base)
        except OSError as error:
            raise InvalidInput(
                f"this folder cannot be opened: {os.strerror(error.errno or 0)}",
                field="workspace_path",
            ) from error
        try:
            for part in self._folder:
                handle = _step(handle, part, field="workspace_path")
            for part in parts:
                handle = _step(handle, part, field=field, make=make)
            yield handle
        finally:
            os.close(handle)

    def _file(self, path: str, field: str) -> tuple[str, ...]:
        parts = split_path(path, field=field)
        if not parts or path.endswith(("/", "/.")):
            raise InvalidInput("expected the path of a file", field=field)
        return parts


def _step(folder: int, name: str, *, field: str, make: bool = False) -> int:
    """Go one folder down; the one above is closed, but stays open if the step is refused."""
    below = step_down(folder, name, field=field, make=make)
    os.close(folder)
    return below


def _read(folder: int, name: str, max_bytes: int, *, whole: bool, field: str) -> bytes:
    handle, found = open_file(folder, name, field=field)
    with os.fdopen(handle, "rb") as file:
        if whole and found.st_size > max_bytes:
            raise InvalidInput(
                f"the file has {found.st_size} bytes, expected at most {max_bytes}", field=field
            )
        # One byte more than allowed, because a file may grow while it is read.
        data = file.read(max_bytes + 1)
    if whole and len(data) > max_bytes:
        raise InvalidInput(f"expected a file of at most {max_bytes} bytes", field=field)
    return data[:max_bytes]


def _sorted(folder: int, above: tuple[str, ...]) -> list[Entry]:
    """Return what may be named; a name that every argument would be refused with is no use."""
    return sorted(
        (entry for entry in islice(scan(folder, above), _MAX_VISITED) if _has_a_name(entry)),
        key=lambda entry: entry.path,
    )


def _has_a_name(entry: Entry) -> bool:
    try:
        check_name(entry.path.rpartition("/")[2], field="path")
    except InvalidInput:
        return False
    return True


def _check_size(data: bytes, max_bytes: int, field: str) -> None:
    if len(data) > max_bytes:
        raise InvalidInput(
            f"expected at most {max_bytes} bytes in the file, got {len(data)}", field=field
        )
