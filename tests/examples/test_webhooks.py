"""What docs/webhooks.md prints, run as it is written."""

import re
from pathlib import Path
from typing import Any

import pytest

from bursar.settings import GatewaySettings
from bursar.webhooks.secrets import new_secret
from bursar_gateway.webhooks.sending import Sender
from support.receiver import Received, Receiver, Reply

PAGE = Path(__file__).parents[2] / "docs" / "webhooks.md"
BODY = b'{"type":"approval.requested","data":{"action":"file+write://a.md"}}'


def blocks(language: str) -> list[str]:
    text = PAGE.read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def receiver_of_the_page(secret: str) -> dict[str, Any]:
    (program,) = [block for block in blocks("python") if "verify" in block]
    namespace: dict[str, Any] = {"SECRET": secret}
    exec(compile(program, PAGE.name, "exec"), namespace)  # noqa: S102
    return namespace


async def test_the_receiver_takes_what_a_gateway_sends_and_nothing_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    secret = new_secret()
    received = receiver_of_the_page(secret)["received"]

    def answer(seen: Received) -> Reply:
        return Reply(received(seen.body, seen.headers))

    settings = GatewaySettings(
        webhook_http=True,
        webhook_allow_nets="127.0.0.0/8",  # type: ignore[arg-type]
    )
    sender = Sender(settings)
    async with Receiver(answer) as receiver:
        for _ in range(2):
            assert (await sender.send(receiver.url, "msg_1", BODY, [secret])).status == 204
        forged = await sender.send(receiver.url, "msg_2", BODY, [new_secret()])
        rotated = await sender.send(receiver.url, "msg_3", BODY, [new_secret(), secret])
        (first, *_) = receiver.seen
    await sender.aclose()
    assert (forged.status, rotated.status) == (401, 204)
    printed = capsys.readouterr().out.splitlines()
    assert printed == ["approval.requested file+write://a.md"] * 2, "a repeat is no news"
    assert received(first.body + b" ", first.headers) == 401
    old = {**first.headers, "webhook-timestamp": "1700000000"}
    assert received(first.body, old) == 401


def test_the_program_is_short() -> None:
    (program,) = [block for block in blocks("python") if "verify" in block]
    body = program[program.index("def received") :]
    assert len(body.strip().splitlines()) <= 10


def test_the_settings_that_the_page_names_exist() -> None:
    named = set(re.findall(r"BURSAR_([A-Z_]+)", PAGE.read_text()))
    assert named
    assert {name.lower() for name in named} <= set(GatewaySettings.model_fields)
    ours = {name for name in GatewaySettings.model_fields if "webhook" in name}
    assert ours <= {name.lower() for name in named}, "every setting of webhooks is explained"
