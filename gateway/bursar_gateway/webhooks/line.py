"""Works off what waits for one endpoint, while this gateway has it to itself.

An endpoint that answers well gets several messages at a time, one that does not gets one; so a dead
one costs little, and after a few failures in a row it is left alone for a while. Redis says when a
message is due and whose the endpoint is. A gateway that dies loses that within seconds, and the
next one sends again whatever had no answer on record.
"""

import asyncio
import logging
import random
from collections.abc import Sequence

from bursar.audit.entries import SYSTEM
from bursar.clock import monotonic_s
from bursar.errors import StoreUnavailable
from bursar.failpoints import failpoint
from bursar.ids import new_secret
from bursar.registry import redis_ms
from bursar.settings import GatewaySettings
from bursar.store.codec import decode_json, encode_json
from bursar.store.keys import WebhookKeys
from bursar.store.scripts import deliveries
from bursar.store.scripts.deliveries import Taken, Tried
from bursar.store.store import Store
from bursar.webhooks.changes import record
from bursar.webhooks.endpoints import Endpoint
from bursar.webhooks.messages import event_of, failed_body
from bursar.webhooks.secrets import Secrets
from bursar_gateway.webhooks.sending import Answer, Sender

__all__ = ["Line"]

logger = logging.getLogger(__name__)

_LEASE_MS = 5000
_RENEW_S = 1.5
_THRESHOLD = 5  # failures in a row after which an endpoint rests
_REST_FACTOR = 64  # how much longer than the first rest the longest one is
_DELAY_MAX_MS = 7_200_000
_OUTAGE_S = 0.5
_ROUNDING = 1e-6
_RECORD_TRIES = 20  # a Redis that is away for longer than these take makes us send again


class Line:
    """One endpoint, from when it was due until nothing is or others have it. `run` it once."""

    def __init__(
        self,
        store: Store,
        settings: GatewaySettings,
        sender: Sender,
        webhook: WebhookKeys,
        slots: asyncio.Semaphore,
    ) -> None:
        self._store = store
        self._settings = settings
        self._sender = sender
        self._webhook = webhook
        self._slots = slots
        self._owner = new_secret()
        self._told = failed_body(webhook)
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._pace = _Pace(settings.webhook_per_second, settings.webhook_at_once)
        self._allowed = 1
        self._rests = False
        self._url = ""
        self._secrets: Sequence[str] = ()

    def rest(self) -> None:
        """Take nothing more; `run` ends when all that is under way has its answer."""
        self._rests = True

    async def run(self) -> None:
        try:
            while await self._step():
                await self._wait()
        finally:
            for task in self._sending.values():
                task.cancel()
            await asyncio.gather(*self._sending.values(), return_exceptions=True)

    async def _step(self) -> bool:
        """Take what there is room for, or only keep the endpoint. False: it is not ours."""
        room = 0 if self._rests else self._allowed - len(self._sending)
        try:
            taken = await deliveries.take(
                self._store,
                self._webhook,
                owner=self._owner,
                lease_ms=_LEASE_MS,
                room=self._pace.of(room),
                threshold=_THRESHOLD,
                told=self._told,
                in_flight=list(self._sending),
            )
            if taken and not await self._read_endpoint():
                return False
        except StoreUnavailable:
            await asyncio.sleep(_OUTAGE_S)
            return True
        for message in taken or ():
            self._pace.spend()
            self._sending[message.id] = asyncio.create_task(self._send(message))
        return taken is not None

    async def _wait(self) -> None:
        """Until something was answered, it is time to renew, or more may be sent."""
        waits_for_pace = not self._rests and self._allowed > len(self._sending)
        timeout_s = min(_RENEW_S, self._pace.wait_s) if waits_for_pace else _RENEW_S
        if self._sending:
            await asyncio.wait(
                self._sending.values(),
                timeout=timeout_s or _RENEW_S,
                return_when=asyncio.FIRST_COMPLETED,
            )
        for message, task in list(self._sending.items()):
            if task.done():
                del self._sending[message]
                task.result()
        if not self._sending and not self._rests:
            await asyncio.sleep(self._pace.wait_s)

    async def _read_endpoint(self) -> bool:
        """How the endpoint is now. False: it was removed."""
        ws = self._webhook.workspace
        call = self._store.redis.call
        stored, secrets, now_ms = await asyncio.gather(
            call("HGET", ws.webhooks, self._webhook.id),
            call("HGET", ws.webhook_secrets, self._webhook.id),
            redis_ms(self._store),
        )
        if stored is None or secrets is None:
            return False
        self._url = decode_json(stored, Endpoint).url
        self._secrets = Secrets.decode(secrets).valid(now_ms)
        return True

    async def _send(self, message: Taken) -> None:
        async with self._slots:
            failpoint("C17")
            try:
                answer = await self._sender.send(self._url, message.id, message.body, self._secrets)
            except Exception:
                # It counts as a failure: sent again and again it would come to this each time.
                logger.exception("%s could not be sent to %s", message.id, self._webhook.ref)
                answer = Answer(error="internal")
        tried = self._tried(message, answer)
        for _ in range(_RECORD_TRIES):
            try:
                good = await deliveries.end(
                    self._store, self._webhook, tried, owner=self._owner, threshold=_THRESHOLD
                )
                break
            except StoreUnavailable:
                await asyncio.sleep(_OUTAGE_S)
        else:
            logger.warning("an answer of %s to %s is lost", self._webhook.ref, message.id)
            return
        self._rests = self._rests or not good
        if answer.error:
            self._allowed = max(1, self._allowed // 2)
        else:
            self._allowed = min(self._settings.webhook_at_once, self._allowed + 1)

    def _tried(self, message: Taken, answer: Answer) -> Tried:
        first_ms = self._settings.webhook_retry_s * 1000 * random.uniform(0.5, 1.0)  # noqa: S311
        delay_ms = min(first_ms * 2.0 ** min(message.tries, 30), _DELAY_MAX_MS)
        attempt = {
            "message": message.id,
            "event": event_of(message.body),
            "status": answer.status,
            "error": answer.error,
            "took_ms": answer.took_ms,
        }
        return Tried(
            message=message.id,
            outcome=answer.outcome,
            why=answer.error,
            delay_ms=int(max(delay_ms, answer.retry_after_s * 1000)),
            pause_ms=int(first_ms),
            pause_max_ms=int(first_ms * _REST_FACTOR),
            attempt=encode_json(attempt),
            told=self._told,
            gone_audit=record(self._webhook, "webhook.pause", SYSTEM, why=answer.error).body,
        )


class _Pace:
    """So many in a second, and so many of these at once."""

    def __init__(self, per_second: float, at_once: int) -> None:
        self._per_second = per_second
        self._most = float(at_once)
        self._left = self._most
        self._at_s = monotonic_s()

    def of(self, room: int) -> int:
        """How many of so many may be sent now."""
        self._refresh()
        return max(0, min(room, int(self._left + _ROUNDING)))

    def spend(self) -> None:
        self._left -= 1

    @property
    def wait_s(self) -> float:
        """How long until one more may be sent."""
        self._refresh()
        return max(0.0, 1 - self._left) / self._per_second

    def _refresh(self) -> None:
        now = monotonic_s()
        self._left = min(self._most, self._left + (now - self._at_s) * self._per_second)
        self._at_s = now
