"""A pattern as an automaton that is in many states at once, and remembers where that led.

Each character of the text is looked at once. The sets of states that came up are kept with what
follows from them, so most characters cost one look-up; a set that is new costs at most one visit to
each state. Both are bounded, and so is the whole.
"""

from collections.abc import Iterable
from typing import NamedTuple

from bursar.errors import InvalidInput
from bursar.linear.syntax import CharTest, Node, is_word, parse

__all__ = ["LinearPattern"]

_MAX_STATES = 2000
_MAX_KEPT = 20_000


class _State(NamedTuple):
    """What leads on: a character, a condition, or nothing (a fork)."""

    test: CharTest | None
    condition: str
    after: tuple[int, ...]


class _Position(NamedTuple):
    """The states that are entered, and what was before them."""

    states: frozenset[int]
    at_start: bool
    after_word: bool


class LinearPattern:
    """Says whether a line contains what the pattern describes.

    Raises:
        InvalidInput: The pattern is wrong or too large; ``field`` is ``pattern``.

    """

    def __init__(self, pattern: str, *, ignore_case: bool = False) -> None:
        self._ignore_case = ignore_case
        self._states: list[_State] = [_State(None, "", ())]  # the first one is the end
        self._start = self._compile(parse(pattern), 0)
        self._begin = _Position(frozenset(), at_start=True, after_word=False)
        self._kept: dict[tuple[_Position, str], _Position | None] = {}

    def search(self, line: str) -> bool:
        position = self._begin
        for char in line:
            following = self._step(position, char)
            if following is None:
                return True
            position = following
        return self._step(position, "") is None

    def _step(self, position: _Position, char: str) -> _Position | None:
        """Return what a character leads to, or None if all that was needed came before it."""
        try:
            return self._kept[position, char]
        except KeyError:
            pass
        if len(self._kept) >= _MAX_KEPT:
            self._kept.clear()
        states = self._closure(position, char)
        following: _Position | None = None
        if 0 not in states:
            entered = frozenset(
                after
                for index in states
                if (test := self._states[index].test) is not None and char and test(char)
                for after in self._states[index].after
            )
            following = _Position(entered, at_start=False, after_word=is_word(char))
        self._kept[position, char] = following
        return following

    def _closure(self, position: _Position, char: str) -> set[int]:
        """Add the states that are reached without a character; a match may begin anywhere."""
        holds = {
            "": True,
            "start": position.at_start,
            "end": not char,
            "word": position.after_word != is_word(char),
            "no_word": position.after_word == is_word(char),
        }
        waiting = [*position.states, self._start]
        found: set[int] = set()
        while waiting:
            index = waiting.pop()
            if index in found:
                continue
            found.add(index)
            state = self._states[index]
            if state.test is None and holds[state.condition]:
                waiting.extend(state.after)
        return found

    def _compile(self, node: Node, after: int) -> int:
        """Add the states of a node that lead to ``after``; returns where they begin."""
        kind = node[0]
        if kind == "char":
            return self._add(self._folded(node[1]) if self._ignore_case else node[1], "", [after])
        if kind == "assert":
            return self._add(None, node[1], [after])
        if kind == "or":
            return self._add(None, "", [self._compile(part, after) for part in node[1]])
        if kind == "cat":
            for part in reversed(node[1]):
                after = self._compile(part, after)
            return after
        _, part, least, most = node
        if most is None:
            fork = self._add(None, "", [])
            self._states[fork] = _State(None, "", (self._compile(part, fork), after))
            after = fork
        else:
            for _ in range(most - least):
                after = self._add(None, "", [self._compile(part, after), after])
        for _ in range(least):
            after = self._compile(part, after)
        return after

    def _add(self, test: CharTest | None, condition: str, after: Iterable[int]) -> int:
        if len(self._states) >= _MAX_STATES:
            raise InvalidInput("expected a smaller pattern, with less to repeat", field="pattern")
        self._states.append(_State(test, condition, tuple(after)))
        return len(self._states) - 1

    @staticmethod
    def _folded(test: CharTest) -> CharTest:
        return lambda char: test(char) or test(char.lower()) or test(char.upper())
