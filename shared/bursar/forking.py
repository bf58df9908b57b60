"""Forks: a new session that goes on from a message of another one.

The history up to there is copied, and what the session was made with; nothing of what it was
allowed, holds or has spent. The source may be running, or have ended: what it says later is not in
the fork.
"""

from typing import Any, TypeVar

import msgspec

from bursar.audit.entries import SYSTEM
from bursar.errors import InvalidInput
from bursar.messages import AssistantMessage
from bursar.originals import Original, read_original
from bursar.registry import Registry
from bursar.sessions import SessionSpec, SessionView, get, locate, new_session_id, prepare
from bursar.steps import end_of_step, open_step, read_backwards
from bursar.store.keys import SessionKeys
from bursar.store.scripts.drafts import Draft, check_free, first_session
from bursar.store.scripts.sessions import Idempotency, NewSession, open_session
from bursar.store.store import Store

__all__ = ["ForkSpec", "fork"]

T = TypeVar("T")

_LOOK_BACK = 64
"""Messages in which the newest answer is looked for, to say how large the context is."""


class ForkSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """``at`` is the index of the last message that is copied; left out: all that there are.

    The rest says what is to be otherwise than in the source. A limit of the source that is above a
    given ``limit_microusd`` is lowered to that. With another ``agent``, the model is that agent's.
    """

    at: int | None = None
    id: str = ""
    agent: str | None = None
    model: str | None = None
    system_prompt: str | None = None
    workspace_path: str | None = None
    priority: str | None = None
    title: str | None = None
    tags: tuple[str, ...] | None = None
    custom: dict[str, Any] | None = None
    limit_microusd: int | None = None
    token_limit: int | None = None
    per_action_microusd: int | None = None
    per_turn_microusd: int | None = None
    warn_percent: int | None = None


async def fork(
    store: Store,
    registry: Registry,
    workspace: str,
    sid: str,
    spec: ForkSpec,
    idempotency: Idempotency = Idempotency(),  # noqa: B008  (frozen)
    *,
    actor: str = SYSTEM,
) -> SessionView:
    """Make a root session with the history of another one up to a message.

    A crash on the way leaves no session; asking again makes it.

    Raises:
        InvalidInput: names the field; for ``at`` inside a step (``inside_step``) the details have
            the nearest points ``before`` and ``after``, which are None where there is none.
        Conflict: a session with the given id exists.

    """
    keys = locate(store, workspace, sid)
    if first := await first_session(store, keys.workspace, idempotency):
        return await get(store, workspace, first)
    source = await read_original(store, workspace, sid)
    count = await _length(store, keys, spec.at, source.number("message_count"))
    agent = spec.agent or source.fields["agent"]
    entry = await registry.require(agent)
    wish = _wish(source, spec, agent)
    new = await _new(store, source, prepare(store, workspace, wish, entry.model, {}), spec, count)
    session = locate(store, workspace, new_session_id(spec.id))
    await check_free(store, session)
    draft = Draft(store, keys.workspace)
    try:
        if count:
            await draft.copy(keys, created_ms=source.fields["created_ms"], length=count)
            new = msgspec.structs.replace(new, draft=draft.key, draft_length=count)
        opened = await open_session(store, session, new, idempotency, actor=actor)
    finally:
        await draft.drop()
    return await get(store, workspace, opened)


async def _length(store: Store, keys: SessionKeys, at: int | None, total: int) -> int:
    """How many messages are copied."""
    if at is None:
        step = await open_step(store, keys, total)
        return step.first if step else total
    if not 0 <= at < total:
        there = f"expected 0 to {total - 1}" if total else "the session has no messages yet"
        raise InvalidInput(there, field="at")
    step = await open_step(store, keys, at + 1)
    if step is None:
        return at + 1
    before = step.first - 1 if step.first else None
    after = await end_of_step(store, keys, step, at + 1, total)
    points = " and ".join(str(point) for point in (before, after) if point is not None)
    raise InvalidInput(
        f"message {at} is inside a step, of which tool calls would lack their results; "
        + (f"the nearest points are {points}" if points else "there is no such point yet"),
        field="at",
        code="inside_step",
        before=before,
        after=after,
    )


def _wish(source: Original, spec: ForkSpec, agent: str) -> SessionSpec:
    """The fork as if somebody asked for it as a session of its own."""
    fields, texts, account = source.fields, source.texts, source.account
    limit = account.limit_microusd if spec.limit_microusd is None else spec.limit_microusd
    model = fields["model"] if agent == fields["agent"] else ""
    return SessionSpec(
        agent=agent,
        user=fields["user"],
        model=_or(spec.model, model),
        system_prompt=_or(spec.system_prompt, texts.get("system_prompt", "")),
        context=texts.get("context", ""),
        workspace_path=_or(spec.workspace_path, fields["workspace_path"]),
        priority=_or(spec.priority, fields.get("priority", "")),
        title=_or(spec.title, fields["title"]),
        tags=_or(spec.tags, source.tags),
        custom=_or(spec.custom, source.custom),
        limit_microusd=limit,
        token_limit=_or(spec.token_limit, account.token_limit),
        per_action_microusd=_bounded(spec.per_action_microusd, account.per_action_microusd, limit),
        per_turn_microusd=_bounded(spec.per_turn_microusd, account.per_turn_microusd, limit),
        warn_percent=_or(spec.warn_percent, account.warn_percent),
    )


def _or(given: T | None, source: T) -> T:
    return source if given is None else given


def _bounded(given: int | None, source: int | None, limit: int | None) -> int | None:
    if given is not None or source is None or limit is None:
        return given if given is not None else source
    return min(source, limit)


async def _new(
    store: Store, source: Original, new: NewSession, spec: ForkSpec, count: int
) -> NewSession:
    """The session with what it keeps of the source's context, and where it comes from."""
    fields: dict[str, Any] = {**new.fields, "forked_from": source.keys.id}
    texts = dict(new.texts)
    origin: dict[str, Any] = {"forked_from": source.keys.id}
    if count:
        fields["forked_at"] = origin["forked_at"] = count - 1
    start = source.number("context_start")
    # A context that was begun behind the point is not the one that goes on from there.
    if start <= (count if spec.at is None else spec.at):
        fields["context_start"] = start
        if "summary" in source.texts:
            fields["summarised"], texts["summary"] = 1, source.texts["summary"]
    else:
        start = 0
    fields["token_count"] = await _tokens(store, source.keys, start, count)
    foreign = _foreign(source, fields, texts, count)
    if foreign:
        fields["counted_from"] = foreign
    return msgspec.structs.replace(new, fields=fields, texts=texts, origin=origin)


def _foreign(source: Original, fields: dict[str, Any], texts: dict[str, Any], count: int) -> int:
    """How many messages say nothing about what a call of the fork may cost.

    A worker bounds the next call by what the last one read, which is no bound under another model
    or prompt.
    """
    same = all(fields[name] == source.fields[name] for name in ("agent", "model")) and all(
        texts.get(name, "") == source.texts.get(name, "") for name in ("system_prompt", "context")
    )
    return min(source.number("counted_from"), count) if same else count


async def _tokens(store: Store, keys: SessionKeys, start: int, count: int) -> int:
    """Size of the context after the newest answer in it, as that answer's call counted it."""
    async for index, message in read_backwards(store, keys, count):
        if index < max(start, count - _LOOK_BACK):
            break
        if isinstance(message, AssistantMessage) and message.usage.total_tokens:
            return message.usage.total_tokens
    return 0
