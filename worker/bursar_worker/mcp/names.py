"""What the tools of servers are called by models, which know one flat list of names."""

import hashlib
import re
from collections.abc import Container

__all__ = ["name_for_model"]

_MAX = 64
_DIGITS = 8


def name_for_model(server: str, tool: str, taken: Container[str]) -> str:
    """Return ``<server>_<tool>``, at most 64 characters; with a hash where that is not unique.

    The same pair gets the same name in each turn, because the history has it.
    """
    name = re.sub(r"[^A-Za-z0-9_-]", "_", f"{server}_{tool}")
    if not name[0].isalpha() and name[0] != "_":
        name = f"_{name}"  # some providers want a letter at the begin
    if len(name) <= _MAX and name not in taken:
        return name
    digits = hashlib.sha256(f"{server}/{tool}".encode()).hexdigest()[:_DIGITS]
    return f"{name[: _MAX - _DIGITS - 1]}_{digits}"
