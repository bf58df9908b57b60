"""``bursar webhooks``: endpoints that are told of questions; needs an administrator's key."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from bursar.cli.options import AsJson, Workspace, connect
from bursar.cli.output import ago, ahead, clean, console, print_fields, print_json, print_table
from bursar.errors import BursarError

if TYPE_CHECKING:
    from bursar.client import Client, DeliveryAttempt, WebhookSecret, WebhookView

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help="Have questions sent to other programs: make, test and watch webhooks (administrators).",
)

_PATIENCE_S = 20.0
_POLL_S = 0.2

Webhook = Annotated[str, typer.Argument(help="The webhook's id, whk_…")]
Events = Annotated[
    list[str] | None,
    typer.Option(
        "--event",
        help="What it is told of, once for each: approval.requested, approval.deferred, "
        "approval.resolved.",
    ),
]
Description = Annotated[str | None, typer.Option(help="What it is for.")]


@app.command()
def add(
    ctx: typer.Context,
    url: Annotated[str, typer.Argument(help="Where to: a public https address.")],
    event: Events = None,
    description: Description = None,
    workspace: Workspace = "default",
    as_json: AsJson = False,
) -> None:
    """Make a webhook. Its secret is printed this once and never again.

    Example: bursar webhooks add https://example.org/bursar --event approval.requested
    """
    with connect(ctx, workspace) as client:
        made = client.create_webhook(url, events=event, description=description)
    _print_secret(made, as_json=as_json)


@app.command("list")
def list_webhooks(
    ctx: typer.Context, workspace: Workspace = "default", as_json: AsJson = False
) -> None:
    """List the workspace's webhooks and how their endpoints answer."""
    with connect(ctx, workspace) as client:
        found = client.list_webhooks()
    if as_json:
        print_json(found)
        return
    rows = [
        [
            view.id,
            clean(view.url),
            ", ".join(kind.removeprefix("approval.") for kind in view.events),
            _state(view),
            str(view.delivered),
            str(view.pending),
            str(view.dead),
        ]
        for view in found
    ]
    columns = ["webhook", "url", "events", "state", "delivered>", "waiting>", "given up>"]
    print_table(columns, rows, empty="no webhooks")


@app.command()
def update(
    ctx: typer.Context,
    webhook: Webhook,
    url: Annotated[str | None, typer.Option(help="Where to from now on.")] = None,
    event: Events = None,
    description: Description = None,
    paused: Annotated[
        bool | None,
        typer.Option("--pause/--resume", help="Send it nothing; what happens then it misses."),
    ] = None,
    workspace: Workspace = "default",
    as_json: AsJson = False,
) -> None:
    """Change a webhook; what waits for it is then tried at once."""
    with connect(ctx, workspace) as client:
        view = client.update_webhook(
            webhook, url=url, events=event or None, description=description, paused=paused
        )
    if as_json:
        print_json(view)
    else:
        _print_view(view)


@app.command()
def remove(ctx: typer.Context, webhook: Webhook, workspace: Workspace = "default") -> None:
    """Remove a webhook with all that waits for it."""
    with connect(ctx, workspace) as client:
        client.delete_webhook(webhook)
    console().print(f"{webhook} is removed")


@app.command()
def rotate(
    ctx: typer.Context, webhook: Webhook, workspace: Workspace = "default", as_json: AsJson = False
) -> None:
    """Make a new secret; for 24 hours messages are signed with the old one as well."""
    with connect(ctx, workspace) as client:
        made = client.rotate_webhook(webhook)
    _print_secret(made, as_json=as_json)


@app.command("test")
def send_test(
    ctx: typer.Context, webhook: Webhook, workspace: Workspace = "default", as_json: AsJson = False
) -> None:
    """Send a webhook.test and say how the endpoint answered; fails if it did not take it."""
    with connect(ctx, workspace) as client:
        message = client.test_webhook(webhook).message
        attempt = _await_attempt(client, webhook, message)
    if as_json:
        print_json(attempt)
    elif not attempt.error:
        console().print(f"it took the message ({attempt.status}, {attempt.took_ms} ms)")
    if attempt.error:
        raise BursarError(f"it did not take the message: {attempt.error}", code="not_taken")


@app.command()
def deliveries(
    ctx: typer.Context, webhook: Webhook, workspace: Workspace = "default", as_json: AsJson = False
) -> None:
    """Show the last tries, and the messages that were given up."""
    with connect(ctx, workspace) as client:
        found = client.list_deliveries(webhook)
    if as_json:
        print_json(found)
        return
    rows = [
        [
            each.message,
            each.event,
            str(each.number),
            each.error or str(each.status),
            f"{each.took_ms} ms",
            ago(each.at_ms),
        ]
        for each in found.attempts
    ]
    columns = ["message", "event", "try>", "answer", "took>", "when"]
    print_table(columns, rows, empty="nothing was sent to it")
    if found.dead:
        console().print("\ngiven up, see `bursar webhooks retry`:")
        print_table(
            ["message", "event", "tries>", "last answer", "when"],
            [[d.message, d.event, str(d.tries), d.error, ago(d.at_ms)] for d in found.dead],
            empty="",
        )


@app.command()
def retry(
    ctx: typer.Context,
    webhook: Webhook,
    message: Annotated[str, typer.Argument(help="The message's id, msg_…")],
    workspace: Workspace = "default",
) -> None:
    """Try a message again, now: one that was given up, or one that waits."""
    with connect(ctx, workspace) as client:
        client.retry_delivery(webhook, message)
    console().print(f"{message} is sent again")


def _await_attempt(client: "Client", webhook: str, message: str) -> "DeliveryAttempt":
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        for attempt in client.list_deliveries(webhook).attempts:
            if attempt.message == message:
                return attempt
        time.sleep(_POLL_S)
    raise BursarError("no gateway has sent it yet; look again with `deliveries`", code="not_sent")


def _state(view: "WebhookView") -> str:
    if view.paused:
        return "paused: wants no more" if view.paused_by == "gone" else "paused"
    if view.rests_until_ms > time.time() * 1000:
        return f"{view.last_failure}, again {ahead(view.rests_until_ms)}"
    return f"{view.failures} failed" if view.failures else "ok"


def _print_view(view: "WebhookView") -> None:
    print_fields(
        {
            "webhook": view.id,
            "url": clean(view.url),
            "events": ", ".join(view.events),
            "description": clean(view.description),
            "state": _state(view),
        }
    )


def _print_secret(made: "WebhookSecret", *, as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    _print_view(made.webhook)
    print(made.secret)
    console(stderr=True).print("keep the secret safe: it is not shown again", style="dim")
