"""Histories that are put together before their session is made: whole, or never seen."""

from itertools import pairwise

import msgspec
import pytest

from bursar.errors import Conflict, NotFound
from bursar.messages import UserMessage
from bursar.store.codec import encode_message, text
from bursar.store.keys import SessionKeys
from bursar.store.scripts import drafts, sessions
from bursar.store.scripts.drafts import Draft, first_session
from bursar.store.scripts.sessions import Idempotency, NewSession
from bursar.store.store import Store
from support.stage import Stage, dump, unchanged

FIELDS = {"ws": "acme", "user": "u1", "agent": "echo", "tags": ""}
NEW = NewSession("u1", "", FIELDS, {}, 1_000_000, 1_000_000, 80)


def stored(count: int, size: int = 1) -> list[bytes]:
    return [encode_message(UserMessage(f"{i} ".ljust(size))) for i in range(count)]


async def fill(stage: Stage, messages: list[bytes]) -> str:
    """Give the stage's session a history; returns when it was made."""
    call = stage.store.redis.call
    await call("RPUSH", stage.session.messages, *messages)
    await call("HSET", stage.session.hash, "message_count", len(messages))
    return await stage.field("created_ms")


async def history(store: Store, key: str) -> list[bytes]:
    found: list[bytes] = await store.redis.call("LRANGE", key, 0, -1)
    return found


async def opened(stage: Stage, draft: Draft, sid: str = "copy") -> SessionKeys:
    new = msgspec.structs.replace(NEW, draft=draft.key, draft_length=draft.length)
    session = stage.ws.session(sid)
    assert await sessions.open_session(stage.store, session, new, Idempotency()) == sid
    return session


@pytest.mark.parametrize("count", [1, 7, 8, 9, 255, 256, 257, 600])
async def test_a_history_is_copied_whole_and_in_order(stage: Stage, count: int) -> None:
    messages = stored(count + 5)
    created_ms = await fill(stage, messages)
    draft = Draft(stage.store, stage.ws)
    await draft.copy(stage.session, created_ms=created_ms, length=count)
    assert draft.length == count
    session = await opened(stage, draft)
    assert await history(stage.store, session.messages) == messages[:count]
    assert await history(stage.store, stage.session.messages) == messages
    assert text(await stage.store.redis.call("HGET", session.hash, "message_count")) == str(count)
    assert await stage.store.redis.call("PTTL", session.messages) == -1
    assert await stage.store.redis.call("PTTL", session.events) > 0
    assert await stage.store.redis.call("EXISTS", draft.key) == 0


async def test_no_script_moves_more_than_a_piece(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drafts, "PIECE_BYTES", 1000)
    monkeypatch.setattr(drafts, "PIECE_MESSAGES", 20)
    created_ms = await fill(stage, stored(50) + stored(50, 300))
    lengths = [0]

    class Noted(Draft):
        def _grown(self, reply: object, *, at_most: int) -> None:
            super()._grown(reply, at_most=at_most)  # type: ignore[arg-type]
            lengths.append(self.length)

    await Noted(stage.store, stage.ws).copy(stage.session, created_ms=created_ms, length=100)
    pieces = [after - before for before, after in pairwise(lengths)]
    assert max(pieces) <= 20
    assert max(pieces[4:]) == 8, "of long messages fewer"


async def test_a_piece_that_is_sent_again_adds_nothing(stage: Stage) -> None:
    created_ms = await fill(stage, stored(12))
    draft = Draft(stage.store, stage.ws)
    await draft.copy(stage.session, created_ms=created_ms, length=5)
    draft.length = 0
    await draft.copy(stage.session, created_ms=created_ms, length=12)
    assert await history(stage.store, draft.key) == stored(12)
    other = Draft(stage.store, stage.ws)
    await other.add(stored(3))
    other.length = 0
    await other.add(stored(3))
    await other.add(stored(2))
    assert await history(stage.store, other.key) == stored(3) + stored(2)


async def test_a_session_that_was_made_anew_is_not_taken_for_the_first(stage: Stage) -> None:
    await fill(stage, stored(3))
    draft = Draft(stage.store, stage.ws)
    async with unchanged(stage.store):
        with pytest.raises(NotFound, match="no such session"):
            await draft.copy(stage.session, created_ms="1", length=3)


async def test_a_draft_that_went_is_no_shorter_history(stage: Stage) -> None:
    created_ms = await fill(stage, stored(12))
    draft = Draft(stage.store, stage.ws)
    await draft.copy(stage.session, created_ms=created_ms, length=6)
    await stage.store.redis.call("DEL", draft.key)
    with pytest.raises(Conflict) as caught:
        await draft.copy(stage.session, created_ms=created_ms, length=12)
    assert caught.value.code == "history_incomplete"
    with pytest.raises(Conflict):
        await draft.add(stored(1))
    new = msgspec.structs.replace(NEW, draft=draft.key, draft_length=draft.length)
    async with unchanged(stage.store):
        with pytest.raises(Conflict, match="not put together"):
            await sessions.open_session(stage.store, stage.ws.session("copy"), new, Idempotency())


async def test_a_draft_goes_by_itself_and_a_refusal_leaves_it_alone(stage: Stage) -> None:
    draft = Draft(stage.store, stage.ws)
    await draft.add(stored(3))
    assert 0 < await stage.store.redis.call("PTTL", draft.key) <= drafts.DRAFT_TTL_MS
    new = msgspec.structs.replace(NEW, draft=draft.key, draft_length=3)
    async with unchanged(stage.store):
        with pytest.raises(Conflict) as caught:
            await sessions.open_session(stage.store, stage.session, new, Idempotency())
    assert caught.value.code == "session_exists"
    await draft.drop()
    assert text(draft.key) not in await dump(stage.store)


async def test_a_key_that_was_used_answers_with_what_it_made(stage: Stage) -> None:
    once = Idempotency("forks", "k", "f")
    assert await first_session(stage.store, stage.ws, once) == ""
    await sessions.open_session(stage.store, stage.ws.session("copy"), NEW, once)
    assert await first_session(stage.store, stage.ws, once) == "copy"
    assert await first_session(stage.store, stage.ws, Idempotency()) == ""
    with pytest.raises(Conflict) as caught:
        await first_session(stage.store, stage.ws, Idempotency("forks", "k", "g"))
    assert caught.value.code == "idempotency_conflict"
