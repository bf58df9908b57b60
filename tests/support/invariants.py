"""Checked at the end of every test that used a store."""

import re
from collections import defaultdict

from bursar.store.codec import text
from bursar.store.keys import GlobalKeys
from bursar.store.store import Store

PERMANENT = [
    r"bursar:\{g\}:install(:workspaces|:api_keys)?",
    r"bursar:\{g\}:(agents|workers)",
    r"bursar:\{s\d\d\}:(ready|leases|timers|stats|blocked(:\w+:.+)?)",
    r"bursar:\{s\d\d\}:w:[^:]+(:stats|:ledger|:sessions(:(user|state|path):.+)?|:acct:.+)?",
    r"bursar:\{s\d\d\}:w:[^:]+:s:[^:]+(:text|:inbox|:messages|:effects)?",
]
"""Keys without a lifetime. They go when what they belong to is deleted."""

_PERMANENT = re.compile("|".join(PERMANENT))


async def check_lifetimes(store: Store) -> None:
    """Every key has a TTL or is one that stays on purpose; event logs of idle sessions have one."""
    leaked = []
    for raw in await store.redis.call("KEYS", "bursar:*"):
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
        if key.endswith(":events"):
            session = key.removesuffix(":events")
            values = await store.redis.call("HMGET", session, "state", "turn_count")
            if text(values[0]) != "idle" or text(values[1]) == "0":
                continue
        leaked.append(key)
    assert not leaked, f"keys that nobody deletes: {leaked}"


async def check_accounts(store: Store) -> None:
    """Each account is within its limit, and its pending is what open holds add up to."""
    held: dict[str, int] = defaultdict(int)
    for raw in await store.redis.call("KEYS", "bursar:*:hold:*"):
        hold = {text(k): text(v) for k, v in (await store.redis.call("HGETALL", raw)).items()}
        if hold["state"] == "open":
            prefix = text(raw).split(":hold:")[0]
            for name in hold["accounts"].split(","):
                held[f"{prefix}:acct:{name}"] += int(hold["cost"])
    for raw in await store.redis.call("KEYS", "bursar:*:acct:*"):
        a = {text(k): text(v) for k, v in (await store.redis.call("HGETALL", raw)).items()}
        posted, pending = int(a["posted"]), int(a["pending"])
        assert posted >= 0, f"{text(raw)}: posted {posted}"
        assert pending == held[text(raw)], (
            f"{text(raw)}: pending {pending}, holds {held[text(raw)]}"
        )
        if a["limit"] != "unlimited":
            bound = max(int(a["limit"]), int(a["floor"])) + int(a["overrun"])
            assert posted + pending <= bound, f"{text(raw)}: {posted} + {pending} > {bound}"
    for raw in await store.redis.call("SMEMBERS", GlobalKeys.workspaces):
        await _check_ledger(store, text(raw))


async def _check_ledger(store: Store, workspace: str) -> None:
    """What the ledger says was spent is what the accounts say."""
    ws = store.workspace(workspace)
    posted: dict[str, int] = defaultdict(int)
    for _, fields in await store.redis.call("XRANGE", ws.ledger, "-", "+"):
        entry = {text(k): text(v) for k, v in fields.items()}
        if entry["op"] != "limit":
            for name in entry["accounts"].split(","):
                posted[name] += int(entry["actual"])
    for name, amount in posted.items():
        raw = await store.redis.call("HGET", ws.account(name), "posted")
        if raw is not None:
            assert int(raw) == amount, f"{workspace} {name}: posted {text(raw)}, ledger {amount}"
