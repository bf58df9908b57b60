"""Forks: what goes along, what does not, and where the history may be cut."""

from typing import Any

import msgspec
import pytest

from bursar import forking, sessions, workspaces
from bursar.budgets.accounts import read_accounts
from bursar.errors import Conflict, InvalidInput, NotFound
from bursar.forking import ForkSpec, fork
from bursar.gate.granting import NewAllowance, allow, list_allowances
from bursar.messages import AssistantMessage, UserMessage
from bursar.registry import AgentEntry, Registry, announce
from bursar.sessions import SessionSpec, SessionView, locate
from bursar.store.codec import text
from bursar.store.scripts import sessions as scripts
from bursar.store.scripts.drafts import Draft
from bursar.store.scripts.sessions import Idempotency
from bursar.store.store import Store
from support.gateway import begin_turn
from support.histories import TALK, step, stored_messages, tell
from support.stage import unchanged


@pytest.fixture
async def sid(store: Store, registry: Registry) -> str:
    """A session with everything that can be given, and a history."""
    await workspaces.create(store, "acme")
    spec = SessionSpec(
        agent="echo", user="ann", id="first", model="m2", system_prompt="be brief",
        context="it rains", workspace_path="a/b", priority="background", title="T",
        tags=("x", "y"), custom={"k": [1]}, limit_microusd=3_000_000, token_limit=50_000,
        per_action_microusd=2_000_000, per_turn_microusd=1_000_000, warn_percent=60,
    )  # fmt: skip
    made = await sessions.create(store, registry, "acme", spec)
    await tell(store, "acme", made.id, TALK)
    return made.id


async def forked(
    store: Store, registry: Registry, at: int | None = None, **spec: Any
) -> SessionView:
    return await fork(store, registry, "acme", "first", ForkSpec(at, **spec))


async def fields_of(store: Store, sid: str) -> dict[str, str]:
    """A session's hash and its long texts."""
    session = locate(store, "acme", sid)
    found: dict[bytes, bytes] = {}
    for key in (session.hash, session.text):
        found |= await store.redis.call("HGETALL", key)
    return {text(name): text(value) for name, value in found.items()}


async def test_a_fork_is_as_its_source_and_has_spent_nothing(
    store: Store, registry: Registry, sid: str
) -> None:
    source = locate(store, "acme", sid)
    await store.redis.call("HSET", source.hash, "tool_call_count", 7, "approval_count", 2)
    wish = NewAllowance(pattern="x", scope="tree", session=sid)
    await allow(store, source.workspace, wish, by="k")
    first, made = await sessions.get(store, "acme", sid), await forked(store, registry)
    assert (made.forked_from, made.forked_at) == (sid, len(TALK) - 1)
    assert made.id not in {sid, ""}
    assert (made.root, made.parent, made.depth) == (made.id, "", 0)
    for name in ("user", "agent", "model", "workspace_path", "priority", "title", "tags", "custom"):
        assert getattr(made, name) == getattr(first, name), name
    texts = await fields_of(store, made.id)
    assert (texts["system_prompt"], texts["context"]) == ("be brief", "it rains")
    assert (made.state, made.tool_call_count, made.approval_count) == ("idle", 0, 0)
    assert made.message_count == len(TALK)
    assert await stored_messages(store, "acme", made.id) == TALK
    assert await list_allowances(store, source.workspace, session=made.id) == []
    ours, theirs = await read_accounts(store, "acme", [f"s:{made.id}", f"s:{sid}"])
    assert ours == msgspec.structs.replace(theirs, account=ours.account)
    assert (first.forked_from, first.forked_at) == ("", None)


async def test_what_was_spent_and_what_is_held_stays_with_the_source(
    store: Store, registry: Registry, sid: str
) -> None:
    account = locate(store, "acme", sid).account
    await store.redis.call("HSET", account, "posted", 900, "tokens_posted", 30, "frozen", 1)
    made = await forked(store, registry)
    (ours,) = await read_accounts(store, "acme", [f"s:{made.id}"])
    assert (ours.posted_microusd, ours.tokens_posted, ours.frozen) == (0, 0, False)
    await store.redis.call("HSET", account, "posted", 0, "tokens_posted", 0, "frozen", 0)


