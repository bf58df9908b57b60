"""The auditor of the chaos runs finds each kind of fault when it is planted."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from bench.chaos.audit import Findings, audit
from bench.chaos.client import Accepted
from redis.asyncio import Redis

from bursar.events import Span
from bursar.messages import AssistantMessage, ToolCall, ToolMessage
from bursar.store.codec import encode_message
from bursar.store.scripts import turns
from bursar.store.scripts.turns import Commit
from bursar.store.store import Store
from support.stage import Stage

CALL = "at_most_once {sid} {tid} 1 c1 key1\n"


@dataclass
class Scene:
    """One turn that called one tool and ended well."""

    stage: Stage
    turn: str
    effects: Path
    redis: Redis

    async def audit(self) -> Findings:
        accepted = [Accepted(self.stage.ws.id, self.stage.session.id, self.turn)]
        return await audit(self.redis, accepted, self.effects)


@pytest.fixture
async def scene(store: Store, tmp_path: Path) -> AsyncIterator[Scene]:
    stage = await Stage.build(store)
    lease, turn = await stage.running()
    span = Span(stage.session.id, turn, 1, 1)
    hold = await stage.reserve(lease, 50)
    started = [span.event("step.started"), span.event("text.delta", text="x")]
    await turns.append_events(store, lease, started)
    answer = AssistantMessage("x", tool_calls=(ToolCall("c1", "pay"),), turn=turn, step=1)
    result = ToolMessage("c1", "pay", "done c1", turn=turn, step=1)
    commit = Commit(messages=[answer, result], steps=1, hold=hold, actual_microusd=40)
    await stage.commit(lease, turn, commit)
    await stage.finish(lease, turn)
    effects = tmp_path / "effects"
    effects.write_text(CALL.format(sid=stage.session.id, tid=turn))
    async with Redis.from_url(store.settings.redis_url) as redis:
        yield Scene(stage, turn, effects, redis)


async def test_a_turn_that_ended_well_has_no_findings(scene: Scene) -> None:
    found = await scene.audit()
    assert found.wrong == []
    assert (found.turns["succeeded"], found.effects["at_most_once"]) == (1, 1)


async def lose_an_event(scene: Scene) -> None:
    await scene.redis.xdel(scene.stage.session.events, "3-0")


async def end_twice(scene: Scene) -> None:
    stage = scene.stage
    body = b'{"session":"%s","turn":"%s"}' % (stage.session.id.encode(), scene.turn.encode())
    newest = await scene.redis.hincrby(stage.session.hash, "event_seq", 1)  # type: ignore[misc]
    fields = {"t": "turn.succeeded", "d": body.replace(b"}", b',"step":1,"attempt":0}')}
    await scene.redis.xadd(stage.session.events, fields, f"{newest}-0")  # type: ignore[arg-type]


async def leave_the_turn_open(scene: Scene) -> None:
    await scene.redis.hset(scene.stage.ws.turn(scene.turn), "state", "running")  # type: ignore[misc]


async def take_effect_twice(scene: Scene) -> None:
    scene.effects.write_text(scene.effects.read_text() * 2)


async def hide_the_effect(scene: Scene) -> None:
    hidden = ToolMessage("c1", "pay", "Not run", is_error=True, turn=scene.turn, step=1)
    key = scene.stage.session.messages
    await scene.redis.lset(key, 2, encode_message(hidden))  # type: ignore[misc, arg-type]


async def lose_the_result(scene: Scene) -> None:
    await scene.redis.rpop(scene.stage.session.messages)  # type: ignore[misc]


async def leave_a_hold(scene: Scene) -> None:
    await scene.stage.put()
    claimed = await scene.stage.claim()
    await scene.stage.reserve(claimed.lease, 7, hold_id="h/2")


async def hold_beside_the_holds(scene: Scene) -> None:
    await scene.redis.hincrby(scene.stage.ws.account("ws"), "pending", 7)  # type: ignore[misc]


async def book_beside_the_ledger(scene: Scene) -> None:
    await scene.redis.hincrby(scene.stage.ws.account("ws"), "posted", 7)  # type: ignore[misc]


async def leak_a_key(scene: Scene) -> None:
    await scene.redis.set(f"{scene.stage.ws.prefix}:idem:x:y", 1)


async def leave_an_inbox_item(scene: Scene) -> None:
    await scene.redis.rpush(scene.stage.session.inbox, "9 cancel x")  # type: ignore[misc]


async def start_again_unannounced(scene: Scene) -> None:
    await _append(scene, "step.started", attempt=2)


async def write_after_the_fence(scene: Scene) -> None:
    await _append(scene, "step.abandoned", attempt=1)
    await _append(scene, "text.delta", attempt=1)


async def _append(scene: Scene, kind: str, attempt: int) -> None:
    """Insert an event before the terminal one by renumbering that."""
    stage = scene.stage
    (last_id, fields) = (await scene.redis.xrevrange(stage.session.events, count=1))[0]
    seq = int(last_id.split(b"-")[0])
    await scene.redis.xdel(stage.session.events, last_id)
    event = Span(stage.session.id, scene.turn, 1, attempt).event(kind)
    await scene.redis.hincrby(stage.session.hash, "event_seq", 1)  # type: ignore[misc]
    added = {"t": event.kind, "d": event.body}
    entries = await scene.redis.xrange(stage.session.events)
    await scene.redis.delete(stage.session.events)
    for number, (_, each) in enumerate([*entries, (b"", added), (b"", fields)], 1):
        await scene.redis.xadd(stage.session.events, each, f"{number}-0")
    assert seq + 1 == number
    await scene.redis.expire(stage.session.events, 60)


@pytest.mark.parametrize(
    ("plant", "says"),
    [
        (lose_an_event, "without a gap"),
        (end_twice, "2 terminal events"),
        (leave_the_turn_open, "is running"),
        (take_effect_twice, "happened twice"),
        (hide_the_effect, "is not shown"),
        (lose_the_result, "do not match"),
        (leave_a_hold, "has 1 open holds"),
        (hold_beside_the_holds, "account ws: pending is 7, expected 0"),
        (book_beside_the_ledger, "account ws: posted is 47, expected 40"),
        (leak_a_key, "has no lifetime"),
        (leave_an_inbox_item, "open effects or inbox items"),
        (start_again_unannounced, "unannounced"),
        (write_after_the_fence, "stale write"),
    ],
)
async def test_a_planted_fault_is_found(
    scene: Scene, plant: Callable[[Scene], Awaitable[None]], says: str
) -> None:
    await plant(scene)
    found = await scene.audit()
    assert any(says in line for line in found.wrong), found.wrong
    await scene.redis.flushall()
