"""The documented schema names all that is in Redis, and the checker notices what it does not."""

import re

from bursar.audit.chain import INSTALLATION
from bursar.audit.exporting import export_log
from bursar.audit.reading import read_seals
from bursar.audit.trimming import trim_log
from bursar.events import KINDS
from bursar.gate.policy_store import PolicyLists, set_policy
from bursar.manifests import Look, suspects
from bursar.messages import AssistantMessage
from bursar.settings import GatewaySettings
from bursar.signing import PublicKeys, SigningKeys
from bursar.store.keys import GlobalKeys, ShardKeys, WorkspaceKeys
from bursar.store.opening import SCHEMA_VERSION
from bursar.store.scripts import accounts, sessions, waiters
from bursar.store.scripts.accounts import LimitWish
from bursar.store.scripts.audit import AuditLog
from bursar.store.scripts.sessions import Idempotency
from bursar.store.scripts.turns import Commit
from bursar.store.store import Store
from bursar_gateway.audit import Sealer
from support.capability_life import live_with_capabilities
from support.family import Family, end_child, with_settings
from support.gate_life import ask_and_answer
from support.longer_life import live_as_a_job, live_through_copies, shorten_the_context
from support.schema import DOCUMENT, parse, undocumented
from support.stage import Stage
from support.webhook_life import deliver_in_every_way

SCHEMA = parse(DOCUMENT.read_text())


async def _whole_life(store: Store) -> Stage:
    """A session that was used for everything the scripts can do, left in the middle of a turn."""
    stage = await Stage.build(store, limit="1000000")
    lease, turn = await stage.running()
    hold = await stage.reserve(lease, 900_000)
    commit = Commit(
        messages=[AssistantMessage("a", turn=turn)],
        effects={"call:c:1": "intent", "result:c:1": b"\x80"},
        steps=1,
        tool_calls=1,
        input_tokens=1,
        output_tokens=1,
        token_count=2,
        hold=hold,
        actual_microusd=900_001,
        warning=stage.event("budget.warning", turn).body,
    )
    await stage.commit(lease, turn, commit)
    await shorten_the_context(stage, lease, turn)
    await stage.put(idempotency=Idempotency("turns", "k:1", "f"), if_busy="interrupt")
    await stage.put("too", if_busy="inject")
    await stage.park(lease, turn, seen_seq=4, wake_ms=60_000)
    other = stage.other("ses2")
    await other.open()
    await other.put(no_worker=True)
    await _wait_for_money(stage.other("ses3"))
    asking = stage.other("ses4")
    await asking.open()
    await ask_and_answer(asking, *await asking.running("gate"))
    await _give_tasks(stage.other("ses5"))
    await _set_policies(store, stage.ws)
    await _see_a_changed_tool(store)
    await deliver_in_every_way(stage)
    await _seal_and_trim(store)
    await live_with_capabilities(stage)
    await live_through_copies(stage)
    await live_as_a_job(stage)
    await sessions.kill_workspace(store, stage.ws, "enough")
    await sessions.update_session(store, stage.session, {"title": "t"}, {"custom": "{}"})
    return stage


async def _seal_and_trim(store: Store) -> None:
    """The workspace's audit log and the installation's, as a gateway keeps them."""
    settings = GatewaySettings(redis_url=store.settings.redis_url)
    signing = await SigningKeys.load(store, settings)
    sealer = Sealer(store, signing, PublicKeys(store), every_s=60, name="g1")
    await store.redis.call("SADD", GlobalKeys.workspaces, "acme")
    assert await sealer.seal_all() is not None
    for name in ("acme", INSTALLATION):
        log = AuditLog.of(store, name)
        async for _ in export_log(store, log, signing.current, await sealer.ring()):
            pass
        (seal,) = await read_seals(store, log, after=0, limit=10)
        await trim_log(store, log, seal.to_seq, seal.head, actor="key:k")


async def _give_tasks(stage: Stage) -> None:
    """One sub-agent is under way, one waits in the line of its tree, one has timed out."""
    await stage.open()
    family = await Family.of(stage)
    store = with_settings(stage.store, max_tree_running=2)
    plan = {"j:single": b"1", "j:form": b"\x80", "j:in:3": b"\x80"}
    await family.give(family.wish(3, total=4, window=3, counts=True, plan=plan), store)
    await end_child(family.child(0), "timed_out")
    below = await Family.below(family.child(1))
    await below.spawn(1)
    await family.stage.cancel(family.turn)
    seen = int(await stage.field("inbox_seq"))
    await stage.commit(family.lease, family.turn, Commit(verdict=b"cancelled"))
    await stage.try_park(family.lease, family.turn, seen_seq=seen, reason="stopping")


async def _set_policies(store: Store, workspace: WorkspaceKeys) -> None:
    lists = PolicyLists(allow=("write_report",))
    for agent in ("", "echo"):
        await set_policy(store, workspace, lists, by="key:k", agent=agent)


async def _see_a_changed_tool(store: Store) -> None:
    for digit in "12":
        look = {"convert_time": Look.of(digit * 64, "Converts.", {"type": "object"})}
        await suspects(store, "echo", "time", look, worker="w1")


