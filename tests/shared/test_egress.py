"""Where webhooks may go: a table of addresses, of URLs, and of what an operator adds."""

from ipaddress import ip_address, ip_network

import pytest

from bursar.egress import Egress, unmapped
from bursar.errors import InvalidInput
from bursar.settings import GatewaySettings

PUBLIC = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.1", "100.63.255.255", "100.128.0.1",
    "126.255.255.255", "128.0.0.1", "169.253.255.255", "169.255.0.1", "172.15.255.255",
    "172.32.0.1", "192.0.1.1", "192.167.255.255", "192.169.0.1", "198.17.255.255", "198.20.0.1",
    "203.0.112.1", "223.255.255.255", "2001:4860:4860::8888", "2606:4700:4700::1111",
    "2a00:1450:4001:800::200e", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1",
]  # fmt: skip

REFUSED = [
    # this host, its networks, its links
    "0.0.0.0", "0.1.2.3",  # noqa: S104
    "127.0.0.1", "127.1.2.3", "127.255.255.255", "10.0.0.1",
    "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.255",
    "169.254.0.1", "169.254.169.254", "169.254.170.2", "100.64.0.1", "100.100.100.200",
    "100.127.255.255", "168.63.129.16",
    # reserved, for documents, for tests, for many
    "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.19.255.255",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
    "255.255.255.255",
    # IPv6
    "::", "::1", "fe80::1", "febf::1", "fec0::1", "fc00::1", "fd00:ec2::254", "fdff::1", "ff02::1",
    "ff0e::1", "100::1", "2001:db8::1", "3fff::1", "2001::1", "2001:10::1", "5f00::1", "4000::1",
    # IPv4 in IPv6: mapped, compatible, translated, by NAT64, by 6to4, by Teredo
    "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1",
    "::7f00:1", "::8.8.8.8", "::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe",
    "64:ff9b::10.0.0.1", "64:ff9b:1::8.8.8.8", "2002:7f00:1::1", "2002:a00:1::", "2002:a9fe:a9fe::",
    "2002:c0a8:101::1", "2001:0:7f00:1::1", "2001:0:808:808::1",
]  # fmt: skip

SPELLED = [
    "2130706433", "0x7f000001", "017700000001", "0x7f.0.0.1", "0177.0.0.1", "127.1", "127.0.1",
    "0x7f.1", "0", "0x0", "0xA9FEA9FE", "2852039166", "0251.0376.0251.0376", "169.254.43518",
    "192.168.257", "10.1", "0xa.0.0.1", "127.0.0.1.", "[::1]", "[::ffff:127.0.0.1]",
    "[0:0:0:0:0:ffff:7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::]", "[fe80::1]",
    "\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021", "\u24dbocalhost", "localhost",
    "LOCALHOST", "localhost.", "db", "metadata.google.internal", "printer.local", "wiki.corp",
    "router.home.arpa", "a.localhost",
]  # fmt: skip
"""How the same is written in a URL; names that mean something only inside are among them."""


def test_the_table_is_a_long_one() -> None:
    assert len(set(PUBLIC)) + len(set(REFUSED)) >= 90
    assert not set(PUBLIC) & set(REFUSED)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_reached(address: str) -> None:
    assert Egress().refusal(ip_address(address), 443) == ""


@pytest.mark.parametrize("address", REFUSED)
def test_others_are_not(address: str) -> None:
    assert "public" in Egress().refusal(ip_address(address), 443)
    assert "public" in Egress(http=True).refusal(ip_address(address), 80)


