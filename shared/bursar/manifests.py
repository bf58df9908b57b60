"""What the tools of MCP servers looked like when they were accepted, and what changed since.

A server may change what a tool says and does after somebody has agreed to it. So the first worker
that sees a tool records it for the whole installation, and one that looks otherwise later is
suspect until an administrator accepts it. Workers can add records but not replace them.
"""

import re
from collections.abc import Mapping

import msgspec

from bursar.audit.chain import INSTALLATION
from bursar.audit.entries import Record
from bursar.errors import Conflict, InvalidInput, NotFound
from bursar.ids import check_id
from bursar.registry import redis_ms
from bursar.store.codec import decode_json, encode_json, text
from bursar.store.keys import GlobalKeys
from bursar.store.scripts import manifests as scripts
from bursar.store.store import Store

__all__ = [
    "AcceptedManifest",
    "Look",
    "ManifestView",
    "accept_manifests",
    "changes",
    "list_manifests",
    "suspects",
]

MAX_RECORDS = 20_000
"""Of all servers together. A server that invents new names all the time fills no Redis."""
_MAX_TEXT = 8192

_TOOL = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Look(msgspec.Struct, frozen=True):
    """How a tool looks. ``sha256`` is over all that the server says; the texts are for people."""

    sha256: str
    description: str
    parameters: str
    """The JSON Schema, cut if it is long."""

    @classmethod
    def of(cls, sha256: str, description: str, parameters: Mapping[str, object]) -> "Look":
        schema = msgspec.json.encode(parameters, order="deterministic").decode()
        return cls(sha256, description[:_MAX_TEXT], schema[:_MAX_TEXT])


class _Stored(msgspec.Struct, frozen=True):
    look: Look
    at_ms: int
    by: str


class ManifestView(msgspec.Struct, frozen=True):
    """A tool of an agent's MCP server. ``changed`` is how it looks now, if not as accepted."""

    agent: str
    server: str
    tool: str
    accepted: Look
    accepted_ms: int
    accepted_by: str
    """``worker:<id>`` for a tool that was taken as it was first seen, else who accepted it."""
    changed: Look | None = None
    changed_ms: int = 0
    changes: str = ""
    """What is different, in words."""


class AcceptedManifest(msgspec.Struct, frozen=True):
    agent: str
    server: str
    tool: str
    sha256: str


async def suspects(
    store: Store, agent: str, server: str, looks: Mapping[str, Look], *, worker: str
) -> dict[str, str]:
    """Compare tools with what was accepted, and record those that nobody has seen before.

    Args:
        looks: of the tools to compare, by their names.

    Returns:
        Why a tool is not as it was accepted, by its name; what is as it was is not in it.

    """
    if not looks:
        return {}
    fields = {name: f"{agent}/{server}/{name}" for name in looks}
    found = await store.redis.call("HMGET", GlobalKeys.manifests, *fields.values())
    accepted = dict(zip(looks, found, strict=True))
    new = [name for name, value in accepted.items() if value is None]
    if new:
        accepted |= await _record(
            store, {name: (fields[name], looks[name]) for name in new}, worker
        )
    reasons: dict[str, str] = {}
    changed: dict[str, Look] = {}
    for name, value in accepted.items():
        if value is None:
            reasons[name] = f"the installation knows {MAX_RECORDS:,} tools of servers, no more fit"
            continue
        known = decode_json(value, _Stored).look
        if known.sha256 != looks[name].sha256:
            changed[fields[name]] = looks[name]
            what = changes(known, looks[name])
            reasons[name] = f"the tool changed since it was accepted: {what}"
    await _note(store, changed, worker)
    return reasons


async def _record(
    store: Store, new: Mapping[str, tuple[str, Look]], worker: str
) -> dict[str, bytes | None]:
    """Accept tools on first sight, unless another worker was faster: then what that one saw."""
    if int(await store.redis.call("HLEN", GlobalKeys.manifests)) + len(new) > MAX_RECORDS:
        return dict.fromkeys(new)
    now = await redis_ms(store)
    for field, look in new.values():
        value = encode_json(_Stored(look, now, f"worker:{worker}"))
        await store.redis.call("HSETNX", GlobalKeys.manifests, field, value)
    fields = [field for field, _ in new.values()]
    return dict(
        zip(new, await store.redis.call("HMGET", GlobalKeys.manifests, *fields), strict=True)
    )


