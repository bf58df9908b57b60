"""A request as a value: what is sent, and what its answer is read as."""

from collections.abc import Mapping
from types import NoneType
from typing import Any, Generic, TypeVar

import httpx
import msgspec

from bursar.client.problems import raise_for_problem
from bursar.errors import BursarError

__all__ = ["Call"]

T = TypeVar("T")


class Call(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One request. ``key`` is its Idempotency-Key; with one it may be sent twice.

    ``kind`` is what the answer's JSON is decoded to.
    """

    method: str
    path: str
    kind: type[T]
    params: Mapping[str, str | int] = {}
    body: Any = None
    key: str = ""

    @property
    def repeatable(self) -> bool:
        return self.method == "GET" or bool(self.key)

    def arguments(self, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return what httpx's ``request`` and ``stream`` take."""
        sent = dict(headers or {})
        if self.key:
            sent["Idempotency-Key"] = self.key
        content = None
        if self.body is not None:
            content = msgspec.json.encode(self.body)
            sent["Content-Type"] = "application/json"
        return {
            "method": self.method,
            "url": self.path,
            "params": dict(self.params),
            "content": content,
            "headers": sent,
        }

    def read(self, response: httpx.Response) -> T:
        """Decode the answer, or raise the error that it carries."""
        raise_for_problem(response)
        if self.kind is NoneType:
            return msgspec.convert(None, self.kind)
        try:
            return msgspec.json.decode(response.content, type=self.kind)
        except msgspec.MsgspecError as error:
            place = f"{self.method} {self.path}"
            raise BursarError(
                f"{place} answered something else than this client knows: {error}",
                code="unexpected_answer",
            ) from error
