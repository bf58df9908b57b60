"""One message to one endpoint: signed, checked, bounded, and never to where it must not go."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import WebhookVerificationError

from bursar.egress import Address
from bursar.errors import InvalidInput
from bursar.settings import GatewaySettings
from bursar.webhooks.secrets import new_secret
from bursar_gateway.webhooks import guard
from bursar_gateway.webhooks.guard import AddressRefused, GuardedNetwork, SystemResolver
from bursar_gateway.webhooks.sending import Answer, Sender
from support.receiver import Authority, Received, Receiver, Reply

LOOPBACK = "127.0.0.0/8"
BODY = b'{"type":"approval.requested","data":{"n":1}}'

MakeSender = Callable[..., Sender]


class FakeNames:
    """Answers of the DNS, one after the other; the last one stays. ``asked`` counts them."""

    def __init__(self, *answers: list[str] | OSError) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[Address]:
        self.asked.append(host)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, OSError):
            raise answer
        return [ip_address(each) for each in answer]


@pytest.fixture
async def make() -> AsyncIterator[MakeSender]:
    made: list[Sender] = []

    def build(resolve: Any = None, **settings: Any) -> Sender:
        own = {"webhook_timeout_s": 2, "webhook_http": True} | settings
        made.append(Sender(GatewaySettings(**own), resolve=resolve))
        return made[-1]

    yield build
    for sender in made:
        await sender.aclose()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


async def send(sender: Sender, url: str, *secrets: str) -> Answer:
    return await sender.send(url, "msg_1", BODY, secrets or (new_secret(),))


# -- what is sent


async def test_a_message_is_sent_as_the_standard_says(make: MakeSender) -> None:
    secret = new_secret()
    async with Receiver() as receiver:
        url, port = f"{receiver.url}/a?b=c", receiver.port
        answer = await send(make(webhook_allow_nets=LOOPBACK), url, secret)
        (seen,) = receiver.seen
    assert (answer.status, answer.error, answer.outcome) == (204, "", "delivered")
    assert (seen.target, seen.body, seen.id) == ("/hook/a?b=c", BODY, "msg_1")
    assert seen.headers["host"] == f"127.0.0.1:{port}"
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["user-agent"].startswith("bursar-webhooks/")
    assert abs(int(seen.headers["webhook-timestamp"]) - time.time()) < 10
    seen.verify(secret)
    with pytest.raises(WebhookVerificationError):
        seen.verify(new_secret())


async def test_two_secrets_make_two_signatures(make: MakeSender) -> None:
    new, old = new_secret(), new_secret()
    async with Receiver() as receiver:
        await send(make(webhook_allow_nets=LOOPBACK), receiver.url, new, old)
        (seen,) = receiver.seen
    assert len(seen.headers["webhook-signature"].split(" ")) == 2
    seen.verify(new)
    seen.verify(old)


async def test_a_changed_message_does_not_verify(make: MakeSender) -> None:
    secret = new_secret()
    async with Receiver() as receiver:
        await send(make(webhook_allow_nets=LOOPBACK), receiver.url, secret)
        (seen,) = receiver.seen
    for changed in (
        Received("/", seen.headers, seen.body + b" "),
        Received("/", {**seen.headers, "webhook-id": "msg_2"}, seen.body),
        Received("/", {**seen.headers, "webhook-timestamp": "1"}, seen.body),
    ):
        with pytest.raises(WebhookVerificationError):
            changed.verify(secret)


# -- what is made of answers


@pytest.mark.parametrize(
    ("status", "error", "outcome"),
    [
        (200, "", "delivered"),
        (202, "", "delivered"),
        (299, "", "delivered"),
        (301, "status_301", "failed"),
        (302, "status_302", "failed"),
        (307, "status_307", "failed"),
        (400, "status_400", "failed"),
        (404, "status_404", "failed"),
        (410, "status_410", "gone"),
        (429, "status_429", "failed"),
        (500, "status_500", "failed"),
    ],
)
async def test_only_a_success_is_one(
    make: MakeSender, status: int, error: str, outcome: str
) -> None:
    async with Receiver(lambda _: Reply(status, body=b"secret of the inside")) as receiver:
        answer = await send(make(webhook_allow_nets=LOOPBACK), receiver.url)
    assert (answer.status, answer.error, answer.outcome) == (status, error, outcome)
    assert "secret" not in repr(answer)


async def test_redirects_are_not_followed(make: MakeSender) -> None:
    async with Receiver() as inner:
        location = {"Location": inner.url}
        async with Receiver(lambda _: Reply(302, headers=location)) as receiver:
            answer = await send(make(webhook_allow_nets=LOOPBACK), receiver.url)
    assert answer.error == "status_302"
    assert inner.seen == []


async def test_proxies_of_the_environment_are_not_used(
    make: MakeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Receiver() as proxy, Receiver() as receiver:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        answer = await send(make(webhook_allow_nets=LOOPBACK), receiver.url)
        assert answer.outcome == "delivered"
        assert (len(proxy.seen), len(receiver.seen)) == (0, 1)


async def test_who_is_asked_to_wait_waits_not_longer_than_an_hour(make: MakeSender) -> None:
    sender = make(webhook_allow_nets=LOOPBACK)
    for text, expected in (("120", 120), ("999999", 3600), ("soon", 0), ("-5", 0), ("", 0)):
        async with Receiver(lambda _, t=text: Reply(429, {"Retry-After": t})) as receiver:  # type: ignore[misc]
            assert (await send(sender, receiver.url)).retry_after_s == expected


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(hang_s=5), "timeout"),
        (Reply(drop=True), "broken_answer"),
        (Reply(raw=b"what?\r\n\r\n"), "broken_answer"),
        (Reply(raw=b"HTTP/1.1 200 OK\r\nx: " + b"y" * 300_000 + b"\r\n\r\n"), "broken_answer"),
    ],
)
async def test_an_answer_that_is_none_is_a_failure(
    make: MakeSender, reply: Reply, error: str
) -> None:
    async with Receiver(lambda _: reply) as receiver:
        sender = make(webhook_allow_nets=LOOPBACK, webhook_timeout_s=0.3)
        answer = await send(sender, receiver.url)
    assert (answer.status, answer.error, answer.outcome) == (0, error, "failed")


async def test_a_success_whose_body_does_not_end_is_one(make: MakeSender) -> None:
    """The status counts. What follows is thrown away, up to a bound, and not waited for long."""
    started = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n"
    endless = b"HTTP/1.1 200 OK\r\ncontent-length: 9000000\r\n\r\n" + b"x" * 1_000_000
    sender = make(webhook_allow_nets=LOOPBACK, webhook_timeout_s=0.3)
    for raw in (started, endless):
        async with Receiver(lambda _, r=raw: Reply(raw=r)) as receiver:  # type: ignore[misc]
            assert (await send(sender, receiver.url)).outcome == "delivered"


async def test_a_connection_is_kept_for_the_next_message(make: MakeSender) -> None:
    sender = make(webhook_allow_nets=LOOPBACK)
    async with Receiver(lambda _: Reply(200, body=b"thanks")) as receiver:
        for _ in range(5):
            assert (await send(sender, receiver.url)).outcome == "delivered"
        assert (receiver.connections, len(receiver.seen)) == (1, 5)


async def test_nobody_listens_or_is_known(make: MakeSender) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
    assert (await send(make(webhook_allow_nets=LOOPBACK), url)).error == "cannot_connect"
    nobody = make(FakeNames(socket.gaierror("no such host")))
    assert (await send(nobody, "http://nobody.example/")).error == "unknown_host"
    empty = make(FakeNames([]))
    assert (await send(empty, "http://nobody.example/")).error == "unknown_host"


# -- where it goes


async def test_an_inner_address_is_not_connected_to(make: MakeSender) -> None:
    async with Receiver() as receiver:
        names = FakeNames(["127.0.0.1"])
        answer = await send(make(names), "http://inner.example/")
        assert (answer.error, answer.outcome) == ("address_refused", "failed")
        assert (await send(make(), receiver.url)).error == "address_refused"
        assert receiver.connections == 0


@pytest.mark.parametrize("others", [["8.8.8.8", "10.0.0.1"], ["::ffff:127.0.0.1"], ["fe80::1"]])
async def test_one_inner_address_among_others_is_enough(
    make: MakeSender, others: list[str]
) -> None:
    answer = await send(make(FakeNames(others)), "http://mixed.example/")
    assert answer.error == "address_refused"


async def test_a_name_is_resolved_once_and_connected_to_as_it_was_judged(
    make: MakeSender,
) -> None:
    """A server of names that answers twice, first with a good address, gains nothing."""
    async with Receiver() as good, Receiver() as bad:
        names = FakeNames(["127.0.0.2"], ["127.0.0.1"])
        sender = make(names, webhook_allow_nets="127.0.0.2/32")
        tried: list[str] = []
        plain = sender._pool._network_backend._plain  # type: ignore[attr-defined]

        class Noted:
            async def connect_tcp(self, host: str, *rest: Any) -> Any:
                tried.append(host)
                return await plain.connect_tcp("127.0.0.1", good.port, *rest[1:])

        sender._pool._network_backend._plain = Noted()  # type: ignore[attr-defined]
        answer = await send(sender, f"http://flips.example:{bad.port}/")
        assert answer.outcome == "delivered"
        assert (tried, names.asked) == (["127.0.0.2"], ["flips.example"])
        assert (len(good.seen), len(bad.seen)) == (1, 0)
        assert good.seen[0].headers["host"] == f"flips.example:{bad.port}"


async def test_it_is_judged_anew_for_each_connection(make: MakeSender) -> None:
    async with Receiver(lambda _: Reply(200, {"connection": "close"})) as receiver:
        names = FakeNames(["127.0.0.1"], ["10.0.0.1"])
        sender = make(names, webhook_allow_nets=LOOPBACK)
        url = f"http://flips.example:{receiver.port}/"
        assert (await send(sender, url)).outcome == "delivered"
        assert (await send(sender, url)).error == "address_refused"
        assert len(receiver.seen) == 1


async def test_a_dead_address_of_several_is_passed_over(make: MakeSender) -> None:
    async with Receiver() as receiver:
        sender = make(FakeNames(["127.0.0.9", "127.0.0.1"]), webhook_allow_nets=LOOPBACK)
        answer = await send(sender, f"http://two.example:{receiver.port}/")
        assert answer.outcome == "delivered"


@pytest.mark.parametrize(
    "url",
    ["", "ftp://example.org/", "http://example.org:22/", "http://127.0.0.1/", "http://a@b.org/"],
)
async def test_a_url_that_is_not_allowed_any_more_is_a_failure(make: MakeSender, url: str) -> None:
    """It was when it was stored; settings may be others now."""
    answer = await send(make(FakeNames(["8.8.8.8"])), url)
    assert answer.error == "address_refused"


async def test_http_needs_the_setting(make: MakeSender) -> None:
    async with Receiver() as receiver:
        sender = make(webhook_allow_nets=LOOPBACK, webhook_http=False)
        assert (await send(sender, receiver.url)).error == "address_refused"
        assert receiver.connections == 0


async def test_sockets_of_this_machine_are_out_of_reach(make: MakeSender) -> None:
    network = GuardedNetwork(make()._egress, SystemResolver())
    with pytest.raises(AddressRefused):
        await network.connect_unix_socket("/run/x.sock")


async def test_the_machine_resolves_names_and_addresses() -> None:
    resolver = SystemResolver()
    assert ip_address("127.0.0.1") in await resolver("localhost", 443)
    assert await resolver("127.0.0.1", 443) == [ip_address("127.0.0.1")]
    with pytest.raises(OSError):
        await resolver("nobody.invalid", 443)
    resolver.close()


async def test_silent_servers_of_names_hold_up_nobody_else(make: MakeSender) -> None:
    asked, answers = 0, asyncio.Event()

    class Silent(FakeNames):
        async def __call__(self, host: str, port: int) -> list[Address]:
            nonlocal asked
            if host == "silent.example":
                asked += 1
                await answers.wait()
            return await super().__call__(host, port)

    async with Receiver() as receiver:
        sender = make(Silent(["127.0.0.1"]), webhook_allow_nets=LOOPBACK, webhook_timeout_s=60)
        silent = f"http://silent.example:{receiver.port}/"
        stuck = [asyncio.create_task(send(sender, silent)) for _ in range(50)]
        answer = await send(sender, f"http://good.example:{receiver.port}/")
        assert answer.outcome == "delivered"
        assert asked == 50
        assert not any(task.done() for task in stuck)
        answers.set()
        assert {each.outcome for each in await asyncio.gather(*stuck)} == {"delivered"}


async def test_a_silent_server_of_names_takes_no_longer_than_the_time_of_a_try(
    make: MakeSender,
) -> None:
    async def never(host: str, port: int) -> list[Address]:
        await asyncio.Event().wait()
        return []

    sender = make(never, webhook_allow_nets=LOOPBACK, webhook_timeout_s=0.3)
    assert (await send(sender, "http://silent.example/")).error == "timeout"


# -- TLS


async def test_certificate_and_name_are_those_of_the_host_and_not_of_the_address(
    make: MakeSender, authority: Authority
) -> None:
    async with Receiver(tls=authority.server("hooks.example")) as receiver:
        sender = make(
            FakeNames(["127.0.0.1"]), webhook_allow_nets=LOOPBACK, webhook_ca_file=authority.ca_file
        )
        answer = await send(sender, f"https://hooks.example:{receiver.port}/x")
        assert answer.outcome == "delivered"
        (seen,) = receiver.seen
        assert seen.sni == "hooks.example"
        assert seen.headers["host"] == f"hooks.example:{receiver.port}"
        other = await send(sender, f"https://other.example:{receiver.port}/x")
        assert (other.error, len(receiver.seen)) == ("tls", 1)


async def test_an_unknown_authority_is_refused(make: MakeSender, authority: Authority) -> None:
    async with Receiver(tls=authority.server("hooks.example")) as receiver:
        sender = make(FakeNames(["127.0.0.1"]), webhook_allow_nets=LOOPBACK)
        answer = await send(sender, f"https://hooks.example:{receiver.port}/x")
        assert (answer.error, receiver.seen) == ("tls", [])


async def test_a_kept_connection_is_not_used_for_another_name_at_the_same_address(
    make: MakeSender, authority: Authority
) -> None:
    async with Receiver(tls=authority.server("a.example")) as receiver:
        sender = make(
            FakeNames(["127.0.0.1"]), webhook_allow_nets=LOOPBACK, webhook_ca_file=authority.ca_file
        )
        assert (await send(sender, f"https://a.example:{receiver.port}/")).outcome == "delivered"
        assert (await send(sender, f"https://b.example:{receiver.port}/")).error == "tls"


@pytest.mark.parametrize("text", ["", "no certificate"])
def test_a_file_of_certificates_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "ca.pem"
    if text:
        path.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        guard.tls_context(path)
    assert caught.value.field == "BURSAR_WEBHOOK_CA_FILE"
