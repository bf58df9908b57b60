"""Lists of sessions: every one once, whatever the scores."""

from typing import Any

import pytest

from bursar import sessions, workspaces
from bursar.errors import InvalidInput
from bursar.listing import list_sessions
from bursar.registry import Registry
from bursar.sessions import SessionSpec
from bursar.store.scripts.sessions import end_session
from bursar.store.store import Store


@pytest.fixture
async def acme(store: Store) -> Store:
    await workspaces.create(store, "acme")
    return store


async def make(store: Store, registry: Registry, n: int, **spec: str) -> list[str]:
    return [
        (await sessions.create(store, registry, "acme", SessionSpec("echo", **spec))).id  # type: ignore[arg-type]
        for _ in range(n)
    ]


async def walk(store: Store, *, limit: int, **filters: Any) -> list[str]:
    found: list[str] = []
    cursor = ""
    for _ in range(600):
        page = await list_sessions(store, "acme", limit=limit, cursor=cursor, **filters)
        found += [session.id for session in page.sessions]
        if not page.cursor:
            return found
        assert page.cursor != cursor
        cursor = page.cursor
    raise AssertionError("the list has no end")


@pytest.mark.parametrize("limit", [1, 7, 50, 200])
async def test_sessions_with_equal_scores_are_each_listed_once(
    acme: Store, registry: Registry, limit: int
) -> None:
    made = await make(acme, registry, 60)
    ws = acme.workspace("acme")
    for sid in made:
        await acme.redis.call("ZADD", ws.sessions, 1000, sid)
    assert await walk(acme, limit=limit) == sorted(made, reverse=True)


async def test_five_hundred_sessions_with_few_scores_are_each_listed_once(
    acme: Store, registry: Registry
) -> None:
    made = await make(acme, registry, 500)
    ws = acme.workspace("acme")
    scores = {sid: index // 170 for index, sid in enumerate(made)}
    flat = [part for sid, score in scores.items() for part in (score, sid)]
    await acme.redis.call("ZADD", ws.sessions, *flat)
    expected = sorted(made, key=lambda sid: (scores[sid], sid), reverse=True)
    assert await walk(acme, limit=37) == expected


async def test_the_newest_activity_comes_first(acme: Store, registry: Registry) -> None:
    made = await make(acme, registry, 3)
    await acme.redis.call("ZADD", acme.workspace("acme").sessions, (9e15).__int__(), made[0])
    assert (await walk(acme, limit=2))[0] == made[0]


async def test_filters_narrow_alone_and_together(acme: Store, registry: Registry) -> None:
    ann = await make(acme, registry, 3, user="ann")
    docs = await make(acme, registry, 2, user="ann", workspace_path="docs")
    bob = await make(acme, registry, 2, user="bob", workspace_path="docs")
    await end_session(acme, sessions.locate(acme, "acme", bob[0]))
    assert set(await walk(acme, limit=2, user="ann")) == {*ann, *docs}
    assert set(await walk(acme, limit=2, workspace_path="docs")) == {*docs, *bob}
    assert set(await walk(acme, limit=1, user="ann", workspace_path="docs")) == set(docs)
    assert await walk(acme, limit=2, state="ended") == [bob[0]]
    assert await walk(acme, limit=1, state="idle", workspace_path="docs", user="bob") == [bob[1]]
    assert await walk(acme, limit=5, user="nobody") == []


async def test_a_filter_that_leaves_little_still_reaches_the_end(
    acme: Store, registry: Registry
) -> None:
    made = await make(acme, registry, 40, user="ann")
    await end_session(acme, sessions.locate(acme, "acme", made[0]))
    assert await walk(acme, limit=1, user="ann", state="ended") == [made[0]]


async def test_a_session_deleted_in_between_is_left_out(acme: Store, registry: Registry) -> None:
    made = await make(acme, registry, 4)
    # Those made within one millisecond have no order of their own.
    for score, sid in enumerate(made):
        await acme.redis.call("ZADD", acme.workspace("acme").sessions, score, sid)
    page = await list_sessions(acme, "acme", limit=2)
    assert [session.id for session in page.sessions] == [made[3], made[2]]
    await sessions.delete(acme, "acme", made[1])
    await sessions.delete(acme, "acme", made[2])
    rest = await list_sessions(acme, "acme", limit=2, cursor=page.cursor)
    assert [session.id for session in rest.sessions] == [made[0]]


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("limit", {"limit": 0}),
        ("limit", {"limit": 201}),
        ("state", {"state": "sleeping"}),
        ("user", {"user": "a b"}),
        ("cursor", {"cursor": "x"}),
        ("cursor", {"cursor": "-ses"}),
        ("cursor", {"cursor": "12-"}),
    ],
)
async def test_a_bad_argument_is_named(acme: Store, field: str, arguments: dict[str, str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        await list_sessions(acme, "acme", **arguments)  # type: ignore[arg-type]
    assert caught.value.field == field


async def test_roots_are_found_behind_thousands_of_sessions_below_others(
    acme: Store, registry: Registry
) -> None:
    roots = [(await sessions.create(acme, registry, "acme", SessionSpec("echo"))).id for _ in "ab"]
    index = acme.workspace("acme").sessions
    below = [part for n in range(2500) for part in (2**45 + n, f"{roots[0]}~{n}")]
    await acme.redis.call("ZADD", index, *below)
    page = await list_sessions(acme, "acme", roots=True, limit=1)
    assert [each.id for each in page.sessions] == [roots[1]]
    rest = await list_sessions(acme, "acme", roots=True, limit=5, cursor=page.cursor)
    assert ([each.id for each in rest.sessions], rest.cursor) == ([roots[0]], "")
    await acme.redis.call("ZREM", index, *below[1::2])
