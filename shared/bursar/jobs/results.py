"""What became of a job's items, read in pages: a job of any size takes the memory of one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal

import msgspec

from bursar.errors import InvalidInput
from bursar.jobs.reading import get
from bursar.jobs.records import (
    OPTIONS,
    JobOptions,
    Slot,
    id_field,
    slot_field,
    spent_field,
    tries_field,
)
from bursar.messages import AssistantMessage
from bursar.sessions import locate
from bursar.store.codec import decode_json, decode_message, text
from bursar.store.keys import SessionKeys
from bursar.store.store import Store

__all__ = ["WHICH", "ItemResult", "Which", "read_results"]

_PAGE = 50

Which = Literal["all", "ended", "succeeded", "failed"]
WHICH: dict[Which, Callable[[Slot], bool]] = {
    "all": lambda _: True,
    "ended": lambda slot: bool(slot.outcome),
    "succeeded": lambda slot: slot.outcome == "succeeded",
    "failed": lambda slot: slot.outcome not in {"", "succeeded"},
}


class ItemResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """One item of a job. ``index`` is its place among the inputs, ``id`` the caller's name for it.

    Args:
        state: ``waiting`` before it begins, ``open`` while it is at work; then ``succeeded``,
            ``failed``, ``cancelled`` or ``quarantined``.
        output: the answer: text, or what its JSON says if the job asks for that. Of one that did
            not succeed, what it had said until then.
        cost_microusd: of all its attempts.
        session: the newest attempt's.

    """

    index: int
    state: str
    output: Any
    cost_microusd: int
    steps: int
    attempts: int
    id: str = ""
    code: str = ""
    reason: str = ""
    session: str = ""


async def read_results(
    store: Store, workspace: str, job: str, *, which: Which = "all", after: int = -1
) -> AsyncIterator[ItemResult]:
    """Yield items in the order of the inputs; as they are now, if the job is under way.

    Args:
        after: begin behind the item of this index.

    """
    if after < -1:
        raise InvalidInput("expected the index of an item", field="after")
    view = await get(store, workspace, job)
    session = locate(store, workspace, view.id)
    raw = await store.redis.call("HGET", session.joins, OPTIONS)
    options = decode_json(raw, JobOptions) if raw else JobOptions()
    for start in range(after + 1, view.total, _PAGE):
        slots = range(start, min(start + _PAGE, view.total))
        for result in await _page(store, session, slots, which, structured=bool(options.output)):
            yield result


async def _page(
    store: Store, session: SessionKeys, slots: range, which: Which, *, structured: bool
) -> list[ItemResult]:
    names = (slot_field, id_field, tries_field, spent_field)
    fields = [name(slot) for slot in slots for name in names]
    values = list(map(text, await store.redis.call("HMGET", session.joins, *fields)))
    reads = []
    for at, index in enumerate(slots):
        value, key, tries, spent = values[at * len(names) : (at + 1) * len(names)]
        slot = Slot.parse(value)
        if WHICH[which](slot):
            attempts = int(tries or (1 if slot.session else 0))
            bare = ItemResult(index, slot.outcome, "", int(spent or 0), 0, attempts, id=key)
            reads.append(_read(store, session, slot, bare, structured=structured))
    return await asyncio.gather(*reads)


async def _read(
    store: Store, job: SessionKeys, slot: Slot, bare: ItemResult, *, structured: bool
) -> ItemResult:
    if not slot.session:
        return msgspec.structs.replace(bare, state="waiting")
    redis, ws = store.redis, job.workspace
    session = ws.session(slot.session)
    turn = ws.turn(f"trn_{slot.session.partition('~')[2]}")
    # Not from the turn's record, which is kept for a week only; but nothing else knows the reason.
    reason, steps, posted, last = await asyncio.gather(
        redis.call("HGET", turn, "reason"),
        redis.call("HGET", session.hash, "step_count"),
        redis.call("HGET", session.account, "posted"),
        redis.call("LINDEX", session.messages, -1),
    )
    message = decode_message(last) if last else None
    said: Any = message.text if isinstance(message, AssistantMessage) else ""
    if structured and slot.outcome == "succeeded":
        said = msgspec.json.decode(said)
    return msgspec.structs.replace(
        bare,
        state=slot.outcome or "open",
        output=said,
        code=slot.code,
        reason=text(reason),
        cost_microusd=bare.cost_microusd + int(posted or 0),
        steps=int(steps or 0),
        session=slot.session,
    )
