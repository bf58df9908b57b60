"""The messages of a session, read from the end and added without a turn."""

import pytest

from bursar import history, sessions, workspaces
from bursar.errors import BursarError, Conflict, InvalidInput
from bursar.history import add_message, read_messages
from bursar.messages import AssistantMessage, UserMessage
from bursar.registry import Registry
from bursar.store.scripts.sessions import Idempotency
from bursar.store.store import Store


@pytest.fixture
async def sid(store: Store, registry: Registry) -> str:
    await workspaces.create(store, "acme")
    return (await sessions.create(store, registry, "acme", sessions.SessionSpec("echo"))).id


async def test_the_newest_come_in_order(store: Store, sid: str) -> None:
    for i in range(5):
        message = UserMessage(str(i)) if i % 2 else AssistantMessage(str(i))
        assert await add_message(store, "acme", sid, message) == i
    read = await read_messages(store, "acme", sid, last=3)
    assert read == [AssistantMessage("2"), UserMessage("3"), AssistantMessage("4")]
    assert len(await read_messages(store, "acme", sid, last=1000)) == 5


async def test_a_session_without_messages_has_none(store: Store, sid: str) -> None:
    assert await read_messages(store, "acme", sid, last=1) == []


@pytest.mark.parametrize("last", [0, -1, 1001])
async def test_a_window_has_bounds(store: Store, sid: str, last: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        await read_messages(store, "acme", sid, last=last)
    assert caught.value.field == "last"


async def test_an_unknown_session_is_refused(store: Store, sid: str) -> None:
    for work in (
        read_messages(store, "acme", "nobody", last=1),
        add_message(store, "acme", "nobody", UserMessage("x")),
    ):
        with pytest.raises(BursarError) as caught:
            await work
        assert caught.value.code == "session_not_found"


async def test_the_same_key_adds_once(store: Store, sid: str) -> None:
    key = Idempotency("messages", "k", "f")
    assert await add_message(store, "acme", sid, UserMessage("x"), key) == 0
    assert await add_message(store, "acme", sid, UserMessage("x"), key) == 0
    with pytest.raises(Conflict):
        await add_message(store, "acme", sid, UserMessage("y"), Idempotency("messages", "k", "g"))
    assert len(await read_messages(store, "acme", sid, last=9)) == 1


async def test_history_stays_when_the_context_is_cleared(store: Store, sid: str) -> None:
    await add_message(store, "acme", sid, UserMessage("x"))
    cleared = await sessions.clear(store, "acme", sid)
    assert (cleared.context_start, cleared.message_count) == (1, 1)
    assert await history.read_messages(store, "acme", sid, last=9) == [UserMessage("x")]
