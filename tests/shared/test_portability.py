"""Export and import: the same session again, and nothing taken back that happened since."""

import json
from typing import Any

import msgspec
import pytest

from bursar import portability, sessions, workspaces
from bursar.budgets.accounts import read_accounts
from bursar.documents import read_document
from bursar.errors import BursarError, Conflict, InvalidInput, NotFound
from bursar.gate.granting import NewAllowance, allow, list_allowances
from bursar.inbox import Inputs
from bursar.messages import AssistantMessage, UserMessage
from bursar.portability import ImportOptions, export_session, import_session
from bursar.registry import Registry
from bursar.sessions import SessionSpec, SessionView, locate
from bursar.store.codec import text
from bursar.store.scripts import sessions as scripts
from bursar.store.scripts.drafts import Draft
from bursar.store.scripts.sessions import Idempotency
from bursar.store.store import Store
from support.gateway import begin_turn
from support.histories import TALK, step, stored_messages, tell
from support.stage import unchanged

LIMIT = ImportOptions(limit_microusd=3_000_000, token_limit=50_000)


@pytest.fixture
async def sid(store: Store, registry: Registry) -> str:
    """A session that has all that a document may tell of, and some that it must not."""
    for workspace in ("acme", "beta"):
        await workspaces.create(store, workspace)
    spec = SessionSpec(
        agent="echo", user="ann", id="first", model="m2", system_prompt="be brief",
        context="SECRET of a provider", workspace_path="a/b", priority="background", title="T",
        tags=("x", "y"), custom={"k": [1]}, limit_microusd=3_000_000, token_limit=50_000,
    )  # fmt: skip
    made = await sessions.create(store, registry, "acme", spec)
    await tell(store, "acme", made.id, TALK)
    session = locate(store, "acme", made.id)
    counters: list[str | int] = ["step_count", 4, "tool_call_count", 3, "token_count", 100]
    await store.redis.call("HSET", session.hash, *counters, "owner", "SECRET", "context_start", 5)
    await store.redis.call("HSET", session.hash, "forked_from", "zero", "forked_at", 2)
    await store.redis.call("HSET", session.text, "summary", "so far")
    return made.id


async def exported(store: Store, sid: str = "first", workspace: str = "acme") -> dict[str, Any]:
    return dict(json.loads(await raw(store, sid, workspace)))


async def raw(store: Store, sid: str = "first", workspace: str = "acme") -> bytes:
    return b"".join([piece async for piece in await export_session(store, workspace, sid)])


async def imported(
    store: Store,
    registry: Registry,
    document: dict[str, Any],
    options: ImportOptions = LIMIT,
    once: Idempotency = Idempotency(),  # noqa: B008  (frozen)
    *,
    workspace: str = "beta",
) -> SessionView:
    read = read_document(json.dumps(document).encode())
    return await import_session(store, registry, workspace, read, options, once)


async def test_a_document_has_the_session_and_none_of_its_secrets(store: Store, sid: str) -> None:
    source = locate(store, "acme", sid)
    wish = NewAllowance(pattern="SECRET", scope="tree", session=sid)
    await allow(store, source.workspace, wish, by="k")
    document = await exported(store)
    assert "SECRET" not in json.dumps(document)
    assert document["workspace"] == "acme"
    session = document["session"]
    assert (session["id"], session["system_prompt"], session["summary"]) == (
        "first", "be brief", "so far",
    )  # fmt: skip
    assert (session["message_count"], session["context_start"]) == (len(TALK), 5)
    assert document["budget"]["limit_microusd"] == 3_000_000
    assert document["messages"] == json.loads(msgspec.json.encode(TALK))


async def test_export_import_export_is_the_same(store: Store, registry: Registry, sid: str) -> None:
    account = locate(store, "acme", sid).account
    await store.redis.call("HSET", account, "posted", 900, "tokens_posted", 30)
    first = await exported(store)
    made = await imported(store, registry, first)
    assert await stored_messages(store, "beta", made.id) == TALK
    again = await exported(store, workspace="beta")
    changed = {"exported_ms": 0, "workspace": ""}
    assert again | changed == first | changed
    third = await imported(store, registry, again, workspace="acme", options=LIMIT_NEW)
    last = await exported(store, third.id)
    last["session"]["id"] = "first"
    assert last | changed == first | changed
    await store.redis.call("HSET", account, "posted", 0, "tokens_posted", 0)


LIMIT_NEW = msgspec.structs.replace(LIMIT, new_id=True)


