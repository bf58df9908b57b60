"""Checked at the end of every test that used a store."""

import re
from collections import defaultdict

import msgspec

from bursar.budgets.audit import audit_budgets
from bursar.gate.approvals import OPEN
from bursar.store.codec import text
from bursar.store.keys import GlobalKeys
from bursar.store.store import Store

PERMANENT = [
    r"bursar:\{g\}:audit(:seals|:heads|:state)?",
    r"bursar:\{g\}:install(:workspaces|:api_keys|:signing_keys|:signing_secrets)?",
    r"bursar:\{g\}:(agents|workers|manifests(:seen)?)",
    r"bursar:\{s\d\d\}:(ready|leases|timers|stats|waiting|outbox|blocked(:\w+:.+)?)",
    r"bursar:\{s\d\d\}:w:[^:]+(:stats|:ledger|:users|:jobs|:questions|:sessions(:(user|state|path):.+)?|:acct:.+)?",
    r"bursar:\{s\d\d\}:w:[^:]+:(audit(:seals)?|policies(:history)?|allowances|capabilities|revoked|used|feed|webhooks)",
    r"bursar:\{s\d\d\}:w:[^:]+:approvals(:repeats)?",
    r"bursar:\{s\d\d\}:deliveries",
    r"bursar:\{s\d\d\}:w:[^:]+:webhook:[^:]+(:due|:messages|:dead|:attempts)?",
    r"bursar:secrets:\{s\d\d\}:w:[^:]+:webhooks",
    r"bursar:\{s\d\d\}:w:[^:]+:s:[^:]+(:text|:inbox|:messages|:effects|:allowances|:approvals|:members|:live|:joins)?",
]
"""Keys without a lifetime. They go when what they belong to is deleted."""

_MEMBERS = re.compile(r"(?P<root>bursar:\{s\d\d\}:w:[^:]+:s:[^:]+):members")
_ACCOUNT = re.compile(r"bursar:\{s\d\d\}:w:(?P<ws>[^:]+):acct:(?P<name>(?!.*:waiters$).+)")
_PERMANENT = re.compile("|".join(PERMANENT))


async def check_lifetimes(store: Store) -> None:
    """Every key has a TTL or is one that stays on purpose; event logs of idle sessions have one."""
    leaked = []
    for raw in await _keys(store, "bursar:*"):
        key = text(raw)
        if await store.redis.call("PTTL", raw) != -1 or _PERMANENT.fullmatch(key):
            continue
        if re.fullmatch(r".*:t:[^:]+", key) and text(
            await store.redis.call("HGET", raw, "state")
        ) in {"queued", "running", "waiting"}:
            continue
        if (
            re.fullmatch(r".*:hold:.+", key)
            and text(await store.redis.call("HGET", raw, "state")) == "open"
        ):
            continue
        if (
            re.fullmatch(r".*:approval:[^:]+", key)
            and text(await store.redis.call("HGET", raw, "state")) in OPEN
        ):
            continue
        if key.endswith(":events"):
            session = key.removesuffix(":events")
            values = await store.redis.call("HMGET", session, "state", "turn_count")
            if text(values[0]) != "idle" or text(values[1]) == "0":
                continue
        leaked.append(key)
    assert not leaked, f"keys that nobody deletes: {leaked}"


async def check_accounts(store: Store) -> None:
    """The audit finds nothing wrong with any account, also of workspaces that are not listed."""
    accounts: dict[str, list[str]] = defaultdict(list)
    for raw in await _keys(store, "bursar:*:acct:*"):
        found = _ACCOUNT.fullmatch(text(raw))
        if found:
            accounts[found["ws"]].append(found["name"])
    for workspace, names in accounts.items():
        audit = await audit_budgets(store, workspace, sorted(names))
        assert audit.differences == [], workspace


async def check_audit_logs(store: Store) -> None:
    """Entries are numbered without gaps, up to their counter, and say that number themselves."""
    for raw in await _keys(store, "bursar:*:audit"):
        key = text(raw)
        counter = GlobalKeys.install if key == GlobalKeys.audit else key.removesuffix(":audit")
        counted, trimmed = await store.redis.call("HMGET", counter, "audit_seq", "trimmed_seq")
        entries = await store.redis.call("XRANGE", raw, "-", "+")
        numbers = [msgspec.json.decode(fields[b"d"])["seq"] for _, fields in entries]
        expected = list(range(int(trimmed or 0) + 1, int(counted) + 1))
        assert numbers == expected, key
        assert [text(entry) for entry, _ in entries] == [f"{seq}-0" for seq in expected], key


async def _keys(store: Store, pattern: str) -> list[bytes]:
    """Of all servers."""
    servers = (await store.redis.servers()).values()
    return [key for server in servers for key in await server.call("KEYS", pattern)]


async def check_trees(store: Store) -> None:
    """What a root counts for its tree is what its sessions say."""
    for raw in await _keys(store, "bursar:*:members"):
        found = _MEMBERS.fullmatch(text(raw))
        assert found is not None, raw
        root = found["root"]
        prefix = root.rpartition(":s:")[0]
        sids = [text(sid) for sid in await store.redis.call("ZRANGE", raw, 0, -1)]
        alive, driven = set(), 0
        for sid in sids:
            key = f"{prefix}:s:{sid}"
            state, lease = map(
                text, await store.redis.call("HMGET", key, "state", "lease_until_ms")
            )
            alive |= {sid} if state != "ended" else set()
            driven += lease != "0"
        live = {text(sid) for sid in await store.redis.call("SMEMBERS", f"{root}:live")}
        running = int(text(await store.redis.call("HGET", root, "tree_running")) or 0)
        assert (live, running) == (alive, driven), f"{root}: {live} {running}, not {alive} {driven}"
