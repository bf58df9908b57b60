"""Answers of a gateway, as JSON, for tests that only show them."""

from typing import Any

__all__ = ["account", "allowance", "approval", "session", "workspace"]


def account(**members: Any) -> dict[str, Any]:
    base = {
        "account": "s:s1",
        "limit_microusd": 1_000_000,
        "posted_microusd": 250_000,
        "pending_microusd": 250_000,
        "available_microusd": 500_000,
        "warn_percent": 80,
    }
    return base | members


def session(**members: Any) -> dict[str, Any]:
    base = {"id": "s1", "workspace": "default", "user": "ann", "agent": "echo", "state": "idle"}
    return base | members


def workspace(**members: Any) -> dict[str, Any]:
    base = {
        "id": "acme",
        "created_ms": 1,
        "paused": False,
        "max_running": None,
        "max_sessions": 7,
        "budget": account(account="ws"),
    }
    return base | members


def approval(**members: Any) -> dict[str, Any]:
    base = {
        "id": "apr_1",
        "workspace": "default",
        "session": "s1",
        "root": "s1",
        "user": "ann",
        "agent": "writer",
        "chain": ["s1"],
        "turn": "t1",
        "step": 1,
        "call": "c1",
        "tool": "send",
        "action": "tool://local/send",
        "effect": "at_most_once",
        "risk": "medium",
        "priority": "normal",
        "state": "pending",
        "reason": "default for tools with effects",
        "arguments": '{"to":"bob"}',
        "arguments_sha256": "ab" * 32,
        "fallback": "block",
        "created_ms": 1_000_000_000,
        "deadline_ms": 1_000_300_000,
    }
    return base | members


def allowance(**members: Any) -> dict[str, Any]:
    base = {
        "id": "alw_1",
        "pattern": "file+write://reports/**",
        "scope": "workspace",
        "session": "",
        "root": "",
        "created_ms": 1_000_000_000,
        "created_by": "key:ann",
        "approval": "",
        "expires_ms": None,
        "max_uses": None,
        "uses_left": None,
        "folder": "",
        "manifest": "",
        "paths": [],
        "note": "",
    }
    return base | members
