"""How a job is made: its inputs are written piece by piece, and only with the last one it starts.

A job whose making died is completed by the same request with the same Idempotency-Key, or cleared
away a minute later; nothing of it has run.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from bursar import sessions
from bursar.audit.entries import SYSTEM
from bursar.budgets.accounts import check_limit
from bursar.children import MAX_DESCRIPTION, check_output
from bursar.errors import InvalidInput, NotFound
from bursar.failpoints import failpoint
from bursar.ids import new_id
from bursar.jobs.reading import JobView, get
from bursar.jobs.records import MAX_ITEMS, OPTIONS, Item, JobOptions, id_field, item_field
from bursar.messages import UserMessage
from bursar.pruning import delete_tree
from bursar.queue import Bells
from bursar.registry import Registry
from bursar.sessions import SessionSpec, locate, read_facts
from bursar.store.codec import encode_json, encode_message, text
from bursar.store.keys import PRIORITIES, SessionKeys
from bursar.store.scripts import jobs as scripts
from bursar.store.scripts.sessions import Idempotency
from bursar.store.store import Store

__all__ = ["JobInput", "JobSpec", "clear_away", "create", "start_again"]

_CHUNK_ITEMS = 250
_CHUNK_BYTES = 256 * 1024  # of inputs a script; one input alone may be larger
_MAX_ATTEMPTS = 5
_MAX_KEY = 128
_encoder = msgspec.msgpack.Encoder()


class JobInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One input. ``id`` is the caller's own name for it, and stands in its result."""

    input: str
    id: str = ""
    custom: dict[str, Any] = {}


class JobSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a job is to do.

    Args:
        inputs: at most `MAX_ITEMS`; each is an input of the agent in a session of its own.
        limit_microusd: what all of them may spend together.
        item_limit_microusd: what one of them may spend.
        timeout_s: how long one of them may work; waiting does not count.
        attempts: how often one is run that fails, 1-5.
        output: JSON Schema of the answers.
        description: what the job is about, for people.

    """

    agent: str
    inputs: tuple[str | JobInput, ...]
    limit_microusd: int | None = None
    item_limit_microusd: int | None = None
    timeout_s: float | None = None
    attempts: int = 1
    output: dict[str, Any] = {}
    user: str = "anonymous"
    title: str = ""
    model: str = ""
    workspace_path: str = ""
    description: str = ""

    @property
    def options(self) -> JobOptions:
        """How each item is to be run, checked."""
        if not 1 <= self.attempts <= _MAX_ATTEMPTS:
            raise InvalidInput(f"expected 1-{_MAX_ATTEMPTS}", field="attempts")
        if self.timeout_s is not None and not 0 < self.timeout_s < float("inf"):
            raise InvalidInput("expected seconds, more than 0", field="timeout_s")
        limit = self.item_limit_microusd
        if limit is not None and self.limit_microusd is not None and limit > self.limit_microusd:
            raise InvalidInput("expected at most limit_microusd", field="item_limit_microusd")
        return JobOptions(
            limit_microusd=0 if limit is None else check_limit(limit, "item_limit_microusd"),
            timeout_s=self.timeout_s or 0.0,
            attempts=self.attempts,
            output=self.output,
            description=" ".join(self.description.split())[:MAX_DESCRIPTION],
        )

    def items(self, max_bytes: int) -> list[JobInput]:
        """The inputs, checked.

        Raises:
            InvalidInput: names the first that is wrong, such as ``inputs[17].input``.

        """
        if not 1 <= len(self.inputs) <= MAX_ITEMS:
            raise InvalidInput(f"expected 1-{MAX_ITEMS} of them", field="inputs")
        items = [each if isinstance(each, JobInput) else JobInput(each) for each in self.inputs]
        known: dict[str, int] = {}
        for index, item in enumerate(items):
            place = f"inputs[{index}]"
            if not item.input.strip():
                raise InvalidInput("expected some text", field=f"{place}.input")
            if len(_encoder.encode(Item(item.input, item.custom))) > max_bytes:
                raise InvalidInput(
                    f"expected at most {max_bytes} bytes",
                    field=f"{place}.input",
                    code="input_too_large",
                )
            if len(item.id) > _MAX_KEY or not item.id.isprintable():
                raise InvalidInput(
                    f"expected at most {_MAX_KEY} printable characters", field=f"{place}.id"
                )
            if item.id and known.setdefault(item.id, index) != index:
                raise InvalidInput(
                    f"expected another one than inputs[{known[item.id]}] has", field=f"{place}.id"
                )
        return items


async def create(
    store: Store,
    registry: Registry,
    bells: Bells,
    workspace: str,
    spec: JobSpec,
    idempotency: Idempotency = Idempotency(),  # noqa: B008  (frozen)
    *,
    actor: str = SYSTEM,
) -> JobView:
    """Make a job and start it. With the same Idempotency-Key again, it is completed if need be.

    Raises:
        InvalidInput: names what is wrong; nothing is made then.
        LimitReached: too much waits in the workspace; repeat it with the same key.

    """
    items, options = spec.items(store.settings.max_input_bytes), spec.options
    longest_s = store.settings.child_timeout_max_s
    if options.timeout_s > longest_s:
        raise InvalidInput(f"expected at most {longest_s:g} seconds", field="timeout_s")
    await asyncio.to_thread(check_output, options.output)
    fresh = locate(store, workspace, new_id("job"))
    await scripts.expect(store, fresh)
    made = await sessions.create(
        store,
        registry,
        workspace,
        SessionSpec(
            agent=spec.agent,
            id=fresh.id,
            user=spec.user,
            title=spec.title,
            model=spec.model,
            workspace_path=spec.workspace_path,
            limit_microusd=spec.limit_microusd,
            priority=PRIORITIES[1],
        ),
        idempotency,
        actor=actor,
        fields={"job": 1},
        texts={"request": f"{idempotency.scope} {idempotency.key}"},
    )
    session = locate(store, workspace, made.id)
    filled = 0
    for start, until, fields in _chunks(items, options):
        if start >= filled:
            failpoint("C18")
            filled = await scripts.fill(store, session, fields, start=start, until=until)
    failpoint("C19")
    await _start(store, registry, bells, session, total=len(items))
    return await get(store, workspace, session.id)


async def start_again(
    store: Store,
    registry: Registry,
    bells: Bells,
    workspace: str,
    job: str,
    idempotency: Idempotency = Idempotency(),  # noqa: B008  (frozen)
) -> JobView:
    """Run all items again that have not succeeded, in a new turn of the job.

    Raises:
        Conflict: it is at work, or nothing failed.

    """
    view = await get(store, workspace, job)
    session = locate(store, workspace, view.id)
    left = view.total - view.succeeded
    await _start(store, registry, bells, session, total=left, again=True, idempotency=idempotency)
    return await get(store, workspace, job)


async def _start(
    store: Store,
    registry: Registry,
    bells: Bells,
    session: SessionKeys,
    *,
    total: int,
    again: bool = False,
    idempotency: Idempotency = Idempotency(),  # noqa: B008  (frozen)
) -> None:
    facts, turn = await read_facts(store, session), new_id("trn")
    entry = await registry.find(facts.agent)
    said = f"Run again what has not succeeded: {total} items." if again else f"{total} inputs."
    started = await scripts.start(
        store,
        session,
        facts,
        turn=turn,
        payload=encode_message(UserMessage(said, turn=turn)),
        total=total,
        no_worker=entry is None or not entry.live,
        again=again,
        idempotency=idempotency,
    )
    if started.ring is not None:
        await bells.ring(started.ring)


def _chunks(
    items: Sequence[JobInput], options: JobOptions
) -> Iterator[tuple[int, int, Mapping[str, bytes]]]:
    """Fields to write, with the places of the first item and of the one after the last."""
    fields: dict[str, bytes] = {OPTIONS: encode_json(options)}
    start, size = 0, 0
    for slot, item in enumerate(items):
        fields[item_field(slot)] = _encoder.encode(Item(item.input, item.custom))
        size += len(fields[item_field(slot)])
        if item.id:
            fields[id_field(slot)] = item.id.encode()
        if slot + 1 - start == _CHUNK_ITEMS or size > _CHUNK_BYTES or slot + 1 == len(items):
            yield start, slot + 1, fields
            fields, start, size = {}, slot + 1, 0


async def clear_away(store: Store, session: SessionKeys) -> None:
    """Delete a job whose making died on the way; for the sweeper, when its timer is due."""
    request = text(await store.redis.call("HGET", session.text, "request"))
    scope, _, key = request.partition(" ")
    once = Idempotency(scope, key) if key else Idempotency()
    if not await scripts.give_up(store, session, once):
        return
    with contextlib.suppress(NotFound):  # another sweeper was there first
        await delete_tree(store, session.workspace.id, session.id)
    timers = session.workspace.shard.timers
    await store.redis.call("ZREM", timers, session.timer("job", "-"))
