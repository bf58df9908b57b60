"""The ``Idempotency-Key`` header: a repeated request is answered as the first one was."""

import hashlib
import re
from typing import Annotated

from litestar.params import HeaderParameter

from bursar.errors import InvalidInput
from bursar.store.scripts.sessions import Idempotency
from bursar_gateway.requests import JsonRequest

__all__ = ["IdempotencyKey", "change_id", "idempotency"]

IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        description="1-128 visible ASCII characters. The same key with the same request does "
        "nothing twice and is answered as the first time; with another request it is refused.",
    ),
]

_KEY = re.compile(r"[\x21-\x7e]{1,128}")


async def idempotency(request: JsonRequest, key: str | None, *, route: str) -> Idempotency:
    """The key as scripts take it: its own for each caller and route, bound to what was sent.

    Args:
        route: a short name of the route, part of the scope.

    """
    if key is None:
        return Idempotency()
    query = f"?{request.url.query}" if request.url.query else ""
    digest = hashlib.sha256(f"{request.method} {request.url.path}{query}\n".encode())
    digest.update(await request.body())
    return Idempotency(f"{request.user.id}.{route}", _checked(key), digest.hexdigest())


def change_id(request: JsonRequest, key: str | None) -> str:
    """The key as the id of a change of limits: its own for each caller and account."""
    if key is None:
        return ""
    owner = f"{request.user.id} {request.url.path}?{request.url.query} {_checked(key)}"
    return f"key_{hashlib.sha256(owner.encode()).hexdigest()[:40]}"


def _checked(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise InvalidInput("expected 1-128 visible ASCII characters", field="Idempotency-Key")
    return key
