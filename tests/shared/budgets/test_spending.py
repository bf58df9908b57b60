"""Who spent what: by session, by agent, by model and tool."""

import msgspec
import pytest

from bursar import sessions
from bursar.budgets.spending import Spender, read_spending
from bursar.errors import InvalidInput
from bursar.leases import Lease
from bursar.registry import redis_ms
from bursar.store.scripts.budgets import HoldWish, Path, end_hold, reserve
from bursar.store.store import Store
from support.stage import Stage


class Till:
    """Books calls of one session of an agent."""

    def __init__(self, stage: Stage, lease: Lease, turn: str) -> None:
        self.stage = stage
        self.lease = lease
        self.turn = turn
        self.calls = 0

    @classmethod
    async def open(cls, stage: Stage, sid: str, agent: str) -> "Till":
        other = stage.other(sid)
        other.facts = msgspec.structs.replace(stage.facts, agent=agent)
        if sid != stage.session.id:
            await other.open()
        await stage.store.redis.call("HSET", other.session.hash, "agent", agent)
        return cls(other, *await other.running())

    async def book(
        self, kind: str, cost: int, *, tokens: int = 0, op: str = "commit", later: int | None = None
    ) -> None:
        self.calls += 1
        session = self.stage.session
        wish = HoldWish(
            hold_id=f"{session.id}/{self.calls}", secret="s", cost_microusd=1000, tokens=tokens,
            sent=True, ttl_ms=60_000, turn=self.turn, step=1, kind=kind, price="flat",
        )  # fmt: skip
        path = Path.of(session, user="u1")
        hold = await reserve(self.stage.store, self.lease, path, wish)
        for each, actual in ((op, cost), ("adjust", later)):
            if actual is not None:
                await end_hold(
                    self.stage.store, session, op=each, hold_id=hold.id, names=hold.names,  # type: ignore[arg-type]
                    turn=self.turn, secret="s", actual_microusd=actual, tokens=tokens,
                )  # fmt: skip


@pytest.fixture
async def stage(store: Store) -> Stage:
    """Three sessions of two agents, one of them deleted, that spent 1,560 in all."""
    stage = await Stage.build(store)
    one = await Till.open(stage, "ses1", "echo")
    two = await Till.open(stage, "ses2", "echo")
    gone = await Till.open(stage, "ses3", "worker")
    await one.book("model:fast", 500, tokens=40)
    await one.book("closing:fast", 60, tokens=2)
    await one.book("tool:search", 7)
    await two.book("model:deep", 900, tokens=9, later=800)
    await two.book("model:deep", 999, op="release")
    await gone.book("model:fast", 193)
    await gone.stage.expire_lease()
    await gone.stage.finish((await gone.stage.claim("o2")).lease, gone.turn)
    await sessions.delete(store, "acme", "ses3")
    return stage


async def test_sessions_the_dearest_first(stage: Stage) -> None:
    spending = await read_spending(stage.store, "acme")
    assert spending.spenders == [
        Spender("ses2", 800, 9, 1, "echo"),
        Spender("ses1", 567, 42, 3, "echo"),
        Spender("ses3", 193, 0, 1, "unknown"),
    ]
    assert (spending.total_microusd, spending.entries, spending.complete) == (1560, 7, True)


async def test_agents(stage: Stage) -> None:
    spending = await read_spending(stage.store, "acme", by="agent")
    assert spending.spenders == [Spender("echo", 1367, 51, 4), Spender("unknown", 193, 0, 1)]


async def test_models_with_their_closing_answers_and_tools(stage: Stage) -> None:
    spending = await read_spending(stage.store, "acme", by="model")
    assert spending.spenders == [
        Spender("model:deep", 800, 9, 1),
        Spender("model:fast", 753, 42, 3),
        Spender("tool:search", 7, 0, 1),
    ]


async def test_a_limit_leaves_the_total_whole(stage: Stage) -> None:
    spending = await read_spending(stage.store, "acme", by="model", limit=1)
    assert [one.name for one in spending.spenders] == ["model:deep"]
    assert spending.total_microusd == 1560


async def test_only_what_is_in_the_stretch_of_time_counts(stage: Stage) -> None:
    now = await redis_ms(stage.store)
    assert (await read_spending(stage.store, "acme", since_ms=now + 1)).spenders == []
    assert (await read_spending(stage.store, "acme", until_ms=now - 60_000)).total_microusd == 0
    both = await read_spending(stage.store, "acme", since_ms=now - 60_000, until_ms=now + 1)
    assert (both.since_ms, both.until_ms, both.total_microusd) == (now - 60_000, now + 1, 1560)


async def test_what_is_too_much_to_add_up_is_said(stage: Stage) -> None:
    spending = await read_spending(stage.store, "acme", at_most=1)
    assert (spending.complete, spending.entries) == (False, 7)


async def test_other_groups_are_refused(stage: Stage) -> None:
    with pytest.raises(InvalidInput) as caught:
        await read_spending(stage.store, "acme", by="colour")
    assert caught.value.field == "by"
