"""Identifiers: sortable when made, and refused whole when malformed."""

import pytest

from bursar.errors import InvalidInput
from bursar.ids import check_id, check_user, check_workspace, new_id, new_secret

HOSTILE = [
    "", "a b", "a{b}", "{g}", "a:b", "a/b", "..", "-a", "_a", "a\n", "a\x00", "a\u202e", "é",
    "a" * 65, "a\r\nb", "*", "a?", "%2e",
]  # fmt: skip


def test_new_ids_differ_and_sort_in_order_of_making() -> None:
    made = [new_id("ses") for _ in range(1000)]  # many in one millisecond
    assert len(set(made)) == 1000
    assert made == sorted(made)


def test_a_clock_that_is_set_back_changes_nothing_of_that(monkeypatch: pytest.MonkeyPatch) -> None:
    before = new_id("ses")
    monkeypatch.setattr("time.time_ns", lambda: 1_700_000_000_000_000_000)
    assert before < new_id("ses") < new_id("ses")


def test_a_new_id_is_accepted_as_an_id() -> None:
    made = new_id("trn")
    assert made.startswith("trn_")
    assert check_id(made, "turn") == made
    assert len(made) == len("trn_") + 24


@pytest.mark.parametrize(("bits", "length"), [(128, 26), (160, 32), (256, 52)])
def test_a_secret_has_as_many_digits_as_its_bits_need(bits: int, length: int) -> None:
    assert len(new_secret(bits)) == length
    assert new_secret(bits) != new_secret(bits)


@pytest.mark.parametrize("value", HOSTILE)
def test_a_malformed_id_is_refused_and_its_field_named(value: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_id(value, "inputs[2].id")
    assert caught.value.field == "inputs[2].id"
    for check in (check_workspace, check_user):
        with pytest.raises(InvalidInput):
            check(value)


def test_each_kind_takes_its_own_alphabet() -> None:
    assert check_user("ann.o'n".replace("'", "") + "+x@example.org")
    assert check_id("A-b_9", "id")
    assert check_workspace("team-7_x")
    for check, value in (
        (check_workspace, "Team"),
        (check_workspace, "a.b"),
        (check_workspace, "a" * 49),
    ):
        with pytest.raises(InvalidInput):
            check(value)
