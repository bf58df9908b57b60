"""What sessions go through that live long or in numbers: copies, shorter contexts, jobs."""

from bursar.documents import read_document
from bursar.events import Span
from bursar.forking import ForkSpec, fork
from bursar.ids import new_id
from bursar.jobs.records import item_field
from bursar.leases import InboxItem, Lease
from bursar.messages import UserMessage
from bursar.portability import ImportOptions, export_session, import_session
from bursar.registry import AgentEntry, Registry, announce
from bursar.store.codec import encode_message
from bursar.store.scripts import contexts, jobs
from bursar.store.scripts.contexts import Moved
from bursar.store.scripts.drafts import Draft
from bursar.store.scripts.sessions import Idempotency
from bursar.store.scripts.turns import Commit
from support.stage import Stage

__all__ = ["live_as_a_job", "live_through_copies", "shorten_the_context"]


async def live_through_copies(stage: Stage) -> None:
    """A fork, an import, and a history that never becomes a session's."""
    store, workspace, name = stage.store, stage.ws.id, new_id("fork")
    await announce(store, {"id": "w9"}, [AgentEntry("echo", "default", "m")])
    registry = Registry(store)
    await fork(store, registry, workspace, stage.session.id, ForkSpec(id=name))
    pieces = [piece async for piece in await export_session(store, workspace, name)]
    document = read_document(b"".join(pieces))
    await import_session(store, registry, workspace, document, ImportOptions(new_id=True))
    await Draft(store, stage.ws).add([b"\x80"])


async def shorten_the_context(stage: Stage, lease: Lease, turn: str) -> None:
    """As a worker does, whose agent has a context provider."""
    await contexts.put_context(stage.store, lease, "context")
    places = {"from": 0, "to": 1, "tokens_before": 9, "cost_microusd": 0}
    event = Span(stage.session.id, turn).event("context.compacted", **places)
    await contexts.compact(
        stage.store,
        lease,
        turn,
        Moved(0, 1, "summary", [0]),
        retry_tokens=10,
        commit=Commit(),
        events=[event],
    )


async def live_as_a_job(stage: Stage) -> None:
    """A job that is made and begins a round, and one that is never started."""
    job, lost = await _made(stage, 2), await _made(stage, 2)
    tid = new_id("trn")
    started = await jobs.start(
        stage.store,
        job.session,
        job.facts,
        turn=tid,
        payload=encode_message(UserMessage("2 inputs.", turn=tid)),
        total=2,
        no_worker=False,
    )
    assert started.ring is not None
    claimed = await job.claim(item=InboxItem(1, "input", tid))
    new = jobs.Round(tid, 1, 1, 32)
    await jobs.add_to_round(stage.store, claimed.lease, new, [1], at=0, begins=True)
    await stage.store.redis.call("ZADD", stage.ws.shard.timers, 1, lost.session.timer("job", "-"))
    assert await jobs.give_up(stage.store, lost.session, Idempotency())


async def _made(stage: Stage, items: int) -> Stage:
    """A job with all of its inputs, which is not started."""
    made = stage.other(new_id("job"))
    await jobs.expect(stage.store, made.session)
    await made.open()
    await stage.store.redis.call("HSET", made.session.hash, "job", 1)
    fields = {item_field(slot): b"\x80" for slot in range(items)}
    filled = await jobs.fill(stage.store, made.session, fields, start=0, until=items)
    assert filled == items
    return made
