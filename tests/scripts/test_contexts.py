"""The scripts that change what a model sees beside the messages."""

from typing import Any

import pytest

from bursar.budgets.ledger import read_ledger
from bursar.errors import BursarError, Conflict, Fenced
from bursar.leases import Lease
from bursar.messages import AssistantMessage, Message, UserMessage
from bursar.store.codec import text
from bursar.store.scripts import contexts, sessions, turns
from bursar.store.scripts.contexts import Moved
from bursar.store.scripts.turns import Commit
from support.stage import Stage, dump

MESSAGES: list[Message] = [UserMessage("one"), AssistantMessage("two"), AssistantMessage("three")]


async def with_messages(stage: Stage) -> tuple[Lease, str]:
    """A turn under way with its input and three more messages."""
    lease, turn = await stage.running()
    await stage.commit(lease, turn, Commit(messages=MESSAGES))
    return lease, turn


async def compact(
    stage: Stage, lease: Lease, turn: str, moved: Moved | None, commit: Commit | None = None
) -> None:
    await contexts.compact(
        stage.store,
        lease,
        turn,
        moved,
        retry_tokens=900,
        commit=commit or Commit(),
        events=[stage.event("context.compacted", turn)],
    )


async def texts(stage: Stage) -> dict[str, str]:
    return await stage.hash(stage.session.text)


async def test_the_beginning_moves_and_the_summary_and_its_cost_are_on_record(
    stage: Stage,
) -> None:
    lease, turn = await with_messages(stage)
    hold = await stage.reserve(lease, 100)
    before = await stage.messages()
    commit = Commit(
        token_count=40,
        input_tokens=30,
        output_tokens=10,
        hold=hold,
        actual_microusd=60,
        actual_tokens=40,
        records=[b'{"action":"model://m"}'],
    )
    await compact(stage, lease, turn, Moved(0, 3, "short", [0, 1]), commit)
    fields = await stage.hash(stage.session.hash)
    expected = {"context_start": "3", "counted_from": "4", "summarised": "1"}
    expected |= {"compact_above": "900", "token_count": "40", "message_count": "4"}
    assert {name: fields[name] for name in expected} == expected
    assert await texts(stage) == {"summary": "short", "inputs": f"{turn} 0 1"}
    assert await stage.messages() == before, "the history stays as it is"
    assert [(e["op"], e["actual"]) for e in await read_ledger(stage.store, "acme")] == [
        ("commit", "60")
    ]
    record = await stage.hash(stage.ws.turn(turn))
    assert (record["cost_microusd"], record["input_tokens"], record["steps"]) == ("60", "30", "0")
    assert (await stage.stats())["input_tokens"] == 30
    assert (await stage.events())[-1].kind == "context.compacted"
    assert "hold:h/1" not in await stage.hash(stage.session.effects)
    entries = await stage.store.redis.call("XRANGE", stage.ws.audit, "-", "+")
    assert b"model://m" in entries[-1][1][b"d"]


async def test_a_repeat_after_a_lost_reply_changes_nothing(stage: Stage) -> None:
    lease, turn = await with_messages(stage)
    hold = await stage.reserve(lease, 100)
    commit = Commit(hold=hold, actual_microusd=60, actual_tokens=4)
    await compact(stage, lease, turn, Moved(0, 2, "short"), commit)
    before = await dump(stage.store)
    lease.append_no -= 1
    await compact(stage, lease, turn, Moved(0, 2, "short"), commit)
    assert await dump(stage.store) == before


async def test_a_worker_that_lost_its_lease_moves_nothing(stage: Stage) -> None:
    lease, turn = await with_messages(stage)
    await stage.expire_lease()
    await stage.claim("o2")
    before = await dump(stage.store)
    with pytest.raises(Fenced):
        await compact(stage, lease, turn, Moved(0, 2, "short"))
    with pytest.raises(Fenced):
        await contexts.put_context(stage.store, lease, "late")
    assert await dump(stage.store) == before


