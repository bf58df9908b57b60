"""Arguments in one form (RFC 8785), so that what was approved and what runs can be compared."""

import hashlib
from dataclasses import dataclass
from typing import Any

import msgspec
import rfc8785

from bursar.errors import InvalidInput

__all__ = ["Canonical", "canonical"]


@dataclass(frozen=True, slots=True)
class Canonical:
    """``text`` is JSON with sorted keys and no spare blanks; ``sha256`` is over its bytes."""

    text: str
    sha256: str


def canonical(arguments_json: str) -> Canonical:
    """Bring arguments, as a model or a person wrote them, into their one form.

    Raises:
        InvalidInput: It is no JSON; ``field`` is ``arguments``.

    """
    try:
        value: Any = msgspec.json.decode(arguments_json.encode()) if arguments_json.strip() else {}
        data = _dumped(value)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidInput(f"not valid JSON: {error}", field="arguments") from None
    except rfc8785.CanonicalizationError as error:
        raise InvalidInput(f"no other program can read it: {error}", field="arguments") from None
    return Canonical(data.decode(), hashlib.sha256(data).hexdigest())


def _dumped(value: Any) -> bytes:
    try:
        return rfc8785.dumps(value)
    except rfc8785.IntegerDomainError:
        # Whole numbers of 64 bits have no form there, but tools take them: digits as they are.
        return msgspec.json.encode(value, order="deterministic")
