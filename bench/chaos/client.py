"""A producer that gives up never: every input is put once, whatever breaks on the way."""

import asyncio
import json
import random
from dataclasses import dataclass, field
from typing import Any

from bench.http import Connection

__all__ = ["Accepted", "Producer"]

_PATIENCE_S = 60.0


@dataclass(frozen=True)
class Accepted:
    """A turn that a gateway has accepted."""

    workspace: str
    session: str
    turn: str
    poison: bool = False


@dataclass
class Producer:
    """Puts inputs into sessions of one workspace, through any of the gateways.

    Each is repeated with its Idempotency-Key until it was answered.
    """

    urls: list[str]
    key: str
    workspace: str
    chance: random.Random
    accepted: list[Accepted] = field(default_factory=list)
    repeats: int = 0

    async def open_workspace(self) -> None:
        await self._until_answered("", {"id": self.workspace}, prefix="/v1/workspaces")

    async def session(self, agent: str) -> str:
        name = f"s{self.chance.getrandbits(48):012x}"
        answer = await self._until_answered("/sessions", {"agent": agent, "id": name})
        return str(answer["id"])

    async def put(self, session: str, text: str, *, poison: bool = False) -> str:
        answer = await self._until_answered(f"/sessions/{session}/turns", {"input": text})
        self.accepted.append(Accepted(self.workspace, session, answer["turn"], poison))
        return str(answer["turn"])

    async def end(self, session: str) -> None:
        await self._until_answered(f"/sessions/{session}/end", {})

    async def ended(self, turn: str, timeout_s: float = 120.0) -> dict[str, Any]:
        """Poll until the turn has ended."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            found = await self._once("GET", f"/turns/{turn}", None, "")
            if found and found["state"] in {"succeeded", "failed", "cancelled", "quarantined"}:
                return found
            if asyncio.get_running_loop().time() > deadline:
                raise RuntimeError(f"turn {turn} does not end: {found}")
            await asyncio.sleep(0.1)

    async def _until_answered(
        self, path: str, body: dict[str, Any], *, prefix: str = ""
    ) -> dict[str, Any]:
        deadline = asyncio.get_running_loop().time() + _PATIENCE_S
        key = f"k{self.chance.getrandbits(64):016x}"
        while True:
            answer = await self._once("POST", path, body, key, prefix)
            if answer is not None:
                return answer
            self.repeats += 1
            if asyncio.get_running_loop().time() > deadline:
                raise RuntimeError(f"POST {path}: no gateway answers")
            await asyncio.sleep(0.05 + self.chance.random() * 0.1)

    async def _once(
        self, method: str, path: str, body: dict[str, Any] | None, key: str, prefix: str = ""
    ) -> dict[str, Any] | None:
        """One try at one gateway; None when there was no answer, or one that asks to come again."""
        connection = Connection(self.chance.choice(self.urls), self.key)
        prefix = prefix or f"/v1/workspaces/{self.workspace}"
        try:
            async with asyncio.timeout(10):
                status, answer = await connection.exchange(method, prefix + path, body, key=key)
        except (OSError, EOFError, TimeoutError, asyncio.IncompleteReadError):
            return None
        finally:
            await connection.aclose()
        if status in {429, 503}:
            return None
        found: dict[str, Any] = json.loads(answer)
        if status == 409 and found.get("code") in {
            "session_exists",
            "workspace_exists",
        }:
            return {"id": body["id"] if body else ""}
        if status >= 400:
            raise RuntimeError(f"{method} {path}: {status} {found}")
        return found
