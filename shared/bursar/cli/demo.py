"""What ``bursar demo`` does: a whole installation, agents that read, one report, what it cost."""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import bursar
from bursar.cli.approval_scene import ApprovalScene
from bursar.cli.live import LiveView, follow, report_failure
from bursar.cli.output import bar, console, print_fields, tokens
from bursar.cli.purse import SMALL_MICROUSD, follow_until_paid
from bursar.cli.supervisor import Installation
from bursar.cli.tree_view import tree_picture
from bursar.client import Client, SessionView, TurnResult, TurnStream
from bursar.errors import BursarError, InvalidInput
from bursar.money import usd

__all__ = ["Scene", "run_demo"]

Scene = Literal["report", "purse", "approval"]

_WORKSPACE = "demo"
_LIMIT_MICROUSD = 1_000_000
_LIMITS_MICROUSD: dict[Scene, int] = {
    "report": _LIMIT_MICROUSD,
    "purse": SMALL_MICROUSD,
    "approval": 3 * _LIMIT_MICROUSD,
}
"""Of the workspace; the approval scene has three sessions."""
_REPORT = Path("bursar-report", "report.md")
_REQUEST = "Read all files and report what matters most in them, with references."
_MAX_FILES, _MAX_FILE_BYTES, _PROBE_BYTES = 500, 2 * 1024 * 1024, 4096
_MAX_PATH_BYTES = 64
_TREE_LINES = 24


@dataclass
class _Place:
    """The folder that the agent works in, and whether it is a copy made for it."""

    folder: Path
    copied: bool

    @property
    def report(self) -> Path:
        return self.folder / _REPORT


def run_demo(folder: Path | None, *, keep: bool, scene: Scene = "report") -> int:
    """Run the demo; returns the exit status.

    Args:
        scene: ``purse`` lets the money run out on the way, ``approval`` has the agent ask first.

    Raises:
        InvalidInput: the folder is missing, or holds no text.

    """
    started_s = time.monotonic()
    # As after Ctrl-C, the processes that were started have to be stopped first.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    source = _checked(folder or _own_docs())
    base = Path(tempfile.mkdtemp(prefix="bursar-demo-"))
    with ExitStack() as undo:
        # Only what is left empty goes: a copy of the input stays, since the report is in it.
        undo.callback(_remove_if_empty, base)
        place = _prepare(source, base, in_place=folder is not None)
        data = base / "installation"
        if not keep:
            undo.callback(shutil.rmtree, data, ignore_errors=True)
        out = console()
        out.print(f"reading {source}; starting Redis, a gateway and two workers …", style="dim")
        env = {"BURSAR_FILES_ROOT": str(place.folder.parent)}
        with Installation(workers=2, data=data, workspace="", env=env) as installation:
            names = dict(_worker_names(installation))
            with installation.client(_WORKSPACE) as client:
                client.create_workspace(_WORKSPACE, limit_microusd=_LIMITS_MICROUSD[scene])
                session, result, view = _play(scene, installation, client, place)
                session = client.get_session(session.id)
                names |= _worker_names(installation)
                out.print()
                _print_summary(
                    client, session, result, seconds=time.monotonic() - started_s,
                    workers=[names.get(worker, worker) for worker in view.workers], place=place,
                )  # fmt: skip
        if keep:
            print_fields({"kept": str(data)})
    if not result.ok:
        report_failure(result)
        return 1
    return 0


def _play(
    scene: Scene, installation: Installation, client: Client, place: _Place
) -> tuple[SessionView, TurnResult, LiveView]:
    view = LiveView(workspace=_WORKSPACE)
    if scene == "approval":
        played = ApprovalScene(installation, client, view, lambda: _start(client, place))
        session, result = played.play()
        if not played.verify():
            raise BursarError("the audit log is not whole", code="audit_broken")
        return session, result, view
    if scene == "purse":
        session, stream = _start(client, place)
        key = installation.key
        result = follow_until_paid(client, stream, view, workspace=_WORKSPACE, key=key)
        return session, result, view
    session = _open(client, "editor", place)
    view = LiveView(session.id, workspace=session.workspace)
    result = follow(client, client.stream(session, _REQUEST, tree=True), view)
    console().print()
    tree = client.session_tree(session)
    console().print(tree_picture(tree, height=_TREE_LINES))
    return session, result, view


