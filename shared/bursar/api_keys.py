"""API keys: who may talk to a gateway, and about which workspaces.

A token is ``bk_<id>_<secret>``. The store keeps an HMAC of the secret under the id, so a dump of it
lets nobody in. Whether an id exists shows neither in the answer nor in the time it takes: what is
not a token that was good within the last second always costs one read and one comparison.
"""

import hmac
import re
from typing import Any

import msgspec

from bursar.audit.entries import SYSTEM, Record
from bursar.clock import monotonic_s
from bursar.errors import Denied, InvalidInput
from bursar.ids import check_id, check_workspace, new_id, new_secret
from bursar.registry import redis_ms
from bursar.store.codec import decode_json, encode_json, text
from bursar.store.keys import GlobalKeys
from bursar.store.scripts.api_keys import change_api_key
from bursar.store.store import Store

__all__ = ["ALL_WORKSPACES", "ApiKeyView", "ApiKeys", "NewApiKey", "Principal"]

ALL_WORKSPACES = "*"

_TOKEN = re.compile(r"bk_([0-9a-z]{1,64})_([0-9a-z]{1,64})")
_MAX_NAME, _MAX_WORKSPACES = 64, 100
_ENVIRONMENT = "environment"


class ApiKeyView(msgspec.Struct, frozen=True):
    """A key without its secret. ``workspaces`` is ``["*"]`` for all of them."""

    id: str
    name: str
    workspaces: tuple[str, ...]
    admin: bool
    created_ms: int
    approver: bool = False
    """May answer questions, and grant and revoke; administrators always may."""


class NewApiKey(msgspec.Struct, frozen=True):
    """A key just made: the only time that its token is shown."""

    key: ApiKeyView
    token: str


class Principal(msgspec.Struct, frozen=True):
    """Who is calling. ``id`` is the key's, never its secret."""

    id: str
    workspaces: frozenset[str]
    admin: bool
    approver: bool = False

    @property
    def may_approve(self) -> bool:
        return self.admin or self.approver

    @property
    def actor(self) -> str:
        """Who this is in audit entries."""
        return f"key:{self.id}"

    def may_see(self, workspace: str) -> bool:
        return ALL_WORKSPACES in self.workspaces or workspace in self.workspaces


class _Stored(msgspec.Struct, frozen=True):
    name: str
    workspaces: tuple[str, ...]
    admin: bool
    created_ms: int
    hash: str
    approver: bool = False

    def view(self, key_id: str) -> ApiKeyView:
        return ApiKeyView(
            key_id, self.name, self.workspaces, self.admin, self.created_ms, self.approver
        )


_NOBODY = encode_json(_Stored("", (), False, 0, "0" * 64))
"""Stands in for a key that does not exist, so that the way through `ApiKeys.verify` is the same."""


class ApiKeys:
    """Makes, lists, revokes and verifies keys.

    Args:
        pepper: secret of the installation that key secrets are hashed with; empty means the one
            in the store.
        admin_token: an administrator's key that is not in the store; empty means none.
        cache_s: how long a verified token is taken as good, and so how late a revocation may be.

    """

    def __init__(
        self, store: Store, *, pepper: str = "", admin_token: str = "", cache_s: float = 1.0
    ) -> None:
        self._store = store
        self._pepper = pepper
        self._admin_token = admin_token.encode()
        self._cache_s = cache_s
        self._good: dict[str, tuple[Principal, float]] = {}
        self._good_since_s = 0.0

    async def create(
        self,
        *,
        name: str,
        workspaces: tuple[str, ...],
        admin: bool,
        approver: bool = False,
        actor: str = SYSTEM,
    ) -> NewApiKey:
        if not 1 <= len(name) <= _MAX_NAME or not name.isprintable():
            raise InvalidInput(f"expected 1-{_MAX_NAME} printable characters", field="name")
        if not 1 <= len(workspaces) <= _MAX_WORKSPACES:
            raise InvalidInput(f"expected 1-{_MAX_WORKSPACES} workspaces", field="workspaces")
        for index, workspace in enumerate(workspaces):
            if workspace != ALL_WORKSPACES:
                check_workspace(workspace, f"workspaces[{index}]")
        if admin and workspaces != (ALL_WORKSPACES,):
            raise InvalidInput('expected ["*"] for an administrator', field="workspaces")
        key_id, secret = new_id("key").removeprefix("key_"), new_secret(160)
        now = await redis_ms(self._store)
        hashed = self._hash(key_id, secret)
        stored = _Stored(name, workspaces, admin, now, hashed, approver)
        facts = {"name": name, "workspaces": workspaces, "admin": admin, "approver": approver}
        record = _record("key.create", key_id, actor, facts)
        await change_api_key(self._store, key_id, encode_json(stored), record)
        return NewApiKey(stored.view(key_id), f"bk_{key_id}_{secret}")

    async def list_keys(self) -> list[ApiKeyView]:
        """All keys, oldest first."""
        fields = await self._store.redis.call("HGETALL", GlobalKeys.api_keys)
        return [
            decode_json(value, _Stored).view(text(key_id))
            for key_id, value in sorted(fields.items())
        ]

    async def revoke(self, key_id: str, *, actor: str = SYSTEM) -> None:
        """Gateways that verified the key within the last second may take it for the rest of it."""
        record = _record("key.revoke", check_id(key_id, "key"), actor, {})
        try:
            await change_api_key(self._store, key_id, b"", record)
        finally:
            self._good.clear()

    async def verify(self, token: str) -> Principal:
        """Raises `Denied` (``unauthenticated``); the same for every kind of wrong token."""
        match = _TOKEN.fullmatch(token)
        key_id, secret = match.groups() if match else ("none", token)
        is_admin = bool(self._admin_token) and hmac.compare_digest(
            token.encode(), self._admin_token
        )
        if is_admin:
            return Principal(_ENVIRONMENT, frozenset({ALL_WORKSPACES}), admin=True)
        found = self._hash(key_id, secret)
        known = self._good.get(found)
        if known and monotonic_s() < known[1]:
            return known[0]
        raw = await self._store.redis.call("HGET", GlobalKeys.api_keys, key_id)
        stored = decode_json(raw or _NOBODY, _Stored)
        if not hmac.compare_digest(found, stored.hash):
            raise Denied("a valid API key is needed", code="unauthenticated")
        principal = Principal(key_id, frozenset(stored.workspaces), stored.admin, stored.approver)
        self._remember(found, principal)
        return principal

    def _remember(self, found: str, principal: Principal) -> None:
        now = monotonic_s()
        if now > self._good_since_s + self._cache_s:
            # Everything in it is out of date by now, so it cannot grow beyond a second's keys.
            self._good.clear()
            self._good_since_s = now
        self._good[found] = (principal, now + self._cache_s)

    def _hash(self, key_id: str, secret: str) -> str:
        """Bound to the id, so that a stored hash is worth nothing under another one."""
        pepper = self._pepper or self._store.pepper
        return hmac.digest(pepper.encode(), f"{key_id}:{secret}".encode(), "sha256").hex()


def _record(action: str, key_id: str, actor: str, facts: dict[str, Any]) -> Record:
    details = {"key": key_id, **facts}
    return Record(workspace="", actor=actor, action=action, decision="done", details=details)