async def test_an_imported_session_is_new_and_knows_where_it_came_from(
    store: Store, registry: Registry, sid: str
) -> None:
    document = await exported(store)
    document["budget"] |= {"spent_microusd": 700, "spent_tokens": 7, "limit_microusd": 10**9}
    made = await imported(store, registry, document, ImportOptions())
    assert (made.state, made.imported_from) == ("idle", "acme/first")
    assert (made.spent_before_microusd, made.spent_before_tokens) == (700, 7)
    assert (made.step_count, made.tool_call_count, made.token_count) == (4, 3, 100)
    assert (made.forked_from, made.forked_at, made.context_start) == ("zero", 2, 5)
    hashed = await store.redis.call("HGETALL", locate(store, "beta", made.id).hash)
    assert (hashed[b"owner"], hashed[b"counted_from"]) == (b"", str(len(TALK)).encode())
    assert made.created_ms >= document["session"]["created_ms"]
    (account,) = await read_accounts(store, "beta", [f"s:{made.id}"])
    usual = store.settings.session_limit_microusd
    assert (account.limit_microusd, account.posted_microusd) == (usual, 0)
    users = await read_accounts(store, "beta", ["ws", "user:ann"])
    assert [each.posted_microusd for each in users] == [0, 0]


async def test_a_session_that_exists_is_not_touched_by_an_older_copy(
    store: Store, registry: Registry, sid: str
) -> None:
    source = locate(store, "acme", sid)
    document = await exported(store)
    await tell(store, "acme", sid, [UserMessage("newer")])
    await store.redis.call("HSET", source.account, "posted", 900)
    wish = NewAllowance(pattern="x", scope="tree", session=sid, max_uses=1)
    await allow(store, source.workspace, wish, by="k")
    async with unchanged(store):
        with pytest.raises(Conflict) as caught:
            await imported(store, registry, document, workspace="acme")
    assert caught.value.code == "session_exists"
    beside = await imported(store, registry, document, LIMIT_NEW, workspace="acme")
    assert beside.id != sid
    assert await list_allowances(store, source.workspace, session=beside.id) == []
    (live,) = await read_accounts(store, "acme", [f"s:{sid}"])
    assert live.posted_microusd == 900
    await store.redis.call("HSET", source.account, "posted", 0)


async def test_what_a_user_and_a_workspace_spent_stays_when_a_copy_comes_back(
    store: Store, registry: Registry, sid: str
) -> None:
    document, ws = await exported(store), store.workspace("acme")
    await sessions.delete(store, "acme", sid)
    for name in ("ws", "user:ann"):
        await store.redis.call("HSET", ws.account(name), "posted", 900, "tokens_posted", 30)
    await imported(store, registry, document, workspace="acme")
    for account in await read_accounts(store, "acme", ["ws", "user:ann"]):
        assert (account.posted_microusd, account.tokens_posted) == (900, 30)
    for name in ("ws", "user:ann"):
        await store.redis.call("HSET", ws.account(name), "posted", 0, "tokens_posted", 0)


async def test_a_step_under_way_is_not_in_a_document(
    store: Store, registry: Registry, inputs: Inputs, sid: str
) -> None:
    await inputs.put("acme", sid, UserMessage("more"))
    played = await begin_turn(store, "acme", sid)
    await tell(store, "acme", sid, step("a", "b")[:2])
    document = await exported(store)
    assert len(document["messages"]) == len(TALK) + 1 == document["session"]["message_count"]
    assert (await imported(store, registry, document)).message_count == len(TALK) + 1
    await played.finish()


async def test_a_long_history_comes_in_pages_and_goes_in_pieces(
    store: Store, registry: Registry, sid: str
) -> None:
    long = [AssistantMessage(f"{i} ".ljust(i % 7 * 900)) for i in range(1_000)]
    await tell(store, "acme", sid, long)
    pieces = [piece async for piece in await export_session(store, "acme", sid)]
    assert max(map(len, pieces)) < 32 * 6_000
    document = json.loads(b"".join(pieces))
    made = await imported(store, registry, document)
    assert await stored_messages(store, "beta", made.id) == [*TALK, *long]
    assert b"".join(pieces).count(b"\n") == len(TALK) + len(long) + 2


async def test_an_export_breaks_off_when_the_session_is_deleted(
    store: Store, registry: Registry, sid: str
) -> None:
    await tell(store, "acme", sid, [UserMessage("x")] * 100)
    pieces = await export_session(store, "acme", sid)
    assert [await anext(pieces) for _ in range(2)]
    await sessions.delete(store, "acme", sid)
    await sessions.create(store, registry, "acme", SessionSpec("echo", id=sid))
    await tell(store, "acme", sid, [UserMessage("another's")] * 200)
    with pytest.raises(Conflict) as caught:
        await anext(pieces)
    assert caught.value.code == "session_deleted"