def _start(client: Client, place: _Place) -> tuple[SessionView, TurnStream]:
    session = _open(client, "reader", place)
    return session, client.stream(session, _REQUEST)


def _open(client: Client, agent: str, place: _Place) -> SessionView:
    return client.create_session(
        agent, user="demo", workspace_path=place.folder.name, limit_microusd=_LIMIT_MICROUSD
    )


def _print_summary(
    client: Client,
    session: SessionView,
    result: TurnResult,
    *,
    seconds: float,
    workers: list[str],
    place: _Place,
) -> None:
    totals = client.session_tree(session).totals
    below = totals.sessions - 1 if totals else 0
    account = client.get_budget()
    spent, limit = account.posted_microusd, account.limit_microusd or 0
    used = f"{usd(spent)} of {usd(limit)}  {bar(spent, limit, account.warn_percent)}"
    print_fields(
        {
            **({"sub-agents": str(below)} if below else {}),
            "turns": str(session.turn_count),
            "steps": str(session.step_count),
            "tool calls": str(session.tool_call_count),
            "tokens": f"{tokens(result.input_tokens)} in, {tokens(result.output_tokens)} out",
            "budget": used,
            "ran on": ", ".join(workers),
            "seconds": f"{seconds:.1f}",
            "report": str(place.report) if place.report.is_file() else "none was written",
        }
    )


def _worker_names(installation: Installation) -> Mapping[str, str]:
    """Workers by the id that events carry, named as their logs are."""
    names = {worker.pid: worker.name for worker in installation.workers}
    with installation.client() as client:
        return {
            worker.id: f"{names[worker.pid]} (pid {worker.pid})"
            for worker in client.list_workers()
            if worker.pid in names
        }


def _own_docs() -> Path:
    for above in (Path(bursar.__file__).parents[2], Path.cwd()):
        docs = above / "docs"
        if docs.is_dir():
            return docs
    raise InvalidInput("the project's docs are not installed here; name a folder", field="--input")


def _checked(folder: Path) -> Path:
    source = folder.resolve()
    if not source.is_dir():
        raise InvalidInput(f"there is no folder {folder}", field="--input")
    if not any(_text_files(source)):
        raise InvalidInput(f"{folder} holds no text files", field="--input")
    return source


def _prepare(source: Path, base: Path, *, in_place: bool) -> _Place:
    """Use the folder itself if it may be written to, else a copy of its texts."""
    if in_place and os.access(source, os.W_OK) and _is_session_path(source.name):
        return _Place(source, copied=False)
    target = base / (source.name if _is_session_path(source.name) else "input")
    for path in _text_files(source):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    return _Place(target, copied=True)


def _is_session_path(name: str) -> bool:
    """Whether a session may have this as its ``workspace_path``."""
    return (
        bool(name)
        and len(name.encode()) <= _MAX_PATH_BYTES
        and name.isprintable()
        and not any(char in name for char in "{}:\\")
    )


def _text_files(folder: Path) -> Iterator[Path]:
    """Text files that the agent would read, at most `_MAX_FILES`, without an earlier report."""
    found = 0
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if parts[0] == _REPORT.parts[0] or any(part.startswith(".") for part in parts):
            continue
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _MAX_FILE_BYTES:
            continue
        if b"\x00" not in _head(path):
            yield path
            found += 1
            if found == _MAX_FILES:
                return


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_PROBE_BYTES)


def _remove_if_empty(folder: Path) -> None:
    if not any(folder.iterdir()):
        folder.rmdir()
