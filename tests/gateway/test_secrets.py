"""No secret of an installation is where one reads: not in a dump, a log, an answer or an event."""

import base64
import logging
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest
from pydantic import SecretStr

from bursar.settings import GatewaySettings
from bursar.store.keys import GlobalKeys
from bursar.store.store import Store
from support.gateway import ADMIN, Running, events, play_turn, running, take
from support.stage import dump

PEPPER = "canary-pepper"
SEED = base64.b64encode(b"canary-of-the-signing-key-01234x").decode()
GUESS = "canaryguess"


class Answers:
    """All that a gateway answered, but for the one answer that shows a new key."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, answer: httpx.Response) -> None:
        self.texts.append(f"{answer.headers} {answer.text}")


@pytest.fixture
def gateway_settings(gateway_settings: GatewaySettings) -> GatewaySettings:
    secrets = {"key_pepper": SecretStr(PEPPER), "signing_key": SecretStr(SEED)}
    return gateway_settings.model_copy(update=secrets)


@pytest.fixture
async def token(admin: httpx.AsyncClient, sid: str) -> str:
    """Of a key for acme, whose workspace is there."""
    del sid
    made = await admin.post("/v1/keys", json={"name": "x", "workspaces": ["acme"]})
    return str(made.json()["token"])


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """All that a gateway would log, set as its `main` does; not what the test's client logs."""
    levels = {"uvicorn": logging.WARNING, "httpx": logging.WARNING, "httpcore": logging.WARNING}
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    with caplog.at_level(logging.DEBUG):
        yield caplog
    for name in levels:
        logging.getLogger(name).setLevel(logging.NOTSET)


async def try_to_get_in(live: Running, answers: Answers, token: str) -> None:
    """With keys that are nearly right, and in places where no key belongs."""
    nearly = f"{token.rpartition('_')[0]}_{GUESS}"
    for wrong in (nearly, f"bk_0123456789_{GUESS}", GUESS, f"{ADMIN}x"):
        async with live.client(wrong) as client:
            answers.note(await client.get("/v1/workspaces/acme"))
    async with live.client("") as client:
        for name in ("key", "api_key", "access_token", "token", "authorization"):
            answer = await client.get(f"/v1/workspaces/acme?{name}={quote(token)}")
            assert answer.status_code == 401, name
            answers.note(answer)
        for header in ("Cookie", "X-Api-Key", "Proxy-Authorization"):
            answer = await client.get("/v1/workspaces/acme", headers={header: f"Bearer {token}"})
            assert answer.status_code == 401, header
            answers.note(answer)


async def use_everything(
    live: Running, store: Store, answers: Answers, token: str, sid: str
) -> None:
    base = f"/v1/workspaces/acme/sessions/{sid}"
    async with live.client(token) as client:
        for method, path, body in (
            ("POST", f"{base}/turns", {"input": "hi"}),
            ("POST", f"{base}/turns", {"input": 5}),
            ("GET", "/v1/keys", None),
            ("GET", "/v1/signing-keys", None),
            ("GET", "/v1/nowhere", None),
        ):
            answers.note(await client.request(method, path, json=body))
        await play_turn(store, "acme", sid, "a word")
        async with events(client, f"{base}/events") as source:
            answers.texts += [event.data for event in await take(source, 4)]
    async with live.client() as admin:
        for path in ("/v1/keys", "/v1/signing-keys", "/v1/audit", "/v1/workspaces/acme/audit"):
            answers.note(await admin.get(path))
        for path in ("/readyz", "/schema/openapi.json"):
            answers.note(await admin.get(path))


async def test_no_secret_is_in_the_store_the_log_an_answer_or_an_event(
    live: Running,
    store: Store,
    gateway_settings: GatewaySettings,
    answers: Answers,
    token: str,
    sid: str,
    log: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await try_to_get_in(live, answers, token)
    await use_everything(live, store, answers, token, sid)

    async def broken(*_: object, **__: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(live.gateway.inputs, "put", broken)
    async with live.client(token) as client:
        path = f"/v1/workspaces/acme/sessions/{sid}/turns"
        answers.note(await client.post(path, json={"input": "x"}))
    assert "a bug" in log.text, "the log is looked at"
    await live.gateway.refusals.flush()
    stored = str(await dump(store))
    assert "login.refused" in stored, "the store is looked at"

    secrets = (token, token.rpartition("_")[2], ADMIN, PEPPER, SEED, "canary-of-the-signing", GUESS)
    everywhere = {
        "store": stored,
        "log": log.text,
        "answers": "\n".join(answers.texts),
        "settings": repr(gateway_settings),
    }
    for where, text in everywhere.items():
        assert [secret for secret in secrets if secret in text] == [], where


async def test_without_settings_of_its_own_a_gateway_keeps_its_secrets_in_the_store_alone(
    store: Store, gateway_settings: GatewaySettings, log: pytest.LogCaptureFixture
) -> None:
    """They are what `deploy/users.acl` keeps for gateways."""
    plain = gateway_settings.model_copy(update={"key_pepper": None, "signing_key": None})
    acme = "/v1/workspaces/acme"
    async with running(plain) as live, live.client() as client:
        await client.post("/v1/workspaces", json={"id": "acme"})
        wish = {"url": "https://example.org/", "events": ["approval.resolved"]}
        made = (await client.post(f"{acme}/webhooks", json=wish)).json()
        secrets = (live.gateway.store.pepper, live.gateway.signing.current.seed, made["secret"])
        assert all(secrets)
        for path in (
            *("/v1/keys", "/v1/signing-keys", "/v1/audit", "/readyz"),
            *(f"{acme}/webhooks", f"{acme}/webhooks/{made['webhook']['id']}", f"{acme}/audit"),
        ):
            answer = await client.get(path)
            assert answer.status_code == 200, path
            assert not any(secret in answer.text for secret in secrets), path
    stored = {key: str(value) for key, value in (await dump(store)).items()}
    assert {key for key, value in stored.items() if any(each in value for each in secrets)} == {
        GlobalKeys.install,
        GlobalKeys.signing_secrets,
        store.workspace("acme").webhook_secrets,
    }
    assert not any(secret in log.text for secret in secrets)
