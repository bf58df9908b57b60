"""Workspaces and sessions as wholes: opened once, changed, ended, deleted."""

import asyncio

import pytest
from redis.asyncio import Redis

from bursar.errors import BursarError, Conflict, InvalidInput, LimitReached, NotFound, StoreUnfit
from bursar.messages import AssistantMessage, UserMessage
from bursar.settings import Settings
from bursar.store.codec import text
from bursar.store.keys import GlobalKeys
from bursar.store.opening import adopt
from bursar.store.scripts import sessions
from bursar.store.scripts.inputs import Facts
from bursar.store.scripts.sessions import Idempotency, NewSession
from bursar.store.scripts.turns import Commit
from bursar.store.store import Store
from support.stage import Stage, unchanged

KEY = Idempotency("sessions", "k1", "f1")


async def open_workspace(
    store: Store, *, limit: str = "unlimited", only_new: bool = False, **settings: str
) -> bool:
    return await sessions.open_workspace(
        store, "acme", limit=limit, warn_percent=80, settings=settings, only_new=only_new
    )


async def test_a_workspace_is_created_once_and_then_changed(any_store: Store) -> None:
    assert await open_workspace(any_store, limit="500")
    assert not await open_workspace(any_store, limit="900", max_running="2")
    ws = any_store.workspace("acme")
    assert text(await any_store.redis.call("HGET", ws.account("ws"), "limit")) == "500"
    assert text(await any_store.redis.call("HGET", ws.hash, "max_running")) == "2"


async def test_a_workspace_that_must_be_new_is_left_alone_if_it_is_not(any_store: Store) -> None:
    assert await open_workspace(any_store, only_new=True)
    async with unchanged(any_store):
        assert not await open_workspace(any_store, only_new=True, max_running="2")


@pytest.mark.parametrize("limit", ["nan", "-1", "1.5", "1e3", "0x10", "1" * 16, "", " 7", "007"])
async def test_a_workspace_limit_that_is_no_amount_is_refused(any_store: Store, limit: str) -> None:
    async with unchanged(any_store):
        with pytest.raises(InvalidInput) as caught:
            await open_workspace(any_store, limit=limit)
    assert caught.value.code == "bad_amount"


async def test_a_new_session_stands_in_every_index(stage: Stage) -> None:
    call = stage.store.redis.call
    ws = stage.ws
    for index in (ws.sessions, ws.sessions_of_user("u1"), ws.sessions_in_state("idle")):
        assert [text(sid) for sid in await call("ZRANGE", index, 0, -1)] == ["ses1"]
    assert (await stage.hash(stage.session.account))["limit"] == "1000000"
    assert (await stage.hash(ws.account("user:u1")))["limit"] == "unlimited"
    assert [event.kind for event in await stage.events()] == ["session.created"]
    assert await stage.stats() == {"sessions:idle": 1, "sessions:live": 1}


async def test_a_user_account_survives_further_sessions(stage: Stage) -> None:
    await stage.store.redis.call("HSET", stage.ws.account("user:u1"), "limit", 7)
    await stage.other("ses2").open()
    assert (await stage.hash(stage.ws.account("user:u1")))["limit"] == "7"


async def test_the_same_key_opens_one_session(stage: Stage) -> None:
    second = stage.other("ses2")
    assert await second.open(idempotency=KEY) == "ses2"
    async with unchanged(stage.store):
        assert await stage.other("ses3").open(idempotency=KEY) == "ses2"
        with pytest.raises(Conflict) as caught:
            await stage.other("ses4").open(idempotency=Idempotency("sessions", "k1", "f2"))
    assert caught.value.code == "idempotency_conflict"


async def refused(stage: Stage, code: str, *, parent: str = "", limit: object = 100) -> None:
    new = NewSession("u1", "", {"agent": "echo"}, {}, limit, 100, 80, parent=parent)  # type: ignore[arg-type]
    async with unchanged(stage.store):
        with pytest.raises(BursarError) as caught:
            await sessions.open_session(stage.store, stage.session, new, Idempotency())
    assert caught.value.code == code


async def test_an_id_that_exists_is_refused(stage: Stage) -> None:
    await refused(stage, "session_exists")


