"""The first stage of the gate: does the call reach out of the session's folder?

In this order: trees that nobody may touch are refused, what lies in the folder passes, and the rest
is for the worker's mode to say. The stage sees what a call is going to do before it does it; that
symlinks are not swapped in between is up to the tool, see `bursar.files`.
"""

import asyncio

from bursar.errors import InvalidInput
from bursar.gate.boundary import Boundary, Place
from bursar.gate.path_arguments import PathArgument, path_arguments
from bursar.gate.patterns import Action
from bursar.gate.requests import GateRequest, Verdict

__all__ = ["boundary_stage"]

_MAX_PATHS = 1000
_STAGE = "boundary"
_WIDER = (
    "To let the sessions of a worker reach files outside of their folder, the operator sets "
    "BURSAR_BOUNDARY_MODE=autonomous; to move the folder, workspace_path or BURSAR_FILES_ROOT."
)
_NEVER = "The operator's setting BURSAR_BOUNDARY_NEVER lists what no session may touch."


async def boundary_stage(request: GateRequest, action: Action) -> Verdict | None:
    """Judge every path of the call; the worst of them decides."""
    if request.boundary is None:
        return None
    found: list[PathArgument] = []
    for argument in path_arguments(request.arguments, action):
        found.append(argument)
        if len(found) > _MAX_PATHS:
            return _denied(f"expected at most {_MAX_PATHS} paths in one call")
    # A folder may lie on a slow file system, and other sessions are not to wait for it.
    return await asyncio.to_thread(_judge, request.boundary, found) if found else None


def _judge(boundary: Boundary, found: list[PathArgument]) -> Verdict | None:
    asked: Verdict | None = None
    for argument in found:
        try:
            place = boundary.resolve(argument.text, field=argument.field, named=argument.named)
        except InvalidInput as error:
            return _denied(str(error))
        verdict = _verdict(boundary, argument, place) if place else None
        if verdict and verdict.decision == "deny":
            return verdict
        asked = asked or verdict
    return asked


def _verdict(boundary: Boundary, argument: PathArgument, place: Place) -> Verdict | None:
    if place.where == "never":
        return _denied(f"{argument.field}: {place.path!r} is in a tree that is closed", _NEVER)
    if place.where == "inside" or boundary.folder is None or boundary.mode == "autonomous":
        return None
    outside = f"{argument.field}: {place.path!r} is outside of the workspace folder"
    if boundary.mode == "ci":
        return _denied(f"{outside}, and mode ci asks nobody", _WIDER)
    return Verdict("ask", _STAGE, "system", outside, only_a_person=True, remedy=_WIDER)


def _denied(reason: str, remedy: str = "Name a place inside of the workspace folder.") -> Verdict:
    return Verdict("deny", _STAGE, "system", reason, remedy=remedy)
