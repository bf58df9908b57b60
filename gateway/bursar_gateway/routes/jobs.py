"""Jobs: one agent over a list of inputs."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, cast

import msgspec
from litestar import Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.response import Stream
from litestar.types import ControllerRouterHandler

from bursar import workspaces
from bursar.errors import Conflict, InvalidInput
from bursar.jobs import making, reading
from bursar.jobs.reading import JobPage, JobView
from bursar.jobs.results import WHICH, ItemResult, Which, read_results
from bursar.pruning import delete_tree
from bursar_gateway.bodies import TurnCancel
from bursar_gateway.gateway import Gateway
from bursar_gateway.idempotency import IdempotencyKey, idempotency
from bursar_gateway.job_bodies import NewJob
from bursar_gateway.openapi import body, problems
from bursar_gateway.requests import JsonRequest

__all__ = ["HANDLERS", "LARGE"]

_ALL = "/workspaces/{ws:str}/jobs"
_ONE = _ALL + "/{job:str}"
_EXAMPLE = {"agent": "echo", "inputs": ["one", {"input": "two", "id": "row-2"}], "attempts": 2}
_LINES = 50  # a piece of the answer

_encoder = msgspec.json.Encoder()


@post(_ALL, status_code=202, tags=["jobs"], responses=problems(404, 409, 429, with_body=True))
async def create_job(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    data: Annotated[NewJob, body(_EXAMPLE)],
    idempotency_key: IdempotencyKey = None,
) -> Response[JobView]:
    """Run an agent over up to 10,000 inputs, each in a session of its own, on one purse.

    With `Content-Type: application/jsonl` the body is the inputs alone, one string or object a
    line, and the options are in the query. When this answers, all inputs are stored. Should it
    break off, the same request with the same `Idempotency-Key` completes the job; without that,
    what there is of it is deleted after a minute, and nothing of it has run.
    """
    once = await idempotency(request, idempotency_key, route="jobs")
    await workspaces.locate(gateway.store, ws)
    await gateway.admission.admit_input()
    job = await making.create(
        gateway.store,
        gateway.registry,
        gateway.bells,
        ws,
        data,
        once,
        actor=request.user.actor,
    )
    return Response(job, headers={"Location": f"/v1/workspaces/{ws}/jobs/{job.id}"})


@get(_ALL, tags=["jobs"], responses=problems(404, 422))
async def get_jobs(
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    cursor: FromQuery[str] = "",
    limit: FromQuery[int] = 50,
) -> JobPage:
    """Jobs, newest first. `cursor` of one page asks for the next."""
    await workspaces.locate(gateway.store, ws)
    return await reading.list_jobs(gateway.store, ws, cursor=cursor, limit=limit)


@get(_ONE, tags=["jobs"], responses=problems(404))
async def get_job(
    gateway: NamedDependency[Gateway], ws: FromPath[str], job: FromPath[str]
) -> JobView:
    """How far a job is, and what it has cost."""
    return await reading.get(gateway.store, ws, job)


@get(_ONE + "/results", media_type="application/jsonl", tags=["jobs"], responses=problems(404, 422))
async def get_job_results(
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    job: FromPath[str],
    which: Annotated[str, QueryParameter(name="state")] = "all",
    after: FromQuery[int] = -1,
) -> Response[Any]:
    """The items as lines of JSON, in the order of the inputs; also of a job that is under way.

    `state` is `all`, `ended`, `succeeded` or `failed` (ended otherwise). `after` is the `index` of
    the last line that is known already.
    """
    wanted: dict[str, Which] = {each: each for each in WHICH}
    known = wanted.get(which)
    if known is None:
        raise InvalidInput(f"expected one of {', '.join(WHICH)}", field="state")
    if after < -1:
        raise InvalidInput("expected the index of an item", field="after")
    await reading.get(gateway.store, ws, job)
    found = read_results(gateway.store, ws, job, which=known, after=after)
    return cast("Response[Any]", Stream(_lines(found), media_type="application/jsonl"))


@post(
    _ONE + "/cancel",
    status_code=202,
    tags=["jobs"],
    responses=problems(404, 409, with_body=True),
)
async def cancel_job(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    job: FromPath[str],
    data: Annotated[TurnCancel | None, body({"reason": "not needed any more"})] = None,
) -> JobView:
    """Begin nothing more and stop what is at work; results that are there stay."""
    view = await reading.get(gateway.store, ws, job)
    if not view.turn:
        raise Conflict(
            "the job is not made yet; what is not completed is deleted after a minute",
            code="job_opening",
        )
    if not view.ended_ms:
        reason = (data or TurnCancel()).reason
        await gateway.inputs.cancel(ws, view.turn, reason, actor=request.user.actor)
    return await reading.get(gateway.store, ws, job)


@post(_ONE + "/retry", status_code=202, tags=["jobs"], responses=problems(404, 409, 429))
async def retry_job(
    request: JsonRequest,
    gateway: NamedDependency[Gateway],
    ws: FromPath[str],
    job: FromPath[str],
    idempotency_key: IdempotencyKey = None,
) -> JobView:
    """Run all items again that have not succeeded. Refused while the job is at work."""
    once = await idempotency(request, idempotency_key, route="jobs.retry")
    await gateway.admission.admit_input()
    return await making.start_again(gateway.store, gateway.registry, gateway.bells, ws, job, once)


@delete(_ONE, tags=["jobs"], responses=problems(404, 409))
async def delete_job(
    request: JsonRequest, gateway: NamedDependency[Gateway], ws: FromPath[str], job: FromPath[str]
) -> None:
    """Delete a job that is not at work, with the sessions of its items. Ledger and audit stay."""
    await reading.get(gateway.store, ws, job)
    await delete_tree(gateway.store, ws, job, actor=request.user.actor)


async def _lines(results: AsyncIterator[ItemResult]) -> AsyncIterator[bytes]:
    part: list[ItemResult] = []
    async for result in results:
        part.append(result)
        if len(part) == _LINES:
            yield _encoder.encode_lines(part)
            part = []
    yield _encoder.encode_lines(part)


HANDLERS: list[ControllerRouterHandler] = [
    get_job,
    get_job_results,
    cancel_job,
    retry_job,
    delete_job,
]

LARGE: list[ControllerRouterHandler] = [create_job, get_jobs]
"""Those at the path where bodies may be larger than at all others."""
