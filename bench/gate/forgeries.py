"""Ways to make a token out of others without the key that signs."""

import base64
import hashlib
import hmac
import itertools
import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bench.gate.ring import NOW_MS, NOW_S, Ring
from bursar.errors import Denied
from bursar.gate.capabilities import Capability, verify
from bursar.signing import SigningKey
from bursar.signing.public import base64url, unbase64

__all__ = ["ALPHABET", "MUTATIONS", "Forged", "Mutation", "Tokens", "try_forgeries"]

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

Mutation = Callable[["Tokens", random.Random], str]


class Tokens:
    """Good tokens of one workspace, tokens of others, and an attacker with a key of their own."""

    def __init__(self, ring: Ring) -> None:
        parent = ring.mint(patterns=("file+read://docs/**",))
        self.good: list[Capability] = [
            parent,
            ring.mint(parent, patterns=("file+read://docs/a.md",), single_use=True),
            ring.mint(subject="session:r1/s1", patterns=("exec://git status",)),
        ]
        self.foreign = [ring.mint(workspace="beta"), ring.mint(issuer="bursar:2")]
        self.public = ring.signing.public
        self.attacker = SigningKey.generate()
        self.accepted = {one.token for one in self.good}

    def parts(self, random: random.Random) -> list[str]:
        return random.choice(self.good).token.split(".")


def _flip_char(tokens: Tokens, random: random.Random) -> str:
    token = random.choice(tokens.good).token
    at = random.randrange(len(token))
    return token[:at] + random.choice(ALPHABET + ".=+/ \n\u0660") + token[at + 1 :]


def _flip_bits(tokens: Tokens, random: random.Random) -> str:
    parts = tokens.parts(random)
    at = random.randrange(3)
    data = bytearray(unbase64(parts[at]) or b"")
    for _ in range(random.choice([1, 1, 2, 8])):
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    parts[at] = base64url(bytes(data))
    return ".".join(parts)


def _cut(tokens: Tokens, random: random.Random) -> str:
    token = random.choice(tokens.good).token
    return token[: random.randrange(len(token))]


def _stretch(tokens: Tokens, random: random.Random) -> str:
    parts = tokens.parts(random)
    at = random.randrange(3)
    parts[at] += random.choice(["=", "==", "A", "AA", "AAAA", " ", "\n", "."])
    return ".".join(parts)


def _swap_parts(tokens: Tokens, random: random.Random) -> str:
    parts = [random.choice([*tokens.good, *tokens.foreign]).token.split(".")[at] for at in range(3)]
    return ".".join(parts)


def _of_others(tokens: Tokens, random: random.Random) -> str:
    return random.choice(tokens.foreign).token


def _spelled_anew(tokens: Tokens, random: random.Random) -> str:
    """The same bytes in another spelling of base64, or the same JSON in other bytes."""
    parts = tokens.parts(random)
    at = random.randrange(3)
    data = unbase64(parts[at]) or b""
    how = random.randrange(4)
    if how == 0:
        parts[at] = base64.b64encode(data).decode()
    elif how == 1:
        parts[at] = parts[at] + "=" * (-len(parts[at]) % 4) + "="
    elif how == 2 and at < 2:
        parts[at] = base64url(json.dumps(json.loads(data), indent=random.choice([0, 1])).encode())
    else:
        spare = 6 * len(parts[at]) % 8
        last = ALPHABET.index(parts[at][-1])
        parts[at] = parts[at][:-1] + ALPHABET[last ^ random.randrange(1, 1 << max(1, spare))]
    return ".".join(parts)


def _header(tokens: Tokens, random: random.Random, **more: Any) -> str:
    header: dict[str, Any] = json.loads(unbase64(tokens.parts(random)[0]) or b"{}")
    return base64url(json.dumps(header | more).encode())


def _other_algorithm(tokens: Tokens, random: random.Random) -> str:
    _, payload, signature = tokens.parts(random)
    names = ["none", "None", "NONE", "", "HS256", "HS512", "ES256", "RS256", "eddsa", "Ed25519"]
    header = _header(tokens, random, alg=random.choice(names))
    return f"{header}.{payload}.{random.choice(['', signature, 'AA'])}"


def _hmac_with_the_public_key(tokens: Tokens, random: random.Random) -> str:
    payload = _wishes(tokens, random)
    header = _header(tokens, random, alg=random.choice(["HS256", "HS384", "HS512", "EdDSA"]))
    raw = unbase64(tokens.public) or b""
    secret = random.choice([raw, tokens.public.encode(), base64.b64encode(raw), b""])
    digest = random.choice([hashlib.sha256, hashlib.sha384, hashlib.sha512])
    signed = f"{header}.{payload}"
    return f"{signed}.{base64url(hmac.digest(secret, signed.encode(), digest))}"


