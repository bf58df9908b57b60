"""Which arguments of a call are paths.

Only the tool knows for sure, so this errs to the side of seeing one too many. What it finds matters
only if it leads out of the session's folder.
"""

import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from bursar.gate.patterns import Action

__all__ = ["PathArgument", "path_arguments"]

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Za-z][a-z]*")
_PATHS = frozenset(
    {
        *("path", "paths", "pathname", "file", "files", "filename", "filenames", "filepath"),
        *("filepaths", "folder", "folders", "dir", "dirs", "directory", "directories", "cwd"),
        *("workdir", "src", "dst", "dest", "source", "destination"),
    }
)
_AFTER_PATH = frozenset({"name", "names", "uri", "uris", "url", "urls"})
_FILE_URI = re.compile(r"file:", re.IGNORECASE)
_OTHER_URI = re.compile(r"(?!file:)[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_OPTION = re.compile(r"-[^/=]*=?")


@dataclass(frozen=True, slots=True)
class PathArgument:
    """``field`` is its place, such as ``options.files[2]``.

    ``named`` says that the tool calls it a path; any other text only looks like one.
    """

    field: str
    text: str
    named: bool


def path_arguments(arguments: dict[str, Any], action: Action) -> Iterator[PathArgument]:
    """Find paths in all objects and arrays of ``arguments``, and in the action.

    An argument is named a path by its key, or a key above it: ``path``, ``outputDir``,
    ``file_name``. ``file:`` URIs are found under any key. In tools that do not declare what they
    do, so is all that begins like a path of this machine.
    """
    for field, text, named, direct in _texts(msgspec.to_builtins(arguments)):
        if _FILE_URI.match(text):
            yield PathArgument(field, text, named=True)
        elif action.kind in {"net", "spawn"} or _OTHER_URI.match(text):
            continue
        elif named:
            # What lies below a named key may as well be the text of a file.
            yield PathArgument(field, text, named=direct)
        elif action.kind == "tool" and _looks_like_a_path(text):
            yield PathArgument(field, text, named=False)
    if action.kind == "file":
        yield PathArgument("action", action.path, named=True)
    elif action.kind == "exec":
        for word in _words(action.path)[1:]:
            yield PathArgument("command", word, named=False)


def _texts(arguments: Any) -> Iterator[tuple[str, str, bool, bool]]:
    """Yield each text with its place, whether a key names it a path, and whether its own does."""
    waiting: list[tuple[str, Any, bool, bool]] = [("", arguments, False, False)]
    while waiting:
        place, value, named, direct = waiting.pop()
        if isinstance(value, str):
            yield place, value, named, direct
        elif isinstance(value, dict):
            for key, below in value.items():
                where = f"{place}.{key}".removeprefix(".")
                names = _names_a_path(str(key))
                waiting.append((where, below, named or names, names))
                if named:  # as in files={"a.txt": "its text"}
                    yield where, str(key), True, False
        elif isinstance(value, list):
            waiting += [(f"{place}[{i}]", below, named, direct) for i, below in enumerate(value)]


def _names_a_path(key: str) -> bool:
    words = [word.lower() for word in _WORD.findall(key)]
    if not words:
        return False
    return words[-1] in _PATHS or (words[-1] in _AFTER_PATH and bool(_PATHS & set(words[-2:-1])))


def _looks_like_a_path(text: str) -> bool:
    if text.startswith(("../", "~/")) or text in {"..", "~"} or "/../" in text:
        return True
    first = text.removeprefix("/").partition("/")[0]
    return text.startswith("/") and "\x00" not in first and os.path.lexists(f"/{first[:255]}")


def _words(line: str) -> list[str]:
    """Return the words of a command line; of an option only its value, as in ``--out=/x``."""
    try:
        words = shlex.split(line)
    except ValueError:  # an open quote: nothing can be said about where words end
        words = line.split()
    return [_OPTION.sub("", word) if word.startswith("-") else word for word in words]
