"""Whole-string globs in linear time.

The pattern becomes a small automaton whose set of states is the bits of one integer: each character
of the text costs a few integer operations, whatever the pattern looks like. A regular expression
would backtrack, and ``*a*a*a*a*b`` in a policy would then stop a worker for minutes.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from bursar.errors import InvalidInput

__all__ = ["Glob", "includes"]

_WILDCARDS = frozenset("*?\\")
_MAX_STEPS = 10_000
"""So long, some 20 ms, a comparison of patterns may keep a process from its other work."""


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
    _needed: str = field(init=False, default="", repr=False, compare=False)
    """Stands in all that matches: most texts are told by that, and much faster."""

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
        object.__setattr__(self, "_needed", max(_runs(tokens), key=len, default=""))
        for kind, mask in masks.items():
            object.__setattr__(self, f"_{kind}", mask)

    def matches(self, text: str) -> bool:
        if self._needed not in text:
            return False
        states = self.start
        for char in text:
            states = self.step(states, char)
            if not states:
                return False
        return self.accepts(states)

    @property
    def start(self) -> int:
        """The states before the first character."""
        return self._skip(1)

    def step(self, states: int, char: str) -> int:
        """The states after one more character; 0 is a dead end."""
        inside = char not in self.separators
        stay = states & (self._globstar | (self._star if inside else 0))
        step = states & (self._literals.get(char, 0) | (self._one if inside else 0))
        return self._skip(stay | step << 1)

    def accepts(self, states: int) -> bool:
        return bool(states & self._end)

    @property
    def named(self) -> frozenset[str]:
        """The characters that the pattern names."""
        return frozenset(self._literals)

    def leading_on(self, states: int) -> list[str] | None:
        """The characters that lead on from ``states``; None if also some that are not named do."""
        if states & (self._one | self._star | self._globstar):
            return None
        return [char for char, mask in self._literals.items() if states & mask]

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


def includes(wide: Sequence[Glob], narrow: Glob) -> bool:
    """Whether every text that ``narrow`` matches is matched by one of ``wide``; yes is proved.

    All of them run side by side over every text there is, which comes down to the sets of states
    that they can be in at once. No may also mean that these are too many: some patterns have more
    of them than any machine has memory.
    """
    named = narrow.named.union(*(glob.named for glob in wide), narrow.separators)
    # One character stands for all that no pattern names: to each of them they are the same.
    other = next(chr(code) for code in itertools.count(0xE000) if chr(code) not in named)
    everything = sorted({*named, other})
    begin = narrow.start, tuple(glob.start for glob in wide)
    seen, open_pairs, steps = {begin}, [begin], 0
    while open_pairs:
        mine, theirs = open_pairs.pop()
        if narrow.accepts(mine) and not any(map(Glob.accepts, wide, theirs)):
            return False
        chars = narrow.leading_on(mine)
        for char in everything if chars is None else chars:
            steps += 1 + len(wide)
            after = (
                narrow.step(mine, char),
                tuple(map(Glob.step, wide, theirs, itertools.repeat(char))),
            )
            if after[0] and after not in seen:
                seen.add(after)
                open_pairs.append(after)
        if steps > _MAX_STEPS:
            return False
    return True


def _runs(tokens: list[tuple[str, str]]) -> list[str]:
    """Texts between wildcards. The separator after an optional ``**`` may be missing with it."""
    runs, run = [], ""
    for index, (kind, char) in enumerate(tokens):
        may_miss = index >= 2 and tokens[index - 2][0] == "optional"
        if kind == "literal" and not may_miss:
            run += char
        else:
            runs.append(run)
            run = ""
    return [*runs, run]


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
