"""How text that people did not write is shown to those who decide about it.

A name or an argument must not look like something that it is not: characters that are invisible,
change the direction of writing, or steer a terminal are written as their code. Long text is folded
in the middle, with its length and hash, so that nothing hides beyond the edge of a screen. Every
transport shows what this module returns.
"""

import hashlib
import unicodedata

__all__ = ["MAX_NAME", "MAX_RESOURCE", "readable"]

MAX_NAME, MAX_RESOURCE = 256, 1024
_HIDDEN = frozenset({"Cc", "Cf", "Zl", "Zp", "Co", "Cs", "Cn"})
_IGNORABLE = frozenset(
    {
        *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0),
        *range(0x180B, 0x1810),
        *range(0xFE00, 0xFE10),
        *range(0xE0000, 0xE1000),
    }
)
"""Letters and marks that take no room on a screen, though their category does not say so."""
_BLANKS = frozenset("\u00a0\u1680\u2800\u3000") | {chr(code) for code in range(0x2000, 0x200B)}


def readable(text: str, limit: int = MAX_RESOURCE, *, lines: bool = False) -> str:
    """Return text with nothing in it that hides, at most about ``limit`` characters.

    Args:
        lines: Whether line ends and tabs stay as they are; otherwise they are shown as code, too.

    """
    kept = "\n\t" if lines else ""
    return _folded("".join(c if c in kept else _shown(c) for c in _head(text, limit)), text, limit)


def _shown(char: str) -> str:
    code = ord(char)
    hidden = unicodedata.category(char) in _HIDDEN or code in _IGNORABLE or char in _BLANKS
    if not hidden:
        return char
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _head(text: str, limit: int) -> str:
    """Of a text that will be folded only what is shown: marks pile up no further than that."""
    return text if len(text) <= limit else text[: limit // 2] + text[-limit // 2 :]


def _folded(shown: str, text: str, limit: int) -> str:
    if len(text) <= limit:
        return shown
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    middle = f" …[{len(text)} characters, sha256 {digest}]… "
    half = sum(len(_shown(char)) for char in text[: limit // 2])
    return shown[:half] + middle + shown[half:]
