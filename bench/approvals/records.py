"""Does the audit log of a workspace hold every decision, once?"""

from collections import Counter
from collections.abc import Mapping

import msgspec
from redis.asyncio import Redis

from bench.approvals.effects import Effect
from bench.approvals.office import Question
from bursar.store.keys import WorkspaceKeys

__all__ = ["check_records"]


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    seq: int
    action: str
    decision: str
    actor: str
    proof: str = "system"
    proof_id: str = ""
    turn: str = ""
    arguments_sha256: str = ""
    outcome: str = ""


async def check_records(
    redis: Redis, workspace: str, answered: Mapping[str, Question], effects: list[Effect]
) -> list[str]:
    """Return what is missing or doubled.

    Each question has one entry of its asking and one of its answer, each call that ran has one of
    its start by what let it, and the numbers of the log have no gap.
    """
    shards = int(await redis.hget("bursar:{g}:install", "shards") or 16)  # type: ignore[misc]
    raw = await redis.xrange(WorkspaceKeys(workspace, shards).audit)
    entries = [msgspec.json.decode(fields[b"d"], type=_Entry) for _, fields in raw]
    wrong = []
    if [entry.seq for entry in entries] != list(range(1, len(entries) + 1)):
        wrong.append("the numbers of the audit log have gaps")
    about = [entry for entry in entries if entry.proof_id.startswith("apr_")]
    asked = Counter(entry.proof_id for entry in about if entry.decision == "ask")
    told = Counter(entry.proof_id for entry in about if entry.actor.startswith("key:"))
    started = Counter(
        entry.proof_id
        for entry in about
        if entry.decision == "allow" and entry.actor.startswith("agent:")
    )
    for approval, question in answered.items():
        for what, count in (("question", asked[approval]), ("answer", told[approval])):
            if count != 1:
                wrong.append(f"{what} {approval} has {count} audit entries")
        if question["said"] == "deny" and started[approval]:
            wrong.append(f"the start of a denied call is on record: {approval}")
    begun = {(q["turn"], q["call"]) for approval, q in answered.items() if started[approval]}
    return wrong + [
        f"call {effect.call} of {effect.turn} ran without an audit entry"
        for effect in effects
        if (effect.turn, effect.call) not in begun
    ]
