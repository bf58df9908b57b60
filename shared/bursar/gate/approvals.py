"""Questions to people about tool calls, as they are on record.

A question is durable before anyone is told of it. It holds the whole call in canonical form, so
that what was approved is what runs, whoever answers where and when.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

from bursar.errors import NotFound
from bursar.gate.display import readable
from bursar.gate.grants import Outside
from bursar.gate.policy import Risk
from bursar.ids import check_id
from bursar.store.codec import decode_json, text, text_list
from bursar.store.keys import WorkspaceKeys
from bursar.store.store import Store
from bursar.tools.tool import Fallback

__all__ = [
    "OPEN",
    "PRIORITIES",
    "ApprovalState",
    "ApprovalView",
    "Priority",
    "get",
    "list_of",
    "list_open",
    "priority_of",
    "read_records",
    "told_of",
]

ApprovalState = Literal[
    "pending",
    "deferred",
    "approved",
    "denied",
    "consumed",
    "expired",
    "cancelled",
    "void",
    "granted",
]
"""``pending`` and ``deferred`` wait for an answer. ``consumed`` is an approved call that has run,
``void`` one whose tool, rules or arguments changed, ``granted`` one that a later grant settled."""
OPEN: frozenset[str] = frozenset({"pending", "deferred"})

Priority = Literal["critical", "high", "normal", "low"]
PRIORITIES: tuple[Priority, ...] = ("critical", "high", "normal", "low")
logger = logging.getLogger(__name__)

_BY_RISK: dict[Risk, Priority] = {
    "critical": "critical",
    "high": "high",
    "medium": "normal",
    "low": "low",
}


class ApprovalView(msgspec.Struct, frozen=True, kw_only=True):
    """A question with all that an answer has to be based on.

    Args:
        chain: ids of the sessions from the tree's root down to the one that asks.
        folder: the session's folder, where the action means one in it.
        asked_of: what the agent was asked to do, cut.
        reason: why a person has to decide.
        arguments: the call's, as canonical JSON; those that run if it is approved.
        arguments_sha256: over these; an answer has to repeat it.
        remedy: what would let such calls run without a question.
        outside: places outside of the session's folder that the call wants to reach.
        fallback: what becomes of the call if nobody answers before ``deadline_ms``.
        why: of a question that was deferred or closed: ``nobody_subscribed``, ``timed_out``,
            ``unavailable``, ``aged_out`` or a reason in words.
        released: the turn has gone on without an answer; a later one comes as a new input.
        asked_again: how often the same call was asked for while this one was deferred.
        grant: id of the allowance or capability that the answer made beside.
        answer_id: of the request that answered it, if it had an id.

    """

    id: str
    workspace: str
    session: str
    root: str
    user: str
    agent: str
    chain: tuple[str, ...] = ()
    turn: str
    step: int
    call: str
    tool: str
    server: str = "local"
    action: str
    effect: str
    risk: Risk
    priority: Priority
    state: ApprovalState
    reason: str
    stage: str = ""
    remedy: str = ""
    arguments: str
    arguments_sha256: str
    manifest: str
    policy: str
    folder: str = ""
    outside: tuple[Outside, ...] = ()
    cost_microusd: int = 0
    asked_of: str = ""
    fallback: Fallback
    created_ms: int
    deadline_ms: int
    heard: int = 0
    why: str = ""
    deferred_ms: int = 0
    released: bool = False
    asked_again: int = 0
    decision: str = ""
    scope: str = ""
    grant: str = ""
    edited: bool = False
    answered_by: str = ""
    answered_ms: int = 0
    note: str = ""
    generation: int = 0
    answer_id: str = ""

    @property
    def is_open(self) -> bool:
        return self.state in OPEN

    @property
    def urgency(self) -> tuple[int, int]:
        """Order in which people should see questions."""
        return PRIORITIES.index(self.priority), self.created_ms


_TOLD = ("root", "agent", "call", "tool", "action", "risk", "priority", "reason", "fallback")


def told_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What events say of a question, by its record's fields, with nothing in it that hides.

    The record has the rest, and the call as it is.
    """
    told = {"approval": fields["id"], **{name: fields[name] for name in _TOLD}}
    return told | {"action": readable(str(fields["action"]))}


def priority_of(risk: Risk) -> Priority:
    return _BY_RISK[risk]


async def get(store: Store, workspace: WorkspaceKeys, approval_id: str) -> ApprovalView:
    """Raises `NotFound` (``approval_not_found``)."""
    (found,) = await read_records(store, workspace, [check_id(approval_id, "approval")])
    if found is None:
        raise NotFound("no such question in this workspace", code="approval_not_found")
    return found


async def list_open(
    store: Store, workspace: WorkspaceKeys, *, root: str = "", session: str = ""
) -> list[ApprovalView]:
    """Open questions, the most urgent first.

    Args:
        root: only those of this session's tree; ``session`` only those of this one.

    """
    ids = text_list(await store.redis.call("ZRANGE", workspace.approvals, 0, -1))
    found = [
        view
        for view in await list_of(store, workspace, ids)
        if view.is_open
        and (not root or view.root == root)
        and (not session or view.session == session)
    ]
    return sorted(found, key=lambda view: view.urgency)


async def list_of(store: Store, workspace: WorkspaceKeys, ids: Iterable[str]) -> list[ApprovalView]:
    """Those of these questions that there are."""
    return [view for view in await read_records(store, workspace, list(ids)) if view is not None]


async def read_records(
    store: Store, workspace: WorkspaceKeys, ids: list[str]
) -> list[ApprovalView | None]:
    call = store.redis.call
    records = [call("HGETALL", workspace.approval(each)) for each in ids]
    again = [call("HGET", workspace.repeats, f"{each}:again") for each in ids]
    fields, counts = await asyncio.gather(asyncio.gather(*records), asyncio.gather(*again))
    return [_view(record, count) for record, count in zip(fields, counts, strict=True)]


def _view(record: Mapping[bytes, bytes], again: bytes | None) -> ApprovalView | None:
    if not record:
        return None
    try:
        return _decoded(record, again)
    except (msgspec.DecodeError, ValueError) as error:
        # Of a newer version, perhaps: it hides no other, and nobody can answer what is not shown.
        logger.warning("question %s cannot be read: %s", text(record.get(b"id")), error)
        return None


def _decoded(record: Mapping[bytes, bytes], again: bytes | None) -> ApprovalView:
    values: dict[str, Any] = {text(field): text(value) for field, value in record.items()}
    values["chain"] = tuple(filter(None, values.get("chain", "").split(",")))
    values["outside"] = decode_json(values.get("outside") or "[]", tuple[Outside, ...])
    values["asked_again"] = text(again) or "0"
    return msgspec.convert(values, ApprovalView, strict=False)
