"""Text that a server wrote, made fit for a person's eyes and a model's prompt."""

import unicodedata
from typing import Any

__all__ = ["clean", "clean_schema", "clip", "one_line"]

_UNSEEN = {"Cc", "Cf", "Co", "Cs", "Cn"}
# Letters and marks that are drawn as nothing, which their category does not tell.
_BLANK = {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0}
_BLANK |= {*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}
_LINES = {"Zl": "\n", "Zp": "\n"}
_DATA = {"enum", "const", "default", "examples", "pattern"}
"""Keywords whose values are compared with arguments, and so stay as they are."""
_NAMED = {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"}
"""Keywords whose keys are names, not keywords."""


def clean(text: str) -> str:
    """Drop control characters, those that turn the direction, and all that cannot be seen."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_visible, text))


def _visible(char: str) -> str:
    if char in "\n\t":
        return char
    category = unicodedata.category(char)
    if category in _UNSEEN or ord(char) in _BLANK:
        return ""
    return _LINES.get(category, char)


def clip(text: str, max_bytes: int) -> str:
    """Cut text to so many bytes, at the border of a character and with a sign that it was cut."""
    raw = text.encode()
    if len(raw) <= max_bytes:
        return text
    return raw[: max_bytes - 4].decode(errors="ignore") + " …"


def one_line(text: str, max_chars: int) -> str:
    """For logs and short reasons."""
    words = " ".join(clean(text[: max_chars * 4]).split())
    return words if len(words) <= max_chars else words[: max_chars - 1] + "…"


def clean_schema(schema: Any, *, names: bool = False) -> Any:
    """Return a schema with clean texts; what arguments are compared with stays as it is."""
    if isinstance(schema, str):
        return clean(schema)
    if isinstance(schema, list):
        return [clean_schema(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        clean(key): value
        if key in _DATA and not names
        else clean_schema(value, names=key in _NAMED and not names)
        for key, value in schema.items()
    }
