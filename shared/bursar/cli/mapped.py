"""A job at the terminal: how far it is, and at its end what it brought."""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bursar.cli.accounts import raise_words
from bursar.cli.output import clean, command, console, print_json
from bursar.errors import BursarError, GatewayUnreachable, InvalidInput, StoreUnavailable
from bursar.money import usd

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bursar.client import Client, JobView

__all__ = ["check_out", "follow", "progress", "report", "write_results"]

_EVERY_S = 0.5
_PATIENCE_S = 120.0  # how long a gateway may be away before a job is left alone
_STILL = 4  # looks at which no item runs, until it is asked why
_SHOWN = 5  # failures that are told in full


def follow(client: "Client", job: "JobView", *, as_json: bool) -> "JobView":
    """Name a job and show it until it has ended. The first Ctrl-C asks for its cancel."""
    watch = _Watch(client, job)
    if as_json:
        return watch.run(print_json)
    name = f"job {job.id}"
    out = console(stderr=True)
    if not out.is_terminal:
        return watch.run(lambda _: None, name)
    from rich.live import Live

    with Live(console=out, auto_refresh=False, transient=True) as live:
        return watch.run(lambda view: live.update(progress(view, watch.rate), refresh=True), name)


class _Watch:
    def __init__(self, client: "Client", job: "JobView") -> None:
        self._client = client
        self._job = job
        self._began_s = time.monotonic()
        self._began_with = job.succeeded + job.failed
        self._asked = False
        self._still = 0
        self._dry: set[str] = set()

    @property
    def rate(self) -> float:
        """Items a second since we look."""
        done = self._job.succeeded + self._job.failed - self._began_with
        return max(0, done) / max(0.001, time.monotonic() - self._began_s)

    def run(self, show: "Callable[[JobView], None]", name: str = "") -> "JobView":
        while True:
            try:
                if name:  # Whoever has read it may press Ctrl-C.
                    console(stderr=True).print(name, style="dim")
                    name = ""
                show(self._job)
                while not self._job.ended:
                    time.sleep(_EVERY_S)
                    self._job = self._look()
                    self._tell_shortage()
                    show(self._job)
            except KeyboardInterrupt:
                if self._asked:
                    follow = command(f"map --job {self._job.id}", self._job.workspace)
                    note = f"it goes on; {follow} follows it"
                    console(stderr=True).print(note, style="yellow", soft_wrap=True)
                    raise
                self._asked = True
                console(stderr=True).print("cancelling; Ctrl-C again leaves it", style="yellow")
                self._client.cancel_job(self._job, reason="cancelled at the terminal")
            else:
                return self._job

    def _tell_shortage(self) -> None:
        """Say for whose money the items wait, if they do: a job that stands still looks broken."""
        job = self._job
        self._still = self._still + 1 if job.open and not job.running else 0
        if not self._still:
            self._dry.clear()
        if not self._still or self._still % _STILL:
            return
        with contextlib.suppress(BursarError):  # not everybody may see budgets
            for question in self._client.list_budget_questions():
                account = question.account.account
                ours = any(each.session.startswith(f"{job.id}~") for each in question.turns)
                if not ours or account in self._dry:
                    continue
                self._dry.add(account)
                more = raise_words(account, job.workspace)
                words = f"items wait for money of {account}; to give more: {more}"
                console(stderr=True).print(words, style="yellow", markup=False, soft_wrap=True)

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


def check_out(path: Path) -> None:
    """Refuse a place where results cannot be written before anything is paid for them."""
    folder = path.parent
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InvalidInput(f"cannot write {path}: expected a file in a folder", field="--out")


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
    if job.state == "failed" and job.reason:
        err.print(f"  {clean(job.reason)}", style="red", markup=False, soft_wrap=True)
    if not job.failed:
        return
    for number, result in enumerate(client.job_results(job, state="failed")):
        if number == _SHOWN:
            err.print(f"… and {job.failed - _SHOWN:,} more", style="dim")
            break
        why = clean(": ".join(part for part in (result.code, result.reason) if part))
        name = f" {clean(result.id)}" if result.id else ""
        err.print(f"  item {result.index}{name}: {why}", style="red", markup=False, soft_wrap=True)
    again = command(f"jobs retry {job.id}", job.workspace)
    err.print(f"run what failed again: {again}", style="dim", soft_wrap=True)