async def _note(store: Store, changed: Mapping[str, Look], worker: str) -> None:
    """Show administrators how changed tools look now. Only known tools can be among them."""
    if not changed:
        return
    now = await redis_ms(store)
    found = await store.redis.call("HMGET", GlobalKeys.manifests_seen, *changed)
    for (field, look), old in zip(changed.items(), found, strict=True):
        if old is None or decode_json(old, _Stored).look != look:
            value = encode_json(_Stored(look, now, f"worker:{worker}"))
            await store.redis.call("HSET", GlobalKeys.manifests_seen, field, value)


def changes(before: Look, after: Look) -> str:
    """Say in words what is different."""
    parts = []
    if before.description != after.description:
        parts.append("its description")
    if before.parameters != after.parameters:
        parts.append("its parameters")
    return " and ".join(parts) or "what its server says of its results or its effects"


async def list_manifests(store: Store) -> list[ManifestView]:
    """All tools that were ever seen, by agent, server and name."""
    accepted = await store.redis.call("HGETALL", GlobalKeys.manifests)
    seen = await store.redis.call("HGETALL", GlobalKeys.manifests_seen)
    views = [_view(text(field), value, seen.get(field)) for field, value in accepted.items()]
    return sorted(views, key=lambda view: (view.agent, view.server, view.tool))


def _view(field: str, value: bytes, seen: bytes | None) -> ManifestView:
    agent, server, tool = field.split("/")
    known = decode_json(value, _Stored)
    view = ManifestView(agent, server, tool, known.look, known.at_ms, known.by)
    if seen is None:
        return view
    newer = decode_json(seen, _Stored)
    return msgspec.structs.replace(
        view,
        changed=newer.look,
        changed_ms=newer.at_ms,
        changes=changes(known.look, newer.look),
    )


async def accept_manifests(
    store: Store, agent: str, server: str, *, tool: str = "", sha256: str = "", actor: str
) -> list[AcceptedManifest]:
    """Accept a changed tool as it looks now, or all changed ones of a server.

    Args:
        sha256: of the look that was decided on; with a tool only.
        actor: who decides, for the audit log.

    Raises:
        NotFound: no such server, or no such tool (``manifest_not_found``).
        Conflict: the tool did not change (``manifest_not_changed``), or once more since it was
            looked at (``manifest_changed``).

    """
    _check(agent, server, tool, sha256)
    views = {
        view.tool: view
        for view in await list_manifests(store)
        if (view.agent, view.server) == (agent, server)
    }
    if not views or (tool and tool not in views):
        what = f"tool {tool!r}" if views else "server"
        raise NotFound(f"no such {what} was ever seen", code="manifest_not_found")
    wanted = [views[tool]] if tool else [view for view in views.values() if view.changed]
    return [await _accept(store, view, sha256, actor) for view in wanted]


def _check(agent: str, server: str, tool: str, sha256: str) -> None:
    check_id(agent, "agent")
    check_id(server, "server")
    if tool and not _TOOL.fullmatch(tool):
        raise InvalidInput("expected 1-64 letters, digits, '_' or '-'", field="tool")
    if sha256 and not tool:
        raise InvalidInput("says nothing without a tool", field="sha256")


async def _accept(store: Store, view: ManifestView, sha256: str, actor: str) -> AcceptedManifest:
    field = f"{view.agent}/{view.server}/{view.tool}"
    seen = await store.redis.call("HGET", GlobalKeys.manifests_seen, field)
    if seen is None:
        raise Conflict(f"{view.tool} is as it was accepted", code="manifest_not_changed")
    look = decode_json(seen, _Stored).look
    if sha256 and look.sha256 != sha256:
        raise Conflict(f"{view.tool} changed once more, look again", code="manifest_changed")
    record = Record(
        workspace=INSTALLATION,
        actor=actor,
        action="mcp.accept",
        decision="done",
        details={"tool": field, "before": view.accepted.sha256, "after": look.sha256},
    )
    stored = encode_json(_Stored(look, await redis_ms(store), actor))
    await scripts.accept(store, field, expected=seen, accepted=stored, record=record)
    return AcceptedManifest(view.agent, view.server, view.tool, look.sha256)
