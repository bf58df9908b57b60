"""Sessions: an agent's durable conversations. Create, read, change, list, end, delete."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from bursar.audit.entries import SYSTEM
from bursar.budgets.accounts import check_limit, check_tokens, check_warn_percent
from bursar.errors import InvalidInput, NotFound
from bursar.gate.clearing import clear_up
from bursar.ids import check_id, check_session, check_user, check_workspace, new_id
from bursar.registry import Registry, redis_ms
from bursar.store.codec import decode_json, encode_json, text
from bursar.store.keys import PRIORITIES, SessionKeys, root_of
from bursar.store.opening import SCHEMA_VERSION
from bursar.store.scripts import sessions as scripts
from bursar.store.scripts.inputs import Facts
from bursar.store.scripts.sessions import Idempotency, NewSession
from bursar.store.store import Store

__all__ = [
    "MAX_TEXT_BYTES",
    "SessionSpec",
    "SessionView",
    "ancestors_of",
    "clear",
    "create",
    "delete",
    "get",
    "is_near_limit",
    "locate",
    "new_session_id",
    "patch",
    "prepare",
    "read_facts",
    "view",
]

_MAX_TITLE = 200
_MAX_MODEL = 128
_MAX_TAGS, _MAX_TAG = 16, 32
MAX_TEXT_BYTES = 256 * 1024
"""Of each of a session's long texts, such as its prompt and its context."""
_MAX_PATH = 64
_ROUTE = "import"
"""It stands in the place of a session's id in a path, so none can have it."""


class SessionSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a caller may choose when making a session; the rest has defaults."""

    agent: str
    user: str = "anonymous"
    id: str = ""
    parent: str = ""
    model: str = ""
    system_prompt: str = ""
    context: str = ""
    workspace_path: str = ""
    priority: str = ""
    title: str = ""
    tags: tuple[str, ...] = ()
    custom: dict[str, Any] = {}
    limit_microusd: int | None = None
    token_limit: int | None = None
    per_action_microusd: int | None = None
    per_turn_microusd: int | None = None
    warn_percent: int | None = None


class SessionView(msgspec.Struct, frozen=True):
    """A session as programs read it. Times are Unix milliseconds by Redis's clock.

    ``forked_at`` is the index of the last message that was copied of ``forked_from``.
    ``imported_from`` is the ``workspace/session`` of the document that it was made from, and
    ``spent_before_…`` what was spent before then, of which no account here knows.
    """

    id: str
    workspace: str
    user: str
    agent: str
    model: str
    priority: str
    state: str
    title: str
    tags: tuple[str, ...]
    parent: str
    root: str
    depth: int
    is_subagent: bool
    workspace_path: str
    created_ms: int
    active_ms: int
    duration_ms: int
    token_count: int
    turn_count: int
    step_count: int
    tool_call_count: int
    approval_count: int
    message_count: int
    context_start: int
    summarised: bool
    turn: str
    blocked: str
    ending: bool
    worker: str
    custom: dict[str, Any]
    forked_from: str = ""
    forked_at: int | None = None
    imported_from: str = ""
    spent_before_microusd: int = 0
    spent_before_tokens: int = 0

    def __repr__(self) -> str:
        return f"<Session {self.workspace}/{self.id} {self.state} {self.message_count} messages>"


def locate(store: Store, workspace: str, sid: str) -> SessionKeys:
    """Keys of a session whose ids come from outside; malformed ones are refused by name."""
    return store.workspace(check_workspace(workspace)).session(check_session(sid))


async def create(
    store: Store,
    registry: Registry,
    workspace: str,
    spec: SessionSpec,
    idempotency: Idempotency = Idempotency(),  # noqa: B008  (frozen)
    *,
    actor: str = SYSTEM,
    fields: Mapping[str, Any] = MappingProxyType({}),
    texts: Mapping[str, str] = MappingProxyType({}),
) -> SessionView:
    """Make a session.

    Args:
        fields: further ones of its record, likewise ``texts``; no caller from outside has them.

    Raises:
        InvalidInput: names the field; ``unknown_agent`` for an agent that no worker ever served.
        Conflict: a session with the given id exists.

    """
    entry = await registry.require(spec.agent)
    parent: dict[str, str] = {}
    if spec.parent:
        above = locate(store, workspace, check_session(spec.parent, "parent"))
        parent = await _inherited(store, above)
    new = prepare(store, workspace, spec, entry.model, parent)
    sid = new_session_id(spec.id)
    if spec.parent:
        sid = f"{root_of(spec.parent)}~{sid}"
    session = locate(store, workspace, sid)
    if fields or texts:
        new = msgspec.structs.replace(
            new, fields={**new.fields, **fields}, texts={**new.texts, **texts}
        )
    opened = await scripts.open_session(store, session, new, idempotency, actor=actor)
    return await get(store, workspace, opened)


def new_session_id(given: str, field: str = "id") -> str:
    """Return the id of a new session: the given one, or else a new one."""
    if given == _ROUTE:
        raise InvalidInput(f"{_ROUTE!r} is the name of a route; choose another", field=field)
    return check_id(given, field) if given else new_id("ses")


def prepare(
    store: Store, workspace: str, spec: SessionSpec, model: str, parent: dict[str, str]
) -> NewSession:
    """Check what was asked for, and fill in what was not.

    Args:
        model: the agent's.
        parent: what a child takes over; see `_inherited`.

    Raises:
        InvalidInput: names the field.

    """
    settings = store.settings
    user = parent.get("user") or check_user(spec.user)
    path = _check_path(spec.workspace_path) or parent.get("workspace_path", "")
    limit = spec.limit_microusd
    limit = (
        settings.session_limit_microusd if limit is None else check_limit(limit, "limit_microusd")
    )
    action = spec.per_action_microusd
    if action is None:
        action = min(settings.per_action_limit_microusd, limit)
    elif check_limit(action, "per_action_microusd") > limit:
        raise InvalidInput("expected at most limit_microusd", field="per_action_microusd")
    turn = spec.per_turn_microusd
    if turn is None:
        turn = settings.per_turn_limit_microusd
    elif check_limit(turn, "per_turn_microusd") > limit:
        raise InvalidInput("expected at most limit_microusd", field="per_turn_microusd")
    if spec.token_limit is not None:
        check_tokens(spec.token_limit, "token_limit")
    warn = settings.warn_percent if spec.warn_percent is None else spec.warn_percent
    check_warn_percent(warn)
    # Another agent has a model of its own, under a name that only it may know.
    inherited = parent.get("model") if parent.get("agent") == spec.agent else ""
    fields = {
        "ws": workspace,
        "user": user,
        "agent": check_id(spec.agent, "agent"),
        "model": _check_model(spec.model) or inherited or model,
        "parent": spec.parent,
        "workspace_path": path,
        "priority": _check_priority(spec.priority) or parent.get("priority") or PRIORITIES[0],
        "title": _check_title(spec.title),
        "tags": _check_tags(spec.tags),
        "schema_version": SCHEMA_VERSION,
    }
    texts = {
        "system_prompt": _check_text(spec.system_prompt, "system_prompt"),
        "context": _check_text(spec.context or parent.get("context", ""), "context"),
        "custom": _check_text(encode_json(spec.custom).decode(), "custom") if spec.custom else "",
    }
    given = {name: value for name, value in texts.items() if value}
    # Empty is an answer, too: there is nothing to be told, so nobody is asked again.
    given.update({"context": texts["context"]} if "context" in parent else {})
    return NewSession(
        user, path, fields, given, limit, action, warn, spec.token_limit, turn, spec.parent
    )


async def _inherited(store: Store, parent: SessionKeys) -> dict[str, str]:
    """What a child copies from its parent unless it is given: user, model, path, and so on."""
    names = ("user", "agent", "model", "workspace_path", "priority")
    reply = store.redis.call("HMGET", parent.hash, *names)
    context = await store.redis.call("HGET", parent.text, "context")
    values = await reply
    if values[0] is None:
        raise InvalidInput(
            "no such session in this workspace", field="parent", code="parent_not_found"
        )
    told = {} if context is None else {"context": text(context)}
    return dict(zip(names, map(text, values), strict=True)) | told


async def get(store: Store, workspace: str, sid: str) -> SessionView:
    session = locate(store, workspace, sid)
    fields = store.redis.call("HGETALL", session.hash)
    custom = store.redis.call("HGET", session.text, "custom")
    now = await redis_ms(store)
    found = await fields
    if not found:
        raise NotFound("no such session in this workspace", code="session_not_found")
    return view(workspace, found, await custom, now)


def view(
    workspace: str, fields: dict[bytes, bytes], custom: bytes | None, now_ms: int
) -> SessionView:
    """Build a view from a session's hash; ``now_ms`` is Redis time."""
    values: dict[str, Any] = {text(field): text(value) for field, value in fields.items()}
    values["workspace"] = workspace
    values["tags"] = tuple(tag for tag in values["tags"].split(",") if tag)
    values["custom"] = decode_json(custom or b"{}", dict[str, Any])
    values["duration_ms"] = max(0, now_ms - int(values["created_ms"]))
    values["is_subagent"] = values["is_subagent"] == "1"
    values["ending"] = values["ending"] == "1"
    values["summarised"] = values.get("summarised") == "1"
    return msgspec.convert(values, SessionView, strict=False)