def _wishes(tokens: Tokens, random: random.Random) -> str:
    """What a token says, with something more in it."""
    said: dict[str, Any] = json.loads(unbase64(tokens.parts(random)[1]) or b"{}")
    changes: list[dict[str, Any]] = [
        {"exp": NOW_S + 86_400 * 30},
        {"nbf": NOW_S - 10, "iat": NOW_S - 10},
        {"res": ["exec://**"]},
        {"aud": "acme", "sub": "workspace"},
        {"once": False},
        {"jti": "cap_mine"},
        {"par": "", "anc": []},
        {"dep": 4},
        {"out": [{"path": "/", "directory": True}]},
        {"extra": 1},
        {},
    ]
    return base64url(json.dumps(said | random.choice(changes), separators=(",", ":")).encode())


def _changed_claims(tokens: Tokens, random: random.Random) -> str:
    header, _, signature = tokens.parts(random)
    forged = f"{header}.{_wishes(tokens, random)}.{signature}"
    return forged if forged not in tokens.accepted else "x"


def _signed_by_an_attacker(tokens: Tokens, random: random.Random) -> str:
    """With our key's name, the attacker's, or with all that a header could say about keys."""
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": tokens.attacker.public}
    more: list[dict[str, Any]] = [
        {},
        {"kid": tokens.attacker.kid},
        {"kid": ""},
        {"kid": "../../dev/null"},
        {"kid": ["a"]},
        {"kid": None},
        {"jwk": jwk},
        {"jku": "https://example.org/keys"},
        {"x5c": ["AA"]},
        {"crit": ["b64"], "b64": False},
        {"typ": "JWT"},
        {"typ": None},
    ]
    signed = f"{_header(tokens, random, **random.choice(more))}.{_wishes(tokens, random)}"
    return f"{signed}.{base64url(tokens.attacker.sign(signed.encode()))}"


def _other_shapes(tokens: Tokens, random: random.Random) -> str:
    header, payload, signature = tokens.parts(random)
    return random.choice([
        "", ".", "..", "...", f"{header}.{payload}", f"{header}.{payload}.",
        f".{payload}.{signature}",
        f"{header}..{signature}", f"{header}.{payload}.{signature}.{signature}",
        f"{payload}.{header}.{signature}", f"{header}.{base64url(b'[]')}.{signature}",
        f"{header}.{base64url(b'{}')}.{signature}", f"{base64url(b'{}')}.{payload}.{signature}",
        f"{base64url(b'nul' * random.randrange(9))}.{payload}.{signature}",
        json.dumps({"protected": header, "payload": payload, "signature": signature}),
        f"Bearer {header}.{payload}.{signature}", "\x00", "A" * 9000,
        f"{header}.{payload}.{'A' * 86}",
    ])  # fmt: skip


MUTATIONS: dict[str, Mutation] = {
    "a character changed": _flip_char,
    "bits changed": _flip_bits,
    "cut off": _cut,
    "made longer": _stretch,
    "parts of several": _swap_parts,
    "of others": _of_others,
    "spelled anew": _spelled_anew,
    "another algorithm": _other_algorithm,
    "HMAC with the public key": _hmac_with_the_public_key,
    "claims changed": _changed_claims,
    "signed by an attacker": _signed_by_an_attacker,
    "another shape": _other_shapes,
}
"""What a forger can do; `Tokens.accepted` tells when it came out as it was."""


@dataclass
class Forged:
    """With which codes tokens were refused, and those that were accepted."""

    codes: Counter[str] = field(default_factory=Counter)
    accepted: list[str] = field(default_factory=list)


def try_forgeries(count: int, *, seed: int, check: Callable[..., Capability] = verify) -> Forged:
    """Try so many, of each kind in turn.

    Args:
        check: what says whether a token is good.

    """
    ring = Ring()
    tokens, seeded, found = Tokens(ring), random.Random(seed), Forged()
    for one in tokens.good:
        check(one.token, ring, workspace="acme", now_ms=NOW_MS)
    for name, mutate in itertools.cycle(MUTATIONS.items()):
        if found.codes.total() + len(found.accepted) >= count:
            break
        forged = mutate(tokens, seeded)
        if forged in tokens.accepted:
            continue  # it came out as it was
        try:
            check(forged, ring, workspace="acme", now_ms=NOW_MS)
        except Denied as error:
            found.codes[error.code] += 1
        else:
            found.accepted.append(f"{name}: {forged}")
    return found
