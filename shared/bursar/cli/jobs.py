"""``bursar jobs``: look at jobs, stop them, and run again what failed."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bursar.cli.options import AsJson, Workspace, connect
from bursar.cli.output import ago, clean, command, console, print_fields, print_json, print_table
from bursar.money import usd

if TYPE_CHECKING:
    from bursar.client import JobView

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="List, show, cancel, retry or delete jobs.")

JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")]


@app.command("list")
def list_jobs(
    ctx: typer.Context,
    workspace: Workspace = "default",
    limit: Annotated[int, typer.Option(min=1, max=200, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first."""
    with connect(ctx, workspace) as client:
        page = client.list_jobs(limit=limit)
    if as_json:
        print_json(page.jobs)
        return
    rows = [
        [
            job.id,
            job.agent,
            _state(job),
            f"{job.succeeded + job.failed:,}/{job.total:,}",
            f"{job.failed:,}",
            usd(job.cost_microusd),
            ago(job.created_ms),
            clean(job.title),
        ]
        for job in page.jobs
    ]
    columns = ["job", "agent", "state", "done>", "failed>", "cost>", "made", "title"]
    print_table(columns, rows, empty=f"no jobs in workspace {workspace}")
    if page.cursor:
        console(stderr=True).print("there are more; raise --limit", style="dim")


@app.command()
def show(
    ctx: typer.Context, job: JobId, workspace: Workspace = "default", as_json: AsJson = False
) -> None:
    """Show one job."""
    with connect(ctx, workspace) as client:
        view = client.get_job(job)
    if as_json:
        print_json(view)
        return
    limit = "" if view.limit_microusd is None else f" of {usd(view.limit_microusd)}"
    print_fields(
        {
            "job": view.id,
            "title": clean(view.title),
            "state": _state(view),
            "reason": clean(view.reason),
            "agent": view.agent,
            "user": view.user,
            "files": view.workspace_path,
            "items": f"{view.total:,}: {view.succeeded:,} succeeded, {view.failed:,} failed, "
            f"{view.open:,} open, {view.waiting:,} waiting",
            "sessions": f"{view.running:,} at work, {view.unpaid:,} without money",
            "cost": f"{usd(view.cost_microusd)}{limit}",
            "made": ago(view.created_ms),
            "started": ago(view.started_ms) if view.started_ms else "",
            "ended": ago(view.ended_ms) if view.ended_ms else "",
        }
    )


@app.command()
def results(
    ctx: typer.Context,
    job: JobId,
    workspace: Workspace = "default",
    state: Annotated[
        Literal["all", "ended", "succeeded", "failed"], typer.Option(help="Only these.")
    ] = "all",
    after: Annotated[int, typer.Option(min=-1, help="Only behind the item of this index.")] = -1,
) -> None:
    """Print the items as lines of JSON, in the order of the inputs; also while it is at work."""
    with connect(ctx, workspace) as client:
        for result in client.job_results(job, state=state, after=after):
            print_json(result)


@app.command()
def retry(
    ctx: typer.Context, job: JobId, workspace: Workspace = "default", as_json: AsJson = False
) -> None:
    """Run all items again that have not succeeded; `bursar map --job` follows it."""
    with connect(ctx, workspace) as client:
        view = client.retry_job(job)
    if as_json:
        print_json(view)
    else:
        left = view.total - view.succeeded
        follow = command(f"map --job {view.id}", view.workspace)
        console().print(f"{left:,} items are run again: {follow}", soft_wrap=True)


@app.command()
def cancel(
    ctx: typer.Context,
    job: JobId,
    workspace: Workspace = "default",
    reason: Annotated[str, typer.Option(help="Why, for people.")] = "cancelled at the terminal",
    as_json: AsJson = False,
) -> None:
    """Stop a job. Results that are there stay."""
    with connect(ctx, workspace) as client:
        view = client.cancel_job(job, reason=reason)
    if as_json:
        print_json(view)
    else:
        words = "is cancelled" if view.ended else "stops"
        console().print(f"{view.id} {words}: {view.succeeded:,} of {view.total:,} have succeeded")


@app.command()
def delete(ctx: typer.Context, job: JobId, workspace: Workspace = "default") -> None:
    """Delete a job that is not at work, with the sessions of its items."""
    with connect(ctx, workspace, timeout_s=300.0) as client:
        client.delete_job(job)
    console().print(f"{job} is deleted")


def _state(job: "JobView") -> str:
    """What a job does; without these words one that nobody pays for looks like any other."""
    dry = job.unpaid and not job.running and not job.ended
    return f"{job.state}, without money" if dry else job.state
