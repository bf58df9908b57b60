"""What a call is going to change in a file, as a diff that a person can read.

The file as it is now is read where this command runs, if `BURSAR_FILES_ROOT` says where sessions
have their folders on this machine. It is shown for comparison only; what counts is the call.
"""

import difflib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.text import Text

from bursar.cli.arguments import Folding, folded_lines
from bursar.client import ApprovalView
from bursar.errors import BursarError, InvalidInput
from bursar.files import WorkspaceFiles
from bursar.gate.display import readable
from bursar.gate.grants import volume_of
from bursar.gate.patterns import Action

__all__ = ["FileChange", "change_lines", "change_of", "files_root", "text_now"]

_MAX_BYTES = 2 * 1024 * 1024
_MAX_COMPARED = 1000
"""Lines that differ in a hostile way take time that grows with the cube of their number."""
_STYLES = {"+": "green", "-": "red", "@": "cyan"}
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_TOOLS = frozenset({"write_file", "edit_file", "delete_file"})
_NO_END = "(no line end)"
_UNKNOWN = "the whole new text; what stands there now is not known here"


@dataclass(frozen=True)
class FileChange:
    """``before`` is None if the file is not known here; ``shown`` are arguments that it covers."""

    path: str
    before: str | None
    after: str
    shown: frozenset[str] = frozenset()
    note: str = ""


def files_root() -> Path | None:
    """Where sessions have their folders on this machine, if that is known."""
    root = os.environ.get("BURSAR_FILES_ROOT")
    return Path(root) if root else None


def text_now(view: ApprovalView, root: Path, workspace_path: str) -> str | None:
    """Return the text of the file that a call is about; empty if there is none yet.

    None, if it cannot be read here as text. No symlink is followed below the session's folder.
    """
    path = _path(view)
    if not path.startswith("/"):
        return _text(root, workspace_path, path) if workspace_path else None
    if any(place.path == path and _is_here(place.volume, path) for place in view.outside):
        return _text(Path("/"), "", path.lstrip("/"))
    return None


def change_of(view: ApprovalView, before: str | None) -> FileChange | None:
    """Return what a call of the file tools does to its file; None for other calls."""
    if view.server != "local" or view.tool not in _TOOLS:
        return None
    arguments: Any = json.loads(view.arguments)
    path = _path(view)
    # One that is written in another way is shown beside it.
    named = {"path"} if arguments.get("path") == path else set[str]()
    match view.tool, arguments:
        case "write_file", {"content": str(content)}:
            note = _UNKNOWN if before is None else ""
            return FileChange(path, before, content, frozenset(named | {"content"}), note)
        case "edit_file", {"old": str(old), "new": str(new)}:
            change = _edit(path, before, old, new, everywhere=arguments.get("all") is True)
            return replace(change, shown=frozenset(named | {"old", "new"}))
        case "delete_file", _:
            note = "the file goes" + ("; its text is not known here" if before is None else "")
            return FileChange(path, before, "", frozenset(named), note)
    return None


def change_lines(change: FileChange, folding: Folding) -> list[Text]:
    """The diff, or the new text alone when there is nothing to compare it with."""
    heads = [Text(readable(change.path), style="bold")]
    if change.note:
        heads.append(Text(change.note, style="yellow"))
    if change.before == change.after:
        same = "the file is empty" if change.after == "" else "the file holds this text already"
        return [*heads, Text(same, style="dim")]
    lines = list(_diff(change.before or "", change.after))
    return [*heads, *folded_lines([_styled(line, folding) for line in lines], folding)]


def _edit(path: str, before: str | None, old: str, new: str, *, everywhere: bool) -> FileChange:
    where = "wherever it stands" if everywhere else "where it stands"
    count = before.count(old) if before and old else 0
    if before is None or not old:
        return FileChange(path, old, new, note=f"replaces a piece of text {where}")
    if count == 0 or (count > 1 and not everywhere):
        note = f"this text stands in the file {count} times as it is here now; the call will fail"
        return FileChange(path, old, new, note=note)
    return FileChange(path, before, before.replace(old, new))


def _diff(before: str, after: str) -> Iterator[str]:
    old, new = _LINE.findall(before), _LINE.findall(after)
    start = _common(old, new)
    end = _common(old[start:][::-1], new[start:][::-1])
    if max(len(old), len(new)) - start - end > _MAX_COMPARED:
        yield f"@@ lines {start + 1} to {len(old) - end} are replaced @@"
        yield from (f"-{line}" for line in old[start : len(old) - end])
        yield from (f"+{line}" for line in new[start : len(new) - end])
        return
    # What both have at the ends only costs time; three lines of it are the context.
    cut, keep = max(0, start - 3), max(0, end - 3)
    ours, theirs = old[cut : len(old) - keep], new[cut : len(new) - keep]
    for line in list(difflib.unified_diff(ours, theirs, n=3))[2:]:
        yield _moved(line, cut) if line.startswith("@@") else line


def _moved(head: str, by: int) -> str:
    """A hunk's head with the lines numbered as in the whole file."""
    return re.sub(r"(?<=[-+])\d+", lambda found: str(int(found[0]) + by), head.strip())


def _common(ours: list[str], theirs: list[str]) -> int:
    for index, (one, other) in enumerate(zip(ours, theirs, strict=False)):
        if one != other:
            return index
    return min(len(ours), len(theirs))


def _styled(line: str, folding: Folding) -> Text:
    sign, rest = line[:1], line[1:]
    style = _STYLES.get(sign, "")
    if sign == "@":
        return Text(line, style=style)
    ended = rest.endswith("\n")
    text = Text(sign + readable(rest.removesuffix("\n"), folding.chars), style=style)
    return text if ended else text.append(f" {_NO_END}", style="dim")


def _is_here(volume: str, path: str) -> bool:
    """Whether the place is on a file system of this machine, as far as that can be told."""
    return bool(volume) and volume_of(path) == volume


def _path(view: ApprovalView) -> str:
    """The path in one form, as the gate took it."""
    try:
        return Action.parse(view.action).path
    except InvalidInput:
        return ""


def _text(root: Path, folder: str, path: str) -> str | None:
    try:
        data = WorkspaceFiles(root, folder).read(path, max_bytes=_MAX_BYTES)
    except InvalidInput as error:
        return "" if isinstance(error.__cause__, FileNotFoundError) else None
    except (BursarError, OSError):
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None
