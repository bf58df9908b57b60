"""The auditor: what must be true once everything has come to rest, whatever was broken before."""

import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from redis.asyncio import Redis

from bench.chaos.client import Accepted
from bench.chaos.site import ROOT
from bursar.budgets.audit import audit_budgets
from bursar.events import TERMINAL
from bursar.messages import AssistantMessage, Message, ToolMessage
from bursar.settings import Settings
from bursar.store.codec import decode_message
from bursar.store.keys import SessionKeys, WorkspaceKeys
from bursar.store.redis import connect
from bursar.store.store import Store
from bursar.turns import ENDED

__all__ = ["Findings", "audit", "audit_money"]


@dataclass
class Findings:
    """What was counted, and each thing that is wrong."""

    quarantine: bool = False
    turns: Counter[str] = field(default_factory=Counter)
    effects: Counter[str] = field(default_factory=Counter)
    unknown: int = 0
    abandoned: int = 0
    wrong: list[str] = field(default_factory=list)


async def audit(
    redis: Redis, accepted: Iterable[Accepted], effects: Path, *, quarantine: bool = False
) -> Findings:
    """Look at every turn that was accepted, its session's log and history, and at the money.

    Args:
        quarantine: whether turns that are no poison may have been quarantined, because the same
            sessions were hit again and again.

    """
    findings = Findings(quarantine)
    turns = list(accepted)
    shards = int(await redis.hget("bursar:{g}:install", "shards") or 16)  # type: ignore[misc]
    took = list(_effects(effects, findings))
    for ref in sorted({(turn.workspace, turn.session) for turn in turns}):
        session = WorkspaceKeys(ref[0], shards).session(ref[1])
        mine = [turn for turn in turns if (turn.workspace, turn.session) == ref]
        await _check_session(redis, session, mine, took, findings)
    for workspace in sorted({turn.workspace for turn in turns}):
        findings.wrong += await audit_money(redis, workspace, shards)
    await _check_lifetimes(redis, findings)
    return findings


def _effects(path: Path, findings: Findings) -> Iterator[tuple[str, str, str]]:
    """Class, turn and key of each effect; one of a class that must not happen twice is wrong."""
    seen: Counter[str] = Counter()
    for line in path.read_text().splitlines():
        kind, _, turn, step, call, key = line.split(" ")
        findings.effects[kind] += 1
        seen[key] += 1
        if kind == "at_most_once" and seen[key] == 2:
            findings.wrong.append(f"effect {call} of step {step} of {turn} happened twice")
        yield kind, turn, f"{step}/{call}"


async def _check_session(
    redis: Redis,
    session: SessionKeys,
    turns: list[Accepted],
    took: list[tuple[str, str, str]],
    findings: Findings,
) -> None:
    events = [
        (int(entry_id.split(b"-")[0]), fields[b"t"].decode(), msgspec.json.decode(fields[b"d"]))
        for entry_id, fields in await redis.xrange(session.events)
    ]
    numbers = [seq for seq, _, _ in events]
    newest = int(await redis.hget(session.hash, "event_seq") or 0)  # type: ignore[misc]
    if numbers != list(range(1, newest + 1)):
        findings.wrong.append(f"{session.ref}: event ids are not 1 to {newest} without a gap")
    raw = await redis.lrange(session.messages, 0, -1)  # type: ignore[misc]
    messages = [decode_message(entry) for entry in raw]
    for turn in turns:
        state = await redis.hget(session.workspace.turn(turn.turn), "state")  # type: ignore[misc]
        word = state.decode() if state else "missing"
        findings.turns[word] += 1
        if word not in ENDED:
            findings.wrong.append(f"turn {turn.turn} of {session.ref} is {word}")
        ends = [kind for _, kind, data in events if data["turn"] == turn.turn and kind in TERMINAL]
        if len(ends) != 1:
            findings.wrong.append(f"turn {turn.turn} has {len(ends)} terminal events")
        quarantined = word == "quarantined"
        if quarantined != turn.poison and not (quarantined and findings.quarantine):
            findings.wrong.append(f"turn {turn.turn}, poison {turn.poison}, is {word}")
        _check_attempts(turn.turn, events, findings)
        _check_calls(turn.turn, messages, took, findings)
    left = await redis.hlen(session.effects) + await redis.llen(session.inbox)  # type: ignore[misc]
    if left:
        findings.wrong.append(f"{session.ref} has {left} open effects or inbox items")


