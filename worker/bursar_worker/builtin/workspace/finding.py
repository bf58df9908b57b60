"""Finding files by name and by content."""

from collections.abc import Iterator
from typing import Annotated, TypeVar

from msgspec import Meta

from bursar.context import ToolContext
from bursar.errors import InvalidInput, LimitReached
from bursar.files import Entry
from bursar.gate.globs import Glob
from bursar.linear import LinearPattern
from bursar.tools import tool
from bursar_worker.builtin.texts import is_text
from bursar_worker.builtin.workspace.reach import MAX_FILE_BYTES, Reach, acts_on, reach

__all__ = ["glob", "grep"]

T = TypeVar("T")

_MAX_FOUND = 300
_MAX_LINE_CHARS = 300
_MAX_SEARCHED_CHARS = 20_000
"""Of a line: what is longer is data, not text that anybody wrote."""
_RESERVE_S = 2.0
"""What is left of a call's time when it stops to look, so that what was found is not lost."""
_SKIPPED = frozenset({"node_modules", "__pycache__"})


@tool(effect="pure", action=acts_on("read", "folder"))
def glob(
    ctx: ToolContext,
    pattern: Annotated[str, Meta(description="Such as **/*.py, relative to folder")],
    folder: Annotated[str, Meta(description="Relative to the workspace folder; empty: all")] = "",
) -> str:
    """Find files by their paths, one a line; ``*`` stays in one folder, ``**`` crosses them.

    Folders that are hidden or called node_modules or __pycache__ are left out, unless `folder` is
    in one.
    """
    place = reach(ctx, folder, field="folder")
    wanted = _glob(pattern, field="pattern")
    found = _Found(ctx, "files")
    for entry in found.all(_files(place)):
        if wanted.matches(_below(place, entry)) and found.is_full(place.shown(entry.path)):
            break
    return found.text()


@tool(effect="pure", action=acts_on("read", "folder"))
def grep(
    ctx: ToolContext,
    pattern: Annotated[str, Meta(description="A regular expression, for one line at a time")],
    folder: Annotated[str, Meta(description="Relative to the workspace folder; empty: all")] = "",
    include: Annotated[str, Meta(description="Only files such as **/*.py")] = "**",
    ignore_case: Annotated[bool, Meta(description="Take A for a")] = False,
) -> str:
    """Find lines in text files: ``path:line: text`` for each.

    Nothing in the pattern may look ahead, behind or back. Files above 2 MiB are left out, and the
    folders that `glob` leaves out.
    """
    if not pattern:
        raise InvalidInput("expected a pattern", field="pattern")
    place = reach(ctx, folder, field="folder")
    wanted = LinearPattern(pattern, ignore_case=ignore_case)
    files = _glob(include, field="include")
    found = _Found(ctx, "lines")
    for entry in found.all(_files(place)):
        if not files.matches(_below(place, entry)) or entry.size > MAX_FILE_BYTES:
            continue
        for number, line in found.all(_lines(place, entry)):
            if wanted.search(line[:_MAX_SEARCHED_CHARS]) and found.is_full(
                f"{place.shown(entry.path)}:{number}: {line.strip()[:_MAX_LINE_CHARS]}"
            ):
                return found.text()
    return found.text()


class _Found:
    """What was found so far, and why there may be more."""

    def __init__(self, ctx: ToolContext, what: str) -> None:
        self._ctx = ctx
        self._what = what
        self._found: list[str] = []
        self._more = ""

    def all(self, source: Iterator[T]) -> Iterator[T]:
        """Yield from a source as long as there is time."""
        try:
            for each in source:
                if self._ctx.remaining_s < _RESERVE_S:
                    self._more = "the time of this call was over"
                if self._more:
                    return
                yield each
        except LimitReached as error:
            self._more = error.message

    def is_full(self, line: str) -> bool:
        self._found.append(line)
        if len(self._found) < _MAX_FOUND:
            return False
        self._more = f"these are the first {_MAX_FOUND}"
        return True

    def text(self) -> str:
        lines = self._found or [f"[no {self._what} found]"]
        more = f"[there may be more: {self._more}; ask for less]"
        return "\n".join([*lines, more] if self._more else lines)


def _glob(pattern: str, *, field: str) -> Glob:
    try:
        return Glob(pattern)
    except InvalidInput as error:
        raise InvalidInput(error.message, field=field) from None


def _files(place: Reach) -> Iterator[Entry]:
    """Yield the files that the agent may read."""
    for entry in place.files.walk(place.path, enter=lambda e: _enters(place, e), field="folder"):
        if place.may_read(entry):
            yield entry


def _enters(place: Reach, folder: Entry) -> bool:
    name = folder.path.rpartition("/")[2]
    return not name.startswith(".") and name not in _SKIPPED and not place.is_closed(folder)


def _below(place: Reach, entry: Entry) -> str:
    """Return the path from the folder that was searched."""
    return entry.path[len(place.path) :].lstrip("/")


def _lines(place: Reach, entry: Entry) -> Iterator[tuple[int, str]]:
    try:
        data = place.files.read(entry.path, max_bytes=MAX_FILE_BYTES)
    except InvalidInput:
        return  # not accessible, or gone since it was found
    if is_text(data):
        yield from enumerate(data.decode(errors="replace").split("\n"), 1)