@pytest.mark.parametrize(
    "moved",
    [
        Moved(1, 2, "s"),  # it begins at 0
        Moved(0, 0, "s"),
        Moved(0, 5, "s"),  # beyond the last message
    ],
)
async def test_it_moves_on_only_over_messages_that_are_there(stage: Stage, moved: Moved) -> None:
    lease, turn = await with_messages(stage)
    hold = await stage.reserve(lease, 100)
    before = await dump(stage.store)
    commit = Commit(hold=hold, actual_microusd=60, actual_tokens=4)
    with pytest.raises(Conflict) as refused:
        await compact(stage, lease, turn, moved, commit)
    assert refused.value.code == "bad_boundary"
    assert await dump(stage.store) == before


async def test_it_never_moves_back(stage: Stage) -> None:
    lease, turn = await with_messages(stage)
    await compact(stage, lease, turn, Moved(0, 3, "first"))
    with pytest.raises(Conflict):
        await compact(stage, lease, turn, Moved(0, 2, "second"))
    with pytest.raises(Conflict):
        await compact(stage, lease, turn, Moved(3, 2, "second"))
    assert (await texts(stage))["summary"] == "first"


async def test_a_wrong_hold_moves_nothing(stage: Stage) -> None:
    lease, turn = await with_messages(stage)
    hold = await stage.reserve(lease, 100)
    before = await dump(stage.store)
    for wrong in ({"actual_microusd": "1e3"}, {"actual_tokens": -1}):
        commit = Commit(hold=hold, **{"actual_microusd": 1, "actual_tokens": 1, **wrong})  # type: ignore[arg-type]
        with pytest.raises(BursarError):
            await compact(stage, lease, turn, Moved(0, 2, "short"), commit)
    assert await dump(stage.store) == before


async def test_an_attempt_that_failed_settles_its_hold_and_leaves_the_context(
    stage: Stage,
) -> None:
    lease, turn = await with_messages(stage)
    hold = await stage.reserve(lease, 100)
    commit = Commit(hold=hold, actual_microusd=100, actual_tokens=1, ended_as="unconfirmed")
    before: dict[str, Any] = await stage.hash(stage.session.hash)
    await compact(stage, lease, turn, None, commit)
    after = await stage.hash(stage.session.hash)
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    assert changed <= {"append_no", "active_ms", "event_seq", "compact_above"}
    assert await texts(stage) == {}
    assert (await read_ledger(stage.store, "acme"))[-1]["op"] == "unconfirmed"


async def test_a_second_summary_takes_the_place_of_the_first(stage: Stage) -> None:
    lease, turn = await with_messages(stage)
    await compact(stage, lease, turn, Moved(0, 2, "first", [0]))
    await compact(stage, lease, turn, Moved(2, 3, "second"))
    assert await texts(stage) == {"summary": "second", "inputs": ""}
    assert await stage.field("context_start") == "3"


async def test_a_clear_drops_the_summary_and_what_belongs_to_it(stage: Stage) -> None:
    lease, turn = await with_messages(stage)
    await compact(stage, lease, turn, Moved(0, 2, "short", [0]))
    await stage.finish(lease, turn)
    assert await sessions.clear_session(stage.store, stage.session) == 4
    assert await texts(stage) == {}
    fields = await stage.hash(stage.session.hash)
    assert "compact_above" not in fields
    assert "summarised" not in fields
    assert (fields["context_start"], fields["token_count"]) == ("4", "0")


async def test_a_cleared_session_can_be_compacted_again(stage: Stage) -> None:
    lease, turn = await with_messages(stage)
    await stage.finish(lease, turn)
    await sessions.clear_session(stage.store, stage.session)
    lease, turn = await stage.running("o2")
    await stage.commit(lease, turn, Commit(messages=MESSAGES))
    await compact(stage, lease, turn, Moved(4, 6, "short"))
    assert await stage.field("context_start") == "6"


@pytest.mark.parametrize("said", ["The user is in Lisbon.", ""])
async def test_the_first_context_stays_and_an_empty_one_counts(stage: Stage, said: str) -> None:
    lease, turn = await with_messages(stage)
    await contexts.put_context(stage.store, lease, said)
    await contexts.put_context(stage.store, lease, "something else")
    assert await texts(stage) == {"context": said}
    assert await stage.field("counted_from") == ("4" if said else "")
    await stage.commit(lease, turn, turns.Commit(steps=1))
    assert text(await stage.store.redis.call("HGET", stage.session.hash, "step_count")) == "1"
