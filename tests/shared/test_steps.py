"""Where a history may be cut, for all histories."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from bursar.messages import AssistantMessage, Message, ToolMessage, UserMessage
from bursar.steps import OpenStep, end_of_step, open_step, read_backwards
from bursar.store.codec import encode_message
from bursar.store.keys import WorkspaceKeys
from bursar.store.store import Store
from support.histories import TALK, step

SESSION = WorkspaceKeys("acme", 16).session("s1")


def store_of(messages: list[Message]) -> Store:
    """A store that has one list, and answers as Redis does."""
    entries = [encode_message(message) for message in messages]

    async def call(command: str, key: str, first: int, last: int) -> list[bytes]:
        assert (command, key) == ("LRANGE", SESSION.messages)
        return entries[first : last + 1]

    return cast("Store", SimpleNamespace(redis=SimpleNamespace(call=call)))


def is_open(messages: list[Message], count: int) -> bool:
    """Said another way: a result comes later than the cut."""
    rest = messages[count:]
    return bool(rest) and isinstance(rest[0], ToolMessage)


_parts = st.one_of(
    st.just([UserMessage("u")]),
    st.just([AssistantMessage("a")]),
    st.integers(1, 20).map(lambda n: step(*(f"c{i}" for i in range(n)))),
    st.just(step("c0", "c0")),  # Not every provider's ids are unique.
)
_histories = st.lists(_parts, max_size=6).map(lambda parts: [m for part in parts for m in part])


@settings(deadline=None)
@given(_histories, st.data())
def test_a_cut_is_inside_a_step_if_a_result_comes_after_it(
    messages: list[Message], data: st.DataObject
) -> None:
    store = store_of(messages)
    count = data.draw(st.integers(0, len(messages)))
    found = asyncio.run(open_step(store, SESSION, count))
    assert (found is not None) == is_open(messages, count)
    if found is None:
        return
    assert isinstance(messages[found.first], AssistantMessage)
    assert found.first < count
    assert asyncio.run(open_step(store, SESSION, found.first)) is None
    end = asyncio.run(end_of_step(store, SESSION, found, count, len(messages)))
    assert end is not None
    assert not is_open(messages, end + 1)
    assert all(is_open(messages, between) for between in range(count, end + 1))


@given(_histories.filter(bool))
def test_a_step_whose_results_have_not_come_has_no_end(messages: list[Message]) -> None:
    asked = [*messages, *step("x", "y")[:2]]
    store = store_of(asked)
    found = asyncio.run(open_step(store, SESSION, len(asked)))
    assert found is not None
    assert found == OpenStep(len(messages), ("y",))
    assert asyncio.run(end_of_step(store, SESSION, found, len(asked), len(asked))) is None


def test_a_history_is_read_from_behind_with_its_indexes() -> None:
    messages = TALK * 5

    async def read() -> list[Any]:
        return [pair async for pair in read_backwards(store_of(messages), SESSION, 40)]

    assert asyncio.run(read()) == list(enumerate(messages[:40]))[::-1]
