"""Jobs of the agent ``leaf``, made and waited for."""

from typing import Any

from bursar.jobs import making, reading
from bursar.jobs.making import JobSpec
from bursar.jobs.reading import JobView
from bursar.jobs.results import ItemResult, Which, read_results
from support.workers import WORKSPACE, Site, wait_until

__all__ = ["make", "over", "results"]

_OVER = {"succeeded", "partial", "cancelled", "failed"}


async def make(place: Site, *inputs: Any, **spec: Any) -> JobView:
    wish = JobSpec(agent="leaf", inputs=tuple(inputs), user="ada", **spec)
    return await making.create(place.store, place.registry, place.bells, WORKSPACE, wish)


async def over(place: Site, job: str, *, timeout_s: float = 40.0) -> JobView:
    async def look() -> JobView | None:
        view = await reading.get(place.store, WORKSPACE, job)
        return view if view.state in _OVER else None

    found: JobView = await wait_until(f"end of {job}", look, timeout_s=timeout_s)
    return found


async def results(
    place: Site, job: str, which: Which = "all", *, after: int = -1
) -> list[ItemResult]:
    found = read_results(place.store, WORKSPACE, job, which=which, after=after)
    return [each async for each in found]
