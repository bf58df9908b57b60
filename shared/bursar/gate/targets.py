"""A file by all its names: a rule about a tree holds also for the way to it through a symlink."""

import asyncio
import os

from bursar.gate.boundary import Boundary
from bursar.gate.patterns import Action
from bursar.gate.policy import PolicyDecision
from bursar.gate.requests import GateRequest

__all__ = ["decide_everywhere", "find_targets", "targets_of"]

_STRICTEST = ("deny", "ask", "allow")


def decide_everywhere(request: GateRequest, action: Action) -> PolicyDecision:
    """What the policy says of the file that is named, or of where it leads, whichever is stricter.

    Tools may follow symlinks, and then it is the target that they read or change.
    """
    targets = request.targets or (action,)
    decisions = [request.policy.decide(target, request.effect) for target in targets]
    return min(decisions, key=lambda decision: _STRICTEST.index(decision.verdict))


async def find_targets(request: GateRequest, action: Action) -> tuple[Action, ...]:
    """All that the call acts on under one name: rules and grants have to cover each of it."""
    if action.kind != "file" or request.boundary is None:
        return (action,)
    # A folder may lie on a slow file system, and other sessions are not to wait for it.
    return tuple(await asyncio.to_thread(targets_of, action, request.boundary))


def targets_of(action: Action, boundary: Boundary) -> list[Action]:
    """The action, and the same on what its path leads to now, if that is another file.

    Raises:
        InvalidInput: It is no path that a file may have.

    """
    place = boundary.resolve(action.path, field="action")
    if place is None or place.path == action.path:
        return [action]
    if boundary.folder is None:
        # Without a folder paths stay as they were written, so only what follows a symlink differs.
        straight = os.path.join(os.path.realpath(boundary.root), action.path)  # noqa: PTH118
        if place.path == os.path.normpath(straight):
            return [action]
    return [action, Action(action.kind, place.path, action.operation, action.root)]
