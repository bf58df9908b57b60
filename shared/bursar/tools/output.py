"""What a tool returned, as the text that the model reads."""

from pathlib import PurePath
from typing import Any

import msgspec

from bursar.errors import InvalidInput

__all__ = ["render_output"]


def render_output(value: Any, max_chars: int) -> str:
    """Return text as it is and everything else as JSON, cut after ``max_chars`` characters.

    Raises:
        InvalidInput: ``value`` cannot be written as JSON; ``field`` is ``output``.

    """
    text = value if isinstance(value, str) else _json(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        # File names that are no UTF-8 reach Python as lone surrogates, which nothing can store.
        text = text.encode("utf-8", "replace").decode()
    if len(text) <= max_chars:
        return text
    left_out = len(text) - max_chars
    return f"{text[:max_chars]}\n… [cut: {left_out:,} of {len(text):,} characters left out]"


def _json(value: Any) -> str:
    try:
        return msgspec.json.encode(value, enc_hook=_plain).decode()
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidInput(f"cannot be written as JSON: {error}", field="output") from None


def _plain(value: Any) -> Any:
    if isinstance(value, PurePath):
        return str(value)
    dump = getattr(value, "model_dump", None)
    if callable(dump):  # a pydantic model
        return dump(mode="json")
    raise TypeError(f"objects of type {type(value).__name__} are not supported")
