"""Command lines: what a shell would make of them, and which programs run what they are told to.

A rule that blocks should also hold where the line is written differently, so it is tried on every
reading of the line. One that permits is tried on the whole line as it stands, and on nothing else.
"""

import re
import shlex
from functools import lru_cache

__all__ = [
    "MAX_READINGS",
    "has_shell_syntax",
    "may_run_anything",
    "one_form",
    "program_of",
    "readings",
]

MAX_READINGS = 256
"""A line with more commands than this is taken for one that every rule blocks."""

_SHELL = re.compile(r"[;|&<>`\n\r]|\$\(")
_ENDS = re.compile(r"[;|&<>`\n\r(){}]")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=")
_QUOTES = str.maketrans("", "", "'\"\\")

_INTERPRETERS = re.compile(
    r"(?:[bdkz]?a?sh|[ckt]?csh|ksh\d*|fish|cmd(?:\.exe)?|powershell|pwsh|osascript"
    r"|(?:python|pypy|perl|ruby|irb|php|lua|luajit|node|nodejs|deno|bun|tclsh|Rscript|R)[\d.]*)"
)
_LAUNCHERS = frozenset({
    "env", "xargs", "parallel", "nohup", "nice", "ionice", "timeout", "time", "setsid", "stdbuf",
    "watch", "script", "chroot", "unshare", "nsenter", "sudo", "doas", "su", "runuser", "ssh",
    "find", "fd", "fdfind", "awk", "gawk", "mawk", "nawk", "sed", "busybox", "eval", "exec",
    "command", "source", ".", "npx", "bunx", "uvx", "pipx",
})  # fmt: skip
_FREE = re.compile(r"(?<!\\)(?:\\\\)*[*?]")
_EXPANDED = re.compile(r"[$*?\[{]")
_NAMES_A_MODULE = frozenset({"-m", "-jar"})


def has_shell_syntax(line: str) -> bool:
    """Whether a shell would do more than run the one command that the line starts with."""
    return _SHELL.search(line) is not None


def one_form(line: str) -> str:
    """The line without the blanks around it, which a shell does not see."""
    return line.strip(" \t")


@lru_cache(maxsize=256)
def readings(line: str) -> frozenset[str] | None:
    """All that a line may be meant as; None when it is more than anyone would look through.

    These are the whole line, and each command in it with quotes resolved, without variables set
    before it, and with the program's bare name. Text in quotes is taken for commands, too.
    """
    found = {line}
    for part in _ENDS.split(line):
        words = _words(part)
        while words and _ASSIGNMENT.match(words[0]):
            words = words[1:]
        if words:
            found |= {shlex.join(words), shlex.join([words[0].rpartition("/")[2], *words[1:]])}
        if len(found) > MAX_READINGS:
            return None
    return frozenset(found)


def may_run_anything(pattern: str, program: str) -> bool:
    """Whether a pattern leaves it to the arguments of ``program`` what code is run.

    So it is with programs that run others, such as ``xargs`` and ``sudo``, and with interpreters,
    unless the script is named: ``python tools/check.py **``. Variables that are set before a
    program may change what it runs, and one that a shell has to expand may be any.
    """
    if not _FREE.search(pattern):
        return False
    if _ASSIGNMENT.match(program) or _EXPANDED.search(program):
        return True
    name = program.translate(_QUOTES).rpartition("/")[2]
    if name in _LAUNCHERS:
        return True
    if not _INTERPRETERS.fullmatch(name):
        return False
    fixed = []
    for word in pattern.split(" "):
        if _FREE.search(word):
            break
        fixed.append(word)
    arguments = fixed[2:] if fixed[1:2] and fixed[1] in _NAMES_A_MODULE else fixed[1:]
    return not arguments or arguments[0].startswith("-")


def program_of(line: str) -> str:
    """The program that a line starts."""
    return re.split(r"[ \t]", line, maxsplit=1)[0]


def _words(part: str) -> list[str]:
    try:
        return shlex.split(part)
    except ValueError:  # an open quote, as in a part of a line that was cut within quotes
        return part.translate(_QUOTES).split()
