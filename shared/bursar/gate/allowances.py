"""Allowances: what people allowed beyond a single call, for a session, its tree or the workspace.

An allowance of a session or a tree is kept at the tree's root, so that all sessions of it see it at
once. Workers match calls against a snapshot; the script that starts a call uses the allowance up by
its id, and refuses when the snapshot is out of date.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from bursar.errors import InvalidInput
from bursar.gate.display import readable
from bursar.gate.grants import (
    Outside,
    PathGrant,
    breadth,
    check_folder,
    check_paths,
    covers_outside,
    pattern_of,
)
from bursar.gate.patterns import Action, Pattern
from bursar.ids import check_id, check_session
from bursar.store.codec import decode_json, text

__all__ = [
    "SCOPES",
    "Allowance",
    "AllowanceView",
    "Scope",
    "check_allowance",
    "choose",
    "decode_allowances",
    "view_of",
]

Scope = Literal["session", "tree", "workspace"]
SCOPES: tuple[Scope, ...] = ("session", "tree", "workspace")
_MAX_NOTE = 200
_MAX_USES = 10**9
_LEFT = ":left"
_REVOKED = "revoked"

logger = logging.getLogger(__name__)


class Allowance(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Calls that match ``pattern`` need no question.

    Args:
        session: that it is for, of scope ``session``.
        root: of the tree that it is for; empty for the workspace.
        expires_ms: Redis time from which on it counts no more; None for never.
        max_uses: how many calls it is good for; None for any number.
        folder: the session's folder that the pattern is meant in; empty for any.
        manifest: hash of the tool as it was; a tool that changed is asked about anew.
        paths: places outside of the session's folder that it opens, too.
        created_by: the key that made it; ``approval`` the question that it answered.

    """

    id: str
    pattern: str
    scope: Scope
    session: str = ""
    root: str = ""
    created_ms: int = 0
    created_by: str = ""
    approval: str = ""
    expires_ms: int | None = None
    max_uses: int | None = None
    folder: str = ""
    manifest: str = ""
    paths: tuple[PathGrant, ...] = ()
    note: str = ""

    def permits(
        self,
        targets: Sequence[Action],
        *,
        session: str,
        root: str,
        manifest: str,
        outside: Sequence[Outside],
    ) -> bool:
        """Whether a call that acts on all these ``targets`` needs no question."""
        if self.scope == "session" and self.session != session:
            return False
        if self.scope != "workspace" and self.root != root:
            return False
        if self.manifest and self.manifest != manifest:
            return False
        pattern = pattern_of(self.pattern, self.folder)
        permitted = all(pattern.permits(target) for target in targets)
        return permitted and covers_outside(self.paths, outside)

    @property
    def rank(self) -> tuple[bool, tuple[int, int, int], int, int, str]:
        """Order of choice: unlimited before limited, narrow before broad, old before new."""
        pattern = breadth(pattern_of(self.pattern, self.folder))
        limited = self.max_uses is not None
        return limited, pattern, SCOPES.index(self.scope), self.created_ms, self.id


class AllowanceView(msgspec.Struct, frozen=True):
    """An allowance as people see it; ``uses_left`` is None for one without a bound."""

    id: str
    pattern: str
    scope: Scope
    session: str
    root: str
    created_ms: int
    created_by: str
    approval: str
    expires_ms: int | None
    max_uses: int | None
    uses_left: int | None
    folder: str
    manifest: str
    paths: tuple[PathGrant, ...]
    note: str


def decode_allowances(*stores: Mapping[bytes, bytes]) -> list[tuple[Allowance, int | None]]:
    """Read the hashes of a workspace and a tree: allowances with the uses that they have left."""
    found = []
    for store in stores:
        for field, value in store.items():
            if field.endswith(_LEFT.encode()):
                continue
            left = text(store.get(field + _LEFT.encode()))
            if left in {"0", _REVOKED}:
                continue
            try:
                found.append((decode_json(value, Allowance), int(left) if left else None))
            except (msgspec.DecodeError, ValueError) as error:
                # Of a newer version, perhaps: it allows nothing, and keeps no other from doing so.
                logger.warning("allowance %s cannot be read: %s", text(field), error)
    return found


def choose(
    allowances: Iterable[Allowance],
    targets: Sequence[Action],
    *,
    session: str,
    root: str,
    manifest: str,
    outside: Sequence[Outside],
    now_ms: int,
) -> Allowance | None:
    """Return the allowance that serves a call; the same one wherever the question is put."""
    fitting = [
        allowance
        for allowance in allowances
        if (allowance.expires_ms is None or allowance.expires_ms > now_ms)
        and allowance.permits(
            targets, session=session, root=root, manifest=manifest, outside=outside
        )
    ]
    return min(fitting, key=lambda allowance: allowance.rank, default=None)


def check_allowance(allowance: Allowance, *, now_ms: int) -> Allowance:
    """Return it in the form that is stored.

    Raises:
        InvalidInput: names the field.

    """
    check_id(allowance.id, "id")
    check_folder(allowance.folder)
    try:
        Pattern(allowance.pattern)
    except InvalidInput as error:
        raise InvalidInput(error.message, field="pattern") from None
    if allowance.scope == "session":
        check_session(allowance.session)
    elif allowance.session:
        raise InvalidInput("expected none, as the scope is no session", field="session")
    if allowance.scope != "workspace":
        check_id(allowance.root, "root")
    elif allowance.root:
        raise InvalidInput("expected none, as the scope is the workspace", field="root")
    if allowance.expires_ms is not None and allowance.expires_ms <= now_ms:
        raise InvalidInput("expected a moment in the future", field="expires_ms")
    if allowance.max_uses is not None and not 1 <= allowance.max_uses <= _MAX_USES:
        raise InvalidInput(f"expected 1 to {_MAX_USES}, or null", field="max_uses")
    if len(allowance.note) > _MAX_NOTE:
        raise InvalidInput(f"expected at most {_MAX_NOTE} characters", field="note")
    note = readable(allowance.note, _MAX_NOTE)
    return msgspec.structs.replace(
        allowance, note=note, paths=check_paths(allowance.paths, "paths")
    )


def view_of(allowance: Allowance, left: int | None) -> AllowanceView:
    return AllowanceView(**msgspec.structs.asdict(allowance), uses_left=left)
