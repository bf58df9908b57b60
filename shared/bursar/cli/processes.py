"""``bursar dev``, ``gateway``, ``worker`` and ``demo``: start things."""

import importlib.util
import os
import sys
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer

from bursar.errors import BursarError

__all__ = ["demo", "dev", "gateway", "worker"]

RedisUrl = Annotated[
    str | None, typer.Option(help="Redis that holds the state (BURSAR_REDIS_URL).")
]
Agents = Annotated[
    str | None,
    typer.Option(help="Modules that hold `Agent` objects, separated by commas (BURSAR_AGENTS)."),
]


def dev(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free port.")] = 8700,
    workers: Annotated[int, typer.Option(min=0, max=64, help="How many workers.")] = 2,
    data: Annotated[
        Path | None,
        typer.Option(help="Keep sessions and logs in this folder; else they go at the end."),
    ] = None,
    agents: Agents = None,
    redis_url: Annotated[
        str | None, typer.Option(help="Use this Redis instead of one of our own.")
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show the logs of all processes.")
    ] = False,
) -> None:
    """Run everything on this machine: Redis, a gateway and workers, until Ctrl-C.

    Prints one line, "ready URL key=…", once a workspace `default` takes sessions. The key is
    BURSAR_API_KEY or a random one. Processes that die are started again.

    Example: bursar dev --agents mypkg.agents --data ./state
    """
    from bursar.cli.dev import serve

    serve(
        port=port,
        workers=workers,
        data=data,
        agents=agents or "",
        redis_url=redis_url or "",
        verbose=verbose,
    )


def demo(
    folder: Annotated[
        Path | None,
        typer.Option("--input", help="Folder of text files to read; else the project's own docs."),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the demo's Redis data and logs.")
    ] = False,
    scene: Annotated[
        Literal["report", "purse", "approval"],
        typer.Option(
            help="purse: the money runs out on the way, and is raised. "
            "approval: the agent asks before it writes, and processes are killed meanwhile."
        ),
    ] = "report",
) -> None:
    """Watch an agent read a folder and write a report, on a whole installation of its own.

    Needs no keys and no network, and ends by itself within a minute; the approval scene waits so
    long for an answer, if there is a terminal.

    Example: bursar demo --input ./notes
    """
    from bursar.cli.demo import run_demo

    raise typer.Exit(run_demo(folder, keep=keep, scene=scene))


def gateway(
    host: Annotated[str | None, typer.Option(help="Address to listen on (BURSAR_HOST).")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to listen on (BURSAR_PORT).")
    ] = None,
    redis_url: RedisUrl = None,
) -> None:
    """Run one gateway; all other settings come from BURSAR_… variables.

    Example: bursar gateway --host 0.0.0.0 --redis-url redis://redis:6379/0
    """
    _become("bursar_gateway", "gateway", HOST=host, PORT=port, REDIS_URL=redis_url)


def worker(
    agents: Agents = None,
    group: Annotated[
        str | None, typer.Option(help="Workers of one group serve the same agents (BURSAR_GROUP).")
    ] = None,
    slots: Annotated[
        int | None, typer.Option(min=1, help="Sessions to run at once (BURSAR_SLOTS).")
    ] = None,
    redis_url: RedisUrl = None,
) -> None:
    """Run one worker; all other settings come from BURSAR_… variables.

    Example: bursar worker --agents mypkg.agents --slots 20
    """
    _become("bursar_worker", "worker", AGENTS=agents, GROUP=group, SLOTS=slots, REDIS_URL=redis_url)


def _become(module: str, extra: str, **settings: str | int | None) -> NoReturn:
    """Replace this process by a module run as a program; signals then reach it directly."""
    if importlib.util.find_spec(module) is None:
        raise BursarError(f"{module} is not installed: pip install 'bursar[{extra}]'")
    for name, value in settings.items():
        if value is not None:
            os.environ[f"BURSAR_{name}"] = str(value)
    os.execv(sys.executable, [sys.executable, "-m", module])  # noqa: S606