async def test_what_does_not_exist_is_refused_at_once(store: Store, sid: str) -> None:
    for workspace, name in (("acme", "nobody"), ("beta", sid)):
        with pytest.raises(NotFound) as caught:
            await export_session(store, workspace, name)
        assert caught.value.code == "session_not_found"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"agent": "nobody"}, "session.agent"),
        ({"user": "a b"}, "session.user"),
        ({"title": "x" * 201}, "session.title"),
        ({"tags": ["ok", "a,b"]}, "session.tags[1]"),
        ({"workspace_path": "../x"}, "session.workspace_path"),
        ({"priority": "high"}, "session.priority"),
        ({"system_prompt": "x" * 300_000}, "session.system_prompt"),
        ({"custom": {"x": "x" * 300_000}}, "session.custom"),
        ({"id": "import"}, "session.id"),
        ({"id": "root~child"}, "session.id"),
    ],
)
async def test_a_refusal_names_the_place_and_leaves_nothing(
    store: Store, registry: Registry, sid: str, change: dict[str, Any], field: str
) -> None:
    document = await exported(store)
    document["session"] |= {"id": "other"} | change
    async with unchanged(store):
        with pytest.raises(InvalidInput) as caught:
            await imported(store, registry, document)
    assert caught.value.field == field


async def test_a_refusal_at_the_end_leaves_nothing_either(
    store: Store, registry: Registry, sid: str
) -> None:
    document = await exported(store)
    await scripts.kill_workspace(store, store.workspace("beta"), "enough")
    async with unchanged(store):
        with pytest.raises(Conflict) as caught:
            await imported(store, registry, document)
    assert caught.value.code == "workspace_killed"


async def test_limits_are_checked_and_are_no_part_of_the_document(
    store: Store, registry: Registry, sid: str
) -> None:
    document = await exported(store)
    for options, field in (
        (ImportOptions(limit_microusd=0), "limit_microusd"),
        (ImportOptions(token_limit=0), "token_limit"),
    ):
        with pytest.raises(InvalidInput) as caught:
            await imported(store, registry, document, options)
        assert caught.value.field == field


async def test_a_child_comes_back_as_a_session_of_its_own_under_a_new_id(
    store: Store, registry: Registry, sid: str
) -> None:
    child = await sessions.create(store, registry, "acme", SessionSpec("echo", parent=sid, id="c"))
    document = await exported(store, child.id)
    await sessions.delete(store, "acme", child.id)
    assert document["session"]["parent"] == sid
    with pytest.raises(InvalidInput, match="under a new id"):
        await imported(store, registry, document, workspace="acme")
    made = await imported(store, registry, document, LIMIT_NEW, workspace="acme")
    assert (made.parent, made.root, made.is_subagent) == ("", made.id, False)


async def test_one_key_makes_one_session(store: Store, registry: Registry, sid: str) -> None:
    document, once = await exported(store), Idempotency("imports", "k", "f")
    made = await imported(store, registry, document, LIMIT_NEW, once)
    assert (await imported(store, registry, document, LIMIT_NEW, once)).id == made.id
    assert await store.redis.call("KEYS", "*:draft:*") == []
    with pytest.raises(Conflict):
        await imported(store, registry, document, LIMIT_NEW, Idempotency("imports", "k", "g"))


async def test_a_crash_on_the_way_leaves_no_session(
    store: Store, registry: Registry, sid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def crash(*_: Any, **__: Any) -> str:
        raise ConnectionResetError

    document = await exported(store)
    with monkeypatch.context() as patched:
        patched.setattr(portability, "open_session", crash)
        patched.setattr(Draft, "drop", crash)
        with pytest.raises(ConnectionResetError):
            await imported(store, registry, document)
    with pytest.raises(BursarError):
        await sessions.get(store, "beta", "first")
    (left,) = await store.redis.call("KEYS", "*:draft:*")
    assert await store.redis.call("PTTL", left) > 0
    made = await imported(store, registry, document)
    assert (made.id, made.message_count) == ("first", len(TALK))
    audit = await store.redis.call("XRANGE", store.workspace("beta").audit, "-", "+")
    assert '"imported_from":"acme/first"' in text(audit[-1][1][b"d"])
