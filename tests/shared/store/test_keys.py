"""Keys: one hash tag per workspace, and ids that cannot leave their place."""

import re
from zlib import crc32

from bursar.store.keys import STATES, WorkspaceKeys, parse_ref, shard_of

WS = WorkspaceKeys("acme", 16)
SESSION = WS.session("ses1")


def test_a_shard_is_the_crc_of_the_workspace() -> None:
    assert shard_of("acme", 16) == crc32(b"acme") % 16 == 14
    assert WorkspaceKeys("acme", 16).hash == "bursar:{s14}:w:acme"
    assert {shard_of(f"w{i}", 16) for i in range(500)} == set(range(16))


def test_all_keys_of_a_workspace_share_one_hash_tag() -> None:
    keys = [
        *SESSION.stateful, *SESSION.counted, SESSION.text, SESSION.inbox, SESSION.messages,
        SESSION.effects, SESSION.account, WS.ledger, WS.hold("h"), WS.turn("t"), WS.stats,
        WS.idempotency("a", "b"), WS.sessions, WS.shard.ready, WS.shard.leases, WS.shard.timers,
        WS.shard.stats, WS.shard.blocked, WS.shard.blocked_agent("a"), WS.shard.blocked_cap("acme"),
    ]  # fmt: skip
    assert {re.findall(r"\{(.*?)\}", key)[0] for key in keys} == {"s14"}


def test_small_shard_numbers_have_two_digits() -> None:
    workspace = next(f"w{i}" for i in range(100) if shard_of(f"w{i}", 16) == 3)
    assert WorkspaceKeys(workspace, 16).hash == f"bursar:{{s03}}:w:{workspace}"


def test_stateful_scripts_begin_with_the_same_thirteen_keys() -> None:
    assert len(SESSION.stateful) == 13
    assert SESSION.stateful[:6] == SESSION.counted
    assert SESSION.counted[:4] == SESSION.logged
    assert [key.rpartition(":")[2] for key in SESSION.stateful[6:11]] == list(STATES)


def test_a_reference_leads_back_to_its_session() -> None:
    assert parse_ref(SESSION.ref) == ("acme", "ses1")


def test_a_session_without_a_path_has_the_plain_index_only() -> None:
    assert WS.sessions_at_path("") == WS.sessions
    assert WS.sessions_at_path("a/b") == f"{WS.sessions}:path:a/b"


def test_a_timer_says_what_is_due_for_whom() -> None:
    assert SESSION.timer("wake", "trn1") == "wake acme/ses1 trn1"


def test_the_channel_of_a_session_is_its_stream() -> None:
    assert SESSION.events == f"{SESSION.hash}:events"
