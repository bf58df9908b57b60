"""A right is taken back at one gateway: how long does any worker go on using it?

Sessions on two workers call one tool after the other by a right that was given at one gateway. Then
it is revoked at the other one. From the moment that this is answered, no further call may begin, or
none later than a second.
"""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.approvals.effects import read_effects
from bench.approvals.office import Desk, Office, Reply
from bench.approvals.site import AskingSite

__all__ = ["KINDS", "Revocations", "run"]

_SESSIONS = 4
_BEFORE = 5  # calls that each session has to have made
_AFTER_S = 1.2  # how long is looked for calls that should not be
_WAIT_S = 30.0
_TOOL = "tool://local/keep"


@dataclass
class Revocations:
    """Milliseconds from the answer to the revocation until the last call began; 0 if before it."""

    delays_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    calls: int = 0
    wrong: list[str] = field(default_factory=list)
    took_s: float = 0.0


@dataclass(frozen=True)
class _Desks:
    """One at each gateway: rights are given at the first, and taken back at the second."""

    first: Desk
    second: Desk
    path: str

    async def give(self, method: str, path: str, body: Any) -> Any:
        return _done(await self.first.ask(method, f"{self.path}{path}", body)).body

    async def take_back(self, method: str, path: str, body: Any = None) -> None:
        _done(await self.second.ask(method, path, body))


def _done(reply: Reply | None) -> Reply:
    if reply is None or reply.status >= 400:
        raise RuntimeError(f"refused: {reply}")
    return reply


TakeBack = Callable[[], Awaitable[None]]


async def _allowance(desks: _Desks, _: str) -> TakeBack:
    made = await desks.give("POST", "/allowances", {"pattern": _TOOL})
    return lambda: desks.take_back("DELETE", f"{desks.path}/allowances/{made['id']}")


async def _all_allowances(desks: _Desks, _: str) -> TakeBack:
    for pattern in (_TOOL, "tool://local/*"):
        await desks.give("POST", "/allowances", {"pattern": pattern, "max_uses": 10**6})
    wish = {"scope": "workspace"}
    return lambda: desks.take_back("POST", f"{desks.path}/allowances/revoke", wish)


async def _tree_allowance(desks: _Desks, root: str) -> TakeBack:
    wish = {"pattern": _TOOL, "scope": "tree", "session": root}
    made = await desks.give("POST", "/allowances", wish)
    path = f"{desks.path}/allowances/{made['id']}?session={root}"
    return lambda: desks.take_back("DELETE", path)


async def _capability(desks: _Desks, _: str) -> TakeBack:
    made = await desks.give("POST", "/capabilities", {"patterns": [_TOOL]})
    capability = made["capability"]["id"]
    return lambda: desks.take_back("DELETE", f"{desks.path}/capabilities/{capability}")


async def _parent_capability(desks: _Desks, _: str) -> TakeBack:
    """What is used is derived from what is revoked."""
    above = await desks.give("POST", "/capabilities", {"patterns": ["tool://other/**"]})
    above = await desks.give("POST", "/capabilities", {"patterns": ["tool://local/*"]})
    derived = {"token": above["token"], "patterns": [_TOOL]}
    await desks.give("POST", "/capabilities/derive", derived)
    capability = above["capability"]["id"]
    return lambda: desks.take_back("DELETE", f"{desks.path}/capabilities/{capability}")


async def _signing_key(desks: _Desks, _: str) -> TakeBack:
    await desks.give("POST", "/capabilities", {"patterns": [_TOOL]})
    keys: Any = _done(await desks.first.ask("GET", "/signing-keys")).body
    kid = next(key["kid"] for key in keys if key["state"] == "current")
    return lambda: desks.take_back("DELETE", f"/signing-keys/{kid}")


async def _policy(desks: _Desks, _: str) -> TakeBack:
    rules = {"blocked": [], "ask": [], "allow": [_TOOL]}
    await desks.give("PUT", "/policy", rules)
    return lambda: desks.take_back("DELETE", f"{desks.path}/policy")


async def _block(desks: _Desks, _: str) -> TakeBack:
    """It stays allowed, and is blocked over that."""
    await desks.give("POST", "/allowances", {"pattern": _TOOL})
    rules = {"blocked": [_TOOL], "ask": [], "allow": []}
    return lambda: desks.take_back("PUT", f"{desks.path}/policy", rules)


KINDS = {
    "allowance": _allowance,
    "all allowances": _all_allowances,
    "allowance of a tree": _tree_allowance,
    "capability": _capability,
    "parent of a capability": _parent_capability,
    "signing key": _signing_key,
    "policy": _policy,
    "block": _block,
}
"""By what is taken back."""


async def run(
    folder: Path, *, rounds: int, seed: int, plant: str = "", kinds: tuple[str, ...] = tuple(KINDS)
) -> Revocations:
    """So many rounds of each kind, each in a workspace of its own."""
    found, chance = Revocations(), random.Random(f"{seed}/revocation")
    began = time.monotonic()
    async with AskingSite(folder, workers=2, gateways=2, strict=False, plant=plant) as site:
        first, second = (Desk(url, site.key) for url in site.urls)
        for number in range(rounds):
            for kind in kinds:
                office = Office(site.urls, site.key, f"r{number}-{kind.replace(' ', '-')}", chance)
                await office.open()
                desks = _Desks(first, second, office.path)
                found.delays_ms[kind].append(await _round(site, office, desks, kind, found))
                await office.close()
        await first.close()
        await second.close()
    found.took_s = time.monotonic() - began
    return found


async def _round(
    site: AskingSite, office: Office, desks: _Desks, kind: str, found: Revocations
) -> float:
    root = await office.session("looper")
    sessions = [root, *[await office.session("looper", parent=root) for _ in range(_SESSIONS - 1)]]
    take_back = await KINDS[kind](desks, root)
    for session in sessions:
        await office.put(session, "tag=x tool=keep steps=100000")
    await _until_all_call(site.effects, office.workspace)
    await take_back()
    acknowledged_ns = time.monotonic_ns()
    await asyncio.sleep(_AFTER_S)
    effects = [e for e in read_effects(site.effects) if e.workspace == office.workspace]
    found.calls += len(effects)
    last_ns = max(effect.at_ns for effect in effects)
    for turn in office.turns:
        await office.insist("POST", f"{office.path}/turns/{turn}/cancel", {"reason": "enough"})
    stuck = await office.stuck(timeout_s=_WAIT_S)
    found.wrong += [f"{kind}: turn {turn} goes on" for turn in stuck]
    return max(0.0, (last_ns - acknowledged_ns) / 1e6)


async def _until_all_call(path: Path, workspace: str) -> None:
    deadline = time.monotonic() + _WAIT_S
    while True:
        made: dict[str, int] = defaultdict(int)
        for effect in read_effects(path):
            made[effect.session] += effect.workspace == workspace
        if sum(count >= _BEFORE for count in made.values()) == _SESSIONS:
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"the sessions do not call: {dict(made)}")
        await asyncio.sleep(0.05)
