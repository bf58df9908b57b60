"""Whole-string globs in linear time.

The pattern becomes a small automaton whose set of states is the bits of one integer: each character
of the text costs a few integer operations, whatever the pattern looks like. A regular expression
would backtrack, and ``*a*a*a*a*b`` in a policy would then stop a worker for minutes.
"""

from dataclasses import dataclass, field

from bursar.errors import InvalidInput

__all__ = ["Glob"]

_WILDCARDS = frozenset("*?\\")


@dataclass(frozen=True, slots=True)
class Glob:
    """``?`` and ``*`` stay inside a component, ``**`` crosses; see `bursar.gate.patterns`.

    State *i* says that what comes before token *i* has matched, so state ``end`` is a full match.
    """

    text: str
    separators: str = "/"
    _literals: dict[str, int] = field(init=False, repr=False, compare=False)
    _one: int = field(init=False, default=0, repr=False, compare=False)
    _star: int = field(init=False, default=0, repr=False, compare=False)
    _globstar: int = field(init=False, default=0, repr=False, compare=False)
    _optional: int = field(init=False, default=0, repr=False, compare=False)
    _end: int = field(init=False, default=0, repr=False, compare=False)

    def __post_init__(self) -> None:
        literals: dict[str, int] = {}
        masks = {"one": 0, "star": 0, "globstar": 0, "optional": 0}
        tokens = _tokens(self.text, self.separators)
        for index, (kind, char) in enumerate(tokens):
            if kind == "literal":
                literals[char] = literals.get(char, 0) | 1 << index
            else:
                masks[kind] |= 1 << index
        object.__setattr__(self, "_literals", literals)
        object.__setattr__(self, "_end", 1 << len(tokens))
        for kind, mask in masks.items():
            object.__setattr__(self, f"_{kind}", mask)

    def matches(self, text: str) -> bool:
        states = self._skip(1)
        for char in text:
            inside = char not in self.separators
            stay = states & (self._globstar | (self._star if inside else 0))
            step = states & (self._literals.get(char, 0) | (self._one if inside else 0))
            states = self._skip(stay | step << 1)
            if not states:
                return False
        return bool(states & self._end)

    def _skip(self, states: int) -> int:
        """Add the states that are reached without a character: wildcards may match nothing."""
        skippable = self._star | self._globstar | self._optional
        while True:
            # An optional ``**/`` is three tokens: the entry, the ``**`` and the separator.
            more = states | (states & skippable) << 1 | (states & self._optional) << 3
            if more == states:
                return states
            states = more

    @staticmethod
    def escape(text: str) -> str:
        return "".join(f"\\{char}" if char in _WILDCARDS else char for char in text)


def _tokens(text: str, separators: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    index = 0
    while index < len(text):
        char = text[index]
        if char == "\\":
            index += 1
            if text[index : index + 1] not in _WILDCARDS:
                raise InvalidInput("a backslash stands before '*', '?' or '\\'", field="pattern")
            tokens.append(("literal", text[index]))
        elif text.startswith("***", index):
            raise InvalidInput("expected at most two stars in a row", field="pattern")
        elif text.startswith("**", index):
            first = not tokens or tokens[-1][1] in separators
            index += 1
            if first and index + 1 < len(text) and text[index + 1] in separators:
                tokens.append(("optional", "**"))
            tokens.append(("globstar", "**"))
        elif char == "*":
            tokens.append(("star", char))
        elif char == "?":
            tokens.append(("one", char))
        else:
            tokens.append(("literal", char))
        index += 1
    return tokens
