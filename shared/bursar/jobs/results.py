"""What became of a job's items, read in pages: a job of any size takes the memory of one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal

import msgspec

from bursar.endings import read_ending
from bursar.errors import InvalidInput, NotFound
from bursar.jobs.reading import get
from bursar.jobs.records import (
    Slot,
    id_field,
    slot_field,
    spent_field,
    tries_field,
)
from bursar.sessions import locate
from bursar.store.codec import text
from bursar.store.keys import SessionKeys
from bursar.store.store import Store

__all__ = ["WHICH", "ItemResult", "Which", "read_results"]

_PAGE = 50

Which = Literal["all", "ended", "succeeded", "failed"]
WHICH: dict[Which, Callable[[Slot], bool]] = {
    "all": lambda _: True,
    "ended": lambda slot: slot.ended,
    "succeeded": lambda slot: slot.outcome == "succeeded",
    "failed": lambda slot: slot.ended and slot.outcome != "succeeded",
}


class ItemResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """One item of a job. ``index`` is its place among the inputs, ``id`` the caller's name for it.

    Args:
        state: ``waiting`` before it begins, also if it is to be run again, ``open`` while it is at
            work; then ``succeeded``, ``failed``, ``cancelled`` or ``quarantined``.
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

    Raises:
        NotFound: there is no such job, or not any more.

    """
    if after < -1:
        raise InvalidInput("expected the index of an item", field="after")
    view = await get(store, workspace, job)
    session = locate(store, workspace, view.id)
    for start in range(after + 1, view.total, _PAGE):
        slots = range(start, min(start + _PAGE, view.total))
        page = await _page(store, session, slots, which)
        created = await store.redis.call("HGET", session.hash, "created_ms")
        if text(created) != str(view.created_ms):
            raise NotFound("the job was deleted while it was read", code="job_not_found")
        for result in page:
            yield result


async def _page(store: Store, session: SessionKeys, slots: range, which: Which) -> list[ItemResult]:
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
            reads.append(_read(store, session, slot, bare))
    return await asyncio.gather(*reads)


async def _read(store: Store, job: SessionKeys, slot: Slot, bare: ItemResult) -> ItemResult:
    if not slot.session:
        return msgspec.structs.replace(bare, state="waiting")
    found = await read_ending(
        store, job.workspace.session(slot.session), succeeded=slot.outcome == "succeeded"
    )
    cost = bare.cost_microusd + found.cost_microusd
    if slot.waits:
        return msgspec.structs.replace(bare, state="waiting", cost_microusd=cost)
    return msgspec.structs.replace(
        bare,
        state=slot.outcome or "open",
        output=found.output,
        code=slot.code,
        reason=found.reason,
        cost_microusd=cost,
        steps=found.steps,
        session=slot.session,
    )