async def test_a_session_needs_a_workspace(any_store: Store) -> None:
    ws = any_store.workspace("nowhere")
    stage = Stage(any_store, ws, ws.session("s"), Facts("u1", "", "echo", "interactive"))
    await refused(stage, "workspace_not_found")


async def test_a_full_workspace_refuses_one_more_and_takes_it_after_an_end(stage: Stage) -> None:
    await open_workspace(stage.store, max_sessions="1")
    second = stage.other("ses2")
    async with unchanged(stage.store):
        with pytest.raises(LimitReached) as caught:
            await second.open()
    assert caught.value.code == "workspace_full"
    await sessions.end_session(stage.store, stage.session)
    await second.open()


async def test_parents_must_exist_and_live_and_trees_stay_shallow(stage: Stage) -> None:
    child = stage.other("child")
    await refused(child, "parent_not_found", parent="nobody")
    await child.open(parent="ses1")
    fields = await stage.hash(child.session.hash)
    assert (fields["depth"], fields["root"], fields["is_subagent"]) == ("1", "ses1", "1")
    grandchild = stage.other("grandchild")
    await grandchild.open(parent="child")
    await refused(stage.other("deeper"), "too_deep", parent="grandchild")
    await sessions.end_session(stage.store, child.session)
    await refused(stage.other("late"), "parent_ended", parent="child")


@pytest.mark.parametrize("limit", ["nan", "inf", "-5", "2.5", "1e3", "0x10", "9" * 16, "", "01"])
async def test_a_session_limit_that_is_no_amount_is_refused(stage: Stage, limit: str) -> None:
    await refused(stage.other("ses2"), "bad_amount", limit=limit)


async def test_an_update_changes_what_is_given(stage: Stage) -> None:
    await sessions.update_session(stage.store, stage.session, {"title": "T"}, {"custom": "{}"})
    assert await stage.field("title") == "T"
    assert await stage.hash(stage.session.text) == {"custom": "{}"}
    async with unchanged(stage.store):
        with pytest.raises(NotFound):
            await sessions.update_session(
                stage.store, stage.ws.session("nobody"), {"title": "x"}, {}
            )


async def add(stage: Stage, words: str = "hi", idempotency: Idempotency | None = None) -> int:
    return await sessions.add_message(
        stage.store,
        stage.session,
        UserMessage(words),
        role="user",
        user="u1",
        workspace_path="",
        idempotency=idempotency or Idempotency(),
    )


async def test_a_message_is_added_without_a_turn(stage: Stage) -> None:
    assert (await add(stage, "a"), await add(stage, "b")) == (0, 1)
    assert await stage.field("message_count") == "2"
    assert [event.kind for event in await stage.events()][-1] == "message.committed"
    assert await stage.store.redis.call("PTTL", stage.session.events) > 0


async def test_a_message_with_the_same_key_is_added_once(stage: Stage) -> None:
    assert await add(stage, "a", KEY) == 0
    async with unchanged(stage.store):
        assert await add(stage, "a", KEY) == 0
        with pytest.raises(Conflict):
            await add(stage, "b", Idempotency("sessions", "k1", "f2"))


async def test_a_busy_ended_or_unknown_session_takes_no_message_and_no_new_context(
    stage: Stage,
) -> None:
    ended, nobody = stage.other("ended"), stage.other("nobody")
    await ended.open()
    await sessions.end_session(stage.store, ended.session)
    await stage.put()
    async with unchanged(stage.store):
        for one, code in (
            (stage, "session_busy"),
            (ended, "session_ended"),
            (nobody, "session_not_found"),
        ):
            with pytest.raises(BursarError) as caught:
                await add(one)
            assert caught.value.code == code
            with pytest.raises(BursarError) as caught:
                await sessions.clear_session(stage.store, one.session)
            assert caught.value.code == code


async def test_clear_moves_the_context_and_keeps_the_history(stage: Stage) -> None:
    await add(stage, "a")
    await sessions.update_session(stage.store, stage.session, {}, {"summary": "s", "context": "c"})
    assert await sessions.clear_session(stage.store, stage.session) == 1
    assert await stage.field("context_start") == "1"
    assert await stage.store.redis.call("LLEN", stage.session.messages) == 1
    assert await stage.hash(stage.session.text) == {"context": "c"}


