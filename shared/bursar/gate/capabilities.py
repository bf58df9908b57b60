"""Capabilities: signed rights that people give out for a while, and that can be made narrower.

A token names actions by patterns (see `bursar.gate.patterns`) and is bound to one workspace and in
it to a session, a tree, or to neither. Each use verifies it anew: signature, issuer, workspace,
time, and the same of every token that it was derived from. What it permits is what all of those
permit, so no derived token is ever wider than its parent, whoever made it and how.
"""

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from bursar.errors import Denied, InvalidInput
from bursar.gate.grants import Outside, breadth, covers_outside
from bursar.gate.narrowing import CapabilityScope, bound_to, check_claims, check_narrower
from bursar.gate.patterns import Action, Pattern
from bursar.gate.tokens import Claims, denied, parse, verify_signature
from bursar.signing import KnownKeys
from bursar.store.codec import text

__all__ = [
    "Capability",
    "StoredCapability",
    "decode_stored",
    "read_token",
    "verify",
]


@dataclass(frozen=True)
class Capability:
    """What a token says, with all those above it. Made by `read_token`, proved by `verify`."""

    token: str
    kid: str
    claims: Claims
    parents: "tuple[Capability, ...]"
    """Those that it was derived from, nearest first."""

    @property
    def id(self) -> str:
        return self.claims.id

    @property
    def chain(self) -> tuple[str, ...]:
        """Ids of those that it was derived from, nearest first."""
        return self.claims.ancestors

    @property
    def use_id(self) -> str:
        """The id under which a use is marked: all that stems from a single-use token shares it."""
        single = [one.id for one in (self, *self.parents) if one.claims.single_use]
        return single[-1] if single else self.id

    @property
    def expires_ms(self) -> int:
        """Redis time from which on it counts no more; none above it ends earlier."""
        return self.claims.expires_s * 1000

    @property
    def single_use(self) -> bool:
        return self.claims.single_use

    @cached_property
    def scope(self) -> CapabilityScope:
        return bound_to(self.claims.subject)[0]

    @cached_property
    def root(self) -> str:
        """Of the tree that it is bound to; empty if it is for the workspace."""
        return bound_to(self.claims.subject)[1]

    @cached_property
    def session(self) -> str:
        """That it is bound to; empty if it is for a tree or the workspace."""
        return bound_to(self.claims.subject)[2]

    @cached_property
    def patterns(self) -> tuple[Pattern, ...]:
        folder = self.claims.folder or None
        return tuple(Pattern(each, root=folder) for each in self.claims.patterns)

    def permits(
        self,
        action: Action,
        *,
        session: str,
        root: str,
        manifest: str = "",
        outside: Sequence[Outside] = (),
    ) -> bool:
        """Whether this and all those above it permit the call; says nothing of time and signature.

        Args:
            action: what the call is going to do.
            session: whose call it is; ``root`` is that of its tree.
            manifest: hash of the tool.
            outside: places outside of the session's folder that it wants to reach.

        """
        return all(
            one.scope == "workspace"
            or (one.root == root and (one.scope == "tree" or one.session == session))
            for one in (self, *self.parents)
        ) and all(
            one.claims.manifest in {"", manifest}
            and covers_outside(one.claims.outside, outside)
            and any(pattern.permits(action) for pattern in one.patterns)
            for one in (self, *self.parents)
        )

    def counts_at(self, now_ms: int) -> bool:
        """Whether it has begun and not ended; it lies within the time of those above it."""
        return self.claims.not_before_s * 1000 <= now_ms < self.expires_ms

    def parts(self, call: str) -> tuple[str | int, ...]:
        """What the script that starts a call takes of it, see ``tool_start.lua``."""
        ids = (self.id, *self.chain)
        return (self.expires_ms, int(self.single_use), call, self.use_id, *ids)

    @property
    def rank(self) -> tuple[bool, tuple[int, int, int], int, str]:
        """Order of choice: for any number of calls before single-use, narrow before broad."""
        broadest = max(breadth(pattern) for pattern in self.patterns)
        return self.single_use, broadest, self.claims.expires_s, self.id


