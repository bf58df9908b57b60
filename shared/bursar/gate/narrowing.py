"""What a token may say, and when one says no more than another."""

from typing import Literal

from bursar.errors import InvalidInput
from bursar.gate.grants import Outside, PathGrant, check_paths
from bursar.gate.inclusion import includes
from bursar.gate.patterns import Pattern
from bursar.gate.tokens import Claims
from bursar.ids import check_id, check_session, check_workspace

__all__ = [
    "MAX_DEPTH",
    "MAX_PATTERNS",
    "MAX_TTL_S",
    "CapabilityScope",
    "bound_to",
    "check_claims",
    "check_narrower",
    "subject_of",
]

CapabilityScope = Literal["session", "tree", "workspace"]

MAX_TTL_S = 30 * 86_400
MAX_DEPTH = 4
MAX_PATTERNS = 20
_MAX_TIME_S = 10**11


def check_claims(claims: Claims, ancestors: tuple[str, ...]) -> None:
    """Check what a token says for itself.

    Args:
        claims: what it says.
        ancestors: ids of the tokens that it was derived from, nearest first.

    Raises:
        InvalidInput: it is nothing that a token can say; ``field`` is the name of the claim.

    """
    check_id(claims.id, "jti")
    check_workspace(claims.workspace, "aud")
    bound_to(claims.subject)
    if not 0 <= claims.issued_s <= claims.not_before_s < claims.expires_s < _MAX_TIME_S:
        raise InvalidInput("expected iat ≤ nbf < exp", field="exp")
    if claims.expires_s - claims.issued_s > MAX_TTL_S:
        raise InvalidInput("expected at most 30 days", field="exp")
    if not 1 <= len(claims.patterns) <= MAX_PATTERNS:
        raise InvalidInput(f"expected 1-{MAX_PATTERNS} patterns", field="res")
    for pattern in claims.patterns:
        Pattern(pattern)
    check_paths(claims.outside, "out")
    if not 0 <= claims.depth <= MAX_DEPTH:
        raise InvalidInput(f"expected 0-{MAX_DEPTH}", field="dep")
    if claims.ancestors != ancestors:
        raise InvalidInput("expected the ids of the tokens above", field="anc")
    if claims.id in claims.ancestors:
        raise InvalidInput("expected an id of its own", field="jti")


def check_narrower(child: Claims, parent: Claims) -> None:
    """Check that a token is a subset of the one that it is derived from.

    Raises:
        InvalidInput: ``capability_wider``; ``field`` is what is more than the parent has.

    """
    scope, root, session = bound_to(child.subject)
    scope_above, root_above, session_above = bound_to(parent.subject)
    if scope_above != "workspace" and root != root_above:
        raise _wider("scope", "the capability is for one tree only")
    if scope_above == "session" and (scope, session) != ("session", session_above):
        raise _wider("scope", "the capability is for one session only")
    if child.expires_s > parent.expires_s:
        raise _wider("expires_in_s", "the capability ends before that")
    if child.not_before_s < parent.not_before_s:
        raise _wider("starts_in_s", "the capability begins after that")
    if parent.single_use and not child.single_use:
        raise _wider("single_use", "the capability is for one call only")
    if child.depth >= parent.depth:
        raise _wider("depth", f"the capability lets tokens of depth {parent.depth - 1} be derived")
    if parent.manifest not in {"", child.manifest}:
        raise _wider("manifest", "the capability is for another form of the tool")
    if parent.folder not in {"", child.folder}:
        raise _wider("folder", "the capability is for another folder")
    for index, path in enumerate(child.outside):
        if not any(_path_within(path, each) for each in parent.outside):
            raise _wider(f"outside[{index}]", "the capability does not open that place")
    above = [Pattern(each) for each in parent.patterns]
    for index, text in enumerate(child.patterns):
        if text not in parent.patterns and not includes(above, Pattern(text)):
            raise _wider(f"patterns[{index}]", "it cannot be shown to lie within the capability")


def subject_of(scope: CapabilityScope, root: str, session: str) -> str:
    """Return whose calls a token is for, as it says it."""
    return {"workspace": scope, "tree": f"tree:{root}", "session": f"session:{root}/{session}"}[
        scope
    ]


def bound_to(subject: str) -> tuple[CapabilityScope, str, str]:
    """Read whose calls a token is for: scope, root of the tree, session."""
    kind, _, rest = subject.partition(":")
    if subject == "workspace":
        return "workspace", "", ""
    if kind == "tree":
        return "tree", check_id(rest, "sub"), ""
    if kind == "session":
        root, _, session = rest.partition("/")
        return "session", check_id(root, "sub"), check_session(session, "sub")
    raise InvalidInput("expected workspace, tree:… or session:…/…", field="sub")


def _path_within(path: PathGrant, above: PathGrant) -> bool:
    if path.directory and not above.directory:
        return False
    return above.covers(Outside(path.path, path.operation, path.volume))


def _wider(field: str, message: str) -> InvalidInput:
    return InvalidInput(message, field=field, code="capability_wider")
