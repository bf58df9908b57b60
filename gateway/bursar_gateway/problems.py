"""The one place where errors become HTTP: RFC 9457 problem documents.

``code`` is stable and what clients match on; ``detail`` is a sentence for people; ``field`` names
the value that is wrong. Further members are the error's details.
"""

import logging
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import (
    HTTPException,
    MethodNotAllowedException,
    ValidationException,
)
from litestar.types import Send

from bursar.errors import (
    BudgetRefused,
    BursarError,
    Conflict,
    Denied,
    Fenced,
    InvalidInput,
    LimitReached,
    ModelError,
    NotFound,
    StoreUnavailable,
    StoreUnfit,
)
from bursar.store.link import store_error

__all__ = [
    "MalformedJson",
    "Problem",
    "ProblemBody",
    "WrongRequest",
    "describe",
    "respond",
    "send_problem",
]

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

_STATUS: dict[type[BursarError], int] = {
    InvalidInput: 422,
    NotFound: 404,
    Conflict: 409,
    Fenced: 409,
    LimitReached: 429,
    BudgetRefused: 402,
    Denied: 403,
    StoreUnavailable: 503,
    StoreUnfit: 503,
    ModelError: 502,
}
_BY_STATUS = {
    404: ("route_not_found", "there is nothing at this path"),
    413: ("body_too_large", "the body is larger than this gateway accepts"),
}
_RETRY_AFTER_S = 1


class ProblemBody(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The members that every problem has; ``field`` only where a value is wrong."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    field: str = ""


class Problem(msgspec.Struct, frozen=True):
    """An error as it goes over the wire."""

    body: ProblemBody
    details: dict[str, Any] = {}
    headers: dict[str, str] = {}

    def encode(self) -> bytes:
        members = {**self.details, **msgspec.to_builtins(self.body)}
        return msgspec.json.encode(members, enc_hook=str)


class WrongRequest(BursarError):
    """The request itself is not acceptable, whatever it asks for: 4xx with this very status."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message, code=code)
        self.status = status


class MalformedJson(WrongRequest):
    def __init__(self, message: str) -> None:
        super().__init__(400, "malformed_json", message)


def describe(error: Exception) -> Problem:
    """Turn any exception into a problem; what nobody expected is logged and shows no internals."""
    known = _known(error)
    if isinstance(known, BursarError):
        status = known.status if isinstance(known, WrongRequest) else _status_of(known)
        if status:
            return _of_bursar(known, status)
    if isinstance(known, MethodNotAllowedException):
        headers = dict(known.headers or {})
        return _problem(405, "method_not_allowed", "this path has other methods", headers=headers)
    if isinstance(known, HTTPException) and known.status_code < 500:
        code, detail = _BY_STATUS.get(known.status_code, ("bad_request", known.detail))
        return _problem(known.status_code, code, detail)
    logger.error("unexpected error", exc_info=error)
    return _problem(500, "internal", "something went wrong here; the log of this gateway says what")


def respond(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Litestar's exception handler for everything."""
    del request
    problem = describe(error)
    return Response(
        problem.encode(),
        status_code=problem.body.status,
        headers=problem.headers,
        media_type=MEDIA_TYPE,
    )


async def send_problem(send: Send, error: BursarError) -> None:
    """Answer outside of Litestar."""
    problem = describe(error)
    body = problem.encode()
    headers = {"content-type": MEDIA_TYPE, "content-length": str(len(body)), **problem.headers}
    await send(
        {
            "type": "http.response.start",
            "status": problem.body.status,
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _known(error: Exception) -> Exception:
    """Find the error of ours that one of a library stands for."""
    if isinstance(error, ValidationException):
        return _of_parameters(error)
    return store_error(error)


def _of_parameters(error: ValidationException) -> InvalidInput:
    """Of query and header parameters, and of a body that is missing altogether."""
    for wrong in error.extra if isinstance(error.extra, list) else []:
        if isinstance(wrong, dict) and wrong.get("key"):
            message = str(wrong.get("message", "not acceptable"))
            if wrong["key"] == "data":
                return InvalidInput("expected a JSON body, got none", field="body")
            return InvalidInput(message[:1].lower() + message[1:], field=str(wrong["key"]))
    return InvalidInput(error.detail, field="request")


def _of_bursar(error: BursarError, status: int) -> Problem:
    headers = {}
    if error.code == "unauthenticated":
        status, headers = 401, {"WWW-Authenticate": "Bearer"}
    elif status == 503 or "retry_after_s" in error.details:
        headers = {"Retry-After": str(error.details.get("retry_after_s", _RETRY_AFTER_S))}
    detail = error.message
    if isinstance(error, StoreUnfit):
        logger.error("the store is unfit: %s", error)
        detail = "the store must not be used as it is configured; the log of this gateway says why"
    return _problem(
        status, error.code, detail, field=error.field, headers=headers, details=error.details
    )


def _status_of(error: BursarError) -> int:
    """0 for one that nobody expects here: a client's, or the base class itself."""
    return next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 0)


def _problem(
    status: int,
    code: str,
    detail: str,
    *,
    field: str = "",
    headers: dict[str, str] | None = None,
    details: dict[str, Any] | None = None,
) -> Problem:
    body = ProblemBody(
        type=f"urn:bursar:problem:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        code=code,
        field=field,
    )
    return Problem(body, details or {}, headers or {})