async def _wait_for_money(stage: Stage) -> None:
    """A turn in an account's line, which was told once; and all that can be set of an account."""
    store = stage.store
    await stage.open()
    lease, turn = await stage.running()
    await stage.park_for_money(lease, turn, cost=2_000_000)
    ((waiting),) = await waiters.read_waiters(store, stage.ws, "ws", 1)
    await waiters.wake(store, stage.ws, waiting, "denied", "enough")
    wish = LimitWish(limit="900000", token_limit="50", per_turn="100", acknowledge=True)
    await accounts.set_limit(store, "acme", "s:ses3", wish, change_id="c:1")
    far = 10**13
    zone = "Europe/Berlin"
    await accounts.set_period(
        store, "acme", "s:ses3", change_id="p:1", period="day", time_zone=zone, resets_ms=far
    )
    await accounts.reset_account(store, "acme", "s:ses3", change_id="r:1")


async def test_everything_that_the_scripts_write_is_documented(store: Store) -> None:
    await _whole_life(store)
    assert await undocumented(store, SCHEMA) == []


async def test_a_planted_field_key_event_and_type_are_found(store: Store) -> None:
    stage = await _whole_life(store)
    call = store.redis.call
    await call("HSET", stage.session.hash, "planted", 1)
    await call("HSET", stage.ws.account("ws"), "limits", 1)
    await call("SET", "bursar:{g}:planted", 1, "PX", 60_000)
    await call("SET", GlobalKeys.control("w1"), 1, "PX", 60_000)
    await call("XADD", stage.session.events, "99-0", "t", "turn.planted", "d", "{}")
    await call("XADD", stage.session.events, "100-0", "t", "turn.queued", "d", '{"planted":1}')
    found = await undocumented(store, SCHEMA)
    assert found == [
        "key bursar:{g}:planted",
        f"{GlobalKeys.control('w1')} is a string, documented as list",
        f"field limits of {stage.ws.account('ws')}",
        f"field planted of {stage.session.hash}",
        "event turn.planted",
        "field planted of event turn.queued",
    ]


async def test_a_key_that_should_have_a_ttl_and_has_none_is_found(store: Store) -> None:
    await store.redis.call("RPUSH", GlobalKeys.control("w1"), "acme/s")
    assert await undocumented(store, SCHEMA) == [
        f"{GlobalKeys.control('w1')} has no TTL, documented lifetime: 30 s after the last entry"
    ]
    await store.redis.call("DEL", GlobalKeys.control("w1"))


def test_every_key_that_the_code_can_name_is_documented() -> None:
    ws = WorkspaceKeys("acme", 16)
    session, webhook = ws.session("ses1"), ws.webhook("whk_1")
    shard: ShardKeys = ws.shard
    keys = [
        GlobalKeys.install,
        GlobalKeys.workspaces,
        GlobalKeys.api_keys,
        *(GlobalKeys.signing_keys, GlobalKeys.signing_secrets),
        *(GlobalKeys.audit, GlobalKeys.audit_seals, GlobalKeys.audit_heads),
        *(GlobalKeys.audit_state, GlobalKeys.seal),
        GlobalKeys.agents,
        *(GlobalKeys.manifests, GlobalKeys.manifests_seen),
        GlobalKeys.workers,
        GlobalKeys.sweep,
        GlobalKeys.worker("host-1-ab"),
        GlobalKeys.control("host-1-ab"),
        *(shard.ready, shard.leases, shard.timers, shard.stats, shard.blocked),
        shard.waiting,
        *(shard.blocked_agent("echo"), shard.blocked_paused("acme"), shard.blocked_cap("acme")),
        *(ws.hash, ws.stats, ws.sessions, ws.ledger, ws.sessions_of_user("a@b.c")),
        *(ws.sessions_in_state("idle"), ws.sessions_at_path("a/b"), ws.turn("trn1")),
        *(ws.account("ws"), ws.account("user:u"), ws.account("s:ses1")),
        *(ws.waiters("ws"), ws.waiters("s:ses1"), ws.users, ws.questions),
        *(ws.policies, ws.policy_history),
        *(ws.audit, ws.audit_seals),
        *(ws.hold("ses1/trn1/1/1"), ws.idempotency("turns", "any key: at all")),
        ws.draft("drf_1"),
        *(ws.capabilities, ws.revoked, ws.used),
        *(shard.outbox, shard.deliveries, ws.webhooks, ws.webhook_secrets, ws.events),
        *(webhook.hash, webhook.due, webhook.messages, webhook.dead, webhook.attempts),
        *(session.hash, session.text, session.inbox, session.messages),
        *(session.events, session.effects, session.joins),
        *(session.live, session.members, session.tree_log, session.tree_blocked),
        ws.session("ses1~a1").hash,
    ]
    for key in keys:
        named = [doc.pattern for doc in SCHEMA.keys if doc.names_key(key)]
        assert len(named) == 1, (key, named)


def test_every_key_has_a_type_and_a_lifetime_and_hashes_have_fields() -> None:
    for doc in SCHEMA.keys:
        assert doc.type in {"hash", "list", "set", "stream", "string", "zset"}, doc.pattern
        assert doc.lifetime, doc.pattern
        assert bool(doc.fields) == (doc.type in {"hash", "stream"}), doc.pattern


def test_the_documented_events_are_those_of_the_code() -> None:
    assert set(SCHEMA.events) == set(KINDS)
    for fields in SCHEMA.events.values():
        assert {"session", "turn", "step", "attempt", "seq", "at_ms"} <= fields


def test_the_documented_version_is_the_codes() -> None:
    version = re.search(r"\*\*Schema version: (\d+)\*\*", DOCUMENT.read_text())
    assert version is not None
    assert int(version[1]) == SCHEMA_VERSION
