"""Workspaces: the tenants. Each owns its sessions, its budget and its caps."""

from typing import Any

import msgspec

from bursar.audit.entries import SYSTEM
from bursar.budgets.accounts import (
    AccountView,
    check_limit,
    check_warn_percent,
    read_accounts,
)
from bursar.errors import Conflict, InvalidInput, NotFound, WorkspaceKilled
from bursar.ids import check_workspace
from bursar.store.codec import text
from bursar.store.keys import GlobalKeys, WorkspaceKeys
from bursar.store.scripts.sessions import open_workspace
from bursar.store.store import Store

__all__ = [
    "WorkspaceView",
    "change",
    "create",
    "ensure",
    "get",
    "list_workspaces",
    "locate",
    "read_stats",
    "update",
]


class WorkspaceView(msgspec.Struct, frozen=True):
    """A workspace. Caps are None when there is none.

    ``max_running`` bounds sessions that hold a lease; more of them wait in line, which is no error.
    ``max_sessions`` bounds live sessions and ``max_queued`` turns that wait for their start; one
    more is refused. ``killed`` says that the kill switch was thrown.
    """

    id: str
    created_ms: int
    paused: bool
    killed: bool
    max_running: int | None
    max_sessions: int | None
    max_queued: int | None
    budget: AccountView


async def create(
    store: Store,
    workspace: str,
    *,
    limit_microusd: int | None = None,
    warn_percent: int | None = None,
    max_running: int | None = None,
    max_sessions: int | None = None,
    max_queued: int | None = None,
    actor: str = SYSTEM,
) -> WorkspaceView:
    """Create a workspace. Without a limit its budget is unlimited: recorded, never refused.

    Raises:
        Conflict: it exists (``workspace_exists``).

    """
    check_workspace(workspace)
    caps = _caps(max_running=max_running, max_sessions=max_sessions, max_queued=max_queued)
    if warn_percent is not None:
        check_warn_percent(warn_percent)
    created = await open_workspace(
        store,
        workspace,
        limit="unlimited"
        if limit_microusd is None
        else str(check_limit(limit_microusd, "limit_microusd")),
        warn_percent=store.settings.warn_percent if warn_percent is None else warn_percent,
        settings=caps,
        only_new=True,
        actor=actor,
    )
    # After the workspace itself: a crash in between leaves it unlisted, and creating it again,
    # though refused, lists it.
    await store.redis.call("SADD", GlobalKeys.workspaces, workspace)
    if not created:
        raise Conflict("a workspace with this id exists", code="workspace_exists")
    return await get(store, workspace)


async def ensure(store: Store, workspace: str) -> None:
    """Create the workspace with default settings unless it exists."""
    check_workspace(workspace)
    await open_workspace(
        store, workspace, limit="unlimited", warn_percent=store.settings.warn_percent, settings={}
    )
    await store.redis.call("SADD", GlobalKeys.workspaces, workspace)


async def locate(store: Store, workspace: str) -> WorkspaceKeys:
    """Where a workspace is kept. Raises `NotFound` (``workspace_not_found``)."""
    keys = store.workspace(check_workspace(workspace))
    if not await store.redis.call("EXISTS", keys.hash):
        raise _unknown()
    return keys


async def get(store: Store, workspace: str) -> WorkspaceView:
    fields = await store.redis.call("HGETALL", store.workspace(check_workspace(workspace)).hash)
    if not fields:
        raise _unknown()
    values = {text(field): text(value) for field, value in fields.items()}
    budget = (await read_accounts(store, workspace, ["ws"]))[0]
    return WorkspaceView(
        id=values["id"],
        created_ms=int(values["created_ms"]),
        paused=values["paused"] == "1",
        killed=values.get("killed") == "1",
        max_running=_cap(values["max_running"]),
        max_sessions=_cap(values["max_sessions"]),
        max_queued=int(values["max_queued"]) if values.get("max_queued") else None,
        budget=budget,
    )


async def update(
    store: Store,
    workspace: str,
    changes: dict[str, int | bool | None],
    *,
    actor: str = SYSTEM,
) -> WorkspaceView:
    """Change ``paused``, ``max_running``, ``max_sessions`` (None: no cap) or ``max_queued``.

    ``max_queued`` None is the setting's.
    A paused workspace accepts inputs and starts nothing; running turns go on. What waited runs
    within a second after the pause ends.

    Raises:
        WorkspaceKilled: it was, so its pause cannot end.

    """
    now = await get(store, workspace)
    settings: dict[str, Any] = {}
    for field, value in changes.items():
        if field == "paused":
            if now.killed and not value:
                raise WorkspaceKilled("the workspace was killed; revive it first")
            settings["paused"] = int(bool(value))
        elif field in {"max_running", "max_sessions"} and value is None:
            settings[field] = "unlimited"
        elif field == "max_queued" and value is None:
            settings[field] = ""
        elif field in {"max_running", "max_sessions", "max_queued"}:
            settings |= _caps(**{field: value})
        else:
            expected = "paused, max_running, max_sessions or max_queued"
            raise InvalidInput(f"expected {expected}", field=field)
    return await change(store, workspace, settings, actor=actor)


async def change(
    store: Store,
    workspace: str,
    settings: dict[str, Any],
    *,
    actor: str = SYSTEM,
    action: str = "workspace.change",
) -> WorkspaceView:
    """Write fields of a workspace that exists, as they are stored; ``action`` is for the audit."""
    await open_workspace(
        store,
        workspace,
        limit="unlimited",
        warn_percent=store.settings.warn_percent,
        settings=settings,
        actor=actor,
        change=action,
    )
    return await get(store, workspace)


async def list_workspaces(store: Store) -> list[str]:
    return sorted(
        text(member) for member in await store.redis.call("SMEMBERS", GlobalKeys.workspaces)
    )


async def read_stats(store: Store, workspace: str) -> dict[str, int]:
    """Counters by state, kind and outcome, as dashboards read them."""
    counters = await store.redis.call("HGETALL", store.workspace(check_workspace(workspace)).stats)
    return {text(field): int(value) for field, value in sorted(counters.items())}


def _unknown() -> NotFound:
    return NotFound("no such workspace", code="workspace_not_found")


def _caps(**caps: int | None) -> dict[str, str]:
    for field, value in caps.items():
        if value is not None and (isinstance(value, bool) or value < 1):
            null = "the default" if field == "max_queued" else "no cap"
            raise InvalidInput(f"expected an integer above 0, or null for {null}", field=field)
    return {field: str(value) for field, value in caps.items() if value is not None}


def _cap(value: str) -> int | None:
    return None if value == "unlimited" else int(value)
