"""Values from outside become typed values, and what is wrong names its place.

msgspec does the work; this turns its ``Expected `int`, got `str` - at `$.filter.tags[2]` `` into an
`InvalidInput` with ``field="filter.tags[2]"``. Decoding is strict: ``"5"`` is not 5.
"""

import re
from typing import Any, TypeVar

import msgspec

from bursar.errors import InvalidInput

__all__ = ["convert", "invalid", "parse_json"]

T = TypeVar("T")

_PLACE = re.compile(r"^(?P<text>.*?)(?: - at `(?:key in )?\$(?P<path>[^`]*)`)?$", re.DOTALL)
_NAMED = re.compile(r"^Object (?P<what>missing required|contains unknown) field `(?P<name>[^`]*)`")


def parse_json(text: str, decoder: msgspec.json.Decoder[T], *, field: str, prefix: str = "") -> T:
    """Decode JSON text.

    Raises:
        InvalidInput: Naming ``field`` when the text is no JSON or of another kind as a whole, or
            else the place inside, which starts with ``prefix``.

    """
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        raise invalid(error, whole=field, prefix=prefix) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidInput(f"expected JSON: {_lower(str(error))}", field=field) from None


def convert(value: Any, kind: type[T], *, field: str, prefix: str = "") -> T:
    """Check a value that is made of dicts, lists and scalars already; see `parse_json`."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise invalid(error, whole=field, prefix=prefix) from None


def invalid(error: msgspec.ValidationError, *, whole: str, prefix: str = "") -> InvalidInput:
    """Return the `InvalidInput` for ``error``; ``whole`` names the value if no place inside is."""
    match = _PLACE.match(str(error))
    text, path = (match["text"], match["path"] or "") if match else (str(error), "")
    named = _NAMED.match(text)
    if named:
        path += f".{named['name']}"
        missing = named["what"].startswith("missing")
        text = "required, but not given" if missing else "unknown, there is no such field"
    place = (prefix + path).removeprefix(".")
    return InvalidInput(_lower(text), field=place or whole)


def _lower(text: str) -> str:
    return text if text[:2].isupper() else text[:1].lower() + text[1:]  # "JSON is malformed"