@dataclass(frozen=True, slots=True)
class StoredCapability:
    """One that is in force in a workspace, as far as the store says. Nothing of it is proved.

    ``used_by`` is the call that used it up, if it is for one call only.
    """

    capability: Capability
    workspace: str
    keys: KnownKeys
    used_by: str = ""

    def for_call(
        self,
        targets: Sequence[Action],
        *,
        session: str,
        root: str,
        manifest: str,
        outside: Sequence[Outside],
        now_ms: int,
        call: str = "",
    ) -> Capability | None:
        """Return it, verified, if it permits a call; None if it does not, or not at this time.

        A call that acts on several ``targets``, as through a symlink, needs it to permit each.

        ``keys`` must have been refreshed right before, or nothing can be verified.

        Raises:
            Denied: it would permit the call, but is not what it should be; see `verify`.

        """
        held = self.capability
        if self.used_by not in {"", call} or not held.counts_at(now_ms):
            return None
        if not all(
            held.permits(each, session=session, root=root, manifest=manifest, outside=outside)
            for each in targets
        ):
            return None
        return verify(held.token, self.keys, workspace=self.workspace, now_ms=now_ms)


def verify(
    token: str,
    keys: KnownKeys,
    *,
    workspace: str,
    now_ms: int,
    revoked: Collection[str] = (),
) -> Capability:
    """Prove that a token is good in a workspace at this moment.

    ``keys`` answers from what it read last: refresh it before.

    Raises:
        Denied: the first of these that holds for the token or one above it:
            ``capability_malformed``, ``capability_unknown_key``, ``capability_key_revoked``,
            ``capability_signature``, ``capability_foreign``, ``capability_wider``,
            ``capability_revoked``, ``capability_not_yet``, ``capability_expired``.

    """
    capability = read_token(token)
    whole = (capability, *capability.parents)
    for one in whole:
        verify_signature(one.token, keys.known(one.kid))
        if one.claims.issuer != keys.issuer:
            raise denied("foreign", "the token is of another installation")
        if one.claims.workspace != workspace:
            raise denied("foreign", "the token is of another workspace")
    _verify_chain(token)
    for one in whole:
        if one.id in revoked:
            raise denied("revoked", f"capability {one.id} was revoked")
    for one in whole:
        if one.claims.not_before_s * 1000 > now_ms:
            raise denied("not_yet", f"capability {one.id} is not valid yet")
        if one.expires_ms <= now_ms:
            raise denied("expired", f"capability {one.id} has expired")
    return capability


@lru_cache(maxsize=4096)
def read_token(token: str) -> Capability:
    """Take a token apart, with all those above it; proves nothing.

    Raises:
        Denied: ``capability_malformed``.

    """
    kid, claims = parse(token)
    parents: tuple[Capability, ...] = ()
    if claims.parent:
        # Each level is spelled inside of the next one, so the size of a token bounds this.
        nearest = read_token(claims.parent)
        parents = (nearest, *nearest.parents)
    try:
        check_claims(claims, tuple(parent.id for parent in parents))
    except InvalidInput as error:
        raise denied("malformed", f"the token says what none can: {error}") from None
    return Capability(token, kid, claims, parents)


def decode_stored(
    fields: Mapping[bytes, bytes],
    *,
    workspace: str,
    keys: KnownKeys,
    revoked: Iterable[bytes] = (),
    used: Mapping[bytes, bytes] | None = None,
) -> list[StoredCapability]:
    """Read a workspace's hash of tokens, in the order in which they should be tried.

    What cannot be read is left out, and so is what was revoked, by itself or with one above it.
    """
    ended = {text(each) for each in revoked}
    found = []
    for token in fields.values():
        try:
            capability = read_token(text(token))
        except (Denied, UnicodeDecodeError):
            continue  # it authorises nothing, and must not keep others from doing so
        if ended.isdisjoint((capability.id, *capability.chain)):
            by = text((used or {}).get(capability.use_id.encode())) if capability.single_use else ""
            found.append(StoredCapability(capability, workspace, keys, by))
    return sorted(found, key=lambda stored: stored.capability.rank)


@lru_cache(maxsize=4096)
def _verify_chain(token: str) -> None:
    """Compare each with the one above it. A token that passes does so for ever."""
    capability = read_token(token)
    whole = (capability, *capability.parents)
    for one, parent in itertools.pairwise(whole):
        try:
            check_narrower(one.claims, parent.claims)
        except InvalidInput as error:
            raise denied(
                "wider", f"capability {one.id} is wider than its parent: {error}"
            ) from None