async def test_an_idle_session_ends_at_once_and_only_once(stage: Stage) -> None:
    assert await sessions.end_session(stage.store, stage.session) == "ended"
    async with unchanged(stage.store):
        assert await sessions.end_session(stage.store, stage.session) == "already"
        with pytest.raises(NotFound):
            await sessions.end_session(stage.store, stage.ws.session("nobody"))
    assert [event.kind for event in await stage.events()][-1] == "session.ended"


async def test_a_busy_session_ends_after_its_inputs(stage: Stage) -> None:
    await stage.put()
    assert await sessions.end_session(stage.store, stage.session) == "ending"
    assert await sessions.end_session(stage.store, stage.session) == "ending"
    assert await stage.field("state") == "queued"


async def delete(stage: Stage) -> None:
    await sessions.delete_session(stage.store, stage.session, user="u1", workspace_path="")


async def test_a_deleted_session_leaves_nothing_of_its_own(stage: Stage) -> None:
    lease, turn = await stage.running()
    answer = AssistantMessage("x", turn=turn)
    await stage.finish(lease, turn, commit=Commit(messages=[answer]))
    await delete(stage)
    keys = [text(key) for key in await stage.store.redis.call("KEYS", "*ses1*")]
    assert keys == []
    for index in (stage.ws.sessions, stage.ws.sessions_of_user("u1")):
        assert await stage.store.redis.call("ZCARD", index) == 0
    assert await stage.stats() == {"turns:succeeded": 1}
    with pytest.raises(NotFound):
        await delete(stage)


async def test_open_streams_hear_of_a_deletion(store: Store) -> None:
    stage = await Stage.build(store)
    redis: Redis = Redis.from_url(store.settings.redis_url)
    pubsub = redis.pubsub()
    await pubsub.subscribe(stage.session.events)
    await pubsub.get_message(timeout=5)
    await delete(stage)
    message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=5)
    assert message["data"].startswith(b"2 session.ended {")
    assert b'"deleted":true' in message["data"]
    await pubsub.aclose()  # type: ignore[no-untyped-call]
    await redis.aclose()


async def test_a_session_at_work_is_not_deleted(stage: Stage) -> None:
    await stage.put()
    async with unchanged(stage.store):
        with pytest.raises(Conflict) as caught:
            await delete(stage)
    assert caught.value.code == "session_busy"


async def test_a_session_with_money_held_is_not_deleted(stage: Stage) -> None:
    lease, turn = await stage.running()
    await stage.reserve(lease, 70)
    await stage.finish(lease, turn)
    async with unchanged(stage.store):
        with pytest.raises(Conflict) as caught:
            await delete(stage)
    assert caught.value.code == "money_pending"
    assert "70" in str(caught.value)


async def test_an_installation_is_recorded_once(any_store: Store) -> None:
    again = await adopt(any_store.redis, any_store.settings)
    assert (again.generation, again.pepper) == (any_store.generation, any_store.pepper)
    assert again.generation > 1_600_000_000_000


async def test_an_installation_with_other_shards_is_refused_and_kept(any_store: Store) -> None:
    async with unchanged(any_store):
        with pytest.raises(StoreUnfit, match="BURSAR_SHARDS=16") as caught:
            await adopt(any_store.redis, Settings(shards=4))
    assert caught.value.code == "installation_mismatch"


async def test_an_installation_of_another_schema_is_refused(any_store: Store) -> None:
    await any_store.redis.call("HSET", GlobalKeys.install, "schema_version", 99)
    with pytest.raises(StoreUnfit, match="schema 99"):
        await adopt(any_store.redis, any_store.settings)
    await any_store.redis.call("DEL", GlobalKeys.install)  # the next test opens this server too


async def test_concurrent_openings_agree_on_one_generation(any_store: Store) -> None:
    await any_store.redis.call("DEL", GlobalKeys.install)
    opened = await asyncio.gather(*(adopt(any_store.redis, any_store.settings) for _ in range(8)))
    assert len({(store.generation, store.pepper) for store in opened}) == 1
