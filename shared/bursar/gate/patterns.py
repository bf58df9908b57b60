"""What a tool call is going to do, as an action, and the patterns that policies name actions with.

An action is one of these; a pattern is an action with wildcards:

    tool://server/name     a tool; ``local`` is the server of tools written in Python
    file+write://a.md      read, write or delete a file; the path is relative to the workspace
                           folder, or absolute outside of it (``file+read:///etc/hosts``)
    file://a.md            anything else with a file, or a tool that does not say what
    exec://git status      a whole command line
    net://example.org:443  a host and a port
    spawn://researcher     a sub-agent

``?`` is one character and ``*`` any number, both inside one component; ``**`` crosses components,
and ``**`` as a component of its own may also stand for none. Components are parted by ``/``, in
``exec`` by blanks, in ``net`` by ``.`` and ``:``. A backslash takes a wildcard literally. A bare
``write_report`` is short for ``tool://local/write_report``. The whole action has to match, case
included; only hosts are compared in lower case.

What a pattern permits with files it has to name: ``file+read://**`` lets nothing be written, and
``file://**`` permits none of the three. For blocking and asking ``file://`` means all of them.
"""

import re
from dataclasses import dataclass, field
from typing import Literal

from bursar.errors import InvalidInput
from bursar.gate.globs import Glob

__all__ = ["Action", "ActionKind", "Operation", "Pattern", "escape", "tool_action"]

ActionKind = Literal["tool", "file", "exec", "net", "spawn"]
Operation = Literal["read", "write", "delete"]

MAX_ACTION_CHARS = 32_768
MAX_PATTERN_CHARS = 1024

_SEPARATORS: dict[str, str] = {"tool": "/", "file": "/", "exec": " ", "net": ".:", "spawn": "/"}
_KIND = re.compile(r"(?:(tool|exec|net|spawn)|(file)(?:\+(read|write|delete))?)://(.+)", re.DOTALL)
_BARE_TOOL = re.compile(r"[A-Za-z0-9_*?-]+")
_TOOL = re.compile(r"[^/]+/[^/]+")
_HOST_AND_PORT = re.compile(r"[^/@]+:[0-9*?]+|\*\*")
_SHELL = re.compile(r"[;|&<>`\n\r]|\$\(")
# Control and direction-changing characters make a line read as something that it is not.
_UNREADABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Action:
    """What a call is going to do. ``path`` is what follows ``://``, brought into one form."""

    kind: ActionKind
    path: str
    operation: Operation | None = None
    """Of files only; None when it is not known."""

    @classmethod
    def parse(cls, text: str) -> "Action":
        match = _KIND.fullmatch(text)
        if not match:
            raise InvalidInput(
                "expected tool://, file://, exec://, net:// or spawn:// and more", field="action"
            )
        if len(text) > MAX_ACTION_CHARS:
            raise InvalidInput(f"expected at most {MAX_ACTION_CHARS} characters", field="action")
        kind: ActionKind = match[1] or match[2]  # type: ignore[assignment]  # the regex lists them
        return cls(kind, _one_form(kind, match[4]), match[3])  # type: ignore[arg-type]

    @property
    def has_parent_step(self) -> bool:
        """Whether a ``..`` stands in it, so that the text says too little about the target."""
        parts = re.split(r"[/\s=]", self.path) if self.kind == "exec" else self.path.split("/")
        return self.kind != "net" and ".." in parts

    @property
    def has_shell_syntax(self) -> bool:
        """Whether a shell would run more than the one command that the line starts with."""
        return self.kind == "exec" and _SHELL.search(self.path) is not None

    def __str__(self) -> str:
        operation = f"+{self.operation}" if self.operation else ""
        return f"{self.kind}{operation}://{self.path}"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A checked pattern; ``text`` is as the author wrote it.

    Raises:
        InvalidInput: The pattern cannot be meant: unknown kind, ``..``, three stars, control
            characters, over 1024 characters. ``field`` is given by whoever holds the pattern.

    """

    text: str
    kind: str = field(init=False)
    operation: str | None = field(init=False)
    _glob: Glob = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        kind, operation, path = _split(self.text)
        path = _one_form(kind, path)
        if ".." in re.split(r"[/ ]", path):
            raise InvalidInput("'..' matches nothing, name the place itself", field="pattern")
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "operation", operation)
        object.__setattr__(self, "_glob", Glob(path, _SEPARATORS[kind]))

    def covers(self, action: Action) -> bool:
        """Whether the text matches. For refusing and asking, where matching more is safe."""
        if action.kind != self.kind or (
            self.operation and action.operation and self.operation != action.operation
        ):
            return False
        return self._glob.matches(action.path)

    def permits(self, action: Action) -> bool:
        """Whether this pattern may let ``action`` through without anyone being asked.

        Unlike `covers`, it needs the same operation, and never holds for a ``..`` or for a command
        line with shell syntax.
        """
        return (
            self.operation == action.operation
            and self.covers(action)
            and not action.has_parent_step
            and not action.has_shell_syntax
        )


def tool_action(server: str, name: str) -> str:
    return f"tool://{server}/{name}"


def escape(action: str) -> str:
    """Return the pattern that matches exactly ``action``: what people approve is no pattern."""
    return Glob.escape(action)


def _split(text: str) -> tuple[str, str | None, str]:
    if len(text) > MAX_PATTERN_CHARS:
        raise InvalidInput(f"expected at most {MAX_PATTERN_CHARS} characters", field="pattern")
    if _UNREADABLE.search(text):
        raise InvalidInput("control characters are not allowed", field="pattern")
    if _BARE_TOOL.fullmatch(text):
        return "tool", None, f"local/{text}"
    match = _KIND.fullmatch(text)
    if not match:
        raise InvalidInput(
            "expected a tool's name or tool://, file://, exec://, net:// or spawn:// and more",
            field="pattern",
        )
    kind, path = match[1] or match[2], match[4]
    if kind == "tool" and path != "**" and not _TOOL.fullmatch(path):
        raise InvalidInput("expected tool://server/name", field="pattern")
    if kind == "net" and not _HOST_AND_PORT.fullmatch(path):
        raise InvalidInput("expected net://host:port, with * for any port", field="pattern")
    return kind, match[3], path


def _one_form(kind: str, path: str) -> str:
    """Write equal targets equally: hosts in lower case, no ``//``, ``/./`` or last ``/``."""
    if kind == "net":
        return re.sub(r"\.+(?=:|$)", "", path.lower())
    if kind == "file":
        path = re.sub(r"(?:(?<=/)|^)(?:\./)+|(?<=/)\.$", "", re.sub(r"/{2,}", "/", path))
        return path if path == "/" else path.removesuffix("/") or "."
    return path
