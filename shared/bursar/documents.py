"""A session as one JSON document: what an export writes and an import reads.

Everything in it comes from outside, so it is checked like any request. It has no leases, grants,
questions, secrets or text of context providers, and what it says of money is information.
"""

from collections import Counter
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from bursar.decoding import invalid
from bursar.errors import InvalidInput
from bursar.ids import check_session, check_workspace
from bursar.messages import AssistantMessage, ToolCall, ToolMessage, Usage, UserMessage

__all__ = [
    "DOCUMENT_VERSION",
    "DocumentAnswer",
    "DocumentBudget",
    "DocumentCall",
    "DocumentInput",
    "DocumentMessage",
    "DocumentResult",
    "DocumentSession",
    "DocumentUsage",
    "SessionDocument",
    "check_document",
    "read_document",
]

DOCUMENT_VERSION = 1
"""Of the format. A document with a higher one was written by a newer Bursar and is refused."""

Count = Annotated[int, Meta(ge=0, le=10**15)]
_MAX_SUMMARY_BYTES = 256 * 1024


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class DocumentUsage(Usage, frozen=True, forbid_unknown_fields=True):
    input_tokens: Count = 0
    output_tokens: Count = 0
    cache_read_tokens: Count = 0
    cache_write_tokens: Count = 0
    reasoning_tokens: Count = 0


class DocumentCall(ToolCall, frozen=True, forbid_unknown_fields=True):
    pass


class DocumentInput(
    UserMessage, frozen=True, tag="user", tag_field="role", forbid_unknown_fields=True
):
    at_ms: Count = 0


class DocumentAnswer(
    AssistantMessage, frozen=True, tag="assistant", tag_field="role", forbid_unknown_fields=True
):
    tool_calls: tuple[DocumentCall, ...] = ()
    usage: DocumentUsage = DocumentUsage()
    step: Count = 0
    at_ms: Count = 0


class DocumentResult(
    ToolMessage, frozen=True, tag="tool", tag_field="role", forbid_unknown_fields=True
):
    step: Count = 0
    at_ms: Count = 0


DocumentMessage = DocumentInput | DocumentAnswer | DocumentResult


class DocumentSession(_Strict, frozen=True, kw_only=True):
    """``created_ms`` is when the conversation began; counters are of its whole life."""

    id: str
    agent: str
    user: str = "anonymous"
    model: str = ""
    system_prompt: str = ""
    workspace_path: str = ""
    priority: str = ""
    title: str = ""
    tags: tuple[str, ...] = ()
    custom: dict[str, Any] = {}
    parent: str = ""
    forked_from: str = ""
    forked_at: Count | None = None
    created_ms: Count = 0
    context_start: Count = 0
    summary: str = ""
    token_count: Count = 0
    turn_count: Count = 0
    step_count: Count = 0
    tool_call_count: Count = 0
    approval_count: Count = 0
    message_count: Count | None = None


class DocumentBudget(_Strict, frozen=True, kw_only=True):
    """For information: no account is opened, filled or emptied by it. None: no limit."""

    limit_microusd: Count | None = None
    token_limit: Count | None = None
    spent_microusd: Count = 0
    spent_tokens: Count = 0


class SessionDocument(_Strict, frozen=True, kw_only=True):
    """``workspace`` and ``exported_ms``: where and when it was written."""

    schema_version: int
    exported_ms: Count = 0
    workspace: str = ""
    session: DocumentSession
    budget: DocumentBudget = DocumentBudget()
    messages: tuple[DocumentMessage, ...] = ()


class _Version(msgspec.Struct, frozen=True):
    schema_version: int


_version = msgspec.json.Decoder(_Version)
_document = msgspec.json.Decoder(SessionDocument)


def read_document(data: bytes) -> SessionDocument:
    """Decode and check a document.

    Raises:
        InvalidInput: names the place, such as ``messages[3].tool_calls``.
        msgspec.DecodeError: it is not JSON.

    """
    try:
        # Alone and first: what a newer version has beside it must not look like a mistake.
        version = _version.decode(data).schema_version
        if version > DOCUMENT_VERSION:
            raise InvalidInput(
                f"this document has version {version}, which a newer Bursar wrote; this one reads "
                f"up to {DOCUMENT_VERSION}",
                field="schema_version",
                code="document_too_new",
            )
        document = _document.decode(data)
    except msgspec.ValidationError as error:
        raise invalid(error, whole="body") from None
    check_document(document)
    return document


def check_document(document: SessionDocument) -> None:
    """Check what types do not say; the session's own fields are checked as those of a new one.

    Raises:
        InvalidInput: names the place.

    """
    session, count = document.session, len(document.messages)
    if document.schema_version < 1:
        raise InvalidInput(f"expected 1 to {DOCUMENT_VERSION}", field="schema_version")
    check_session(session.id, "session.id")
    if document.workspace:
        check_workspace(document.workspace)
    if session.forked_from:
        check_session(session.forked_from, "session.forked_from")
    start = session.context_start
    if start > count:
        raise InvalidInput(f"expected at most {count} messages", field="session.context_start")
    if start < count and isinstance(document.messages[start], DocumentResult):
        raise InvalidInput(
            f"messages[{start}] is a result, which belongs to the answer before it",
            field="session.context_start",
        )
    if session.message_count not in {None, count}:
        raise InvalidInput(
            f"it has {count} messages, so something is missing", field="session.message_count"
        )
    if len(session.summary.encode()) > _MAX_SUMMARY_BYTES:
        raise InvalidInput(f"expected at most {_MAX_SUMMARY_BYTES} bytes", field="session.summary")
    _check_steps(document.messages)


def _check_steps(messages: tuple[DocumentMessage, ...]) -> None:
    """Each call has one result, directly behind its answer: no model takes anything else."""
    asked, missing = 0, Counter[str]()
    for index, message in enumerate(messages):
        if isinstance(message, DocumentResult):
            if not missing[message.call_id]:
                raise InvalidInput(
                    "no call of the answer before it waits for this result",
                    field=f"messages[{index}].call_id",
                )
            missing[message.call_id] -= 1
            continue
        _check_answered(asked, missing)
        if isinstance(message, DocumentAnswer):
            asked, missing = index, Counter(call.id for call in message.tool_calls)
    _check_answered(asked, missing)


def _check_answered(asked: int, missing: Counter[str]) -> None:
    if missing.total():
        raise InvalidInput(
            f"calls have no result: {', '.join(sorted(missing.elements()))[:200]}",
            field=f"messages[{asked}].tool_calls",
        )
