"""No token that nobody signed, or that was changed since, is ever taken for one."""

import jwt
import msgspec
import pytest
from bench.gate.forgeries import ALPHABET, try_forgeries

from bursar.errors import Denied
from bursar.gate.capabilities import verify
from bursar.gate.tokens import parse, sign
from support.capabilities import NOW_MS, Ring, claims

CODES = {f"capability_{code}" for code in ("malformed", "signature", "unknown_key", "foreign")}


def test_a_token_is_a_plain_jwt_that_other_programs_can_read() -> None:
    ring = Ring()
    said = claims(patterns=("exec://git status",), note="für Ann")
    token = sign(said, ring.signing)
    assert jwt.get_unverified_header(token) == {
        "alg": "EdDSA", "kid": ring.signing.kid, "typ": "bursar+cap",
    }  # fmt: skip
    read = jwt.decode(
        token,
        ring.signing.private.public_key(),
        algorithms=["EdDSA"],
        audience="acme",
        options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
    )
    assert (read["iss"], read["sub"], read["res"]) == (
        "bursar:1",
        "workspace",
        ["exec://git status"],
    )
    assert parse(token) == (ring.signing.kid, said)


def test_no_forgery_is_accepted() -> None:
    """Each is refused with a code, none with any other error."""
    found = try_forgeries(100_000, seed=20_240_607)
    assert found.accepted == []
    assert set(found.codes) == CODES
    assert min(found.codes.values()) > 100


@pytest.mark.parametrize("what", ["", "{}", "null", '{"iss":1}'])
def test_what_is_signed_but_says_nothing_is_malformed(what: str) -> None:
    ring = Ring()
    payload = jwt.PyJWS().encode(
        what.encode(), ring.signing.private, "EdDSA", {"kid": ring.signing.kid, "typ": "bursar+cap"}
    )
    with pytest.raises(Denied) as caught:
        verify(payload, ring, workspace="acme", now_ms=NOW_MS)
    assert caught.value.code == "capability_malformed"


def test_the_bits_of_a_spelling_that_mean_nothing_are_looked_at_too() -> None:
    """The last character of a signature has four of them."""
    ring = Ring()
    token = ring.mint().token
    for spare in range(1, 16):
        with pytest.raises(Denied) as caught:
            parse(token[:-1] + ALPHABET[ALPHABET.index(token[-1]) + spare])
        assert caught.value.code == "capability_malformed"


def test_unknown_claims_are_refused() -> None:
    """A newer version may mean a restriction by one, which this one would not keep to."""
    ring = Ring()
    said = msgspec.to_builtins(claims()) | {"only_on": "monday"}
    token = jwt.encode(
        said, ring.signing.private, "EdDSA", {"kid": ring.signing.kid, "typ": "bursar+cap"}
    )
    with pytest.raises(Denied) as caught:
        verify(token, ring, workspace="acme", now_ms=NOW_MS)
    assert caught.value.code == "capability_malformed"
