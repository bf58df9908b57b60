"""A small stage on which a test plays worker, client and sweeper with the typed scripts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

from bursar.events import Event, LoggedEvent, Span, read_log
from bursar.ids import new_id
from bursar.leases import Claimed, InboxItem, Lease
from bursar.messages import Message, UserMessage
from bursar.store.codec import decode_message, encode_message, text
from bursar.store.keys import SessionKeys, WorkspaceKeys
from bursar.store.scripts import budgets, leases, parking, sessions, turns
from bursar.store.scripts.budgets import HoldRef, HoldWish, Path
from bursar.store.scripts.inputs import Accepted, Busy, Cancelled, Facts, cancel_turn, put_input
from bursar.store.scripts.leases import Claimant
from bursar.store.scripts.parking import MoneyWait, Parking
from bursar.store.scripts.sessions import Idempotency, NewSession
from bursar.store.scripts.turns import Finished, Started
from bursar.store.store import Store
from bursar.trees import above

__all__ = ["AGENTS", "LEASE_MS", "Stage", "claimant", "dump", "unchanged"]

AGENTS = ("echo", "worker")

LEASE_MS = 60_000
"""Long enough that no lease runs out by itself: tests that want that call `Stage.expire_lease`."""

_NO_KEY = Idempotency()


def claimant(worker: str = "w1", lease_ms: int = LEASE_MS) -> Claimant:
    """A worker that serves every agent of the tests."""
    return Claimant(worker, AGENTS, lease_ms)


@dataclass
class Stage:
    """One workspace with one session of user ``u1``, and short ways to move it on."""

    store: Store
    ws: WorkspaceKeys
    session: SessionKeys
    facts: Facts

    @classmethod
    async def build(
        cls,
        store: Store,
        *,
        workspace: str = "acme",
        sid: str = "ses1",
        limit: str = "unlimited",
        session_limit: int = 1_000_000,
        per_action: int = 1_000_000,
        warn_percent: int = 80,
        caps: dict[str, Any] | None = None,
    ) -> "Stage":
        ws = store.workspace(workspace)
        stage = cls(store, ws, ws.session(sid), Facts("u1", "", "echo", "interactive"))
        await sessions.open_workspace(
            store, workspace, limit=limit, warn_percent=warn_percent, settings=caps or {}
        )
        await stage.open(limit=session_limit, per_action=per_action, warn_percent=warn_percent)
        return stage

    async def open(
        self,
        *,
        limit: int = 1_000_000,
        per_action: int = 1_000_000,
        warn_percent: int = 80,
        parent: str = "",
        idempotency: Idempotency = _NO_KEY,
    ) -> str:
        """Open this stage's session; `build` did so once already."""
        fields = {
            "ws": self.ws.id,
            "user": self.facts.user,
            "agent": self.facts.agent,
            "priority": self.facts.priority,
            "model": "m",
        }
        fields |= {"parent": parent, "workspace_path": "", "title": "", "tags": ""}
        fields |= {"schema_version": "1"}
        new = NewSession(
            self.facts.user, "", fields, {}, limit, per_action, warn_percent, parent=parent
        )
        return await sessions.open_session(self.store, self.session, new, idempotency)

    def other(self, sid: str) -> "Stage":
        """The same workspace with another session, which is not opened yet."""
        return Stage(self.store, self.ws, self.ws.session(sid), self.facts)

    async def put(
        self,
        words: str = "hello",
        *,
        idempotency: Idempotency = _NO_KEY,
        no_worker: bool = False,
        facts: Facts | None = None,
        if_busy: str = "enqueue",
    ) -> Accepted:
        tid = new_id("trn")
        busy = Busy(if_busy)
        if busy.needs_turn:
            busy = Busy(if_busy, await self.field("turn"))
        accepted = await put_input(
            self.store,
            self.session,
            facts or self.facts,
            turn=tid,
            payload=encode_message(UserMessage(words, turn=tid)),
            idempotency=idempotency,
            no_worker=no_worker,
            busy=busy,
        )
        assert accepted is not None, "the facts are not the session's"
        return accepted

    async def claim(
        self, owner: str = "o1", worker: str = "w1", *, item: InboxItem | None = None
    ) -> Claimed:
        claimed = await leases.claim(
            self.store, self.session, claimant(worker, LEASE_MS), owner=owner, item=item
        )
        assert isinstance(claimed, Claimed), claimed
        return claimed

    async def start(self, lease: Lease, item: InboxItem) -> bool:
        return await self.try_start(lease, item) is Started.YES

    async def try_start(self, lease: Lease, item: InboxItem, *, yields: bool = False) -> Started:
        event = self.event("turn.started", item.target)
        return await turns.start(self.store, lease, item, [event], yields=yields)

    async def running(self, owner: str = "o1") -> tuple[Lease, str]:
        """Put an input, claim the session and start the turn."""
        accepted = await self.put()
        claimed = await self.claim(owner)
        item = next(item for item in claimed.inbox if item.target == accepted.turn)
        assert await self.start(claimed.lease, item)
        return claimed.lease, accepted.turn

    async def commit(self, lease: Lease, turn: str, commit: turns.Commit | None = None) -> None:
        done = commit or turns.Commit(steps=1)
        await turns.commit_step(self.store, lease, turn, done, [self.event("usage", turn)])

    async def park(self, lease: Lease, turn: str, *, seen_seq: int, wake_ms: int = 0) -> bool:
        parked = await self.try_park(lease, turn, seen_seq=seen_seq, wake_ms=wake_ms)
        return parked is Parking.DONE

    async def try_park(
        self,
        lease: Lease,
        turn: str,
        *,
        seen_seq: int,
        wake_ms: int = 0,
        reason: str = "test",
    ) -> Parking:
        return await parking.park(
            self.store,
            lease,
            turn,
            reason=reason,
            seen_seq=seen_seq,
            wake_ms=wake_ms,
            events=[self.event("turn.waiting", turn)],
        )

    async def park_for_money(
        self, lease: Lease, turn: str, *, account: str = "ws", cost: int, seen_seq: int = 1
    ) -> Parking:
        wait = MoneyWait(
            account=account,
            cost_microusd=cost,
            tokens=1,
            keeps=account.startswith("s:"),
            asks=self.event("budget.exhausted", turn).body,
        )
        events = [self.event("turn.waiting", turn)]
        return await parking.park_for_money(
            self.store, lease, turn, wait, seen_seq=seen_seq, events=events
        )

    async def resume(self, lease: Lease, turn: str, items: list[InboxItem]) -> None:
        await parking.resume(self.store, lease, turn, items, [self.event("turn.resumed", turn)])

    async def finish(
        self,
        lease: Lease,
        turn: str,
        *,
        outcome: str = "succeeded",
        items: list[InboxItem] | None = None,
        commit: turns.Commit | None = None,
    ) -> bool:
        """End a turn that nothing has joined since; True if the inbox holds more."""
        finished = await self.try_finish(lease, turn, outcome=outcome, items=items, commit=commit)
        assert finished is not Finished.INJECTED
        return finished is Finished.MORE

    async def try_finish(
        self,
        lease: Lease,
        turn: str,
        *,
        outcome: str = "succeeded",
        code: str = "",
        items: list[InboxItem] | None = None,
        commit: turns.Commit | None = None,
    ) -> Finished:
        """End a turn, if it may end, and tell the session above."""
        done = commit or turns.Commit()
        return await turns.finish(
            self.store,
            lease,
            turn,
            outcome=outcome,
            code=code,
            reason="",
            index_keys=sessions.index_keys(self.session, self.facts.user, ""),
            commit=msgspec.structs.replace(done, items=items or done.items),
            events=[self.event(f"turn.{outcome}", turn)],
            ended_event=self.event("session.ended").body,
            ended_audit=b"{}",
            above=await above(self.store, self.session),
        )

    async def cancel(
        self, turn: str, reason: str = "enough", *, if_timed_out: bool = False
    ) -> Cancelled:
        return await cancel_turn(
            self.store,
            self.session,
            turn,
            reason,
            code="timed_out" if if_timed_out else "cancelled",
            above=await above(self.store, self.session),
            if_timed_out=if_timed_out,
        )

    @property
    def path(self) -> Path:
        return Path.of(self.session, user=self.facts.user)

    async def reserve(
        self,
        lease: Lease,
        cost: Any,
        *,
        hold_id: str = "h/1",
        path: Path | None = None,
        sent: bool = True,
        secret: str = "s3cret",  # noqa: S107
    ) -> HoldRef:
        wish = self.wish(cost, hold_id=hold_id, sent=sent, secret=secret)
        return await budgets.reserve(self.store, lease, path or self.path, wish)

    def wish(
        self,
        cost: Any,
        *,
        hold_id: str = "h/1",
        turn: str = "trn1",
        sent: bool = True,
        secret: str = "s3cret",  # noqa: S107
    ) -> HoldWish:
        return HoldWish(
            hold_id=hold_id,
            secret=secret,
            cost_microusd=cost,
            tokens=1,
            sent=sent,
            ttl_ms=60_000,
            turn=turn,
            step=1,
            kind="model",
            price="flat",
        )

    def event(self, kind: str, turn: str = "") -> Event:
        return Span(self.session.id, turn).event(kind)

    async def events(self) -> list[LoggedEvent]:
        return await read_log(self.store, self.session, after=0, limit=10_000)

    async def hash(self, key: str) -> dict[str, str]:
        fields = await self.store.redis.call("HGETALL", key)
        return {text(name): value.decode(errors="replace") for name, value in fields.items()}

    async def field(self, name: str) -> str:
        return text(await self.store.redis.call("HGET", self.session.hash, name))

    async def stats(self) -> dict[str, int]:
        """The workspace's counters that are not zero."""
        return {k: int(v) for k, v in (await self.hash(self.ws.stats)).items() if v != "0"}

    async def items(self) -> list[str]:
        """What stands in the inbox, oldest first."""
        return [text(i) for i in await self.store.redis.call("LRANGE", self.session.inbox, 0, -1)]

    async def messages(self) -> list[Message]:
        found = await self.store.redis.call("LRANGE", self.session.messages, 0, -1)
        return [decode_message(message) for message in found]

    async def is_ready(self) -> bool:
        score = await self.store.redis.call("ZSCORE", self.ws.shard.ready, self.session.ref)
        return score is not None

    async def expire_lease(self) -> None:
        """Let time pass for this session's lease only, as if its driver had died long ago."""
        await self.store.redis.call("HSET", self.session.hash, "lease_until_ms", 1)
        await self.store.redis.call("ZADD", self.ws.shard.leases, "XX", 1, self.session.ref)

    async def make_due(self, index: str, member: str) -> None:
        await self.store.redis.call("ZADD", index, "XX", 1, member)


async def dump(store: Store) -> dict[str, Any]:
    """Everything in the database, and which keys have a lifetime."""
    call = store.redis.call
    readers: dict[str, tuple[str, tuple[str | int, ...]]] = {
        "string": ("GET", ()),
        "hash": ("HGETALL", ()),
        "list": ("LRANGE", (0, -1)),
        "set": ("SMEMBERS", ()),
        "zset": ("ZRANGE", (0, -1, "WITHSCORES")),
        "stream": ("XRANGE", ("-", "+")),
    }
    content = {}
    for key in sorted(await call("KEYS", "*")):
        command, args = readers[text(await call("TYPE", key))]
        lives = await call("PTTL", key) != -1
        content[text(key)] = (await call(command, key, *args), lives)
    return content


@asynccontextmanager
async def unchanged(store: Store) -> AsyncIterator[None]:
    """What happens inside must not change a single key."""
    before = await dump(store)
    yield
    assert await dump(store) == before
