"""Typed call of the script that opens sub-agents below a turn."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bursar.audit.entries import Record
from bursar.events import Span
from bursar.leases import Lease
from bursar.store.codec import pairs, text_list, unlimited_or
from bursar.store.keys import PRIORITIES, SessionKeys
from bursar.store.scripts.fenced import run_fenced
from bursar.store.scripts.leases import Ring
from bursar.store.scripts.loader import Script
from bursar.store.scripts.sessions import index_keys
from bursar.store.store import Store

__all__ = ["NewChild", "Spawn", "spawn"]

_SPAWN = Script("children_spawn")


class NewChild(msgspec.Struct, frozen=True):
    """A sub-agent's session and its one turn.

    Args:
        slot: its place in the join; ``input`` is its task as an encoded message.
        time_ms: how long it may work on it.
        no_worker: nobody alive serves its agent.
        spawned: body of the event that tells of it in the session above.

    """

    session: SessionKeys
    turn: str
    slot: int
    input: bytes
    time_ms: int
    limit_microusd: int | None
    per_action_microusd: int
    no_worker: bool
    fields: Mapping[str, Any]
    texts: Mapping[str, Any]
    spawned: bytes

    @property
    def agent(self) -> str:
        return str(self.fields["agent"])

    @property
    def size(self) -> int:
        """Bytes of all that may be long."""
        return len(self.input) + sum(len(str(each).encode()) for each in self.texts.values())

    @property
    def ring(self) -> Ring:
        return Ring(self.session, self.agent, PRIORITIES[1], 0, 1, self.turn)

    def keys(self) -> list[str]:
        session = self.session
        ws = session.workspace
        return [
            session.hash,
            session.text,
            session.account,
            session.inbox,
            ws.turn(self.turn),
            session.events,
            ws.shard.blocked_agent(self.agent),
        ]

    def args(self, parent: str) -> list[Any]:
        session, span = self.session, Span(self.session.id, self.turn)
        record = Record(
            workspace=session.workspace.id,
            actor=f"session:{parent}",
            action="session.create",
            decision="done",
            session=session.id,
            details={"agent": self.agent, "parent": parent, "user": self.fields["user"]},
        )
        created = Span(session.id).event("session.created", user=self.fields["user"], parent=parent)
        waiting = span.event("turn.waiting", reason="no_worker", agent=self.agent)
        return [
            session.id,
            self.slot,
            session.ref,
            self.turn,
            self.input,
            self.time_ms,
            unlimited_or(self.limit_microusd),
            self.per_action_microusd,
            int(self.no_worker),
            created.body,
            span.event("turn.queued").body,
            waiting.body,
            self.spawned,
            record.body,
            *pairs(self.fields),
            *pairs(self.texts),
        ]


class Spawn(msgspec.Struct, frozen=True):
    """A join, or more of one that is there.

    Args:
        call: field of the call's state among the effects; empty if no call waits for it.
        join: its id; ``total`` children in all, of which ``need`` have to succeed, and ``window``
            are open at once.
        step: that gives the tasks; ``counts`` says that they count against what one step may give.
        plan: what is needed to open the others later, by the field of the joins.

    """

    turn: str
    call: str
    join: str
    total: int
    need: int
    window: int
    children: Sequence[NewChild]
    step: int = 0
    counts: bool = False
    detached: bool = False
    plan: Mapping[str, bytes] = {}


async def spawn(
    store: Store, lease: Lease, wish: Spawn, *, user: str, workspace_path: str
) -> list[NewChild]:
    """Open sub-agents; returns those that are to be rung for.

    Raises:
        LimitReached: a cap of the tree, the step or the workspace stands against them; none is
            opened.
        Conflict: the turn was cancelled or the workspace killed.

    """
    session, settings = lease.session, store.settings
    ws = session.workspace
    shard = ws.shard
    keys = [
        *session.stateful,
        session.effects,
        ws.turn(wish.turn),
        session.joins,
        ws.hash,
        ws.audit,
        shard.ready,
        shard.blocked,
        shard.blocked_paused(ws.id),
        shard.timers,
        session.account,
        *index_keys(session, user, workspace_path),
        session.members,
    ]
    args = [
        wish.call,
        wish.join,
        wish.total,
        wish.need,
        wish.window,
        wish.step,
        settings.max_children_a_step if wish.counts else 0,
        int(wish.detached),
        settings.event_log_max,
        settings.max_depth,
        settings.max_tree_live,
        settings.max_queued,
        int(settings.child_wait_s * 1000),
        settings.warn_percent,
        settings.closing_microusd,
        settings.max_tree_running,
        *pairs(wish.plan),
    ]
    for child in wish.children:
        keys += child.keys()
        args += child.args(session.id)
    reply = await run_fenced(store, lease, _SPAWN, keys, args)
    rung = set(text_list(reply[2]))
    return [child for child in wish.children if child.session.id in rung]
