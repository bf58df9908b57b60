"""Lua scripts as they are on disk: read, checked against their header, prepared for a server.

A script's header is its contract: ``KEYS:`` and ``ARGV:`` name the slots, ``Returns`` the replies.
``-- include: name`` pulls in ``lua/lib/name.lua`` once. ``-- flags:`` become the ``#!lua`` line,
which makes Redis refuse a script whole, on low memory or undeclared keys, instead of half way.
``-- durable`` means that its reply must not come before what it wrote is safe, where the store
promises that; ``-- durable: with hold`` says so of calls that have the key ``hold``.
"""

import hashlib
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

__all__ = ["LUA", "Script"]

LUA = Path(__file__).parent.parent / "lua"

_HEADER = re.compile(r"^-- (KEYS|ARGV): ((?:.|\n--      )*)", re.MULTILINE)
_INCLUDE = re.compile(r"^-- include: (\w+)\n", re.MULTILINE)
_FLAGS = re.compile(r"^-- flags: (.+)$", re.MULTILINE)
_DURABLE = re.compile(r"^-- durable(?:: with (\w+))?$", re.MULTILINE)
_NEVER = 1 << 31


class Script:
    """One script by the name of its file."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<Script {self.name}>"

    @cached_property
    def source(self) -> str:
        """The file as written, header and all."""
        return (LUA / f"{self.name}.lua").read_text()

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Names of the KEYS. Those in brackets may be absent; one with ``+`` or ``*`` repeats."""
        header = dict(_HEADER.findall(self.source))
        return tuple(re.sub(r"\n--\s+", " ", header["KEYS"]).split())

    @cached_property
    def body(self) -> str:
        """The script with its includes, as fakeredis takes it."""
        return _expand(self.source, set())

    @cached_property
    def shebang(self) -> str:
        flags = _FLAGS.search(self.source)
        return f"#!lua flags={flags[1].strip()}\n" if flags else "#!lua\n"

    def is_durable(self, keys: Sequence[str]) -> bool:
        """Whether a call with these KEYS has to be answered durably."""
        return len(keys) > self._durable_above

    @cached_property
    def _durable_above(self) -> int:
        """With more KEYS than this a call is durable."""
        found = _DURABLE.search(self.source)
        if found is None:
            return _NEVER
        names = [re.sub(r"\W", "", name) for name in self.keys]
        return names.index(found[1]) if found[1] else 0

    def text(self, *, shebang: bool) -> str:
        return self.shebang + self.body if shebang else self.body

    def sha(self, *, shebang: bool) -> str:
        return self._shas[shebang]

    @cached_property
    def _shas(self) -> tuple[str, str]:
        plain, real = (self.text(shebang=real).encode() for real in (False, True))
        return hashlib.sha1(plain).hexdigest(), hashlib.sha1(real).hexdigest()  # noqa: S324


def _expand(source: str, seen: set[str]) -> str:
    def include(match: re.Match[str]) -> str:
        name = match[1]
        if name in seen:
            return ""
        seen.add(name)
        return _expand((LUA / "lib" / f"{name}.lua").read_text(), seen)

    return _INCLUDE.sub(include, source)
