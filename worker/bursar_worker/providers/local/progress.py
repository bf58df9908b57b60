"""What a reader has found out in this turn, as the conversation shows it.

The reader keeps no state of its own: a worker may die between two steps, and the next one has only
the messages.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from bursar.messages import AssistantMessage, Message, ToolCall, ToolMessage, UserMessage
from bursar_worker.providers.local.extract import Document

__all__ = ["LIST", "READ", "WRITE", "Progress", "calls_since_input", "listed_paths", "look_back"]

_NAMED = re.compile(r"^File: (.+)$", re.MULTILINE)
LIST, READ, WRITE = "list_files", "read_file", "write_report"


@dataclass
class Progress:
    """``pages`` are the file pages asked for so far, ``calls`` the number of all calls."""

    asked: str = ""
    listed: bool = False
    named: list[str] = field(default_factory=list)
    """Files that the input names, each on a line ``File: path``."""
    paths: list[str] = field(default_factory=list)
    pages: set[tuple[str, int]] = field(default_factory=set)
    next_pages: list[tuple[str, int]] = field(default_factory=list)
    lines: dict[str, dict[int, str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    report: str | None = None
    """What write_report answered; None until it was called."""
    reported: bool = False
    calls: int = 0

    def documents(self) -> list[Document]:
        return [Document(path, sorted(lines.items())) for path, lines in self.lines.items()]


def look_back(messages: Sequence[Message]) -> Progress:
    """Read the calls and results since the last user message."""
    asked, calls = calls_since_input(messages)
    progress = Progress(asked, named=_NAMED.findall(asked))
    for call, result in calls:
        progress.calls += 1
        arguments = _object(call.arguments)
        if result.is_error:
            progress.problems.append(f"{call.name}: {result.output}")
        if call.name == LIST:
            progress.listed = True
            progress.paths = [] if result.is_error else listed_paths(result.output)
        elif call.name == READ:
            _take_page(progress, arguments, result)
        elif call.name == WRITE:
            progress.report = result.output
            progress.reported = not result.is_error
    return progress


def calls_since_input(
    messages: Sequence[Message],
) -> tuple[str, list[tuple[ToolCall, ToolMessage]]]:
    """Return what a person said last, and the calls since then that have a result."""
    asked, begin = "", 0
    for index, message in enumerate(messages):
        if isinstance(message, UserMessage):
            asked, begin = message.text, index
    return asked, list(_calls(messages[begin:]))


def _calls(messages: Sequence[Message]) -> Iterator[tuple[ToolCall, ToolMessage]]:
    results = {m.call_id: m for m in messages if isinstance(m, ToolMessage)}
    for message in messages:
        if isinstance(message, AssistantMessage):
            for call in message.tool_calls:
                if call.id in results:
                    yield call, results[call.id]


def _take_page(progress: Progress, arguments: dict[str, Any], result: ToolMessage) -> None:
    path, first = str(arguments.get("path", "")), int(arguments.get("start_line") or 1)
    progress.pages.add((path, first))
    if result.is_error:
        return
    page = _object(result.output)
    text = page.get("text")
    if not isinstance(text, str):  # another reading tool, or a cut result: take it as it stands
        text, page = result.output, {}
    lines = progress.lines.setdefault(path, {})
    lines.update(enumerate(text.splitlines(), start=first))
    following = page.get("next_line")
    if isinstance(following, int):
        progress.next_pages.append((path, following))


def listed_paths(output: str) -> list[str]:
    """Return the paths of a listing: of JSON objects with ``path``, of JSON texts, or of lines."""
    try:
        listing = json.loads(output)
    except ValueError:
        return [line.strip() for line in output.splitlines() if line.strip()]
    if isinstance(listing, dict):
        listing = listing.get("files", [])
    if not isinstance(listing, list):
        return []
    paths = [entry.get("path") if isinstance(entry, dict) else entry for entry in listing]
    return [path for path in paths if isinstance(path, str)]


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
