"""``bursar map``: one agent over a file of inputs."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bursar.cli.options import AsJson, Workspace, connect, microusd_of, seconds_of
from bursar.cli.output import print_json
from bursar.errors import InvalidInput

if TYPE_CHECKING:
    from bursar.client import JobInput

__all__ = ["map_inputs"]

Job = Annotated[str | None, typer.Option("--job", help="Follow this job instead of making one.")]

Agent = Annotated[str | None, typer.Argument(metavar="AGENT", help="The agent's name.")]
Inputs = Annotated[
    str | None,
    typer.Argument(
        metavar="INPUTS",
        help="File of inputs, one JSON string or object a line; - reads stdin.",
    ),
]
Out = Annotated[str | None, typer.Option("--out", "-o", help="Write the results here, one a line.")]
LimitUsd = Annotated[
    str | None, typer.Option(help="What all items may spend together, in dollars.")
]
ItemLimitUsd = Annotated[str | None, typer.Option(help="What one item may spend, in dollars.")]
Attempts = Annotated[int, typer.Option(min=1, max=5, help="How often an item is run that fails.")]
Timeout = Annotated[str | None, typer.Option(help="How long one item may work, such as 10min.")]
Schema = Annotated[
    str | None, typer.Option(help="File with the JSON Schema that answers have to have.")
]
User = Annotated[str | None, typer.Option("--user", "-u", help="Whose job it is.")]
Folder = Annotated[
    str | None, typer.Option(help="The items' folder below the workers' files root.")
]
Title = Annotated[str | None, typer.Option(help="What the job is called.")]
Text = Annotated[bool, typer.Option("--text", help="Each line of INPUTS is an input as it is.")]
Detach = Annotated[
    bool, typer.Option("--detach", help="Make the job, print its id, and do not wait.")
]


def map_inputs(
    ctx: typer.Context,
    agent: Agent = None,
    inputs: Inputs = None,
    workspace: Workspace = "default",
    out: Out = None,
    limit_usd: LimitUsd = None,
    item_limit_usd: ItemLimitUsd = None,
    attempts: Attempts = 1,
    timeout: Timeout = None,
    schema: Schema = None,
    user: User = None,
    path: Folder = None,
    title: Title = None,
    text: Text = False,
    detach: Detach = False,
    job: Job = None,
    as_json: AsJson = False,
) -> None:
    """Run an agent over up to 10,000 inputs, and write the results in their order.

    Ctrl-C cancels the job, a second one leaves it; --job goes on following one. Fails with status 1
    if an item has not succeeded, and says why. --json prints the job as it goes, a line each time.

    Example: bursar map reader questions.jsonl --out answers.jsonl --limit-usd 5 --attempts 2
    """
    from bursar.cli import mapped

    if out is not None:
        mapped.check_out(Path(out))
    with connect(ctx, workspace, timeout_s=120.0) as client:
        if job is None:
            given, seconds = (
                _read_inputs(agent, inputs, text=text),
                seconds_of(timeout, "--timeout"),
            )
            made = client.create_job(
                str(agent),
                given,
                limit_microusd=microusd_of(limit_usd, "--limit-usd"),
                item_limit_microusd=microusd_of(item_limit_usd, "--item-limit-usd"),
                timeout_s=None if seconds is None else float(seconds),
                attempts=attempts,
                output=None if schema is None else _read_schema(schema),
                user=user,
                workspace_path=path,
                title=title,
            )
        else:
            if agent is not None:
                raise InvalidInput("with --job there is nothing else to say", field="AGENT")
            made = client.get_job(job)
        if detach:
            print_json(made) if as_json else print(made.id)
            return
        ended = mapped.follow(client, made, as_json=as_json)
        if out is not None:
            mapped.write_results(client, ended, Path(out))
        if not as_json:
            mapped.report(client, ended, out)
    if not ended.ok:
        raise typer.Exit(1)


def _read_inputs(agent: str | None, name: str | None, *, text: bool) -> "list[str | JobInput]":
    import msgspec

    from bursar.client import JobInput

    if agent is None or name is None:
        raise InvalidInput("expected an agent and a file of inputs", field="INPUTS")
    # Not `splitlines`: JSON text may hold U+2028 and its like as they are.
    lines = _content(name, "INPUTS").split("\n")
    if text:
        return [line for line in lines if line.strip()]
    decoder = msgspec.json.Decoder(str | JobInput)
    found: list[str | JobInput] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                found.append(decoder.decode(line))
            except (msgspec.MsgspecError, RecursionError) as error:
                raise InvalidInput(
                    f"line {number}: {error}; with --text a line is an input", field="INPUTS"
                ) from None
    return found


def _read_schema(name: str) -> dict[str, Any]:
    import msgspec

    try:
        return msgspec.json.decode(_content(name, "--schema"), type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidInput(f"expected a JSON Schema: {error}", field="--schema") from None


def _content(name: str, field: str) -> str:
    if name == "-":
        return sys.stdin.read()
    try:
        return Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise InvalidInput(f"{name}: {why}", field=field) from None
