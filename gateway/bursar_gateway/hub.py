"""One subscriber connection for all clients of a gateway.

The log in Redis is the truth; the channel only carries what is appended now. A client has a place
in its log's numbering: what comes next in order is queued for it, anything else (a gap, a
connection that was lost, a queue that was full) only marks it as behind, and it reads the log
before it goes on. So a lost message costs one read and never an event. A client may listen to
several logs: all come over the one connection, so it hears them in the order of publication.

On a Cluster what is published on one node is heard on all, so any node will do. On its way between
nodes a message may be lost with no later one to show it; so there the logs are read now and then.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Iterable
from typing import Any

from redis.asyncio import Connection
from redis.exceptions import RedisError

from bursar.clock import monotonic_s
from bursar.errors import BursarError, StoreUnavailable
from bursar.events import EventLog, LoggedEvent, parse_published
from bursar.store.opening import adopt
from bursar.store.store import Store
from bursar_gateway.subscription import Place, Subscription

__all__ = ["EventHub"]

logger = logging.getLogger(__name__)

_CHANNELS_A_COMMAND = 500
_WATCH_S = 5.0
_BACKOFF_S = (0.05, 1.0)
_IDLE_MAX = 1000  # logs that nobody listens to any more and whose events are still received
_FORGET_EVERY_S = 1.0
_LOOK_EVERY_S = 15.0
_LOOK_AT_ONCE = 100  # logs each tenth of a second, so that many do not read at the same time


class _Topic:
    """A log that somebody listens to."""

    def __init__(self) -> None:
        self.places: list[Place] = []
        self.ready = asyncio.Event()
        """Set while Redis is known to send us the log's messages."""
        self.interrupted = False
        """It was ready on a connection that is gone, so messages may be missing."""


