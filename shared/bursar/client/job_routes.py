"""The gateway's routes about jobs. See `bursar.client.routes`."""

from collections.abc import Sequence
from types import NoneType
from typing import Any
from urllib.parse import quote

from bursar.client.calls import Call
from bursar.client.job_views import JobInput, JobPage, JobView
from bursar.client.places import Places, given
from bursar.ids import new_id

__all__ = ["JobRoutes"]


class JobRoutes(Places):
    """Builds the requests about jobs: one agent over a list of inputs."""

    def create_job(
        self,
        agent: str,
        inputs: Sequence[str | JobInput],
        *,
        limit_microusd: int | None = None,
        item_limit_microusd: int | None = None,
        timeout_s: float | None = None,
        attempts: int | None = None,
        output: dict[str, Any] | None = None,
        user: str | None = None,
        title: str | None = None,
        model: str | None = None,
        workspace_path: str | None = None,
        description: str | None = None,
        key: str | None = None,
    ) -> Call[JobView]:
        """Run an agent over up to 10,000 inputs. Safe to repeat: never two jobs.

        Args:
            limit_microusd: what all may spend together; ``item_limit_microusd`` one of them.
            timeout_s: how long one may work; waiting does not count.
            attempts: how often one is run that fails, 1-5.
            output: JSON Schema of the answers.
            key: Idempotency-Key, for a caller that may die and repeat this in another process.

        """
        body = {"agent": agent, "inputs": list(inputs)} | given(
            limit_microusd=limit_microusd,
            item_limit_microusd=item_limit_microusd,
            timeout_s=timeout_s,
            attempts=attempts,
            output=output,
            user=user,
            title=title,
            model=model,
            workspace_path=workspace_path,
            description=description,
        )
        path = self._in_workspace("/jobs")
        return Call(method="POST", path=path, kind=JobView, body=body, key=key or new_id("idm"))

    def list_jobs(self, *, cursor: str | None = None, limit: int | None = None) -> Call[JobPage]:
        """One page of jobs, newest first."""
        params = given(cursor=cursor, limit=limit)
        return Call(method="GET", path=self._in_workspace("/jobs"), kind=JobPage, params=params)

    def get_job(self, job: str | JobView) -> Call[JobView]:
        return Call(method="GET", path=self._job(job), kind=JobView)

    def cancel_job(self, job: str | JobView, *, reason: str | None = None) -> Call[JobView]:
        """Begin nothing more and stop what is at work; results that are there stay."""
        path, body = self._job(job, "/cancel"), given(reason=reason)
        return Call(method="POST", path=path, kind=JobView, body=body)

    def retry_job(self, job: str | JobView) -> Call[JobView]:
        """Run all items again that have not succeeded. Safe to repeat."""
        path = self._job(job, "/retry")
        return Call(method="POST", path=path, kind=JobView, key=new_id("idm"))

    def delete_job(self, job: str | JobView) -> Call[None]:
        """Delete a job that is not at work, with the sessions of its items."""
        return Call(method="DELETE", path=self._job(job), kind=NoneType)

    def job_results(
        self, job: str | JobView, *, state: str | None = None, after: int | None = None
    ) -> Call[None]:
        params = given(state=state, after=after)
        path = self._job(job, "/results")
        return Call(method="GET", path=path, kind=NoneType, params=params)

    def _job(self, job: str | JobView, path: str = "") -> str:
        name = quote(job if isinstance(job, str) else job.id, safe="")
        return self._in_workspace(f"/jobs/{name}{path}")
