"""Answers of a gateway, as JSON, for tests that only show them."""

from typing import Any

__all__ = ["account", "session", "workspace"]


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
