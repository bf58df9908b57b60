"""What allowances and capabilities have in common: places outside of a session's folder."""

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import msgspec

from bursar.errors import InvalidInput
from bursar.gate.patterns import Pattern

__all__ = [
    "Outside",
    "PathGrant",
    "breadth",
    "check_folder",
    "check_paths",
    "covers_outside",
    "pattern_of",
    "volume_of",
]

_MAX_PATHS = 100


class Outside(msgspec.Struct, frozen=True):
    """A place outside of a session's folder that a call wants to reach.

    Args:
        path: canonical: absolute, no symlinks, as it was when the question was asked.
        operation: of a file action; empty when the tool does not say what it does there.
        volume: of the file system that the place, or the nearest folder above it, is on.

    """

    path: str
    operation: str = ""
    volume: str = ""


class PathGrant(msgspec.Struct, frozen=True, omit_defaults=True):
    """A place outside that people opened. ``directory`` opens all that lies below it, too."""

    path: str
    operation: str = ""
    volume: str = ""
    directory: bool = False

    def covers(self, outside: Outside) -> bool:
        """Whether this opens the place: same operation, same volume, same canonical path."""
        if self.operation != outside.operation or self.volume != outside.volume:
            return False
        below = self.path.rstrip("/") + "/"
        return self.path == outside.path or (self.directory and outside.path.startswith(below))

    def check(self, field: str) -> "PathGrant":
        """Return itself; raises `InvalidInput` for a path that cannot be canonical."""
        parts = self.path.split("/")
        if not self.path.startswith("/") or ".." in parts or "." in parts or "\x00" in self.path:
            raise InvalidInput("expected an absolute path without '.' and '..'", field=field)
        if self.operation not in {"", "read", "write", "delete"}:
            raise InvalidInput("expected read, write, delete or nothing", field=field)
        return self


def covers_outside(paths: Sequence[PathGrant], outside: Sequence[Outside]) -> bool:
    """Whether one grant opens all places that a call wants to reach."""
    return all(any(path.covers(place) for path in paths) for place in outside)


def check_paths(paths: Sequence[PathGrant], field: str) -> tuple[PathGrant, ...]:
    if len(paths) > _MAX_PATHS:
        raise InvalidInput(f"expected at most {_MAX_PATHS} paths", field=field)
    return tuple(path.check(f"{field}[{index}]") for index, path in enumerate(paths))


@lru_cache(maxsize=4096)
def pattern_of(text: str, folder: str) -> Pattern:
    """The pattern of a grant, bound to a folder if it has one; taken apart once."""
    return Pattern(text, root=folder or None)


def check_folder(folder: str) -> str:
    """Return the folder that patterns are bound to; empty for any.

    Raises:
        InvalidInput: ``field`` is ``folder``.

    """
    if folder:
        PathGrant(folder).check("folder")
    return folder


def breadth(pattern: Pattern) -> tuple[int, int, int]:
    """How much a pattern lets through, for choosing the narrowest: wildcards, then shortness."""
    text = pattern.text.replace("\\*", "").replace("\\?", "")
    double = text.count("**")
    return double, text.count("*") - 2 * double + text.count("?"), -len(text)


def volume_of(path: str) -> str:
    """Id of the file system that a path is on; of the nearest folder above for one yet to be made.

    A grant that was made on another volume is void: a disk mounted over the place, or the same
    path on another machine, is not what was opened.
    """
    place = Path(path)
    for candidate in (place, *place.parents):
        try:
            found = os.statvfs(candidate)
            return f"{found.f_fsid or candidate.stat().st_dev:x}"
        except OSError:
            continue
    return ""
