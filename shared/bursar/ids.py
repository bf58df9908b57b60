"""Identifiers: how new ones are made and which given ones are accepted.

All ids are opaque ASCII and never contain ``:``, ``/``, braces or control characters, so they can
stand inside a Redis key, a URL path and an event without escaping.
"""

import re
import secrets
import time

from bursar.errors import InvalidInput

__all__ = ["check_id", "check_session", "check_user", "check_workspace", "new_id", "new_secret"]

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base32: no i, l, o, u
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_SESSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}(~[A-Za-z0-9][A-Za-z0-9_-]{0,63})?")
_WORKSPACE = re.compile(r"[a-z0-9][a-z0-9_-]{0,47}")
_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")


class _Rising:
    """Numbers of the time and of chance, each above the one before."""

    def __init__(self) -> None:
        self._last = 0

    def __call__(self) -> int:
        number = (time.time_ns() // 1_000_000 << 72) | secrets.randbits(72)
        if number <= self._last:  # the same millisecond, or a clock that was set back
            number = self._last + 1 + secrets.randbits(64)
        self._last = number
        return number


_rising = _Rising()


def new_id(prefix: str) -> str:
    """Return a new id such as ``ses_06e0v3k…``: 48 bits of time, then 72 random bits.

    Ids made later sort later, so lists by id read in order of creation: within one process always,
    between processes to the millisecond.
    """
    number = _rising()
    digits = [_ALPHABET[(number >> shift) & 31] for shift in range(115, -1, -5)]
    return f"{prefix}_{''.join(digits)}"


def new_secret(bits: int = 128) -> str:
    """Return an unguessable token, used where knowing it is a right (owner, hold, API key)."""
    number = secrets.randbits(bits)
    return "".join(
        _ALPHABET[(number >> shift) & 31] for shift in range((bits - 1) // 5 * 5, -1, -5)
    )


def check_id(value: str, field: str) -> str:
    """Return ``value`` or raise `InvalidInput` naming ``field``. Ids are never repaired."""
    return _check(
        _ID, value, field, "1-64 letters, digits, '_' or '-', starting with a letter or digit"
    )


def check_session(value: str, field: str = "session") -> str:
    """The same for sessions, whose id below a root is ``<root>~<name>``."""
    return _check(
        _SESSION,
        value,
        field,
        "1-64 letters, digits, '_' or '-', starting with a letter or digit; for a session below "
        "another one, that of its root, '~' and its own",
    )


def check_workspace(value: str, field: str = "workspace") -> str:
    return _check(_WORKSPACE, value, field, "1-48 lower-case letters, digits, '_' or '-'")


def check_user(value: str, field: str = "user") -> str:
    return _check(_USER, value, field, "1-64 letters, digits or any of '._@+-'")


def _check(pattern: re.Pattern[str], value: str, field: str, expected: str) -> str:
    if not pattern.fullmatch(value):
        raise InvalidInput(f"expected {expected}", field=field)
    return value