async def test_what_is_given_is_otherwise(store: Store, registry: Registry, sid: str) -> None:
    made = await forked(
        store, registry, id="mine", model="m3", system_prompt="", workspace_path="c",
        priority="interactive", title="", tags=(), custom={}, limit_microusd=1_500_000,
    )  # fmt: skip
    assert (made.id, made.model, made.workspace_path, made.priority) == (
        "mine", "m3", "c", "interactive",
    )  # fmt: skip
    assert (made.title, made.tags, made.custom) == ("", (), {})
    assert "system_prompt" not in await fields_of(store, "mine")
    (account,) = await read_accounts(store, "acme", ["s:mine"])
    assert account.limit_microusd == account.per_action_microusd == 1_500_000
    assert account.per_turn_microusd == 1_000_000
    with pytest.raises(InvalidInput) as caught:
        await forked(store, registry, limit_microusd=1_000_000, per_action_microusd=1_000_001)
    assert caught.value.field == "per_action_microusd"


async def test_another_agent_comes_with_its_model(
    store: Store, registry: Registry, sid: str
) -> None:
    worker: dict[str, str | int] = {"id": "w2", "agents": "other", "started_ms": 1}
    await announce(store, worker, [AgentEntry("other", "default", "m", model="local:other")])
    made = await forked(store, registry, agent="other")
    assert (made.agent, made.model) == ("other", "local:other")
    with pytest.raises(InvalidInput) as caught:
        await forked(store, registry, agent="nobody")
    assert caught.value.code == "unknown_agent"


@pytest.mark.parametrize("at", [0, 3, 4, 5, 7, 8])
async def test_a_history_is_cut_behind_a_closed_step(
    store: Store, registry: Registry, sid: str, at: int
) -> None:
    made = await forked(store, registry, at)
    assert (made.message_count, made.forked_at) == (at + 1, at)
    assert await stored_messages(store, "acme", made.id) == TALK[: at + 1]


@pytest.mark.parametrize(("at", "before", "after"), [(1, 0, 3), (2, 0, 3), (6, 5, 7)])
async def test_a_call_is_not_parted_from_its_result(
    store: Store, registry: Registry, sid: str, at: int, before: int, after: int
) -> None:
    async with unchanged(store):
        with pytest.raises(InvalidInput, match=f"points are {before} and {after}") as caught:
            await forked(store, registry, at)
    assert (caught.value.field, caught.value.code) == ("at", "inside_step")
    assert caught.value.details == {"before": before, "after": after}


@pytest.mark.parametrize("at", [-1, len(TALK), 10**9])
async def test_a_point_outside_is_refused(
    store: Store, registry: Registry, sid: str, at: int
) -> None:
    with pytest.raises(InvalidInput, match="expected 0 to 8") as caught:
        await forked(store, registry, at)
    assert caught.value.field == "at"


async def test_an_empty_history_can_be_forked_but_has_no_points(
    store: Store, registry: Registry
) -> None:
    await workspaces.create(store, "acme")
    await sessions.create(store, registry, "acme", SessionSpec("echo", id="first"))
    made = await forked(store, registry)
    assert (made.message_count, made.forked_from, made.forked_at) == (0, "first", None)
    with pytest.raises(InvalidInput, match="no messages yet"):
        await forked(store, registry, 0)


async def test_of_a_running_session_closed_steps_are_forked(
    store: Store, registry: Registry, inputs: Any, sid: str
) -> None:
    await inputs.put("acme", sid, UserMessage("more"))
    played = await begin_turn(store, "acme", sid)
    count = len(TALK) + 1
    await tell(store, "acme", sid, step("a", "b")[:2])
    made = await forked(store, registry)
    assert made.message_count == count
    assert isinstance((await stored_messages(store, "acme", made.id))[-1], UserMessage)
    with pytest.raises(InvalidInput) as caught:
        await forked(store, registry, count)
    assert caught.value.details == {"before": count - 1, "after": None}
    await tell(store, "acme", sid, step("a", "b")[2:])
    assert (await forked(store, registry)).message_count == count + 3
    await played.finish()
    assert (await sessions.get(store, "acme", made.id)).message_count == count


async def test_a_session_that_has_ended_is_forked(
    store: Store, registry: Registry, sid: str
) -> None:
    assert await scripts.end_session(store, locate(store, "acme", sid)) == "ended"
    assert (await forked(store, registry)).state == "idle"


async def test_the_context_goes_along_if_it_began_before_the_point(
    store: Store, registry: Registry, sid: str
) -> None:
    source = locate(store, "acme", sid)
    await store.redis.call("HSET", source.hash, "context_start", 5)
    await store.redis.call("HSET", source.text, "summary", "so far")
    for at, start in ((None, 5), (8, 5), (5, 5), (4, 0), (0, 0)):
        made = await forked(store, registry, at)
        assert made.context_start == start, at
        assert (await fields_of(store, made.id)).get("summary") == ("so far" if start else None)
    await store.redis.call("HSET", source.hash, "context_start", len(TALK))
    assert (await forked(store, registry)).context_start == len(TALK)
    assert (await forked(store, registry, len(TALK) - 1)).context_start == 0


