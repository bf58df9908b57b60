"""Paths as text: what may be the name of a file, before any file is looked at.

A refused name is always an `InvalidInput` that says which argument it was and what was expected.
"""

import re
import unicodedata
from urllib.parse import unquote, urlsplit

from bursar.errors import InvalidInput

__all__ = ["MAX_PATH_CHARS", "check_name", "path_from_uri", "split_path"]

MAX_PATH_CHARS = 1024
_MAX_NAME_BYTES = 255
_MAX_DEPTH = 64
# Control characters end a name early or break a line; those that change the direction of writing
# make a name read as another one; a lone surrogate is a byte that is no UTF-8.
_UNREADABLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_FILE_URI = re.compile(r"file:", re.IGNORECASE)


def split_path(path: str, *, field: str) -> tuple[str, ...]:
    """Return the components of a relative path; ``.`` and doubled slashes are dropped.

    Raises:
        InvalidInput: ``..``, an absolute path, a name that no file may have, or too long.

    """
    if len(path) > MAX_PATH_CHARS:
        raise InvalidInput(
            f"expected a path of at most {MAX_PATH_CHARS} characters, got {len(path)}", field=field
        )
    if path.startswith("/"):
        raise InvalidInput("expected a path relative to the workspace folder", field=field)
    parts = tuple(part for part in path.split("/") if part not in {"", "."})
    if len(parts) > _MAX_DEPTH:
        raise InvalidInput(f"expected at most {_MAX_DEPTH} folders in a path", field=field)
    for part in parts:
        check_name(part, field=field)
    return parts


def check_name(name: str, *, field: str) -> None:
    """Check one component of a path."""
    if name == "..":
        raise InvalidInput("expected a path without '..'; name the place itself", field=field)
    if _UNREADABLE.search(name):
        raise InvalidInput("expected a path without control characters", field=field)
    if not unicodedata.is_normalized("NFC", name):
        # Two spellings of one name are two files on some systems and one on others.
        raise InvalidInput("expected a path in Unicode's composed form (NFC)", field=field)
    if len(name.encode()) > _MAX_NAME_BYTES:
        raise InvalidInput(f"expected names of at most {_MAX_NAME_BYTES} bytes", field=field)


def path_from_uri(text: str, *, field: str) -> str:
    """Return the path of a ``file:`` URI; any other text is a path already.

    Raises:
        InvalidInput: The URI names another host, or has a query or a fragment.

    """
    if not _FILE_URI.match(text):
        return text
    expected = "expected a file URI such as file:///folder/name"
    try:
        uri = urlsplit(text)
        path = unquote(uri.path, errors="strict")
    except ValueError as error:  # also bytes that are no UTF-8
        raise InvalidInput(f"{expected} ({error})", field=field) from None
    if uri.netloc not in {"", "localhost"} or uri.query or uri.fragment or not path:
        raise InvalidInput(f"{expected}, without a host", field=field)
    return path
