"""What the client believes of the gateway is what the gateway and the domain say."""

from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from bursar import api_keys, events, listing, registry, sessions, turns, workspaces
from bursar.budgets import accounts
from bursar.client import views
from bursar.client.calls import Call
from bursar.client.routes import Routes
from bursar_gateway import bodies
from bursar_gateway.app import build_routes

SAME: list[tuple[type[msgspec.Struct], type[msgspec.Struct]]] = [
    (views.AccountView, accounts.AccountView),
    (views.WorkspaceView, workspaces.WorkspaceView),
    (views.SessionView, sessions.SessionView),
    (views.SessionPage, listing.SessionPage),
    (views.TurnView, turns.TurnView),
    (views.AgentView, registry.AgentEntry),
    (views.WorkerView, registry.WorkerView),
    (views.ApiKeyView, api_keys.ApiKeyView),
    (views.NewApiKey, api_keys.NewApiKey),
    (views.AcceptedTurn, bodies.TurnAccepted),
    (views.AddedMessage, bodies.Added),
    (views.SessionBudget, bodies.SessionBudget),
    (views.LimitChange, bodies.LimitChange),
]


@pytest.mark.parametrize(("ours", "theirs"), SAME)
def test_a_view_has_the_fields_that_are_sent(
    ours: type[msgspec.Struct], theirs: type[msgspec.Struct]
) -> None:
    assert set(ours.__struct_fields__) == set(theirs.__struct_fields__)


def test_ended_states_and_terminal_kinds_are_the_domains() -> None:
    assert views.ENDED == turns.ENDED
    assert views.TERMINAL == events.TERMINAL


def test_every_route_of_the_client_exists_and_every_route_of_the_gateway_is_reached() -> None:
    settings = SimpleNamespace(max_body_bytes=1024, ping_every_s=1.0, stream_send_timeout_s=1.0)
    app = build_routes(cast("Any", SimpleNamespace(settings=settings)))
    theirs = {
        f"{method} {route.path_format}".replace("{ws}", "W")
        for route in app.routes
        for method in getattr(route, "methods", ())
        if method not in {"OPTIONS", "HEAD"} and not route.path.startswith("/schema")
    }
    ours = {_template(call) for call in _all_calls()}
    assert ours <= theirs
    assert theirs - ours == {"GET /healthz"}


def _template(call: Call[Any]) -> str:
    path = call.path.replace("/S", "/{sid}").replace("/T", "/{tid}").replace("/K", "/{key_id}")
    return f"{call.method} {path}"


def _all_calls() -> list[Call[Any]]:
    routes = Routes("W")
    arguments: dict[str, tuple[Any, ...]] = {
        "create_key": ("n",),
        "revoke_key": ("K",),
        "create_workspace": ("x",),
        "update_workspace": ({},),
        "create_session": ("echo",),
        "add_message": ("S", "x"),
        "start_turn": ("S", "x"),
        "set_session_budget": ("S", views.LimitChange()),
        "set_budget": (views.LimitChange(),),
    }
    for name in (
        "get_session",
        "update_session",
        "delete_session",
        "end_session",
        "clear_session",
        "list_messages",
        "session_events",
        "get_session_budget",
    ):
        arguments[name] = ("S",)
    for name in ("get_turn", "get_result", "cancel_turn", "turn_events"):
        arguments[name] = ("T",)
    names = [name for name in vars(Routes) if not name.startswith("_")]
    return [getattr(routes, name)(*arguments.get(name, ())) for name in names]
