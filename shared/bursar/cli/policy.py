"""``bursar policy``: what agents may do in a workspace, and which rule says so."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bursar.cli.options import AsJson, Workspace, connect
from bursar.cli.output import ago, clean, print_json, print_table
from bursar.cli.policy_files import add_rules, as_toml, read_policy_file
from bursar.errors import Conflict, InvalidInput

if TYPE_CHECKING:
    from bursar.client import Client, PolicyExplanation, PolicyView

__all__ = ["EXIT_ASKED", "EXIT_REFUSED", "app"]

EXIT_ASKED, EXIT_REFUSED = 4, 5
_TRIES = 5  # at adding to a policy that others change at the same time
_VERDICTS = {"allow": "allowed", "ask": "asked", "deny": "refused"}

app = typer.Typer(
    no_args_is_help=True, help="Show, change and explain the policies of a workspace."
)

Agent = Annotated[
    str | None, typer.Option("--agent", "-a", help="The policy for this agent, not that for all.")
]
Expect = Annotated[
    int | None,
    typer.Option("--expect", min=0, help="Refuse if another version is in force; 0 is none."),
]
Patterns = list[str] | None


@app.command()
def show(
    ctx: typer.Context,
    workspace: Workspace = "default",
    agent: Agent = None,
    as_json: AsJson = False,
) -> None:
    """Show a policy, in the form that `bursar policy set` takes.

    Example: bursar policy show > policy.toml
    """
    with connect(ctx, workspace) as client:
        view = _get(client, agent)
    _print(view, workspace, as_json=as_json)


@app.command("set")
def set_policy(
    ctx: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE", help="TOML or JSON with blocked, ask and allow; - reads from a pipe."
        ),
    ] = None,
    workspace: Workspace = "default",
    agent: Agent = None,
    block: Annotated[Patterns, typer.Option("--block", help="Add to what is refused.")] = None,
    ask: Annotated[
        Patterns, typer.Option("--ask", help="Add to what people are asked about.")
    ] = None,
    allow: Annotated[Patterns, typer.Option("--allow", help="Add to what runs unasked.")] = None,
    drop: Annotated[Patterns, typer.Option("--drop", help="Take out of all three.")] = None,
    expect: Expect = None,
    as_json: AsJson = False,
) -> None:
    """Put a policy from a file in force, or without one change the present policy by the options.

    Needs an administrator's key. Options may be repeated. Workers judge by it from their next call
    on.

    Example: bursar policy set --block "exec://sudo **" --ask "net://**"
    """
    changes = {"blocked": block or [], "ask": ask or [], "allow": allow or []}
    if file is None and not drop and not any(changes.values()):
        raise InvalidInput("nothing to change; give a file or an option", field="FILE")
    with connect(ctx, workspace) as client:
        if file is not None:
            lists = add_rules(read_policy_file(file), changes, drop or [])
            view = _set(client, agent, lists, expect)
        else:
            view = _change(client, agent, changes, drop or [], expect)
    _print(view, workspace, as_json=as_json)


@app.command()
def unset(
    ctx: typer.Context,
    workspace: Workspace = "default",
    agent: Agent = None,
    expect: Expect = None,
) -> None:
    """Remove a policy; its last versions stay in the history. Needs an administrator's key."""
    with connect(ctx, workspace) as client:
        if agent:
            client.remove_agent_policy(agent, expected_version=expect)
        else:
            client.remove_policy(expected_version=expect)
    print(f"{_whose(workspace, agent)} is removed")


