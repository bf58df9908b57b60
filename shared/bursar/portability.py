"""Sessions leave as documents and come back as sessions.

An import makes a session that is new: its account is opened as for any other, so nothing that was
spent, used up or ended here is taken back by an older copy.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec

from bursar.audit.entries import SYSTEM
from bursar.documents import (
    DOCUMENT_VERSION,
    DocumentBudget,
    DocumentMessage,
    DocumentSession,
    SessionDocument,
)
from bursar.errors import Conflict, InvalidInput
from bursar.originals import Original, read_original
from bursar.registry import Registry, redis_ms
from bursar.sessions import SessionSpec, SessionView, get, locate, new_session_id, prepare
from bursar.steps import open_step
from bursar.store.codec import decode_message, encode_json, encode_message, text
from bursar.store.scripts.drafts import (
    PIECE_BYTES,
    PIECE_MESSAGES,
    Draft,
    check_free,
    first_session,
)
from bursar.store.scripts.sessions import Idempotency, NewSession, open_session
from bursar.store.store import Store

__all__ = ["ImportOptions", "export_session", "import_session"]

_PAGE = 32
"""Messages of an export that are in memory at once."""
_KEPT = (
    "id", "agent", "user", "model", "workspace_path", "priority", "title", "parent", "forked_from",
)  # fmt: skip
_COUNTERS = ("token_count", "turn_count", "step_count", "tool_call_count", "approval_count")


class ImportOptions(msgspec.Struct, frozen=True):
    """``new_id`` gives the session an id of its own. Limits left out are as for a new session."""

    new_id: bool = False
    limit_microusd: int | None = None
    token_limit: int | None = None


async def export_session(store: Store, workspace: str, sid: str) -> AsyncIterator[bytes]:
    """Return the pieces of a session's document.

    A step that is under way is not in it. Should the session be deleted meanwhile, iterating raises
    `Conflict`, and what came before is not a document.

    Raises:
        NotFound: at once, if there is no such session.

    """
    original = await read_original(store, workspace, sid)
    total = original.number("message_count")
    step = await open_step(store, original.keys, total)
    count = step.first if step else total
    head = {
        "schema_version": DOCUMENT_VERSION,
        "exported_ms": await redis_ms(store),
        "workspace": workspace,
        "session": _described(original, count),
        "budget": _budget(original),
    }
    return _pieces(store, original, encode_json(head), count)


def _described(original: Original, count: int) -> DocumentSession:
    fields, texts = original.fields, original.texts
    kept: dict[str, Any] = {name: fields.get(name, "") for name in _KEPT}
    kept |= {name: original.number(name) for name in _COUNTERS}
    return DocumentSession(
        **kept,
        system_prompt=texts.get("system_prompt", ""),
        summary=texts.get("summary", ""),
        custom=original.custom,
        tags=original.tags,
        forked_at=original.number("forked_at") if "forked_at" in fields else None,
        created_ms=original.number("began_ms") or original.number("created_ms"),
        context_start=min(original.number("context_start"), count),
        message_count=count,
    )


def _budget(original: Original) -> DocumentBudget:
    account = original.account
    return DocumentBudget(
        limit_microusd=account.limit_microusd,
        token_limit=account.token_limit,
        spent_microusd=account.posted_microusd + original.number("spent_before_microusd"),
        spent_tokens=account.tokens_posted + original.number("spent_before_tokens"),
    )


async def _pieces(
    store: Store, original: Original, head: bytes, count: int
) -> AsyncIterator[bytes]:
    """Yield the document, a message a line."""
    session = original.keys
    yield head.removesuffix(b"}") + b',"messages":['
    separator = b"\n"
    for start in range(0, count, _PAGE):
        stop = min(start + _PAGE, count)
        page = store.redis.call("LRANGE", session.messages, start, stop - 1)
        still = store.redis.call("HGET", session.hash, "created_ms")
        raw = await page
        if text(await still) != original.fields["created_ms"] or len(raw) != stop - start:
            raise Conflict("the session was deleted meanwhile", code="session_deleted")
        lines = [encode_json(decode_message(entry)) for entry in raw]
        yield separator + b",\n".join(lines)
        separator = b",\n"
    yield b"\n]}\n"


async def import_session(
    store: Store,
    registry: Registry,
    workspace: str,
    document: SessionDocument,
    options: ImportOptions = ImportOptions(),  # noqa: B008  (frozen)
    idempotency: Idempotency = Idempotency(),  # noqa: B008  (frozen)
    *,
    actor: str = SYSTEM,
) -> SessionView:
    """Make a root session of a document that `read_document` has checked.

    A refusal or a crash on the way leaves no session; asking again makes it.

    Raises:
        InvalidInput: names the place.
        Conflict: a session with its id exists, whatever that one holds.

    """
    given = "" if options.new_id else document.session.id
    if "~" in given:
        raise InvalidInput(
            "it was below another session, and becomes one of its own; import it under a new id",
            field="session.id",
        )
    session = locate(store, workspace, new_session_id(given, "session.id"))
    if first := await first_session(store, session.workspace, idempotency):
        return await get(store, workspace, first)
    new = await _new(store, registry, workspace, document, options)
    await check_free(store, session)
    draft = Draft(store, session.workspace)
    try:
        for piece in _stored(document.messages):
            await draft.add(piece)
        if draft.length:
            new = msgspec.structs.replace(new, draft=draft.key, draft_length=draft.length)
        opened = await open_session(store, session, new, idempotency, actor=actor)
    finally:
        await draft.drop()
    return await get(store, workspace, opened)


async def _new(
    store: Store,
    registry: Registry,
    workspace: str,
    document: SessionDocument,
    options: ImportOptions,
) -> NewSession:
    """The session as if it were made today, with what the document tells of before."""
    session, budget = document.session, document.budget
    spec = SessionSpec(
        agent=session.agent,
        user=session.user,
        model=session.model,
        system_prompt=session.system_prompt,
        workspace_path=session.workspace_path,
        priority=session.priority,
        title=session.title,
        tags=session.tags,
        custom=session.custom,
        limit_microusd=options.limit_microusd,
        token_limit=options.token_limit,
    )
    try:
        entry = await registry.require(spec.agent)
        new = prepare(store, workspace, spec, entry.model, {})
    except InvalidInput as error:
        of_document = error.field.partition("[")[0] in DocumentSession.__struct_fields__
        place = f"session.{error.field}" if of_document else error.field
        raise InvalidInput(error.message, field=place, code=error.code) from None
    imported_from = "/".join(part for part in (document.workspace, session.id) if part)
    fields = {
        **new.fields,
        **{name: getattr(session, name) for name in _COUNTERS},
        "context_start": session.context_start,
        # What it says of usage is somebody's word, and no ground for holding less money.
        "counted_from": len(document.messages),
        "imported_from": imported_from,
        "began_ms": session.created_ms,
        "spent_before_microusd": budget.spent_microusd,
        "spent_before_tokens": budget.spent_tokens,
    }
    if session.forked_from:
        fields["forked_from"] = session.forked_from
    if session.forked_at is not None:
        fields["forked_at"] = session.forked_at
    texts = dict(new.texts)
    if session.summary:
        fields["summarised"], texts["summary"] = 1, session.summary
    origin = {"imported_from": imported_from}
    return msgspec.structs.replace(new, fields=fields, texts=texts, origin=origin)


def _stored(messages: tuple[DocumentMessage, ...]) -> Iterator[list[bytes]]:
    """Messages as they are stored, in pieces of which none keeps Redis busy for long."""
    piece: list[bytes] = []
    size = 0
    for message in messages:
        entry = encode_message(message)
        if piece and (len(piece) == PIECE_MESSAGES or size + len(entry) > PIECE_BYTES):
            yield piece
            piece, size = [], 0
        piece.append(entry)
        size += len(entry)
    if piece:
        yield piece
