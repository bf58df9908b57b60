"""Endpoints that fail, hang and take messages by chance, and check each as a receiver should."""

import asyncio
import json
import random
from collections import Counter, defaultdict
from types import TracebackType
from typing import Self

from standardwebhooks import Webhook, WebhookVerificationError

__all__ = ["Receiver"]

FAILS, HANGS = 0.3, 0.1
_HANG_S = 60.0
_UNTAKEN_MAX = 8
"""Then a message is taken: each try waits twice as long, and a run is to come to its end."""


class Receiver:
    """All endpoints, by their path. ``taken`` counts what each answered with success."""

    def __init__(self, chance: random.Random) -> None:
        self.secrets: dict[str, str] = {}
        self.taken: Counter[tuple[str, int]] = Counter()
        self.ids: defaultdict[tuple[str, int], set[str]] = defaultdict(set)
        """The `webhook-id`s under which each path was sent each event; should be one."""
        self.answers: Counter[str] = Counter()
        self.forged: list[str] = []
        """What did not verify."""
        self._untaken: Counter[tuple[str, int]] = Counter()
        self._chance = chance
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        assert self._server is not None  # noqa: S101
        return int(self._server.sockets[0].getsockname()[1])

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None  # noqa: S101
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._exchange(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            self.answers["gone before the answer"] += 1
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return False
        lines = head.decode().split("\r\n")
        path = lines[0].split(" ")[1]
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        # Base64 is not to be put into lower case.
        headers |= {"webhook-signature": _header(lines, "webhook-signature")}
        body = await reader.readexactly(int(headers["content-length"]))
        number = self._check(path, headers, body)
        answer = self._chance.random()
        if self._untaken[path, number] == _UNTAKEN_MAX:
            answer = 1.0
        elif answer < HANGS + FAILS:
            self._untaken[path, number] += 1
        if answer < HANGS:
            self.answers["hung"] += 1
            await asyncio.wait_for(reader.read(1), _HANG_S)
            return False
        status = 500 if answer < HANGS + FAILS else 204
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n".encode())
        await writer.drain()
        self.answers[str(status)] += 1
        if status == 204:
            self.taken[path, number] += 1
        return True

    def _check(self, path: str, headers: dict[str, str], body: bytes) -> int:
        number = int(json.loads(body)["data"]["number"])
        self.ids[path, number].add(headers["webhook-id"])
        try:
            Webhook(self.secrets[path]).verify(body, headers)
        except WebhookVerificationError as error:
            self.forged.append(f"{path} {number}: {error}")
        return number


def _header(lines: list[str], name: str) -> str:
    return next(line.split(": ", 1)[1] for line in lines if line.lower().startswith(f"{name}:"))