async def read_facts(store: Store, session: SessionKeys) -> Facts:
    """What never changes in a session's life."""
    values = await store.redis.call(
        "HMGET", session.hash, "user", "workspace_path", "agent", "priority"
    )
    if values[0] is None:
        raise NotFound("no such session in this workspace", code="session_not_found")
    return Facts(*map(text, values))


async def ancestors_of(
    store: Store, session: SessionKeys, *, parent: str, root: str
) -> tuple[str, ...]:
    """Ids from the root down to the parent; they never change, so a drive asks once."""
    if not parent:
        return ()
    chain = [parent]
    while chain[0] != root:
        above = await store.redis.call("HGET", session.workspace.session(chain[0]).hash, "parent")
        chain.insert(0, text(above) or root)
    return tuple(chain)


async def patch(
    store: Store,
    workspace: str,
    sid: str,
    *,
    title: str | None = None,
    tags: tuple[str, ...] | None = None,
    custom: dict[str, Any] | None = None,
) -> SessionView:
    """Change what is given and leave the rest."""
    fields: dict[str, str] = {}
    texts: dict[str, str] = {}
    if title is not None:
        fields["title"] = _check_title(title)
    if tags is not None:
        fields["tags"] = _check_tags(tags)
    if custom is not None:
        texts["custom"] = _check_text(encode_json(custom).decode(), "custom")
    await scripts.update_session(store, locate(store, workspace, sid), fields, texts)
    return await get(store, workspace, sid)


async def clear(store: Store, workspace: str, sid: str) -> SessionView:
    """Start a new context; the history stays readable."""
    await scripts.clear_session(store, locate(store, workspace, sid))
    return await get(store, workspace, sid)


async def delete(store: Store, workspace: str, sid: str, *, actor: str = SYSTEM) -> None:
    session = locate(store, workspace, sid)
    facts = await read_facts(store, session)
    if text(await store.redis.call("HGET", session.hash, "state")) in {"idle", "ended"}:
        await clear_up(store, session)
    await scripts.delete_session(
        store, session, user=facts.user, workspace_path=facts.workspace_path, actor=actor
    )


def is_near_limit(token_count: int, max_tokens: int, threshold_percent: int) -> bool:
    """True if more than the threshold of a model's window is used. Exactly at it is not near."""
    return token_count * 100 > max_tokens * threshold_percent


def _check_title(title: str) -> str:
    if len(title) > _MAX_TITLE or not title.isprintable():
        raise InvalidInput(f"expected at most {_MAX_TITLE} printable characters", field="title")
    return title


def _check_model(model: str) -> str:
    if len(model) > _MAX_MODEL or not model.isprintable():
        raise InvalidInput(f"expected at most {_MAX_MODEL} printable characters", field="model")
    return model


def _check_priority(priority: str) -> str:
    if priority and priority not in PRIORITIES:
        raise InvalidInput(f"expected one of {', '.join(PRIORITIES)}", field="priority")
    return priority


def _check_tags(tags: tuple[str, ...]) -> str:
    if len(tags) > _MAX_TAGS:
        raise InvalidInput(f"expected at most {_MAX_TAGS} tags", field="tags")
    for index, tag in enumerate(tags):
        if not tag or len(tag) > _MAX_TAG or "," in tag or not tag.isprintable():
            raise InvalidInput(
                f"expected 1-{_MAX_TAG} printable characters without a comma",
                field=f"tags[{index}]",
            )
    return ",".join(tags)


def _check_path(path: str) -> str:
    parts = path.split("/")
    if path and (
        len(path.encode()) > _MAX_PATH
        or not path.isprintable()
        or any(part in {"", ".", ".."} for part in parts)
        or any(char in path for char in "{}:\\")
    ):
        raise InvalidInput(
            f"expected a relative path of at most {_MAX_PATH} bytes without '..', braces or colons",
            field="workspace_path",
        )
    return path


def _check_text(value: str, field: str) -> str:
    if len(value.encode()) > MAX_TEXT_BYTES:
        raise InvalidInput(f"expected at most {MAX_TEXT_BYTES} bytes", field=field)
    return value