@pytest.mark.parametrize("host", SPELLED)
def test_no_spelling_of_an_inner_host_is_taken(host: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Egress().target(f"https://{host}/hook")
    assert caught.value.field == "url"


def test_one_wrong_address_makes_a_name_wrong() -> None:
    good, bad = ip_address("8.8.8.8"), ip_address("::ffff:10.0.0.1")
    assert Egress().refusal_of_any([good], 443) == ""
    assert "public" in Egress().refusal_of_any([good, bad], 443)
    assert "public" in Egress().refusal_of_any([bad, good], 443)


@pytest.mark.parametrize(
    ("address", "meant"),
    [
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("64:ff9b::a01:203", "10.1.2.3"),
        ("2002:a01:203::9", "10.1.2.3"),
        ("2606:4700::1", "2606:4700::1"),
        ("10.1.2.3", "10.1.2.3"),
    ],
)
def test_an_address_means_the_one_that_it_carries(address: str, meant: str) -> None:
    assert unmapped(ip_address(address)) == ip_address(meant)


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("https://example.org", "example.org", 443, "/"),
        ("HTTPS://EXAMPLE.org.:443/a/b?c=d&e", "example.org", 443, "/a/b?c=d&e"),
        ("https://bücher.example/", "xn--bcher-kva.example", 443, "/"),
        ("https://8.8.8.8/x", "8.8.8.8", 443, "/x"),
        ("https://[2606:4700::1111]", "2606:4700::1111", 443, "/"),
        ("https://0x08080808/", "8.8.8.8", 443, "/"),
    ],
)
def test_a_url_is_taken_apart_into_its_one_form(url: str, host: str, port: int, path: str) -> None:
    target = Egress().target(url)
    assert (target.scheme, target.host, target.port, target.path) == ("https", host, port, path)


@pytest.mark.parametrize(
    "url",
    [
        "", "example.org", "//example.org", "https://", "https:example.org", "http://example.org",
        "ftp://example.org", "file:///etc/passwd", "gopher://example.org", "https://a@example.org",
        "https://a:b@example.org", "https://example.org#x", "https://example.org:80",
        "https://example.org:8443", "https://example.org:22", "https://example.org:0",
        "https://example.org:99999", "https://example.org:x", "https://exam ple.org",
        "https://example.org/a b", "https://example.org/\r\nHost: x", "https://example.org\\@x.org",
        "https://example.org/\x00", "https://example.org/ü", "https://example.org\t", " https://x.org",
        "https://[::1", "https://[fe80::1%25eth0]/", "https://example..org", "https://-.org",
        "https://" + "a" * 64 + ".org", "https://example.org/" + "a" * 2048,
    ],
)  # fmt: skip
def test_what_is_no_such_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Egress().target(url, field="endpoint")
    assert caught.value.field == "endpoint"


def test_http_and_port_80_come_with_the_setting_only() -> None:
    assert Egress(http=True).target("http://example.org/x").port == 80
    assert Egress(http=True).refusal(ip_address("8.8.8.8"), 80) == ""
    assert Egress().refusal(ip_address("8.8.8.8"), 80) == "expected port 443"
    assert Egress(http=True).refusal(ip_address("8.8.8.8"), 8080) == "expected port 443 or 80"


def test_an_operator_can_allow_networks_at_any_port_and_no_others() -> None:
    nets = (ip_network("10.1.0.0/16"), ip_network("fd00:1::/32"))
    egress = Egress(nets=nets)
    for inside in ("10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203", "fd00:1::5"):
        assert egress.refusal(ip_address(inside), 8080) == "", inside
    for outside in ("10.2.0.1", "127.0.0.1", "fd00:2::1", "::ffff:127.0.0.1"):
        assert "public" in egress.refusal(ip_address(outside), 443), outside
    assert egress.refusal(ip_address("8.8.8.8"), 8080) == "expected port 443"
    assert egress.target("https://10.1.2.3:9000/").port == 9000
    assert egress.target("https://receiver.internal:9000/").host == "receiver.internal"
    with pytest.raises(InvalidInput):
        egress.target("https://127.0.0.1:9000/")
    with pytest.raises(InvalidInput):
        egress.target("http://10.1.2.3:9000/")


@pytest.mark.parametrize("text", ["10.1.0.0/16,::1/128", '["10.1.0.0/16", "::1/128"]'])
def test_the_settings_say_what_is_allowed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("BURSAR_WEBHOOK_ALLOW_NETS", text)
    monkeypatch.setenv("BURSAR_WEBHOOK_HTTP", "true")
    egress = Egress.of(GatewaySettings())
    assert egress.http
    assert egress.nets == (ip_network("10.1.0.0/16"), ip_network("::1/128"))
    closed = Egress.of(GatewaySettings(webhook_allow_nets=[], webhook_http=False))
    assert (closed.http, closed.nets) == (False, ())
