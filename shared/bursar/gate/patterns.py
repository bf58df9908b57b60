"""What a tool call is going to do, as an action, and the patterns that policies name actions with.

An action is one of these; a pattern is an action with wildcards:

    tool://server/name     a tool; ``local`` is the server of tools written in Python
    file+write://a.md      read, write or delete a file; the path is relative to the workspace
                           folder, or absolute outside of it (``file+read:///etc/hosts``)
    file://a.md            anything else with a file, or a tool that does not say what
    exec://git status      a whole command line
    net://example.org:443  a host and a port
    spawn://researcher     a sub-agent
    custom://jira/close    anything else: a kind of your own, and what it is about

``?`` is one character and ``*`` any number, both inside one component; ``**`` crosses components,
and ``**`` as a component of its own may also stand for none. Components are parted by ``/``, in
``exec`` by blanks, in ``net`` by ``.`` and ``:``. A backslash takes a wildcard literally. A bare
``write_report`` is short for ``tool://local/write_report``. The whole action has to match, case
included; hosts and ports are brought into one form first, see `bursar.gate.hosts`.

What a pattern permits with files it has to name: ``file+read://**`` lets nothing be written, and
``file://**`` permits none of the three. For blocking and asking ``file://`` means all of them.
What it permits as a command is the line as it stands; for blocking and asking it is tried on all
that the line may be meant as, see `bursar.gate.commands`.
"""

import re
import unicodedata
from dataclasses import dataclass, field, replace
from typing import Literal

from bursar.errors import InvalidInput
from bursar.gate.commands import (
    has_shell_syntax,
    may_run_anything,
    one_form,
    program_of,
    readings,
)
from bursar.gate.globs import Glob
from bursar.gate.hosts import host_and_port, host_pattern

__all__ = ["Action", "ActionKind", "Operation", "Pattern", "escape", "tool_action"]

ActionKind = Literal["tool", "file", "exec", "net", "spawn", "custom"]
Operation = Literal["read", "write", "delete"]

MAX_ACTION_CHARS = 32_768
MAX_PATTERN_CHARS = 1024
MAX_NAME_CHARS = 256
"""Of a pattern for tools, hosts, sub-agents or a kind of its own."""

