"""``local:reader``: reads the files it can reach and reports what they say, with references.

It lists the files, reads them page by page, several at a time, writes an extractive report and
closes with a summary. Without tools it summarises the text that it was given.
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from decimal import Decimal

from bursar.messages import ToolCall, Usage
from bursar.models import ModelEvent, ModelRequest, Price
from bursar_worker.providers.local.extract import Document, best_sentences, words
from bursar_worker.providers.local.progress import LIST, READ, WRITE, Progress, look_back
from bursar_worker.providers.local.report import (
    REPORT_PATH,
    closing,
    fitting_report,
    summary_of_text,
)
from bursar_worker.providers.local.summary import summarise
from bursar_worker.providers.local.tokens import call_tokens, count_input, say, within
from bursar_worker.summarising import SUMMARY_INSTRUCTIONS

__all__ = ["ReaderModel"]

_MAX_FILES = 40
_MAX_PAGES = 120
_CALLS_A_STEP = 8


class ReaderModel:
    """The extractive reader; ``delay_s`` is the pause before each streamed word and each call."""

    max_input_tokens = 400_000
    price = Price(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(4))

    def __init__(self, name: str = "local:reader", *, delay_s: float = 0.0) -> None:
        self.name = name
        self._delay_s = delay_s

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        input_tokens = count_input(request, self.max_input_tokens)
        if request.system == SUMMARY_INSTRUCTIONS:
            async for event in summarise(request, input_tokens, delay_s=self._delay_s):
                yield event
            return
        progress = look_back(request.messages)
        # Scoring is a matter of CPU; in a thread it does not hold up the worker's other drives.
        calls, text = await asyncio.to_thread(_next, request, progress)
        if not calls:
            async for event in say(
                text, input_tokens, max_tokens=request.max_output_tokens, delay_s=self._delay_s
            ):
                yield event
            return
        for call in calls:
            await asyncio.sleep(self._delay_s)
            yield call
        yield Usage(input_tokens=input_tokens, output_tokens=sum(map(call_tokens, calls)))


def _next(request: ModelRequest, progress: Progress) -> tuple[list[ToolCall], str]:
    """Return the calls to make now, or else the text to close with."""
    offered = {tool.name for tool in request.tools}
    wanted: list[tuple[str, dict[str, object]]]
    if LIST not in offered:
        progress.paths = progress.named
    if LIST in offered and not progress.listed:
        wanted = [(LIST, {})]
    elif READ in offered and (pages := _pages_to_read(progress)):
        wanted = [(READ, _page_arguments(path, line)) for path, line in pages]
    elif WRITE in offered and progress.report is None and progress.lines:
        documents = progress.documents()
        sentences = best_sentences(documents, words(progress.asked), per_document=5)
        report = fitting_report(progress, documents, sentences, request.max_output_tokens)
        wanted = [(WRITE, {"path": REPORT_PATH, "markdown": report})]
    else:
        return [], _closing_text(progress)
    calls = within(_numbered(wanted, request, progress), request.max_output_tokens)
    return calls, "" if calls else _closing_text(progress)


def _pages_to_read(progress: Progress) -> list[tuple[str, int]]:
    """Return the next pages: first pages of all files, then the following ones of long files."""
    room = min(_CALLS_A_STEP, _MAX_PAGES - len(progress.pages))
    first = [(path, 1) for path in progress.paths[:_MAX_FILES]]
    pages = [page for page in (*first, *progress.next_pages) if page not in progress.pages]
    return pages[: max(room, 0)]


def _page_arguments(path: str, line: int) -> dict[str, object]:
    return {"path": path} if line == 1 else {"path": path, "start_line": line}


def _numbered(
    wanted: list[tuple[str, dict[str, object]]], request: ModelRequest, progress: Progress
) -> list[ToolCall]:
    """Give calls ids that are unique in the conversation and the same when the step is repeated."""
    calls = []
    for index, (name, arguments) in enumerate(wanted, start=progress.calls):
        place = f"{request.session}/{request.turn}/{len(request.messages)}/{index}"
        call_id = f"call_{hashlib.sha256(place.encode()).hexdigest()[:20]}"
        calls.append(ToolCall(call_id, name, json.dumps(arguments, ensure_ascii=False)))
    return calls


def _closing_text(progress: Progress) -> str:
    if not progress.lines and not progress.listed:
        document = Document("text", enumerate(progress.asked.splitlines(), start=1))
        return summary_of_text(document, progress.asked)
    documents = progress.documents()
    best = best_sentences(documents, words(progress.asked), per_document=2)
    return closing(progress, documents, best)
