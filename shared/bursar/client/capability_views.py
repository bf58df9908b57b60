"""What a client reads about capabilities and the keys that sign them. See `bursar.client.views`."""

import msgspec

__all__ = [
    "CapabilityInspection",
    "CapabilityView",
    "MintedCapability",
    "OutsidePath",
    "SigningKeyView",
]


class OutsidePath(msgspec.Struct, frozen=True, omit_defaults=True):
    """A place outside of a session's folder: absolute and without symlinks.

    ``operation`` is ``read``, ``write`` or ``delete``; empty for tools that do not say. ``volume``
    is the id of its file system, as questions about it show it. ``directory``: with all below it.
    """

    path: str
    operation: str = ""
    volume: str = ""
    directory: bool = False


class CapabilityView(msgspec.Struct, frozen=True, kw_only=True):
    """A right that somebody gave out.

    ``session`` and ``root`` say whose calls it is for, by its ``scope``. ``depth`` is how many more
    times something may be derived from it, ``ancestors`` what it came from, nearest first.
    ``audit_seq`` is the entry of the audit log that approved it, or ``approval`` the question.
    """

    id: str
    workspace: str
    patterns: tuple[str, ...]
    scope: str
    session: str = ""
    root: str = ""
    issued_ms: int = 0
    not_before_ms: int = 0
    expires_ms: int
    single_use: bool = False
    depth: int = 0
    manifest: str = ""
    folder: str = ""
    outside: tuple[OutsidePath, ...] = ()
    ancestors: tuple[str, ...] = ()
    audit_seq: int = 0
    approval: str = ""
    created_by: str = ""
    note: str = ""
    kid: str = ""


class MintedCapability(msgspec.Struct, frozen=True):
    """A right just made, and its token."""

    token: str
    capability: CapabilityView


class CapabilityInspection(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a capability is good: ``valid``, or why not, in a ``code`` and in words.

    ``capability`` is None for a token of which it is not proved that it is one of the workspace.
    """

    state: str
    code: str = ""
    why: str = ""
    capability: CapabilityView | None = None


class SigningKeyView(msgspec.Struct, frozen=True):
    """A key's public half, base64url of 32 bytes: ``current``, ``retired`` or ``revoked``."""

    kid: str
    public: str
    state: str
    created_ms: int = 0
    retired_ms: int | None = None
    revoked_ms: int | None = None
