"""Sub-agents on a stage: a test gives tasks as a worker does, and plays those who work on them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from bursar.children import child_name
from bursar.events import Span
from bursar.leases import InboxItem, Lease
from bursar.messages import UserMessage
from bursar.store.codec import encode_message
from bursar.store.keys import SessionKeys
from bursar.store.scripts.budgets import Path
from bursar.store.scripts.children import NewChild, Spawn, spawn
from bursar.store.scripts.inputs import Facts
from bursar.store.scripts.turns import Finished
from bursar.store.store import Store
from support.stage import Stage

__all__ = ["Family", "begin", "child_path", "end_child", "new_child", "with_settings"]


def with_settings(store: Store, **changes: Any) -> Store:
    """The same store under other limits."""
    changed = store.settings.model_copy(update=changes)
    return Store(store.redis, changed, generation=store.generation, pepper=store.pepper)


def new_child(parent: SessionKeys, turn: str, name: str, slot: int, **changes: Any) -> NewChild:
    """A sub-agent with the id that its place in the turn gives it."""
    part = child_name(parent.id, turn, name, slot)
    session = parent.workspace.session(f"{parent.root}~{part}")
    tid = f"trn_{part}"
    agent = changes.pop("agent", "echo")
    span = Span(parent.id, turn)
    child = NewChild(
        session=session,
        turn=tid,
        slot=slot,
        input=encode_message(UserMessage(f"task {slot}", turn=tid)),
        time_ms=60_000,
        limit_microusd=None,
        per_action_microusd=1000,
        no_worker=False,
        fields={
            "ws": parent.workspace.id,
            "user": "u1",
            "agent": agent,
            "model": "m",
            "parent": parent.id,
            "workspace_path": "",
            "priority": "background",
            "title": f"task {slot}",
            "tags": "",
            "schema_version": "1",
        },
        texts={"system_prompt": "do it"},
        spawned=span.event(
            "child.spawned",
            child=session.id,
            child_turn=tid,
            agent=agent,
            description="",
            slot=slot,
        ).body,
    )
    return msgspec.structs.replace(child, **changes)


async def begin(stage: Stage, owner: str = "c1") -> tuple[Lease, str]:
    """Claim a sub-agent's session and start its turn."""
    claimed = await stage.claim(owner)
    item = claimed.inbox[0]
    assert await stage.start(claimed.lease, item)
    return claimed.lease, item.target


async def end_child(stage: Stage, how: str) -> None:
    """End a sub-agent's only turn in one of the ways in which that comes about."""
    turn = f"trn_{stage.session.id.partition('~')[2]}"
    if how == "queued":
        assert (await stage.cancel(turn)).status == "cancelled"
        return
    lease, turn = await begin(stage)
    items: list[InboxItem] = []
    if how in {"running", "timed_out"}:
        limit = stage.session.timer("limit", turn)
        await stage.make_due(stage.ws.shard.timers, limit)
        asked = await stage.cancel(turn, if_timed_out=how == "timed_out")
        assert asked.status == "asked"
        assert asked.told is not None
        items = [InboxItem(asked.told.ring.inbox_seq, "cancel", turn)]
    outcome = {"running": "cancelled", "timed_out": "cancelled"}.get(how, how)
    code = how if how == "timed_out" else ""
    ended = await stage.try_finish(lease, turn, outcome=outcome, code=code, items=items)
    assert ended is Finished.REST


def child_path(stage: Stage, *ancestors: str) -> Path:
    """The accounts of a session below others, which are given from the root down."""
    return Path.of(stage.session, user="u1", ancestors=ancestors)


@dataclass
class Family:
    """A session whose turn is under way, and the tasks that it gives."""

    stage: Stage
    lease: Lease
    turn: str

    @classmethod
    async def of(cls, stage: Stage) -> "Family":
        return cls(stage, *await stage.running())

    @classmethod
    async def below(cls, stage: Stage, owner: str = "c1") -> "Family":
        """Those of a sub-agent, which begins its turn."""
        return cls(stage, *await begin(stage, owner))

    def child(self, slot: int, join: str = "j") -> Stage:
        session = self.stage.ws.session(self.new(slot, join).session.id)
        facts = Facts("u1", "", "echo", "background")
        return Stage(self.stage.store, self.stage.ws, session, facts)

    def new(self, slot: int, join: str = "j", **changes: Any) -> NewChild:
        return new_child(self.stage.session, self.turn, join, slot, **changes)

    def wish(
        self,
        count: int,
        join: str = "j",
        *,
        first: int = 0,
        need: int = 0,
        total: int = 0,
        window: int = 0,
        call: str = "",
        step: int = 1,
        counts: bool = False,
        detached: bool = False,
        plan: Mapping[str, bytes] | None = None,
        **changes: Any,
    ) -> Spawn:
        """``count`` tasks from place ``first`` on; all must succeed, and all are open at once."""
        all_ = total or first + count
        return Spawn(
            turn=self.turn,
            call=call,
            join=join,
            total=all_,
            need=need or all_,
            window=window or all_,
            children=[self.new(first + i, join, **changes) for i in range(count)],
            step=step,
            counts=counts,
            detached=detached,
            plan=plan or {},
        )

    async def give(self, wish: Spawn, store: Store | None = None) -> list[str]:
        """Spawn; returns the ids of those that are to be rung for."""
        rung = await spawn(
            store or self.stage.store, self.lease, wish, user="u1", workspace_path=""
        )
        return [child.session.id for child in rung]

    async def spawn(self, count: int, join: str = "j", **how: Any) -> list[Stage]:
        """Give tasks; returns the stages of all sub-agents of the call."""
        first = how.get("first", 0)
        await self.give(self.wish(count, join, **how))
        return [self.child(slot, join) for slot in range(first, first + count)]

    async def joins(self) -> dict[str, str]:
        return await self.stage.hash(self.stage.session.joins)

    async def record(self) -> dict[str, str]:
        """The turn's record."""
        return await self.stage.hash(self.stage.ws.turn(self.turn))

    async def news(self) -> list[str]:
        """The inbox items that tell of joins."""
        return [item for item in await self.stage.items() if " join " in item]
