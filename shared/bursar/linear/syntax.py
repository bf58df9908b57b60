"""Python's syntax of regular expressions, without what only going back can match.

Read into a tree of tuples: ``("char", test)``, ``("assert", kind)``, ``("cat", parts)``,
``("or", parts)`` and ``("repeat", part, least, most)`` where ``most`` may be None.
"""

from collections.abc import Callable
from typing import Any

from bursar.errors import InvalidInput

__all__ = ["CharTest", "Node", "is_word", "parse"]

CharTest = Callable[[str], bool]
Node = tuple[Any, ...]

_MAX_CHARS = 1000
_MAX_NESTING = 40
_MAX_REPEAT = 1000
_ASSERTS = {"b": "word", "B": "no_word", "A": "start", "Z": "end"}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a", "0": "\0"}
_CODES = {"x": 2, "u": 4, "U": 8}


def is_word(char: str) -> bool:
    return char.isalnum() or char == "_"


_CLASSES: dict[str, CharTest] = {
    "d": str.isdecimal,
    "w": is_word,
    "s": str.isspace,
    "D": lambda char: not char.isdecimal(),
    "W": lambda char: not is_word(char),
    "S": lambda char: not char.isspace(),
}


def parse(pattern: str) -> Node:
    """Read a pattern.

    Raises:
        InvalidInput: It is none, or needs to look ahead, behind or back; ``field`` is ``pattern``.

    """
    if len(pattern) > _MAX_CHARS:
        raise _wrong(f"at most {_MAX_CHARS} characters")
    reader = _Reader(pattern)
    node = reader.alternatives(0)
    if reader.left:
        raise _wrong("no ')' without a '(' before it")
    return node


class _Reader:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0

    @property
    def left(self) -> str:
        return self._pattern[self._at :]

    def alternatives(self, nesting: int) -> Node:
        if nesting > _MAX_NESTING:
            raise _wrong(f"at most {_MAX_NESTING} groups inside each other")
        branches = [self._sequence(nesting)]
        while self._take("|"):
            branches.append(self._sequence(nesting))
        return branches[0] if len(branches) == 1 else ("or", branches)

    def _sequence(self, nesting: int) -> Node:
        parts: list[Node] = []
        while self.left and self.left[0] not in "|)":
            parts.append(self._repeated(self._atom(nesting)))
        return ("cat", parts)

    def _repeated(self, node: Node) -> Node:
        bounds = self._bounds()
        if bounds is None:
            return node
        if node[0] == "assert":
            raise _wrong("something to repeat before '*', '+', '?' or '{'")
        self._take("?")  # lazy or not: the same lines match
        if self.left[:1] == "+" or self._bounds() is not None:
            raise _wrong("one '*', '+', '?' or '{…}' at a time")
        return ("repeat", node, *bounds)

    def _bounds(self) -> tuple[int, int | None] | None:
        for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._take(sign):
                return bounds
        body, brace, _ = self.left[1:].partition("}")
        least, comma, most = body.partition(",")
        numbers = [text for text in (least, most) if text]
        if self.left[:1] != "{" or not brace or not numbers:
            return None  # an ordinary brace, as in Python
        if not all(text.isascii() and text.isdecimal() and len(text) < 7 for text in numbers):
            return None
        low = int(least or 0)
        high = low if not comma else int(most) if most else None
        if max(low, high or 0) > _MAX_REPEAT or (high is not None and high < low):
            raise _wrong(f"'{{least,most}}' in this order and up to {_MAX_REPEAT}")
        self._at += len(body) + 2
        return low, high

    def _atom(self, nesting: int) -> Node:
        char = self._next()
        if char == "(":
            return self._group(nesting)
        if char == "[":
            return ("char", self._set())
        if char == ".":
            return ("char", lambda c: c != "\n")
        if char in "^$":
            return ("assert", "start" if char == "^" else "end")
        if char in "*+?":
            raise _wrong(f"something to repeat before {char!r}; a backslash takes it literally")
        if char == "\\":
            return self._escaped()
        return ("char", char.__eq__)

    def _group(self, nesting: int) -> Node:
        if self._take("?"):
            if self._take("P<"):
                name, bracket, _ = self.left.partition(">")
                if not bracket or not name.isidentifier():
                    raise _wrong("(?P<name>…) with a name")
                self._at += len(name) + 1
            elif not self._take(":"):
                raise _wrong("groups (…), (?:…) or (?P<name>…); nothing looks ahead or behind")
        node = self.alternatives(nesting + 1)
        if not self._take(")"):
            raise _wrong("a ')' for each '('")
        return node

    def _escaped(self) -> Node:
        char = self._next(after="\\")
        if char in _ASSERTS:
            return ("assert", _ASSERTS[char])
        test = _CLASSES.get(char)
        return ("char", test or self._literal(char).__eq__)

    def _literal(self, char: str) -> str:
        """Return the character that stands after a backslash."""
        if char in _ESCAPES:
            return _ESCAPES[char]
        if char in _CODES:
            digits = self.left[: _CODES[char]]
            try:
                value = chr(int(digits, 16)) if len(digits) == _CODES[char] else ""
            except (ValueError, OverflowError):
                value = ""
            if not value:
                raise _wrong(f"{_CODES[char]} hexadecimal digits after '\\{char}'")
            self._at += len(digits)
            return value
        if char.isascii() and char.isalnum():
            raise _wrong(f"no '\\{char}'; nothing refers back to a group")
        return char

    def _set(self) -> CharTest:
        negated = self._take("^")
        tests: list[CharTest] = []
        singles: set[str] = set()
        while (not tests and not singles) or self.left[:1] != "]":
            first = self._member()
            if not isinstance(first, str):
                tests.append(first)
            elif self.left[:1] == "-" and self.left[1:2] not in {"", "]"}:
                self._at += 1
                last = self._member()
                if not isinstance(last, str) or last < first:
                    raise _wrong("ranges such as [a-z], in this order")
                tests.append(_between(first, last))
            else:
                singles.add(first)
        self._at += 1
        return lambda c: (c in singles or any(test(c) for test in tests)) != negated

    def _member(self) -> str | CharTest:
        char = self._next(after="[")
        if char != "\\":
            return char
        char = self._next(after="\\")
        return "\b" if char == "b" else _CLASSES.get(char) or self._literal(char)

    def _take(self, text: str) -> bool:
        if not self._pattern.startswith(text, self._at):
            return False
        self._at += len(text)
        return True

    def _next(self, *, after: str = "") -> str:
        if not self.left:
            raise _wrong(f"something after {after!r}")
        self._at += 1
        return self._pattern[self._at - 1]


def _between(first: str, last: str) -> CharTest:
    return lambda char: first <= char <= last


def _wrong(expected: str) -> InvalidInput:
    return InvalidInput(f"expected {expected}", field="pattern")
