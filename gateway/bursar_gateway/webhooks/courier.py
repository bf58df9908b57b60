"""Looks what there is to deliver, in every gateway and without an election.

What the look finds is settled by scripts that check again: an event leaves the outbox together with
its arrival at all endpoints that want it, and an endpoint has one gateway at a time. So several
gateways that see the same only waste a little work.
"""

import asyncio
import logging
import random
from collections.abc import Iterable, Mapping
from functools import partial

from bursar.errors import BursarError, StoreUnavailable
from bursar.settings import GatewaySettings
from bursar.store.codec import decode_json, text
from bursar.store.keys import ShardKeys, parse_ref
from bursar.store.scripts import deliveries
from bursar.store.scripts.deliveries import Look, OutboxEntry, Share
from bursar.store.store import Store
from bursar.webhooks.endpoints import TEST, Endpoint
from bursar.webhooks.messages import failed_body, message_body, message_id
from bursar_gateway.webhooks.line import Line
from bursar_gateway.webhooks.sending import Sender

__all__ = ["Courier"]

logger = logging.getLogger(__name__)

_LOOK_EVERY_S = 0.5
_LOOK_MAX = 100  # events and endpoints of one shard a look
_LINES_MAX = 500  # endpoints that one gateway has at a time
_SENDING_MAX = 256  # messages that one gateway sends at a time
_STOP_WITHIN_S = 3.0


class Courier:
    """Delivers in one gateway. `run` must run beside it; `aclose` it after that."""

    def __init__(self, store: Store, settings: GatewaySettings, sender: Sender) -> None:
        self._store = store
        self._settings = settings
        self._sender = sender
        self._shards = [ShardKeys(number) for number in range(settings.shards)]
        self._lines: dict[str, tuple[Line, asyncio.Task[None]]] = {}
        self._slots = asyncio.Semaphore(_SENDING_MAX)

    async def run(self) -> None:
        """Look round by round until cancelled. Whatever goes wrong is logged, and tried again."""
        while True:
            more = False
            try:
                more = await self.look()
            except BursarError as error:
                logger.warning("webhooks were not looked after: %s", error)
            except Exception:
                logger.exception("webhooks were not looked after")
            if not more:
                await asyncio.sleep(_LOOK_EVERY_S * random.uniform(0.8, 1.2))  # noqa: S311

    async def look(self) -> bool:
        """One round; returns whether there is more to hand over at once."""
        looks = await asyncio.gather(
            *(deliveries.look(self._store, shard, limit=_LOOK_MAX) for shard in self._shards),
            return_exceptions=True,
        )
        more = False
        for shard, found in zip(self._shards, looks, strict=True):
            if isinstance(found, Look):
                more = more or len(found.entries) == _LOOK_MAX
                reached = await self._hand_over(shard, found.entries)
                self._open([*reached, *found.due])
            elif isinstance(found, StoreUnavailable):
                # A node of a Cluster that is away must not hold up the others.
                logger.warning("webhooks of shard %d must wait: %s", shard.shard, found)
            else:
                raise found
        return more

    async def aclose(self) -> None:
        """Take nothing more, and let what is under way come to its answer, but not for ever."""
        lines = [task for _, task in self._lines.values()]
        for line, _ in self._lines.values():
            line.rest()
        if lines:
            _, late = await asyncio.wait(lines, timeout=_STOP_WITHIN_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._sender.aclose()

    async def _hand_over(self, shard: ShardKeys, entries: Iterable[OutboxEntry]) -> set[str]:
        """Bring events to the endpoints that want them; returns those endpoints."""
        reached: set[str] = set()
        known: dict[str, Mapping[bytes, bytes]] = {}
        for event in entries:
            workspace = self._store.workspace(event.workspace)
            if workspace.shard.shard != shard.shard:
                logger.error("an entry of another shard is dropped: %s", event)
                await self._store.redis.call("XDEL", shard.outbox, event.entry)
                continue
            if event.workspace not in known:
                # Read after the look, so that whoever was there when it happened is among them.
                found = await self._store.redis.call("HGETALL", workspace.webhooks)
                known[event.workspace] = found
            body = message_body(event)
            shares = [
                Share(webhook, body, failed_body(webhook))
                for name, stored in known[event.workspace].items()
                if _wants(event, text(name), decode_json(stored, Endpoint))
                for webhook in [workspace.webhook(text(name))]
            ]
            test = event.kind == TEST
            handed = await deliveries.spread(
                self._store,
                workspace,
                event.entry,
                message_id(shard.shard, event.entry),
                shares,
                give_up_ms=0 if test else int(self._settings.webhook_give_up_s * 1000),
                urgent=test,
            )
            if handed:
                reached.update(share.webhook.ref for share in shares)
        return reached

    def _open(self, refs: Iterable[str]) -> None:
        """Begin to work off what waits for these endpoints, unless that is under way."""
        for ref in refs:
            if ref in self._lines or len(self._lines) >= _LINES_MAX:
                continue
            workspace, webhook = parse_ref(ref)
            keys = self._store.workspace(workspace).webhook(webhook)
            line = Line(self._store, self._settings, self._sender, keys, self._slots)
            task = asyncio.create_task(line.run(), name=f"webhook-{ref}")
            self._lines[ref] = (line, task)
            task.add_done_callback(partial(self._closed, ref))

    def _closed(self, ref: str, task: asyncio.Task[None]) -> None:
        self._lines.pop(ref, None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            logger.error("deliveries to %s broke off", ref, exc_info=error)


def _wants(event: OutboxEntry, webhook: str, endpoint: Endpoint) -> bool:
    return webhook == event.to if event.to else endpoint.wants(event.kind)