async def test_the_context_is_as_large_as_the_newest_answer_in_it_says(
    store: Store, registry: Registry, sid: str
) -> None:
    for at, tokens in ((0, 0), (3, 100), (4, 220), (5, 220), (8, 100)):
        assert (await forked(store, registry, at)).token_count == tokens, at
    await sessions.clear(store, "acme", sid)
    assert (await forked(store, registry)).token_count == 0


async def test_usage_is_a_ground_for_money_only_under_the_same_model_and_prompt(
    store: Store, registry: Registry, sid: str
) -> None:
    async def counted_from(**spec: Any) -> str:
        made = await forked(store, registry, 4, **spec)
        return (await fields_of(store, made.id)).get("counted_from", "0")

    assert await counted_from(title="x") == "0"
    assert await counted_from(model="m3") == await counted_from(system_prompt="x") == "5"
    await store.redis.call("HSET", locate(store, "acme", sid).hash, "counted_from", 3)
    assert await counted_from() == "3"
    await store.redis.call("HSET", locate(store, "acme", sid).hash, "counted_from", 9)
    assert await counted_from() == "5"


async def test_one_key_makes_one_fork(store: Store, registry: Registry, sid: str) -> None:
    once = Idempotency("forks", "k", "f")
    made = await fork(store, registry, "acme", sid, ForkSpec(), once)
    await tell(store, "acme", sid, [AssistantMessage("later")])
    again = await fork(store, registry, "acme", sid, ForkSpec(), once)
    assert (again.id, again.message_count) == (made.id, len(TALK))
    with pytest.raises(Conflict) as caught:
        await fork(store, registry, "acme", sid, ForkSpec(), Idempotency("forks", "k", "g"))
    assert caught.value.code == "idempotency_conflict"
    await sessions.delete(store, "acme", sid)
    assert (await fork(store, registry, "acme", sid, ForkSpec(), once)).id == made.id


async def test_a_crash_on_the_way_leaves_no_session_and_asking_again_makes_it(
    store: Store, registry: Registry, sid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = Idempotency("forks", "k", "f")

    async def crash(*_: Any, **__: Any) -> str:
        raise ConnectionResetError

    before = await sessions.get(store, "acme", sid)
    with monkeypatch.context() as patched:
        patched.setattr(forking, "open_session", crash)
        patched.setattr(Draft, "drop", crash)
        with pytest.raises(ConnectionResetError):
            await forked(store, registry, id="mine")
    (left,) = await store.redis.call("KEYS", "*:draft:*")
    assert await store.redis.call("PTTL", left) > 0
    with pytest.raises(NotFound):
        await sessions.get(store, "acme", "mine")
    made = await fork(store, registry, "acme", sid, ForkSpec(id="mine"), once)
    assert made.message_count == before.message_count
    assert await store.redis.call("KEYS", "*:draft:*") == [left]


async def test_a_refusal_leaves_nothing(store: Store, registry: Registry, sid: str) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"id": sid}, "session_exists"),
        ({"id": "import"}, "invalid_input"),
        ({"title": "x" * 201}, "invalid_input"),
    ]
    for spec, code in wrong:
        async with unchanged(store):
            with pytest.raises((Conflict, InvalidInput)) as caught:
                await forked(store, registry, **spec)
        assert caught.value.code == code
    await scripts.kill_workspace(store, store.workspace("acme"), "enough")
    before = await store.redis.call("DBSIZE")
    with pytest.raises(Conflict) as refused:
        await forked(store, registry)
    assert refused.value.code == "workspace_killed"
    assert await store.redis.call("DBSIZE") == before


async def test_a_child_is_forked_into_a_session_of_its_own(
    store: Store, registry: Registry, sid: str
) -> None:
    child = await sessions.create(store, registry, "acme", SessionSpec("echo", parent=sid, id="c"))
    await tell(store, "acme", child.id, TALK[:1])
    made = await fork(store, registry, "acme", child.id, ForkSpec())
    assert (made.parent, made.depth, made.root, made.forked_from) == ("", 0, made.id, child.id)
    await sessions.delete(store, "acme", child.id)
    assert (await sessions.get(store, "acme", made.id)).message_count == 1
