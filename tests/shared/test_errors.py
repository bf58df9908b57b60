"""Errors: one tree, each with a stable code."""

import inspect

from bursar import errors
from bursar.errors import BudgetRefused, BursarError, InvalidInput, ModelError


def test_every_error_is_a_bursar_error_and_is_offered() -> None:
    classes = {
        name
        for name, value in inspect.getmembers(errors, inspect.isclass)
        if value.__module__ == "bursar.errors"
    }
    assert classes == set(errors.__all__)
    assert all(issubclass(getattr(errors, name), BursarError) for name in classes)


def test_the_drawn_tree_is_the_real_one() -> None:
    drawn = {
        line.removeprefix("    │").split()[1]
        for line in (errors.__doc__ or "").splitlines()
        if line.removeprefix("    │").strip()[:2] in {"├─", "└─"}
    }
    assert drawn | {"BursarError"} == set(errors.__all__)


def test_default_codes_differ() -> None:
    codes = [getattr(errors, name).default_code for name in errors.__all__]
    assert len(codes) == len(set(codes))


def test_details_and_codes_travel_with_the_error() -> None:
    error = BudgetRefused("no", code="budget_contended", account="ws", kind="contended")
    assert (error.code, error.details) == (
        "budget_contended",
        {"account": "ws", "kind": "contended"},
    )
    assert str(error) == "no"
    assert BursarError("x").code == "internal"


def test_invalid_input_names_its_field() -> None:
    error = InvalidInput("expected a number", field="limit_microusd")
    assert str(error) == "limit_microusd: expected a number"
    assert error.code == "invalid_input"


def test_a_model_error_is_final_unless_it_says_otherwise() -> None:
    assert not ModelError("x").retryable
    assert ModelError("x", retryable=True).retryable
