"""Requests whose JSON body is decoded once, strictly, into the type that the route declares.

Litestar's own way decodes to dicts and converts those as leniently as query parameters, so that
``"5"`` would pass for 5.
"""

from functools import lru_cache
from typing import Any

import msgspec
from litestar import Request
from msgspec.inspect import LiteralType

from bursar.api_keys import Principal
from bursar.decoding import invalid
from bursar.errors import InvalidInput
from bursar_gateway.problems import MalformedJson, WrongRequest

__all__ = ["LINES", "JsonRequest"]

LINES = frozenset({"application/x-ndjson", "application/jsonl"})
"""Content types of bodies that are JSON by the line. Only some routes take them."""


class JsonRequest(Request[Principal, Any, Any]):
    """``user`` is who called; set by `bursar_gateway.auth.require_key`."""

    async def json(self) -> Any:
        """The body as the handler's ``data`` type.

        Raises:
            MalformedJson: it is not JSON.
            InvalidInput: it is, but something in it is wrong; names the place.

        """
        body = await self.body()
        field = self.route_handler.parsed_data_field
        kind = field.annotation if field else Any
        lines = getattr(kind, "of_lines", None)
        if lines is not None and self.content_type[0] in LINES:
            return lines(body, self.query_params)
        if self.content_type[0] in LINES:
            raise WrongRequest(415, "not_json", "the body must be application/json")
        try:
            return _decoder(kind).decode(body)
        except msgspec.ValidationError as error:
            raise _with_words(invalid(error, whole="body"), kind) from None
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise MalformedJson(f"the body is not JSON: {error}") from None


@lru_cache(maxsize=64)
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def _with_words(error: InvalidInput, kind: Any) -> InvalidInput:
    """Say which words a field takes; msgspec says only that this one is none of them."""
    for field in getattr(msgspec.inspect.type_info(kind), "fields", ()):
        if field.encode_name == error.field and isinstance(field.type, LiteralType):
            words = ", ".join(map(str, field.type.values))
            return InvalidInput(f"expected one of {words}", field=error.field)
    return error
