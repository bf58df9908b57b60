"""What the client believes of the gateway is what the gateway and the domain say."""

import inspect
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from bursar import (
    api_keys,
    events,
    installation,
    listing,
    manifests,
    registry,
    sessions,
    signing,
    tree_views,
    turns,
    workspaces,
)
from bursar.audit import listing as audit_listing
from bursar.audit import reading as audit_reading
from bursar.audit import sealing, seals, trimming
from bursar.budgets import accounts, audit, checkpoints, questions, spending
from bursar.client import (
    approval_views,
    audit_views,
    budget_views,
    capability_views,
    installation_views,
    mcp_views,
    policy_views,
    views,
    webhook_views,
)
from bursar.client import tree_views as client_trees
from bursar.client.calls import Call
from bursar.client.routes import Routes
from bursar.gate import (
    allowances,
    answers,
    approvals,
    explain,
    granting,
    grants,
    policy_store,
    terms,
)
from bursar.gate import capability_views as gate_views
from bursar.webhooks import endpoints, messages
from bursar_gateway import audit as gateway_audit
from bursar_gateway import bodies
from bursar_gateway.app import build_routes

SAME: list[tuple[type[msgspec.Struct], type[msgspec.Struct]]] = [
    (budget_views.AccountView, accounts.AccountView),
    (views.WorkspaceView, workspaces.WorkspaceView),
    (views.SessionView, sessions.SessionView),
    (views.SessionPage, listing.SessionPage),
    (views.TurnView, turns.TurnView),
    (client_trees.TreeView, tree_views.TreeView),
    (client_trees.TreeNode, tree_views.TreeNode),
    (client_trees.TreeTotals, tree_views.TreeTotals),
    (client_trees.Purse, tree_views.Purse),
    (installation_views.InstallationView, installation.InstallationView),
    (installation_views.WorkspaceLoad, installation.WorkspaceLoad),
    (views.AgentView, registry.AgentEntry),
    (views.WorkerView, registry.WorkerView),
    (approval_views.ApprovalView, approvals.ApprovalView),
    (approval_views.OutsidePlace, grants.Outside),
    (approval_views.NewAllowance, granting.NewAllowance),
    (approval_views.AllowanceView, allowances.AllowanceView),
    (approval_views.ImportedAllowances, granting.Imported),
    (approval_views.RevokedAllowances, bodies.Revoked),
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
    (audit_views.AuditEntry, audit_listing.AuditEntry),
    (audit_views.AuditPage, audit_listing.AuditPage),
    (audit_views.AuditSeal, seals.Seal),
    (audit_views.AuditState, audit_reading.AuditState),
    (audit_views.TrimmedAudit, trimming.TrimmedAudit),
    (audit_views.AcceptedAudit, sealing.Accepted),
    (audit_views.SealingState, gateway_audit.SealingState),
    (policy_views.PolicyView, policy_store.PolicyView),
    (policy_views.PolicyExplanation, explain.Explanation),
    (policy_views.MatchingRule, explain.MatchingRule),
    (mcp_views.ManifestView, manifests.ManifestView),
    (mcp_views.Look, manifests.Look),
    (mcp_views.AcceptedManifest, manifests.AcceptedManifest),
    (capability_views.CapabilityView, gate_views.CapabilityView),
    (capability_views.CapabilityInspection, gate_views.Inspection),
    (capability_views.MintedCapability, bodies.MintedCapability),
    (capability_views.OutsidePath, grants.PathGrant),
    (capability_views.SigningKeyView, signing.SigningKeyView),
    (webhook_views.WebhookView, endpoints.WebhookView),
    (webhook_views.WebhookSecret, endpoints.WebhookSecret),
    (webhook_views.Deliveries, messages.Deliveries),
    (webhook_views.DeliveryAttempt, messages.Attempt),
    (webhook_views.DeadMessage, messages.DeadMessage),
    (webhook_views.SentTest, messages.SentTest),
]

QUESTION = approval_views.ApprovalView(
    id="P", workspace="W", session="S", root="S", user="u", agent="a", tool="t", action="tool://l/t",
    state="pending", arguments="{}", arguments_sha256="0",
)  # fmt: skip


@pytest.mark.parametrize(("ours", "theirs"), SAME)
def test_a_view_has_the_fields_that_are_sent(
    ours: type[msgspec.Struct], theirs: type[msgspec.Struct]
) -> None:
    assert set(ours.__struct_fields__) == set(theirs.__struct_fields__)


def test_ended_states_and_terminal_kinds_are_the_domains() -> None:
    assert views.ENDED == turns.ENDED
    assert views.TERMINAL == events.TERMINAL
    assert approval_views.OPEN == approvals.OPEN


def test_every_route_of_the_client_exists_and_every_route_of_the_gateway_is_reached() -> None:
    settings = SimpleNamespace(
        max_body_bytes=1024,
        max_import_bytes=1024,
        max_job_body_bytes=1024,
        ping_every_s=1.0,
        stream_send_timeout_s=1.0,
    )
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
    path = path.replace("/agents/A", "/agents/{agent}").replace("/history/5", "/history/{version}")
    path = path.replace("/capabilities/C", "/capabilities/{capability}")
    path = path.replace("/signing-keys/Y", "/signing-keys/{kid}")
    path = path.replace("/approvals/P", "/approvals/{approval}")
    path = path.replace("/allowances/L", "/allowances/{allowance}")
    path = path.replace("/webhooks/H", "/webhooks/{webhook}")
    path = path.replace("/jobs/J", "/jobs/{job}")
    path = path.replace("/deliveries/M", "/deliveries/{message}")
    return f"{call.method} {path}"


