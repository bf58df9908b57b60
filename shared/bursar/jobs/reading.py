"""Jobs as programs read them: how far they are, without a look at their items."""

import asyncio
from typing import Any

import msgspec

from bursar.errors import InvalidInput, NotFound
from bursar.ids import check_id, check_workspace
from bursar.listing import index_page
from bursar.store.codec import text
from bursar.store.keys import SessionKeys
from bursar.store.store import Store

__all__ = ["JobPage", "JobView", "get", "list_jobs"]

_FIELDS: tuple[str, ...] = (
    "job", "agent", "user", "title", "workspace_path", "state", "created_ms", "active_ms",
    "job_filled", "job_total", "job_open", "job_succeeded", "job_failed", "job_turn",
    "tree_running",
)  # fmt: skip
_PAGE_MAX = 200


class JobView(msgspec.Struct, frozen=True):
    """A job. Times are Unix milliseconds by Redis's clock, amounts micro-USD.

    ``state`` is ``opening`` while its inputs are written, then ``queued``, ``running``, and at the
    end ``succeeded`` if all items have, ``partial`` if some have not, ``cancelled`` or ``failed``.
    ``total`` is ``waiting`` (not begun, or to be run again) + ``open`` + ``succeeded`` +
    ``failed``. ``running`` are the sessions at work, and ``unpaid`` those that wait for the job's
    own money: those of items, and of sub-agents that these have.
    """

    id: str
    workspace: str
    agent: str
    user: str
    title: str
    workspace_path: str
    state: str
    turn: str
    total: int
    waiting: int
    open: int
    running: int
    unpaid: int
    succeeded: int
    failed: int
    cost_microusd: int
    held_microusd: int
    limit_microusd: int | None
    created_ms: int
    started_ms: int
    ended_ms: int
    reason: str

    def __repr__(self) -> str:
        done = self.succeeded + self.failed
        return f"<Job {self.workspace}/{self.id} {self.state} {done} of {self.total}>"


class JobPage(msgspec.Struct, frozen=True):
    """``cursor`` continues the list; empty at its end."""

    jobs: list[JobView]
    cursor: str = ""


async def get(store: Store, workspace: str, job: str) -> JobView:
    """Read a job.

    Raises:
        NotFound: there is none, or it is another kind of session.

    """
    ws = store.workspace(check_workspace(workspace))
    found = await _read(store, ws.session(check_id(job, "job")))
    if found is None:
        raise NotFound("no such job in this workspace", code="job_not_found")
    return found


async def list_jobs(store: Store, workspace: str, *, cursor: str = "", limit: int = 50) -> JobPage:
    """Jobs by the time they were started, newest first."""
    if not 1 <= limit <= _PAGE_MAX:
        raise InvalidInput(f"expected an integer from 1 to {_PAGE_MAX}", field="limit")
    ws = store.workspace(check_workspace(workspace))
    ids, following = await index_page(store, ws.jobs, cursor=cursor, limit=limit)
    found = await asyncio.gather(*(_read(store, ws.session(each)) for each in ids))
    return JobPage([each for each in found if each is not None], following)


async def _read(store: Store, session: SessionKeys) -> JobView | None:
    redis, ws = store.redis, session.workspace
    money = redis.call("HMGET", session.account, "posted", "pending", "limit", "waiting")
    values = map(text, await redis.call("HMGET", session.hash, *_FIELDS))
    fields = dict(zip(_FIELDS, values, strict=True))
    posted, pending, limit, unpaid = map(text, await money)
    if fields["job"] != "1":
        return None
    turn = redis.call(
        "HMGET", ws.turn(fields["job_turn"]), "state", "code", "reason", "started_ms", "ended_ms"
    )
    state, code, reason, started_ms, ended_ms = map(text, await turn)
    numbers = {name: int(fields[f"job_{name}"] or 0) for name in ("open", "succeeded", "failed")}
    total = int(fields["job_total"] or fields["job_filled"] or 0)
    waiting = total - sum(numbers.values())
    over = fields["state"] in {"idle", "ended"}
    return JobView(
        id=session.id,
        workspace=ws.id,
        agent=fields["agent"],
        user=fields["user"],
        title=fields["title"],
        workspace_path=fields["workspace_path"],
        state=_state(fields, state, code, unsucceeded=total - numbers["succeeded"]),
        turn=fields["job_turn"],
        total=total,
        waiting=waiting,
        running=int(fields["tree_running"] or 0),
        unpaid=int(unpaid or 0),
        cost_microusd=int(posted or 0),
        held_microusd=int(pending or 0),
        limit_microusd=int(limit) if limit.isdecimal() else None,
        created_ms=int(fields["created_ms"]),
        started_ms=int(started_ms or 0),
        ended_ms=int(ended_ms or (fields["active_ms"] if over and fields["job_turn"] else 0)),
        reason=reason,
        **numbers,
    )


def _state(fields: dict[str, Any], turn: str, code: str, *, unsucceeded: int) -> str:
    if not fields["job_total"]:
        return "opening"
    if turn == "waiting":
        return "running"  # for its items, which are at work
    if turn == "succeeded":
        return "partial" if code == "partial" else "succeeded"
    if turn == "quarantined":
        return "failed"
    # Without the turn's record, which is kept for a week: what the counts say.
    return turn or ("partial" if unsucceeded else "succeeded")
