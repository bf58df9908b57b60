"""Changes in an open folder: whole files or nothing, one change at a time."""

import contextlib
import errno
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterator

from bursar.clock import monotonic_s
from bursar.errors import InvalidInput
from bursar.files.tree import check_spelling

__all__ = ["changing", "delete_file", "replace_file"]

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PREFIX = ".bursar-"
_WAIT_S = 10.0
_AGAIN_S = 0.01


@contextlib.contextmanager
def changing(folder: int, *, field: str) -> Iterator[None]:
    """Keep other changes of files in this folder out, also those of other workers.

    Two edits of one file at the same time would else each write what it had read, and lose the
    other. The lock is the system's, so it ends with the process.
    """
    until_s = monotonic_s() + _WAIT_S
    while True:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if monotonic_s() > until_s:
                raise InvalidInput("somebody else keeps this folder locked", field=field) from None
            time.sleep(_AGAIN_S)
        except OSError as error:
            if error.errno not in {errno.ENOLCK, errno.EOPNOTSUPP}:
                raise
            yield  # a network file system without locks: the change is still a whole one
            return
        else:
            break
    try:
        yield
    finally:
        fcntl.flock(folder, fcntl.LOCK_UN)


def replace_file(folder: int, name: str, data: bytes, *, field: str) -> bool:
    """Write a file so that a reader sees the old one or the new one; True if there was none.

    Raises:
        InvalidInput: What is there is no regular file, or has a second name elsewhere.

    """
    old = _writable(folder, name, field=field)
    temporary = f"{_PREFIX}{secrets.token_hex(8)}"
    try:
        handle = os.open(temporary, _NEW, 0o666, dir_fd=folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                if old is not None:
                    os.fchmod(file.fileno(), stat.S_IMODE(old.st_mode) & 0o777)
                os.fsync(file.fileno())
            # A rename replaces the name in this very folder, whatever was put under it meanwhile.
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=folder)
            raise
        os.fsync(folder)
    except OSError as error:
        raise _told(error, name, field) from error
    return old is None


def delete_file(folder: int, name: str, *, field: str) -> None:
    """Delete a regular file. An unlink takes away a name in this folder and follows nothing."""
    if _writable(folder, name, field=field) is None:
        raise InvalidInput(f"there is no file {name!r}", field=field)
    try:
        os.unlink(name, dir_fd=folder)
        os.fsync(folder)
    except OSError as error:
        raise _told(error, name, field) from error


def _writable(folder: int, name: str, *, field: str) -> os.stat_result | None:
    """Return what is there, or None; refuse what must not be changed."""
    check_spelling(folder, name, field=field)
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _told(error, name, field) from error
    if stat.S_ISLNK(found.st_mode):
        raise InvalidInput(f"{name!r} is a symlink, and those are not followed", field=field)
    if not stat.S_ISREG(found.st_mode):
        raise InvalidInput(f"{name!r} is no regular file", field=field)
    if found.st_nlink > 1:
        # Its other name may lie outside of the workspace folder.
        raise InvalidInput(f"{name!r} has more than one name (hard link)", field=field)
    return found


def _told(error: OSError, name: str, field: str) -> InvalidInput:
    why = os.strerror(error.errno or 0)
    return InvalidInput(f"{name!r} cannot be written: {why}", field=field)