@app.command()
def history(
    ctx: typer.Context,
    version: Annotated[
        int | None, typer.Argument(metavar="VERSION", help="Show this version.", min=1)
    ] = None,
    workspace: Workspace = "default",
    agent: Agent = None,
    as_json: AsJson = False,
) -> None:
    """List the last versions of a policy, or show one of them.

    Example: bursar policy history 12 > policy.toml && bursar policy set policy.toml
    """
    with connect(ctx, workspace) as client:
        if version is not None:
            _print(client.get_policy_version(version, agent=agent), workspace, as_json=as_json)
            return
        found = client.list_policy_versions(agent=agent)
    if as_json:
        print_json(found)
        return
    rows = [
        [
            str(view.version),
            ago(view.at_ms),
            clean(view.by),
            *(
                ["removed", "", ""]
                if view.removed
                else [str(len(rules)) for rules in (view.blocked, view.ask, view.allow)]
            ),
        ]
        for view in found
    ]
    columns = ["version", "when", "by", "blocked>", "ask>", "allow>"]
    print_table(columns, rows, empty="there never was one")


@app.command()
def explain(
    ctx: typer.Context,
    action: Annotated[str, typer.Argument(help="Such as 'exec://git push', or a tool's name.")],
    workspace: Workspace = "default",
    agent: Annotated[
        str | None, typer.Option("--agent", "-a", help="Whose; its own rules count, too.")
    ] = None,
    effect: Annotated[
        Literal["pure", "idempotent", "at_most_once"] | None,
        typer.Option(help="Of the tool.", show_default="at_most_once"),
    ] = None,
    risk: Annotated[
        Literal["low", "medium", "high", "critical"] | None,
        typer.Option(help="Of the tool.", show_default="low"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say which rule decides about an action, and what would be needed for it to run unasked.

    Boundary, hooks and what people granted come on top. Exit status: 0 allowed, 4 asked, 5 refused.

    Example: bursar policy explain 'exec://git push' --agent support
    """
    with connect(ctx, workspace) as client:
        found = client.explain_policy(action, agent=agent, effect=effect, risk=risk)
    if as_json:
        print_json(found)
    else:
        _say(found)
    raise typer.Exit({"allow": 0, "ask": EXIT_ASKED}.get(found.verdict, EXIT_REFUSED))


def _say(found: "PolicyExplanation") -> None:
    print(clean(f"{found.action}: {_VERDICTS.get(found.verdict, found.verdict)}"))
    print(clean(f"because: {found.reason}"))
    for rule in found.rules:
        if not rule.decides:
            layer = f"{rule.layer}, version {rule.version}" if rule.version else rule.layer
            print(clean(f"speaks of it, too: {rule.listed} {rule.pattern} ({layer})"))
    print(clean(f"needed: {found.needed}"))
    if found.hooks:
        print(clean(f"hooks look at it first: {', '.join(found.hooks)}"))


def _change(
    client: "Client",
    agent: str | None,
    changes: dict[str, list[str]],
    drop: list[str],
    expect: int | None,
) -> "PolicyView":
    """Add to the policy in force; again if somebody else changed it in between."""
    for attempt in range(1, _TRIES + 1):
        present = _get(client, agent)
        lists = {name: list(getattr(present, name)) for name in changes}
        seen = present.version if expect is None else expect
        try:
            return _set(client, agent, add_rules(lists, changes, drop), seen)
        except Conflict as conflict:
            again = conflict.code == "policy_changed" and expect is None
            if not again or attempt == _TRIES:
                raise
    raise AssertionError("the last attempt returns or raises")


def _get(client: "Client", agent: str | None) -> "PolicyView":
    return client.get_agent_policy(agent) if agent else client.get_policy()


def _set(
    client: "Client", agent: str | None, lists: dict[str, list[str]], expect: int | None
) -> "PolicyView":
    if agent:
        return client.set_agent_policy(agent, **lists, expected_version=expect)
    return client.set_policy(**lists, expected_version=expect)


def _print(view: "PolicyView", workspace: str, *, as_json: bool) -> None:
    if as_json:
        print_json(view)
        return
    about = f"# {_whose(workspace, view.agent)}"
    if view.removed:
        print(clean(f"{about}, removed with version {view.version} by {view.by}"))
    elif view.version:
        print(clean(f"{about}, version {view.version} by {view.by}"))
        print(as_toml(view))
    else:
        print(f"{about}: none")


def _whose(workspace: str, agent: str | None) -> str:
    return f"policy of workspace {workspace} for {f'agent {agent}' if agent else 'all agents'}"
