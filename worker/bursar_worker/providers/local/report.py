"""The texts of the reader: its Markdown report and its closing words."""

import json
from collections.abc import Sequence

from bursar_worker.providers.local.extract import Document, Sentence, best_sentences, key_terms
from bursar_worker.providers.local.progress import Progress
from bursar_worker.providers.local.tokens import count_tokens

__all__ = [
    "REPORT_PATH",
    "closing",
    "fitting_report",
    "summary_of_conversation",
    "summary_of_text",
]

REPORT_PATH = "report.md"
_CALL_TOKENS = 32  # the call around the report: its name, its path, its braces
_CLOSING_SENTENCES = 4
_SUMMARY_SENTENCES, _SUMMARY_TERMS = 40, 20


def fitting_report(
    progress: Progress, documents: Sequence[Document], best: Sequence[Sentence], max_tokens: int
) -> str:
    """Return the fullest report that the allowed output holds; what says least goes first."""
    strongest = sorted(best, key=lambda sentence: -sentence.score)
    for count in (len(best), *(2**power for power in range(12, -1, -1) if 2**power < len(best))):
        chosen = set(strongest[:count])
        kept = [sentence for sentence in best if sentence in chosen]
        report = _report(progress, documents, kept)
        if count_tokens(json.dumps(report, ensure_ascii=False)) + _CALL_TOKENS <= max_tokens:
            return report
    return f"# Report\n\n{len(documents)} files were read.\n"


def closing(progress: Progress, documents: Sequence[Document], best: Sequence[Sentence]) -> str:
    """Return the answer to the user: what was read, what stands out, where the report is."""
    if not documents:
        problem = progress.problems[-1] if progress.problems else "there are no readable files"
        return f"I could not read anything: {problem}"
    parts = [f"I read {_files(len(documents))} and {_lines(documents)} lines."]
    strongest = sorted(best, key=lambda sentence: -sentence.score)[:_CLOSING_SENTENCES]
    if strongest:
        parts.append("What stands out:\n\n" + "\n".join(_item(s) for s in strongest))
    if progress.reported:
        parts.append(f"The report: {progress.report}")
    elif progress.report is not None:
        parts.append(f"The report could not be written. {progress.report}")
    unread = [problem for problem in progress.problems if problem.startswith("read_file")]
    if unread:
        parts.append(f"{_files(len(unread))} could not be read; first: {unread[0]}")
    return "\n\n".join(parts)


def summary_of_text(document: Document, text: str) -> str:
    """Return the sentences that say most of a text, in the order in which they stand."""
    best = best_sentences([document], (), per_document=_CLOSING_SENTENCES)
    if not best:
        return f"There is little to summarise in: {text.strip()[:200] or '(nothing)'}"
    in_order = sorted(best, key=lambda sentence: sentence.number)
    return " ".join(sentence.text for sentence in in_order)


def summary_of_conversation(text: str, max_tokens: int) -> str:
    """Return the terms and sentences that say most of a conversation, as many as are allowed."""
    document = Document("conversation", enumerate(text.splitlines(), start=1))
    best = best_sentences([document], (), per_document=_SUMMARY_SENTENCES)
    terms = key_terms([document], _SUMMARY_TERMS)
    for count in range(len(best), 0, -1):
        in_order = sorted(best[:count], key=lambda sentence: sentence.number)
        parts = [f"Key terms: {', '.join(terms)}."] if terms else []
        parts += [f"- {sentence.text}" for sentence in in_order]
        if count_tokens(summary := "\n".join(parts)) <= max_tokens:
            return summary
    return summary_of_text(document, text)


def _report(
    progress: Progress, documents: Sequence[Document], sentences: Sequence[Sentence]
) -> str:
    parts = ["# Report", "", f"Asked: {' '.join(progress.asked.split())[:500]}", ""]
    parts += [f"Read: {_files(len(documents))}, {_lines(documents)} lines.", ""]
    terms = key_terms(documents, 12)
    if terms:
        parts += [f"Key terms: {', '.join(terms)}.", ""]
    for document in documents:
        own = [sentence for sentence in sentences if sentence.path == document.path]
        if not own:
            continue
        parts += [f"## {document.title or document.path}", ""]
        parts += [_item(sentence) for sentence in own]
        parts.append("")
    if progress.problems:
        parts += ["## Not read", "", *(f"- {problem}" for problem in progress.problems[:20]), ""]
    return "\n".join(parts)


def _item(sentence: Sentence) -> str:
    return f"- {sentence.text} ({sentence.path}:{sentence.line})"


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _lines(documents: Sequence[Document]) -> int:
    return sum(document.line_count for document in documents)
