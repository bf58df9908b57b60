"""The first stage of the gate: does the call reach out of the session's folder?

In this order: trees that nobody may touch are refused, what lies in the folder passes, what people
opened passes by their grant, and the rest is for the worker's mode to say. The stage sees what a
call is going to do before it does it; that symlinks are not swapped in between is up to the tool,
see `bursar.files`.
"""

import asyncio

from bursar.errors import InvalidInput
from bursar.gate.boundary import Boundary, Place
from bursar.gate.grants import Outside, volume_of
from bursar.gate.path_arguments import PathArgument, path_arguments
from bursar.gate.patterns import Action
from bursar.gate.requests import GateRequest, Verdict

__all__ = ["boundary_stage"]

_MAX_PATHS = 1000
_MAX_OUTSIDE = 100
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
    return await asyncio.to_thread(_judge, request.boundary, found, action) if found else None


def _judge(boundary: Boundary, found: list[PathArgument], action: Action) -> Verdict | None:
    first, outside = "", dict[str, Outside]()
    for argument in found:
        try:
            place = boundary.resolve(argument.text, field=argument.field, named=argument.named)
        except InvalidInput as error:
            return _denied(str(error))
        if place is None or place.where == "inside":
            continue
        if place.where == "never":
            return _denied(f"{argument.field}: {place.path!r} is in a tree that is closed", _NEVER)
        if boundary.folder is not None and boundary.mode != "autonomous":
            first = first or f"{argument.field}: {place.path!r} is outside of the workspace folder"
            outside[place.path] = _outside(place, action)
    if not outside:
        return None
    if boundary.mode == "ci":
        return _denied(f"{first}, and mode ci asks nobody", _WIDER)
    if len(outside) > _MAX_OUTSIDE:
        return _denied(f"expected at most {_MAX_OUTSIDE} places outside of the workspace folder")
    return Verdict("ask", _STAGE, "system", first, outside=tuple(outside.values()), remedy=_WIDER)


def _outside(place: Place, action: Action) -> Outside:
    return Outside(place.path, action.operation or "", volume_of(place.path))


def _denied(reason: str, remedy: str = "Name a place inside of the workspace folder.") -> Verdict:
    return Verdict("deny", _STAGE, "system", reason, remedy=remedy)