def _all_calls() -> list[Call[Any]]:
    routes = Routes("W")
    arguments: dict[str, tuple[Any, ...]] = {
        "create_key": ("n",),
        "revoke_key": ("K",),
        "create_workspace": ("x",),
        "update_workspace": ({},),
        "create_session": ("echo",),
        "session_tree": ("S",),
        "add_message": ("S", "x"),
        "import_session": ({},),
        "start_turn": ("S", "x"),
        "set_session_budget": ("S", budget_views.LimitChange()),
        "set_budget": (budget_views.LimitChange(),),
        "set_session_period": ("S", "day"),
        "set_budget_period": ("day",),
        "deny_budget": ("ws",),
        "trim_ledger": ("1-0",),
        "trim_audit": (1, "h"),
        "trim_installation_audit": (1, "h"),
        "accept_audit": ("r",),
        "accept_installation_audit": ("r",),
        "get_policy_version": (5,),
        "explain_policy": ("x",),
        "accept_manifests": ("A", "time"),
        "mint_capability": (["a"],),
        "derive_capability": ("t",),
        "import_capability": ("t",),
        "revoke_capability": ("C",),
        "revoke_signing_key": ("Y",),
        "get_approval": ("P",),
        "answer_approval": (QUESTION, "approve"),
        "create_allowance": (approval_views.NewAllowance(pattern="a"),),
        "revoke_allowance": ("L",),
        "revoke_allowances": ("workspace",),
        "import_allowances": ([],),
        "create_webhook": ("https://example.org",),
        "get_webhook": ("H",),
        "update_webhook": ("H",),
        "delete_webhook": ("H",),
        "rotate_webhook": ("H",),
        "test_webhook": ("H",),
        "list_deliveries": ("H",),
        "retry_delivery": ("H", "M"),
        "create_job": ("echo", ["x"]),
    }
    for name in (
        "get_session",
        "update_session",
        "delete_session",
        "end_session",
        "clear_session",
        "fork_session",
        "export_session",
        "list_messages",
        "list_session_approvals",
        "session_events",
        "get_session_budget",
        "reset_session_budget",
    ):
        arguments[name] = ("S",)
    for name in ("get_agent_policy", "set_agent_policy", "remove_agent_policy"):
        arguments[name] = ("A",)
    for name in ("get_job", "cancel_job", "retry_job", "delete_job", "job_results"):
        arguments[name] = ("J",)
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
        (
            routes.fork_session(
                "S",
                3,
                id="i",
                agent="a",
                model="m",
                system_prompt="s",
                workspace_path="p",
                priority="background",
                title="t",
                tags=("t",),
                custom={"a": 1},
                limit_microusd=1,
                token_limit=1,
                per_action_microusd=1,
                per_turn_microusd=1,
                warn_percent=1,
            ),
            bodies.SessionFork,
        ),
        (routes.checkpoint_ledger(force=True), bodies.CheckpointWish),
        (routes.trim_ledger("1-0"), bodies.Trim),
        (routes.trim_audit(1, "h"), bodies.AuditTrim),
        (routes.accept_audit("r"), bodies.AcceptedHead),
        (routes.accept_manifests("a", "s", tool="t", sha256="x"), bodies.ManifestAcceptance),
        (
            routes.mint_capability(["a"], outside=[capability_views.OutsidePath("/a")], note="x"),
            terms.NewCapability,
        ),
        (
            routes.derive_capability("t", scope="session", session="s", single_use=True, depth=0),
            terms.DerivedCapability,
        ),
        (routes.inspect_capability(id="c"), bodies.CapabilityQuestion),
        (routes.import_capability("t"), bodies.PresentedCapability),
        (routes.create_key("n", approver=True), bodies.NewKey),
        (routes.set_policy(ask=["a"], expected_version=3), bodies.NewPolicy),
        (routes.answer_approval(QUESTION, "approve", arguments={"a": 1}), answers.Decision),
        (routes.answer_approval(QUESTION, "deny", reason="no", scope="once"), answers.Decision),
        (
            routes.create_allowance(approval_views.NewAllowance(pattern="a", max_uses=2)),
            granting.NewAllowance,
        ),
        (routes.revoke_allowances("tree", session="S"), bodies.Revocation),
        (
            routes.create_webhook("https://x.org", events=["approval.resolved"], description="d"),
            endpoints.NewWebhook,
        ),
        (routes.update_webhook("H", url="https://x.org", paused=True), endpoints.WebhookPatch),
        (routes.import_allowances([]), bodies.AllowanceImport),
        (routes.explain_policy("x", agent="a", effect="pure", risk="low"), bodies.PolicyQuestion),
        (routes.create_session("a", token_limit=5, per_turn_microusd=6), bodies.NewSession),
        (
            routes.set_budget(budget_views.LimitChange(token_limit=None, acknowledge=True)),
            accounts.LimitChange,
        ),
    ]
    for call, kind in pairs:
        sent = msgspec.json.decode(call.arguments()["content"])
        body = msgspec.json.decode(call.arguments()["content"], type=kind)
        taken = msgspec.json.decode(msgspec.json.encode(body))
        assert {name: taken[name] for name in sent} == sent
