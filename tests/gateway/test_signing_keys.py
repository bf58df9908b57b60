"""The keys that sign, over HTTP: read by all who have a key, changed by administrators."""

import base64
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import SecretStr

from bursar.errors import StoreUnfit
from bursar.settings import GatewaySettings
from bursar.signing import MAX_AGE_S
from bursar_gateway.gateway import open_gateway
from support.gateway import Running, running, wait_until

KEYS = "/v1/signing-keys"
WS = "/v1/workspaces/acme/capabilities"
SEED = base64.b64encode(bytes(range(32))).decode()


async def mint(client: httpx.AsyncClient) -> str:
    await client.post("/v1/workspaces", json={"id": "acme"})
    answer = await client.post(WS, json={"patterns": ["send"]})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["token"])


async def state(client: httpx.AsyncClient, token: str) -> str:
    found = (await client.post(f"{WS}/inspect", json={"token": token})).json()
    return str(found["code"] or found["state"])


async def test_anybody_with_a_key_can_verify_a_token_by_what_is_shown(
    live: Running, admin: httpx.AsyncClient
) -> None:
    token = await mint(admin)
    made = await admin.post("/v1/keys", json={"name": "x", "workspaces": ["acme"]})
    async with live.client(made.json()["token"]) as client:
        (shown,) = (await client.get(KEYS)).json()
        for call in (client.post(f"{KEYS}/rotate"), client.delete(f"{KEYS}/{shown['kid']}")):
            assert (await call).json()["code"] == "admin_only"
    assert set(shown) == {"kid", "public", "state", "created_ms", "retired_ms", "revoked_ms"}
    assert jwt.get_unverified_header(token)["kid"] == shown["kid"]
    raw = base64.urlsafe_b64decode(shown["public"] + "=")
    public = Ed25519PublicKey.from_public_bytes(raw)
    assert jwt.decode(token, public, algorithms=["EdDSA"], audience="acme")["res"] == ["send"]
    async with live.client("") as nobody:
        assert (await nobody.get(KEYS)).status_code == 401


async def test_a_rotation_keeps_what_was_signed_and_signs_anew(admin: httpx.AsyncClient) -> None:
    before = await mint(admin)
    (old,) = (await admin.get(KEYS)).json()
    new = (await admin.post(f"{KEYS}/rotate")).json()
    after = await mint(admin)
    assert [jwt.get_unverified_header(each)["kid"] for each in (before, after)] == [
        old["kid"], new["kid"],
    ]  # fmt: skip
    assert [await state(admin, each) for each in (before, after)] == ["valid", "valid"]
    shown = {key["kid"]: key["state"] for key in (await admin.get(KEYS)).json()}
    assert shown == {old["kid"]: "retired", new["kid"]: "current"}


async def test_a_revoked_key_ends_all_that_it_signed_at_every_gateway(
    live: Running, admin: httpx.AsyncClient, gateway_settings: GatewaySettings
) -> None:
    token = await mint(admin)
    (old,) = (await admin.get(KEYS)).json()
    async with running(gateway_settings) as second, second.client() as other:
        part = (await other.post(f"{WS}/derive", json={"token": token})).json()["token"]
        revoked = await admin.delete(f"{KEYS}/{old['kid']}")
        assert (revoked.status_code, revoked.json()["state"]) == (200, "revoked")

        async def felt() -> bool:
            return await state(other, token) == "capability_key_revoked"

        await wait_until(felt, "the other gateway knows", timeout_s=MAX_AGE_S + 1)
        assert await state(other, part) == "capability_key_revoked"
        answer = await other.post(f"{WS}/derive", json={"token": token})
        assert (answer.status_code, answer.json()["code"]) == (403, "capability_key_revoked")
        fresh = await mint(other)
        assert jwt.get_unverified_header(fresh)["kid"] != old["kid"]
        assert await state(admin, fresh) == "valid"


@pytest.mark.parametrize(
    ("kid", "status", "code"),
    [
        ("sk_000000000000000000000000", 404, "signing_key_not_found"),
        ("a%20b", 422, "invalid_input"),
    ],
)
async def test_a_key_that_is_none_is_not_revoked(
    admin: httpx.AsyncClient, kid: str, status: int, code: str
) -> None:
    answer = await admin.delete(f"{KEYS}/{kid}")
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_key_of_the_settings_is_changed_there(
    live: Running, gateway_settings: GatewaySettings
) -> None:
    secret: dict[str, Any] = {"signing_key": SecretStr(SEED)}
    own = gateway_settings.model_copy(update=secret)
    async with running(own) as second, second.client() as client:
        token = await mint(client)
        answer = await client.post(f"{KEYS}/rotate")
        assert (answer.status_code, answer.json()["code"]) == (409, "signing_key_is_set")
        kid = jwt.get_unverified_header(token)["kid"]
        assert (await client.delete(f"{KEYS}/{kid}")).status_code == 200
        again = await client.delete(f"{KEYS}/{kid}")
        assert (again.status_code, again.json()["code"]) == (409, "signing_key_revoked")
        refused = await client.post(WS, json={"patterns": ["send"]})
        assert (refused.status_code, refused.json()["code"]) == (409, "signing_key_revoked")
    with pytest.raises(StoreUnfit, match="BURSAR_SIGNING_KEY"):
        await open_gateway(own)
