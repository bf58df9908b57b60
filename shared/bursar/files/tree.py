"""Folders as open directories: each step down is one name, relative to the folder before it.

A check of a path as text says nothing about the moment after: another process may put a symlink
where a folder was. Here nothing is checked first. A folder is opened by its name in the open folder
above it, and the system itself refuses when that name is a symlink; the descriptor then stays with
the folder that was opened, whatever happens to the name.
"""

import errno
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from bursar.errors import InvalidInput

__all__ = ["Entry", "check_spelling", "open_file", "open_folder", "scan", "step_down"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Without O_NONBLOCK the open of a pipe that was put there a moment ago would wait for a writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_EXACT_ONLY = sys.platform == "darwin"
"""Whether the file system may take `Notes` for `notes`, so that a rule for one misses the other."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What lies in a folder. ``path`` is relative to the workspace folder."""

    path: str
    kind: Literal["file", "folder", "other"]
    size: int
    modified_s: float


def open_folder(base: str | os.PathLike[str]) -> int:
    """Open a folder that the operator named; symlinks on the way to it are the operator's own."""
    return os.open(base, _FOLDER)


def step_down(folder: int, name: str, *, field: str, make: bool = False) -> int:
    """Open the folder ``name`` in ``folder``, and make it first if it may be missing.

    Raises:
        InvalidInput: It is missing, a symlink, no folder, or not accessible.

    """
    check_spelling(folder, name, field=field)
    try:
        return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
    except FileNotFoundError as error:
        if not make:
            raise InvalidInput(f"there is no folder {name!r}", field=field) from error
    except OSError as error:
        raise _told(error, folder, name, field) from error
    try:
        os.mkdir(name, dir_fd=folder)
    except FileExistsError:
        pass  # somebody else made it meanwhile
    except OSError as error:
        raise _told(error, folder, name, field) from error
    return step_down(folder, name, field=field)


def open_file(folder: int, name: str, *, field: str) -> tuple[int, os.stat_result]:
    """Open a regular file to read it.

    Raises:
        InvalidInput: It is missing, a symlink, a folder, a pipe, a device or not accessible.

    """
    check_spelling(folder, name, field=field)
    try:
        # To open a device can do something, so the kind is looked at before and, because it may
        # have been swapped, after.
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISREG(found.st_mode):
            raise _told(OSError(errno.EINVAL, ""), folder, name, field)
        handle = os.open(name, _FILE, dir_fd=folder)
    except OSError as error:
        raise _told(error, folder, name, field) from error
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        os.close(handle)
        raise InvalidInput(f"{name!r} is no regular file", field=field)
    return handle, found


def scan(folder: int, above: tuple[str, ...]) -> Iterator[Entry]:
    """Yield what lies in an open folder, in no order. Symlinks, pipes, devices are ``other``."""
    with os.scandir(folder) as found:
        for entry in found:
            try:
                info = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # deleted since it was listed
            path = "/".join((*above, entry.name))
            if stat.S_ISREG(info.st_mode):
                yield Entry(path, "file", info.st_size, info.st_mtime)
            elif stat.S_ISDIR(info.st_mode):
                yield Entry(path, "folder", 0, info.st_mtime)
            else:
                yield Entry(path, "other", 0, info.st_mtime)


def check_spelling(folder: int, name: str, *, field: str, exact_only: bool = _EXACT_ONLY) -> None:
    """Refuse a name that only differs in case or form from one that is there."""
    if not exact_only:
        return
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return  # there is none yet
    if name not in os.listdir(folder):
        raise InvalidInput(f"there is another spelling of {name!r}; use that one", field=field)


def _told(error: OSError, folder: int, name: str, field: str) -> InvalidInput:
    """Say what the system refused, in words that do not depend on the system."""
    try:
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except OSError:
        mode = 0
    if stat.S_ISLNK(mode):
        what = f"{name!r} is a symlink, and those are not followed; name the place itself"
    elif isinstance(error, PermissionError):
        what = f"{name!r} is not accessible"
    elif isinstance(error, FileNotFoundError):
        what = f"there is no file {name!r}"
    elif stat.S_ISDIR(mode):
        what = f"{name!r} is a folder, not a file"
    elif isinstance(error, NotADirectoryError):
        what = f"{name!r} is no folder"
    elif error.errno in {errno.EINVAL, errno.ELOOP, errno.ENXIO}:
        what = f"{name!r} is no regular file"
    else:
        what = f"{name!r} cannot be opened: {os.strerror(error.errno or 0)}"
    return InvalidInput(what, field=field)
