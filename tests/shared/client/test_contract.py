"""What the client believes of the gateway is what the gateway and the domain say."""

import inspect
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from bursar import api_keys, events, listing, registry, sessions, turns, workspaces
from bursar.budgets import accounts, audit, checkpoints, questions, spending
from bursar.client import budget_views, views
from bursar.client.calls import Call
from bursar.client.routes import Routes
from bursar_gateway import bodies
from bursar_gateway.app import build_routes

SAME: list[tuple[type[msgspec.Struct], type[msgspec.Struct]]] = [
    (budget_views.AccountView, accounts.AccountView),
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
    (budget_views.SessionBudget, bodies.SessionBudget),
    (budget_views.LimitChange, accounts.LimitChange),
    (budget_views.BudgetQuestion, questions.Question),
    (budget_views.WaitingTurn, questions.WaitingTurn),
    (budget_views.DeniedTurns, bodies.DeniedTurns),
    (budget_views.Spending, spending.Spending),
    (budget_views.Spender, spending.Spender),
    (budget_views.BudgetAudit, audit.BudgetAudit),
    (budget_views.Difference, audit.Difference),
    (budget_views.Checkpoint, checkpoints.Checkpoint),
    (budget_views.TrimmedLedger, checkpoints.Trimmed),
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
        "set_session_budget": ("S", budget_views.LimitChange()),
        "set_budget": (budget_views.LimitChange(),),
        "set_session_period": ("S", "day"),
        "set_budget_period": ("day",),
        "deny_budget": ("ws",),
        "trim_ledger": ("1-0",),
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
        "reset_session_budget",
    ):
        arguments[name] = ("S",)
    for name in ("get_turn", "get_result", "cancel_turn", "turn_events"):
        arguments[name] = ("T",)
    names = [name for name, _ in inspect.getmembers(Routes, callable) if not name.startswith("_")]
    return [getattr(routes, name)(*arguments.get(name, ())) for name in names]


def test_bodies_that_the_client_builds_are_bodies_that_the_gateway_takes() -> None:
    routes = Routes("W")
    pairs: list[tuple[Call[Any], type[msgspec.Struct]]] = [
        (routes.set_budget_period("month", time_zone="UTC", resets_ms=5), bodies.PeriodChange),
        (routes.set_session_period("S", "none"), bodies.PeriodChange),
        (routes.deny_budget("ws", reason="no"), bodies.Denial),
        (routes.checkpoint_ledger(force=True), bodies.CheckpointWish),
        (routes.trim_ledger("1-0"), bodies.Trim),
        (routes.create_session("a", token_limit=5, per_turn_microusd=6), bodies.NewSession),
        (
            routes.set_budget(budget_views.LimitChange(token_limit=None, acknowledge=True)),
            accounts.LimitChange,
        ),
    ]
    for call, kind in pairs:
        sent = msgspec.json.decode(call.arguments()["content"])
        body = msgspec.json.decode(call.arguments()["content"], type=kind)
        assert {name: getattr(body, name) for name in sent} == sent
