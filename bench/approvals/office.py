"""People at work: they put inputs in, look at what is asked, and answer it, by HTTP alone."""

import asyncio
import json
import random
from dataclasses import dataclass, field
from typing import Any

from bench.http import Connection
from bursar.store.keys import root_of

__all__ = ["Desk", "Office", "Question", "Reply"]

Question = dict[str, Any]
"""As the gateway shows it."""

_PATIENCE_S = 60.0
_ENDED = {"succeeded", "failed", "cancelled", "quarantined"}
_AGAIN = {429, 503}
"""Of a gateway that asks to come again."""


@dataclass(frozen=True)
class Reply:
    """What a gateway said. ``body`` is an answer's record, or a problem."""

    status: int
    body: dict[str, Any]

    @property
    def code(self) -> str:
        return str(self.body.get("code", ""))


class Desk:
    """One person's way to one gateway: a connection that is made anew when it is lost."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self._key = key
        self._connection = Connection(url, key)

    async def ask(
        self, method: str, path: str, body: Any = None, *, idempotency: str = "", wait_s: float = 10
    ) -> Reply | None:
        """One try; None if no answer came, so that what became of it is unknown."""
        try:
            async with asyncio.timeout(wait_s):
                status, answer = await self._connection.exchange(
                    method, f"/v1{path}", body, key=idempotency
                )
        except (OSError, EOFError, TimeoutError, asyncio.IncompleteReadError):
            await self.close()
            return None
        return Reply(status, json.loads(answer) if answer else {})

    async def close(self) -> None:
        await self._connection.aclose()
        self._connection = Connection(self.url, self._key)


@dataclass
class Office:
    """Those who deal with one workspace, through any of the gateways; they give up never.

    Args:
        urls: of the gateways, which may come and go.

    """

    urls: list[str]
    key: str
    workspace: str
    chance: random.Random
    turns: dict[str, str] = field(default_factory=dict)
    """Sessions of the turns that were accepted."""
    repeats: int = 0
    _free: dict[str, list[Desk]] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return f"/workspaces/{self.workspace}"

    async def open(self) -> None:
        found = await self.insist("POST", "/workspaces", {"id": self.workspace})
        if found.status >= 400 and found.code != "workspace_exists":
            raise RuntimeError(f"no workspace: {found}")

    async def session(self, agent: str, *, parent: str = "") -> str:
        sid = f"s{self.chance.getrandbits(48):012x}"
        wish = {"agent": agent, "id": sid, "parent": parent}
        found = await self.insist("POST", f"{self.path}/sessions", wish)
        if found.status >= 400 and found.code != "session_exists":
            raise RuntimeError(f"no session: {found}")
        return f"{root_of(parent)}~{sid}" if parent else sid

    async def put(self, session: str, words: str) -> str:
        path = f"{self.path}/sessions/{session}/turns"
        key = f"k{self.chance.getrandbits(64):016x}"
        found = await self.insist("POST", path, {"input": words}, idempotency=key)
        if found.status >= 400:
            raise RuntimeError(f"no turn: {found}")
        turn = str(found.body["turn"])
        self.turns[turn] = session
        return turn

    async def questions(self) -> list[Question]:
        """All that are open."""
        found = await self.insist("GET", f"{self.path}/approvals")
        if found.status >= 400:
            raise RuntimeError(f"no questions: {found}")
        listed: Any = found.body
        return list(listed)

    async def question(self, approval: str) -> Question:
        return (await self.insist("GET", f"{self.path}/approvals/{approval}")).body

    async def asked(self, count: int, *, timeout_s: float = 120.0) -> list[Question]:
        """Wait until so many are open."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while len(found := await self.questions()) < count:
            if asyncio.get_running_loop().time() > deadline:
                raise RuntimeError(f"{len(found)} of {count} questions were asked")
            await asyncio.sleep(0.1)
        return found

    async def answer(self, question: Question, decision: str = "approve", **parts: Any) -> Reply:
        """Answer once; a repeat after a lost reply may find that the first try was heard."""
        wish = {
            "decision": decision,
            "arguments_sha256": question["arguments_sha256"],
            **parts,
        }
        return await self.insist("POST", f"{self.path}/approvals/{question['id']}", wish)

    async def turn(self, turn: str) -> dict[str, Any]:
        return (await self.insist("GET", f"{self.path}/turns/{turn}")).body

    async def stuck(self, *, timeout_s: float) -> list[str]:
        """Wait for all turns that were put; returns those that have not ended by then."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        left = list(self.turns)
        while left:
            found = await asyncio.gather(*(self.turn(turn) for turn in left[:50]))
            ended = {each["id"] for each in found if each["state"] in _ENDED}
            left = [turn for turn in left if turn not in ended]
            if asyncio.get_running_loop().time() > deadline:
                break
            if not ended:
                left = left[50:] + left[:50]
                await asyncio.sleep(0.1)
        return left

    async def insist(
        self, method: str, path: str, body: Any = None, *, idempotency: str = ""
    ) -> Reply:
        """Ask any of the gateways until one answers."""
        deadline = asyncio.get_running_loop().time() + _PATIENCE_S
        while True:
            url = self.chance.choice(self.urls)
            free = self._free.setdefault(url, [])
            desk = free.pop() if free else Desk(url, self.key)
            found = await desk.ask(method, path, body, idempotency=idempotency)
            free.append(desk)
            if found is not None and found.status not in _AGAIN:
                return found
            self.repeats += 1
            if asyncio.get_running_loop().time() > deadline:
                raise RuntimeError(f"{method} {path}: no gateway answers, last {found}")
            await asyncio.sleep(0.05 + self.chance.random() * 0.1)

    async def close(self) -> None:
        for desk in [desk for free in self._free.values() for desk in free]:
            await desk.close()
