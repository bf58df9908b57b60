"""``bursar audit budgets``: what it shows, and its exit status."""

import json
from typing import Any

import pytest

from support.command import Bursar
from support.samples import workspace
from support.stub_gateway import StubGateway, problem


def audit(ws: str, *differences: dict[str, Any]) -> dict[str, Any]:
    return {
        "workspace": ws, "ok": not differences, "accounts": 1234, "holds": 2, "entries": 77,
        "differences": list(differences),
    }  # fmt: skip


WRONG = {"account": "user:ann", "field": "pending", "expected": 0, "found": 4}


@pytest.fixture(autouse=True)
def two_workspaces(stub: StubGateway) -> None:
    stub.on("GET /v1/workspaces", [workspace(), workspace(id="beta")])
    stub.on("GET /v1/workspaces/acme/budget/audit", audit("acme"))


def test_all_workspaces_are_audited(bursar: Bursar, stub: StubGateway) -> None:
    stub.on("GET /v1/workspaces/beta/budget/audit", audit("beta"))
    ran = bursar("audit", "budgets")
    assert ran.status == 0
    head, acme, beta = ran.out.splitlines()
    assert head.split() == [
        *("workspace", "accounts", "open", "holds", "ledger", "entries", "result")
    ]
    assert acme.split() == ["acme", "1,234", "2", "77", "ok"]
    assert beta.split()[0] == "beta"


def test_a_difference_is_named_and_is_status_1(bursar: Bursar, stub: StubGateway) -> None:
    stub.on("GET /v1/workspaces/beta/budget/audit", audit("beta", WRONG))
    ran = bursar("audit", "budgets")
    assert ran.status == 1
    assert "1 wrong" in ran.out
    assert ran.out.splitlines()[-1].split() == ["beta", "user:ann", "pending", "0", "4"]
    assert bursar("audit", "budgets", "acme").status == 0


def test_as_json(bursar: Bursar, stub: StubGateway) -> None:
    stub.on("GET /v1/workspaces/beta/budget/audit", audit("beta", WRONG))
    ran = bursar("audit", "budgets", "beta", "--json")
    assert ran.status == 1
    assert json.loads(ran.out) == [audit("beta", WRONG)]
    assert stub.asked("GET /v1/workspaces") == []


def test_who_may_not_is_told(bursar: Bursar, stub: StubGateway) -> None:
    stub.on("GET /v1/workspaces/x/budget/audit", problem(403, "admin_only", "needs an admin"))
    ran = bursar("audit", "budgets", "x")
    assert (ran.status, ran.err) == (2, "bursar: needs an admin\n")


@pytest.mark.parametrize(("found", "status"), [((), 130), ((WRONG,), 1)])
def test_it_is_watched_until_ctrl_c_and_remembers_what_was_wrong(
    bursar: Bursar,
    stub: StubGateway,
    monkeypatch: pytest.MonkeyPatch,
    found: tuple[dict[str, Any], ...],
    status: int,
) -> None:
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("bursar.cli.output.time.sleep", sleep)
    stub.on("GET /v1/workspaces/beta/budget/audit", audit("beta", *found), audit("beta"))
    ran = bursar("audit", "budgets", "beta", "--watch", "--json")
    assert ran.status == status
    seen = [json.loads(line)[0]["ok"] for line in ran.out.splitlines()]
    assert seen == [not found, True, True]
