"""Whether one right lies within others: what a derived capability is measured by."""

import re
from collections.abc import Sequence

from bursar.gate import globs
from bursar.gate.commands import may_run_anything
from bursar.gate.patterns import Pattern

__all__ = ["includes"]

_FREE = re.compile(r"(?<!\\)(?:\\\\)*[*?]")
_ESCAPED = re.compile(r"\\([*?\\])")


def includes(wide: Sequence[Pattern], narrow: Pattern) -> bool:
    """Whether every action that ``narrow`` permits is permitted by one of ``wide``.

    Yes only if that is proved. It is not proved for some patterns with many wildcards, nor where it
    takes more to know than the patterns say.
    """
    alike = [
        each
        for each in wide
        if each.kind == narrow.kind
        and each.operation == narrow.operation
        and each.root in {None, narrow.root}
    ]
    if narrow.kind == "exec":
        program = _program_of(narrow)
        # A program that may vary is none that could run anything: `narrow` permits no such line.
        alike = [each for each in alike if not program or not may_run_anything(each.path, program)]
    return bool(alike) and globs.includes([each.glob for each in alike], narrow.glob)


def _program_of(pattern: Pattern) -> str:
    """The program that every line of a pattern starts; empty if that may vary."""
    word = pattern.path.split(" ", 1)[0]
    return "" if _FREE.search(word) else _ESCAPED.sub(r"\1", word)
