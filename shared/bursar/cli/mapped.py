"""A job at the terminal: how far it is, and at its end what it brought."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bursar.cli.output import clean, console, print_json
from bursar.errors import GatewayUnreachable, StoreUnavailable
from bursar.money import usd

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bursar.client import Client, JobView

__all__ = ["follow", "progress", "report", "write_results"]

_EVERY_S = 0.5
_PATIENCE_S = 120.0  # how long a gateway may be away before a job is left alone
_SHOWN = 5  # failures that are told in full


def follow(client: "Client", job: "JobView", *, as_json: bool) -> "JobView":
    """Show a job until it has ended. The first Ctrl-C asks for its cancel."""
    watch = _Watch(client, job)
    if as_json:
        return watch.run(print_json)
    out = console(stderr=True)
    if not out.is_terminal:
        return watch.run(lambda _: None)
    from rich.live import Live

    with Live(console=out, auto_refresh=False, transient=True) as live:
        return watch.run(lambda view: live.update(progress(view, watch.rate), refresh=True))


class _Watch:
    def __init__(self, client: "Client", job: "JobView") -> None:
        self._client = client
        self._job = job
        self._began_s = time.monotonic()
        self._began_with = job.succeeded + job.failed
        self._asked = False

    @property
    def rate(self) -> float:
        """Items a second since we look."""
        done = self._job.succeeded + self._job.failed - self._began_with
        return max(0, done) / max(0.001, time.monotonic() - self._began_s)

    def run(self, show: "Callable[[JobView], None]") -> "JobView":
        while True:
            try:
                show(self._job)
                while not self._job.ended:
                    time.sleep(_EVERY_S)
                    self._job = self._look()
                    show(self._job)
            except KeyboardInterrupt:
                if self._asked:
                    note = f"it goes on; bursar map --job {self._job.id} follows it"
                    console(stderr=True).print(note, style="yellow", soft_wrap=True)
                    raise
                self._asked = True
                console(stderr=True).print("cancelling; Ctrl-C again leaves it", style="yellow")
                self._client.cancel_job(self._job, reason="cancelled at the terminal")
            else:
                return self._job

    def _look(self) -> "JobView":
        """The job as it is now; a gateway that is away is waited for."""
        until_s = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return self._client.get_job(self._job)
            except (GatewayUnreachable, StoreUnavailable):
                if time.monotonic() > until_s:
                    raise
                time.sleep(_EVERY_S)


def progress(job: "JobView", rate: float) -> "RenderableType":
    """One line: how many are done, what failed, what is at work, what it costs."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    done = job.succeeded + job.failed
    spent = usd(job.cost_microusd)
    if job.limit_microusd is not None:
        spent += f" of {usd(job.limit_microusd)}"
    line = Table.grid(padding=(0, 2))
    line.add_row(
        ProgressBar(total=max(1, job.total), completed=done, width=24),
        Text(f"{done:,}/{job.total:,} done"),
        Text(f"{job.failed:,} failed", style="red" if job.failed else "dim"),
        Text(f"{job.running:,} running, {job.open - min(job.open, job.running):,} wait"),
        Text(spent),
        Text(f"{rate:.1f}/s", style="dim"),
    )
    return line


def write_results(client: "Client", job: "JobView", path: Path) -> None:
    """Write the results as lines of JSON; the file is there whole, or as it was before."""
    import msgspec

    part = path.with_name(f"{path.name}.part")
    encoder = msgspec.json.Encoder()
    try:
        with part.open("wb") as file:
            for result in client.job_results(job):
                file.write(encoder.encode(result) + b"\n")
        part.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
        raise


def report(client: "Client", job: "JobView", out: str | None) -> None:
    """Print the results unless they are in a file, and say what became of the job."""
    if out is None:
        for result in client.job_results(job):
            print_json(result)
    err = console(stderr=True)
    rest = f", {job.waiting:,} not run" if job.waiting else ""
    where = f"; results in {out}" if out else ""
    words = f"{job.succeeded:,} succeeded, {job.failed:,} failed{rest}"
    words += f", {usd(job.cost_microusd)}{where}"
    err.print(f"{job.state}: {words}", markup=False, soft_wrap=True)
    if not job.failed:
        return
    for number, result in enumerate(client.job_results(job, state="failed")):
        if number == _SHOWN:
            err.print(f"… and {job.failed - _SHOWN:,} more", style="dim")
            break
        why = clean(" ".join(part for part in (result.code, result.reason) if part))
        name = f" {clean(result.id)}" if result.id else ""
        err.print(f"  item {result.index}{name}: {why}", style="red", markup=False, soft_wrap=True)
    again = f"bursar jobs retry {job.id}"
    err.print(f"run what failed again: {again}", style="dim", soft_wrap=True)