class EventHub:
    """Spreads published events over subscriptions. `run` must run beside it.

    Args:
        queue_events: how many events wait for one client at most; more are read from the log.
        linger_s: how long a log's events are still received after its last client left. The next
            turn of a conversation then finds its subscription there.

    """

    def __init__(self, store: Store, *, queue_events: int, linger_s: float = 5.0) -> None:
        self._store = store
        self._queue_events = queue_events
        self._linger_s = linger_s
        self._topics: dict[bytes, _Topic] = {}
        self._idle: dict[bytes, float] = {}
        """Since when topics have had no listener; the first is the longest."""
        self._closed = False
        self._changed: list[bytes] = []
        self._dirty = asyncio.Event()
        self._sent: set[bytes] = set()
        self._unconfirmed: Counter[bytes] = Counter()
        self._heard = False

    @property
    def channels(self) -> int:
        """Logs that somebody listens to."""
        return len(self._topics) - len(self._idle)

    def listeners(self, channel: str) -> int:
        """Clients that listen to a log, by its channel."""
        topic = self._topics.get(channel.encode())
        return len(topic.places) if topic else 0

    async def subscribe(self, *logs: EventLog) -> Subscription:
        """Listen to logs. On return everything published on them from now on is heard.

        Raises:
            StoreUnavailable: Redis did not confirm in time.

        """
        subscription = Subscription(logs, limit=self._queue_events)
        topics = [self._join(place) for place in subscription.places]
        if self._closed:
            subscription.close()
            return subscription
        if not all(topic.ready.is_set() for topic in topics):
            try:
                async with asyncio.timeout(self._store.settings.redis_timeout_s):
                    for topic in topics:
                        await topic.ready.wait()
            except BaseException as error:
                self.leave(subscription)
                if isinstance(error, TimeoutError):
                    raise StoreUnavailable("Redis did not confirm the subscription") from None
                raise
        return subscription

    def _join(self, place: Place) -> _Topic:
        channel = place.log.events.encode()
        topic = self._topics.get(channel)
        self._idle.pop(channel, None)
        if topic is None:
            topic = self._topics[channel] = _Topic()
            self._change([channel])
        topic.places.append(place)
        return topic

    def leave(self, subscription: Subscription) -> None:
        """Stop listening. A second time does nothing."""
        for place in subscription.places:
            channel = place.log.events.encode()
            topic = self._topics.get(channel)
            if topic is None or place not in topic.places:
                continue
            topic.places.remove(place)
            if not topic.places:
                self._idle[channel] = monotonic_s()
                if len(self._idle) > _IDLE_MAX or not self._linger_s:
                    self._forget(1)

    def close(self) -> None:
        """End all streams, present and future; their clients resume elsewhere with their cursor."""
        self._closed = True
        for topic in self._topics.values():
            for place in topic.places:
                place.subscription.close()

    async def run(self) -> None:
        """Keep the connection, for ever. Its loss is waited out and what was missed is read."""
        delay = _BACKOFF_S[0]
        while True:
            connection = self._store.redis.make_connection()
            try:
                await connection.connect()  # type: ignore[no-untyped-call]
                # A store that lost its data has another generation, which cursors must show.
                fresh = await adopt(self._store.redis, self._store.settings)
                self._store.generation, self._store.pepper = fresh.generation, fresh.pepper
                self._change(self._topics)
                delay = _BACKOFF_S[0]
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._read(connection))
                    group.create_task(self._write(connection))
                    group.create_task(self._watch(connection))
                    group.create_task(self._forget_idle())
                    if self._store.redis.relays:
                        group.create_task(self._look_at_logs())
            except* (RedisError, OSError, TimeoutError, BursarError) as errors:
                logger.warning("event connection lost: %s", errors.exceptions[0])
            finally:
                self._interrupt()
                await connection.disconnect(nowait=True)
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311
            delay = min(delay * 2, _BACKOFF_S[1])

    async def _read(self, connection: Connection) -> None:
        while True:
            reply: Any = await connection.read_response(disable_decoding=True)
            self._heard = True
            if reply[0] == b"message":
                topic = self._topics.get(reply[1])
                if topic is not None and topic.places:
                    self._spread(topic, parse_published(reply[2]))
            elif reply[0] == b"subscribe":
                self._confirm(reply[1])

    def _spread(self, topic: _Topic, event: LoggedEvent) -> None:
        for place in topic.places:
            place.offer(event)

    def _confirm(self, channel: bytes) -> None:
        self._unconfirmed[channel] -= 1
        if self._unconfirmed[channel] > 0:
            return  # An unsubscribe and this channel's next subscribe are still on their way.
        del self._unconfirmed[channel]
        topic = self._topics.get(channel)
        if topic is None:
            return
        topic.ready.set()
        if topic.interrupted:
            topic.interrupted = False
            for place in topic.places:
                place.miss()

    async def _write(self, connection: Connection) -> None:
        """Tell Redis what changed; the only task that does, so the order is that of the changes."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            changed, self._changed = dict.fromkeys(self._changed), []
            wanted = [channel for channel in changed if channel in self._topics]
            add = [channel for channel in wanted if channel not in self._sent]
            drop = [c for c in changed if c not in self._topics and c in self._sent]
            for channel in wanted:
                # Left and joined again before Redis was told: it never stopped.
                if channel in self._sent and not self._unconfirmed[channel]:
                    self._topics[channel].ready.set()
            self._unconfirmed.update(add)
            self._sent.update(add)
            self._sent.difference_update(drop)
            for name, channels in (("SUBSCRIBE", add), ("UNSUBSCRIBE", drop)):
                for start in range(0, len(channels), _CHANNELS_A_COMMAND):
                    part = channels[start : start + _CHANNELS_A_COMMAND]
                    await connection.send_command(name, *part, check_health=False)

    async def _watch(self, connection: Connection) -> None:
        """Notice a peer that is gone without a word: one PING each few seconds of silence."""
        while True:
            self._heard = False
            await asyncio.sleep(_WATCH_S)
            if self._heard:
                continue
            await connection.send_command("PING", check_health=False)
            await asyncio.sleep(self._store.settings.redis_timeout_s)
            if not self._heard:
                raise StoreUnavailable("Redis does not answer on the event connection")

    async def _forget_idle(self) -> None:
        while True:
            await asyncio.sleep(_FORGET_EVERY_S)
            before = monotonic_s() - self._linger_s
            self._forget(sum(since <= before for since in self._idle.values()))

    async def _look_at_logs(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            topics = list(self._topics.values())
            for start in range(0, len(topics), _LOOK_AT_ONCE):
                for topic in topics[start : start + _LOOK_AT_ONCE]:
                    for place in topic.places:
                        place.miss()
                await asyncio.sleep(0.1)

    def _forget(self, count: int) -> None:
        """Stop receiving for the topics that have been idle the longest."""
        forgotten = list(self._idle)[:count]
        for channel in forgotten:
            del self._idle[channel], self._topics[channel]
        self._change(forgotten)

    def _change(self, channels: Iterable[bytes]) -> None:
        self._changed.extend(channels)
        self._dirty.set()

    def _interrupt(self) -> None:
        self._sent.clear()
        self._unconfirmed.clear()
        self._forget(len(self._idle))
        for topic in self._topics.values():
            topic.interrupted = topic.interrupted or topic.ready.is_set()
            topic.ready.clear()
