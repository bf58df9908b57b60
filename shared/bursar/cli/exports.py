"""The ledger in a file: complete or not there at all, and never over another one."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

from bursar.budgets.table import csv_head, csv_rows
from bursar.errors import BursarError, InvalidInput

if TYPE_CHECKING:
    from bursar.client import Client

__all__ = ["Format", "check_free", "new_file", "pages", "write_pages"]

Format = Literal["csv", "json"]
Page = list[dict[str, str]]

_PAGE = 1000


def pages(
    client: "Client", *, since_ms: int | None = None, before: str | None = None
) -> Iterator[Page]:
    """The ledger, oldest entry first."""
    after = "0-0"
    while True:
        page = client.get_ledger(limit=_PAGE, after=after, before=before, since_ms=since_ms)
        if page:
            yield page
            after = page[-1]["entry"]
        if len(page) < _PAGE:
            return


def write_pages(out: IO[str], found: Iterable[Page], form: Format) -> Iterator[int]:
    """Write page after page; yields how many entries were written so far."""
    written = 0
    if form == "csv":
        out.write(csv_head())
    for page in found:
        out.write(csv_rows(page) if form == "csv" else _lines(page))
        written += len(page)
        yield written


def _lines(page: Iterable[Mapping[str, str]]) -> str:
    import msgspec

    return "".join(f"{msgspec.json.encode(entry).decode()}\n" for entry in page)


def check_free(path: Path, option: str) -> None:
    """An export may be all that is left of what was trimmed, so none is written over."""
    if path.exists():
        raise InvalidInput(f"{path} exists; choose another name", field=option)
    if not path.absolute().parent.is_dir():
        raise InvalidInput(f"there is no folder {path.absolute().parent}", field=option)


@contextmanager
def new_file(path: Path, option: str) -> Iterator[IO[str]]:
    """A file that gets its name once everything is in it and on the disk.

    Raises:
        InvalidInput: it exists.
        BursarError: it cannot be written (``file_not_written``).

    """
    check_free(path, option)
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("w", encoding="utf-8", newline="") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        partial.rename(path)
        folder = os.open(path.absolute().parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # The name, too, has to survive a crash.
        finally:
            os.close(folder)
    except OSError as error:
        raise BursarError(f"cannot write {path}: {error}", code="file_not_written") from error
    finally:
        partial.unlink(missing_ok=True)
