"""Two calls are the same if and only if their arguments have one canonical form."""

import itertools

import pytest

from bursar.errors import InvalidInput
from bursar.gate.canonical import canonical


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"a": 1, "b": 2}', '{"b":2,"a":1}'),
        ('{"a": 1.0}', '{"a": 1}'),
        ('{"a": "\\u00e9"}', '{"a": "é"}'),
        ("", "{}"),
        ('{"a": 1e2}', '{"a": 100}'),
    ],
)
def test_what_means_the_same_has_the_same_form(one: str, other: str) -> None:
    assert canonical(one) == canonical(other)


def test_what_differs_in_type_order_or_spelling_has_another_hash() -> None:
    forms = ["1", '"1"', "true", "1.5", "null", "[1,2]", "[2,1]", '{"a":1}', '"é"', '"e\\u0301"']
    hashes = [canonical(f'{{"a": {form}}}').sha256 for form in forms]
    for one, other in itertools.combinations(range(len(forms)), 2):
        assert hashes[one] != hashes[other], (forms[one], forms[other])


def test_whole_numbers_of_64_bits_keep_their_digits() -> None:
    one, other = (canonical(f'{{"b": [{n}], "a": {n}}}') for n in (2**63, 2**63 + 1))
    assert one.text == f'{{"a":{2**63},"b":[{2**63}]}}'
    assert one.sha256 != other.sha256


@pytest.mark.parametrize("text", ["{", "{'a': 1}", "[" * 2000])
def test_what_has_no_form_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        canonical(text)
    assert caught.value.field == "arguments"