def _check_attempts(
    turn: str, events: list[tuple[int, str, dict[str, Any]]], findings: Findings
) -> None:
    """Between two starts of one step clients must be told to forget the first one's output.

    Once they were, nothing of the old attempt may follow: that would be a write of a lost owner.
    """
    open_steps: dict[int, int] = {}
    over: dict[int, int] = {}
    for seq, kind, data in events:
        if data["turn"] != turn:
            continue
        step = data["step"]
        if kind == "step.started":
            if step in open_steps:
                findings.wrong.append(f"{turn} step {step} starts again at {seq} unannounced")
            open_steps[step] = data["attempt"]
        elif kind == "step.abandoned":
            findings.abandoned += 1
            open_steps.pop(step, None)
            over[step] = data["attempt"]
        elif kind == "text.delta" and data["attempt"] <= over.get(step, 0):
            findings.wrong.append(
                f"{turn} step {step}: a stale write of {data['attempt']} at {seq}"
            )


def _check_calls(
    turn: str, messages: list[Message], took: list[tuple[str, str, str]], findings: Findings
) -> None:
    """Each call has one result, and one that began and was cut off says so."""
    asked = {
        f"{message.step}/{call.id}"
        for message in messages
        if isinstance(message, AssistantMessage) and message.turn == turn
        for call in message.tool_calls
    }
    results = [m for m in messages if isinstance(m, ToolMessage) and m.turn == turn]
    answered = Counter(f"{result.step}/{result.call_id}" for result in results)
    if set(answered) != asked or any(count != 1 for count in answered.values()):
        findings.wrong.append(f"{turn}: calls and results do not match")
    findings.unknown += sum(result.unknown for result in results)
    shown = {
        f"{result.step}/{result.call_id}"
        for result in results
        if result.unknown or result.output.startswith("done ")
    }
    for kind, of_turn, place in took:
        if of_turn == turn and kind == "at_most_once" and place not in shown:
            findings.wrong.append(f"{turn}: the effect of call {place} is not shown")


async def audit_money(redis: Redis, workspace: str, shards: int) -> list[str]:
    """Nothing is held any more, and every account is what the ledger adds up to."""
    async with _store_of(redis, shards) as store:
        audit = await audit_budgets(store, workspace)
    wrong = [f"{workspace} has {audit.holds} open holds"] if audit.holds else []
    for one in audit.differences:
        place = f"{workspace}, account {one.account}"
        wrong.append(f"{place}: {one.field} is {one.found}, expected {one.expected}")
    return wrong


@asynccontextmanager
async def _store_of(redis: Redis, shards: int) -> AsyncIterator[Store]:
    """The same data as the domain reads it."""
    at = redis.connection_pool.connection_kwargs
    url = f"redis://{at.get('host', '127.0.0.1')}:{at['port']}/{at.get('db', 0)}"
    client = connect(url, timeout_s=10)
    try:
        settings = Settings(redis_url=url, shards=shards)
        yield Store(client, settings, generation=0, pepper="")
    finally:
        await client.aclose()


async def _check_lifetimes(redis: Redis, findings: Findings) -> None:
    """Every key that never goes away is one that the documented schema says stays."""
    stays = [_as_regex(pattern) for pattern in _permanent()]
    async for key in redis.scan_iter(match="bursar:*"):
        name = key.decode()
        if await redis.ttl(key) == -1 and not any(regex.fullmatch(name) for regex in stays):
            findings.wrong.append(f"{name} has no lifetime")


def _permanent() -> Iterator[str]:
    """Keys that live on: permanent ones, and what belongs to a session or is open."""
    pattern = ""
    for line in (ROOT / "docs" / "redis-schema.md").read_text().splitlines():
        heading = re.fullmatch(r"### `(.+)`", line)
        if heading:
            pattern = heading[1]
        elif re.match(r"Type: \w+\. Lifetime: (permanent|as the session)", line):
            yield pattern


def _as_regex(pattern: str) -> re.Pattern[str]:
    """Ids hold no colon, but the names of accounts do."""
    parts = [re.escape(part) for part in re.split(r"<\w+>", pattern)]
    return re.compile((".+" if "<account>" in pattern else "[^:]+").join(parts))
