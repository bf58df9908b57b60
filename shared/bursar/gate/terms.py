"""What people ask for when they give out a right, or a part of one."""

import re

import msgspec

from bursar.errors import InvalidInput
from bursar.gate.grants import PathGrant, check_folder
from bursar.gate.narrowing import MAX_DEPTH, MAX_PATTERNS, MAX_TTL_S, CapabilityScope
from bursar.gate.patterns import Pattern
from bursar.gate.tokens import Claims

__all__ = ["MAX_NOTE", "DerivedCapability", "NewCapability", "check_terms", "completed"]

_DEFAULT_TTL_S = 3600
MAX_NOTE = 200
_MANIFEST = re.compile(r"[0-9A-Za-z:_-]{0,128}")


class NewCapability(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A right that a person gives out.

    Args:
        patterns: of the actions that it permits.
        session: that it is for; with scope ``tree`` any session of the tree.
        expires_in_s: at most 30 days.
        starts_in_s: when it begins to count.
        single_use: for one call in all, also of those that are derived from it.
        depth: how many times more something may be derived from it, at most 4.
        manifest: hash of the tool, if another form of it is not meant.
        folder: the session's folder that the patterns are meant in; empty for any.
        outside: places outside of a session's folder that it opens.

    """

    patterns: tuple[str, ...]
    scope: CapabilityScope = "workspace"
    session: str = ""
    expires_in_s: int = _DEFAULT_TTL_S
    starts_in_s: int = 0
    single_use: bool = False
    depth: int = 1
    manifest: str = ""
    folder: str = ""
    outside: tuple[PathGrant, ...] = ()
    note: str = ""


class DerivedCapability(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a right: what is left out is as in ``token``, the capability to derive from."""

    token: str
    patterns: tuple[str, ...] | None = None
    scope: CapabilityScope | None = None
    session: str = ""
    expires_in_s: int | None = None
    starts_in_s: int | None = None
    single_use: bool | None = None
    depth: int | None = None
    manifest: str | None = None
    folder: str | None = None
    outside: tuple[PathGrant, ...] | None = None
    note: str = ""


def completed(wish: DerivedCapability, above: Claims, now_s: int) -> NewCapability:
    """The wish with what it leaves out, as the capability above has it."""
    return NewCapability(
        patterns=above.patterns if wish.patterns is None else wish.patterns,
        expires_in_s=above.expires_s - now_s if wish.expires_in_s is None else wish.expires_in_s,
        starts_in_s=0 if wish.starts_in_s is None else wish.starts_in_s,
        single_use=above.single_use if wish.single_use is None else wish.single_use,
        depth=above.depth - 1 if wish.depth is None else wish.depth,
        manifest=above.manifest if wish.manifest is None else wish.manifest,
        folder=above.folder if wish.folder is None else wish.folder,
        outside=above.outside if wish.outside is None else wish.outside,
        note=wish.note,
    )


def check_terms(terms: NewCapability) -> None:
    """Raises `InvalidInput` that names the field."""
    if not 1 <= len(terms.patterns) <= MAX_PATTERNS:
        raise InvalidInput(f"expected 1-{MAX_PATTERNS} patterns", field="patterns")
    for index, pattern in enumerate(terms.patterns):
        try:
            Pattern(pattern)
        except InvalidInput as error:
            raise InvalidInput(error.message, field=f"patterns[{index}]") from None
    if not 1 <= terms.expires_in_s <= MAX_TTL_S:
        raise InvalidInput(f"expected 1 second to 30 days ({MAX_TTL_S})", field="expires_in_s")
    if not 0 <= terms.starts_in_s < terms.expires_in_s:
        raise InvalidInput("expected less than expires_in_s", field="starts_in_s")
    if not 0 <= terms.depth <= MAX_DEPTH:
        raise InvalidInput(f"expected 0-{MAX_DEPTH}", field="depth")
    if not _MANIFEST.fullmatch(terms.manifest):
        raise InvalidInput("expected the hash of a tool", field="manifest")
    check_folder(terms.folder)
    if len(terms.note) > MAX_NOTE:
        raise InvalidInput(f"expected at most {MAX_NOTE} characters", field="note")
