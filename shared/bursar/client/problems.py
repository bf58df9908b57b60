"""Answers that are no success become the error that the gateway raised."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import msgspec

from bursar.errors import (
    BudgetRefused,
    BursarError,
    Conflict,
    Denied,
    GatewayUnreachable,
    InvalidInput,
    LimitReached,
    NotFound,
    StoreUnavailable,
)

__all__ = ["MAX_PAUSE_S", "Attempts", "raise_for_problem", "translated"]

_BY_STATUS: dict[int, type[BursarError]] = {
    401: Denied,
    402: BudgetRefused,
    403: Denied,
    404: NotFound,
    409: Conflict,
    429: LimitReached,
    503: StoreUnavailable,
}
_INVALID = {400, 405, 413, 415, 422}
_PASSING = {502, 503, 504}
_FIRST_PAUSE_S, MAX_PAUSE_S = 0.2, 5.0
_OWN_MEMBERS = {"type", "title", "status", "detail", "code", "field"}


def raise_for_problem(response: httpx.Response) -> None:
    """Raise for a status from 400 on; the body has been read."""
    if not response.is_error:
        return
    problem = _members(response)
    status = response.status_code
    detail = str(problem.get("detail") or f"the gateway answered {status} {response.reason_phrase}")
    code = str(problem["code"]) if "code" in problem else f"http_{status}"
    details = {name: value for name, value in problem.items() if name not in _OWN_MEMBERS}
    if "retry-after" in response.headers:
        details["retry_after_s"] = _seconds(response.headers["retry-after"])
    error: BursarError
    if status in _INVALID:
        field = str(problem.get("field") or "request")
        error = InvalidInput(detail.removeprefix(f"{field}: "), field=field, code=code)
    else:
        error = _BY_STATUS.get(status, BursarError)(detail, code=code)
    error.details.update(details)
    error.status = status
    raise error


def _members(response: httpx.Response) -> dict[str, Any]:
    try:
        return msgspec.json.decode(response.content, type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}  # A proxy's page, or nothing at all: the status has to say it.


def _seconds(value: str) -> float:
    return float(value) if value.isdecimal() else 0.0


@contextmanager
def translated(base_url: str) -> Iterator[None]:
    """Turn what httpx raises when there is no answer into `GatewayUnreachable`."""
    try:
        yield
    except httpx.TimeoutException as error:
        raise GatewayUnreachable(
            f"the gateway at {base_url} did not answer in time", cause=type(error).__name__
        ) from error
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise GatewayUnreachable(
            f"cannot reach the gateway at {base_url}: {error}", cause=type(error).__name__
        ) from error


class Attempts:
    """Counts the repeats of one request and says how long to wait before the next one."""

    def __init__(self, retries: int) -> None:
        self._retries = retries
        self._used = 0

    def succeeded(self, retries: int) -> None:
        """Count from zero again."""
        self._retries, self._used = retries, 0

    def pause_s(self, error: BursarError) -> float:
        """Return the seconds to wait; raise ``error`` if it will not pass, or not in time."""
        passing = isinstance(error, GatewayUnreachable) or error.status in _PASSING
        if not passing or self._used >= self._retries:
            raise error
        self._used += 1
        asked_s: float = error.details.get("retry_after_s", 0.0)
        return min(MAX_PAUSE_S, max(asked_s, _FIRST_PAUSE_S * 2.0 ** (self._used - 1)))
