"""``local:editor``: gives each file to a sub-agent, and makes one report of what they bring.

It lists the files, asks for a task for each of them, many in a step, writes a report that has a
part for each, and closes with a summary. It keeps no state: the conversation shows how far it is.
"""

import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from bursar.messages import ToolCall, Usage
from bursar.models import ModelEvent, ModelRequest, Price
from bursar_worker.providers.local.progress import LIST, WRITE, calls_since_input, listed_paths
from bursar_worker.providers.local.report import REPORT_PATH
from bursar_worker.providers.local.tokens import (
    call_tokens,
    count_input,
    count_tokens,
    cut,
    say,
    within,
)

__all__ = ["EditorModel"]

TASK = "task"
_MAX_FILES = 500
_TASKS_A_STEP = 32
_REPORT_OVERHEAD = 64  # tokens of the call around a report
_SUMMARISED = 5  # files that the closing words have a line of


@dataclass
class _Desk:
    """What has come in: the paths that were listed, and the answer or the failure for each."""

    asked: str = ""
    listed: bool = False
    paths: list[str] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    report: str | None = None

    @property
    def open(self) -> list[str]:
        return [p for p in self.paths if p not in self.answers and p not in self.failures]


class EditorModel:
    """The editor; ``delay_s`` is the pause before each streamed word and each call."""

    max_input_tokens = 400_000
    price = Price(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(4))

    def __init__(self, name: str = "local:editor", *, delay_s: float = 0.0) -> None:
        self.name = name
        self._delay_s = delay_s

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        input_tokens = count_input(request, self.max_input_tokens)
        desk = _look_back(request)
        calls = within(list(_calls(request, desk)), request.max_output_tokens)
        if calls:
            for call in calls:
                yield call
            yield Usage(input_tokens=input_tokens, output_tokens=sum(map(call_tokens, calls)))
            return
        async for event in say(
            _closing(desk),
            input_tokens,
            max_tokens=request.max_output_tokens,
            delay_s=self._delay_s,
        ):
            yield event


def _look_back(request: ModelRequest) -> _Desk:
    asked, calls = calls_since_input(request.messages)
    desk = _Desk(asked)
    for call, result in calls:
        if call.name == LIST:
            desk.listed = True
            desk.paths = [] if result.is_error else listed_paths(result.output)[:_MAX_FILES]
        elif call.name == TASK:
            found = desk.failures if result.is_error else desk.answers
            found[_described(call)] = result.output
        elif call.name == WRITE:
            desk.report = result.output
    return desk


def _described(call: ToolCall) -> str:
    return str(json.loads(call.arguments).get("description", ""))


def _calls(request: ModelRequest, desk: _Desk) -> Iterator[ToolCall]:
    """Yield what is to be done next; nothing when only an answer is left."""
    offered = {tool.name for tool in request.tools}
    if LIST in offered and not desk.listed:
        yield _call(request, LIST, {})
    elif TASK in offered and desk.open:
        for path in desk.open[:_TASKS_A_STEP]:
            prompt = f"{desk.asked}\n\nThis is about one file alone.\nFile: {path}"
            yield _call(request, TASK, {"prompt": prompt, "description": path})
    elif WRITE in offered and desk.report is None and desk.answers:
        markdown = _report(desk, request.max_output_tokens - _REPORT_OVERHEAD)
        yield _call(request, WRITE, {"path": REPORT_PATH, "markdown": markdown})


def _call(request: ModelRequest, name: str, arguments: dict[str, object]) -> ToolCall:
    """A call whose id is unique in the conversation, and the same when the step is repeated."""
    text = json.dumps(arguments, ensure_ascii=False)
    place = f"{request.session}/{request.turn}/{len(request.messages)}/{name}/{text}"
    return ToolCall(f"call_{hashlib.sha256(place.encode()).hexdigest()[:20]}", name, text)


def _report(desk: _Desk, max_tokens: int) -> str:
    """The joined report; each file has the same share of what may be written."""
    head = f"# Report\n\nAsked: {' '.join(desk.asked.split())[:500]}\n\n"
    head += (
        f"{len(desk.answers)} of {len(desk.paths)} files were read, each by an agent of its own.\n"
    )
    # As JSON, which a call's arguments are, a text takes up to a third more.
    share = max(16, (max_tokens * 3 // 4 - count_tokens(head)) // max(1, len(desk.answers)))
    parts = [head]
    for path, answer in desk.answers.items():
        parts.append(f"## {path}\n\n{cut(answer, share - count_tokens(path) - 4)}\n")
    if desk.failures:
        parts.append("## Not read\n")
        parts += [f"- {path}: {why[:120]}" for path, why in list(desk.failures.items())[:20]]
    return "\n".join(parts)


def _closing(desk: _Desk) -> str:
    if not desk.answers:
        problem = next(iter(desk.failures.values()), "there are no readable files")
        return f"I could not report anything: {problem}"
    parts = [f"{len(desk.answers)} agents read a file each; their reports are joined."]
    for path, answer in list(desk.answers.items())[:_SUMMARISED]:
        item = next((line for line in answer.splitlines() if line.startswith("- ")), "")
        parts.append(item or f"- nothing stands out in {path}")
    if len(desk.answers) > _SUMMARISED:
        parts.append(f"… and {len(desk.answers) - _SUMMARISED} more files.")
    if desk.report is not None:
        parts.append(f"The report: {desk.report}")
    if desk.failures:
        parts.append(f"{len(desk.failures)} files could not be read.")
    return "\n".join(parts)