_SEPARATORS: dict[str, str] = {
    "tool": "/", "file": "/", "exec": " ", "net": ".:", "spawn": "/", "custom": "/",
}  # fmt: skip
_KIND = re.compile(
    r"(?:(tool|exec|net|spawn|custom)|(file)(?:\+(read|write|delete))?)://(.+)", re.DOTALL
)
_KINDS = "tool://, file://, exec://, net://, spawn:// or custom:// and more"
_BARE_TOOL = re.compile(r"[A-Za-z0-9_*?-]+")
_TWO_PARTS = {"tool": re.compile(r"[^/]+/[^/]+"), "custom": re.compile(r"[^/]+/.+", re.DOTALL)}
_FREE = re.compile(r"(?<!\\)(?:\\\\)*[*?]")
# What is invisible or changes the direction makes a line read as something that it is not.
_UNREADABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class Action:
    """What a call is going to do. ``path`` is what follows ``://``, brought into one form."""

    kind: ActionKind
    path: str
    operation: Operation | None = None
    """Of files only; None when it is not known."""
    root: str | None = None
    """The session's folder, which relative paths are meant in and commands run in."""

    @classmethod
    def parse(cls, text: str) -> "Action":
        match = _KIND.fullmatch(text)
        if not match:
            raise InvalidInput(f"expected {_KINDS}", field="action")
        if len(text) > MAX_ACTION_CHARS:
            raise InvalidInput(f"expected at most {MAX_ACTION_CHARS} characters", field="action")
        kind: ActionKind = match[1] or match[2]  # type: ignore[assignment]  # the regex lists them
        path = host_and_port(match[4], field="action") if kind == "net" else match[4]
        path = _one_form(kind, path)
        if not path:
            raise InvalidInput("expected a command", field="action")
        return cls(kind, path, match[3])  # type: ignore[arg-type]

    def within(self, root: str | None) -> "Action":
        """The same action of a session with this folder, or with none."""
        return replace(self, root=root)

    @property
    def has_parent_step(self) -> bool:
        """Whether a ``..`` stands in it, so that the text says too little about the target."""
        parts = re.split(r"[/\s=]", self.path) if self.kind == "exec" else self.path.split("/")
        return self.kind != "net" and ".." in parts

    @property
    def has_shell_syntax(self) -> bool:
        """Whether a shell would run more than the one command that the line starts with."""
        return self.kind == "exec" and has_shell_syntax(self.path)

    def __str__(self) -> str:
        operation = f"+{self.operation}" if self.operation else ""
        return f"{self.kind}{operation}://{self.path}"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A checked pattern; ``text`` is as the author wrote it, ``path`` what it names in one form.

    One that is bound to a ``root``, a session's folder, matches nothing in another folder or in
    none.

    Raises:
        InvalidInput: The pattern cannot be meant: unknown kind, ``..``, three stars, characters
            that cannot be seen, too long. ``field`` is given by whoever holds the pattern.

    """

    text: str
    root: str | None = None
    kind: str = field(init=False)
    operation: str | None = field(init=False)
    path: str = field(init=False, compare=False)
    glob: Glob = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        kind, operation, path = _split(self.text)
        path = host_pattern(path) if kind == "net" else _one_form(kind, path)
        if ".." in re.split(r"[/ ]", path):
            raise InvalidInput("'..' matches nothing, name the place itself", field="pattern")
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "operation", operation)
        object.__setattr__(self, "path", path)
        object.__setattr__(self, "glob", Glob(path, _SEPARATORS[kind]))

    @property
    def exact(self) -> bool:
        """Whether it names one thing, without wildcards."""
        return _FREE.search(self.path) is None

    def covers(self, action: Action) -> bool:
        """Whether the text matches. For refusing and asking, where matching more is safe."""
        if not self._is_about(action) or (
            self.operation and action.operation and self.operation != action.operation
        ):
            return False
        if action.kind != "exec":
            return self.glob.matches(action.path)
        lines = readings(action.path)
        return lines is None or any(self.glob.matches(line) for line in lines)

    def permits(self, action: Action) -> bool:
        """Whether this pattern may let ``action`` through without anyone being asked.

        Unlike `covers`, it needs the same operation and the very text, and never holds for a
        ``..``, for a command line with shell syntax, or for a program that would run whatever
        stands in the place of a wildcard.
        """
        return (
            self.operation == action.operation
            and self._is_about(action)
            and self.glob.matches(action.path)
            and not action.has_parent_step
            and not action.has_shell_syntax
            and not (action.kind == "exec" and may_run_anything(self.path, program_of(action.path)))
        )

    @property
    def is_free(self) -> bool:
        """Whether it names a program that it would let run anything; it permits no line of it."""
        program = program_of(self.path)
        named = self.kind == "exec" and _FREE.search(program) is None
        return named and may_run_anything(self.path, program)

    def _is_about(self, action: Action) -> bool:
        return action.kind == self.kind and (self.root is None or self.root == action.root)


def tool_action(server: str, name: str) -> str:
    return f"tool://{server}/{name}"


def escape(action: str) -> str:
    """Return the pattern that matches exactly ``action``: what people approve is no pattern."""
    return Glob.escape(action)


def _split(text: str) -> tuple[str, str | None, str]:
    if len(text) > MAX_PATTERN_CHARS:
        raise InvalidInput(f"expected at most {MAX_PATTERN_CHARS} characters", field="pattern")
    if not text.isprintable() and any(unicodedata.category(c) in _UNREADABLE for c in text):
        raise InvalidInput("characters that cannot be seen are not allowed", field="pattern")
    if _BARE_TOOL.fullmatch(text):
        return "tool", None, f"local/{text}"
    match = _KIND.fullmatch(text)
    if not match:
        raise InvalidInput(f"expected a tool's name or {_KINDS}", field="pattern")
    kind, path = match[1] or match[2], match[4]
    if kind not in {"file", "exec"} and len(text) > MAX_NAME_CHARS:
        raise InvalidInput(f"expected at most {MAX_NAME_CHARS} characters", field="pattern")
    if kind in _TWO_PARTS and path != "**" and not _TWO_PARTS[kind].fullmatch(path):
        what = "server/name" if kind == "tool" else "kind/what"
        raise InvalidInput(f"expected {kind}://{what}", field="pattern")
    if kind == "exec" and not one_form(path):
        raise InvalidInput("expected a command", field="pattern")
    return kind, match[3], path


def _one_form(kind: str, path: str) -> str:
    """Write equal targets equally: no ``//``, ``/./`` or last ``/``, no blanks around a line."""
    if kind == "exec":
        return one_form(path)
    if kind == "file":
        path = unicodedata.normalize("NFC", path)
        path = re.sub(r"(?:(?<=/)|^)(?:\./)+|(?<=/)\.$", "", re.sub(r"/{2,}", "/", path))
        return path if path == "/" else path.removesuffix("/") or "."
    return path
