"""Hosts and ports: one form for each place, and which of them are not of the public network."""

import pytest

from bursar.errors import InvalidInput
from bursar.gate.hosts import host_and_port, host_pattern, is_private, net_action


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://example.org", "example.org:443"),
        ("http://example.org/a?b=c#d", "example.org:80"),
        ("HTTPS://EXAMPLE.ORG./", "example.org:443"),
        ("https://example.org:8443/x", "example.org:8443"),
        ("https://ann:secret@example.org/", "example.org:443"),
        ("https://good.org@evil.org/", "evil.org:443"),
        ("https://a@good.org@evil.org/", "evil.org:443"),
        ("https://evil.org/@good.org", "evil.org:443"),
        ("https://evil.org?@good.org", "evil.org:443"),
        ("https://evil.org#@good.org", "evil.org:443"),
        ("https://evil.org:443?x=https://good.org:1", "evil.org:443"),
        ("wss://example.org/feed", "example.org:443"),
        ("https://bücher.example", "xn--bcher-kva.example:443"),
        ("https://BÜCHER.example", "xn--bcher-kva.example:443"),
        ("https://faß.de", "xn--fa-hia.de:443"),
        ("https://\uff45vil。org", "evil.org:443"),
        ("http://2130706433", "127.0.0.1:80"),
        ("http://0x7f000001", "127.0.0.1:80"),
        ("http://0177.0.0.1", "127.0.0.1:80"),
        ("http://127.1", "127.0.0.1:80"),
        ("http://0x7F.1/", "127.0.0.1:80"),
        ("http://\uff11\uff12\uff17.0.0.1/", "127.0.0.1:80"),
        ("http://127.0.0.1./", "127.0.0.1:80"),
        ("http://[::FFFF:127.0.0.1]/", "127.0.0.1:80"),
        ("http://[0:0:0:0:0:0:0:1]:8080", "[::1]:8080"),
        ("redis://cache:6379", "cache:6379"),
    ],
)
def test_a_url_is_judged_by_the_host_and_port_that_it_connects_to(url: str, place: str) -> None:
    assert net_action(url) == f"net://{place}"
    assert host_and_port(place, field="x") == place  # the one form is its own one form


@pytest.mark.parametrize(
    "url",
    [
        "", "example.org", "//example.org", "https:///x", "https://", "file:///etc/hosts",
        "mailto:ann@example.org", "redis://", "gopher://example.org",
        "https://evil.org\\@good.org", "https://evil.org\t.good.org", "https://evil.org\n",
        " https://example.org", "https://exa mple.org", "https://e%76il.org", "https://a..b",
        "https://-a.org", "https://" + "a" * 64 + ".org", "https://" + "a." * 127 + "org",
        "http://1.2.3.4.5", "http://256.1.1.1", "http://08.1.1.1", "http://0x7g.1", "http://1_0.1",
        "http://4294967296", "http://example.org:0", "http://example.org:65536",
        "http://example.org:1x", "http://[fe80::1%25eth0]/", "http://[::1", "http://[1.2.3.4]/",
        "http://lo\u200dcalhost",
    ],
)  # fmt: skip
def test_a_url_that_programs_may_read_differently_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        net_action(url)
    assert caught.value.field == "url"


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "api.localhost", "redis", "printer.local", "metadata.google.internal",
        "db.corp", "nas.home.arpa", "127.0.0.1", "127.9.9.9", "10.0.0.5", "172.16.0.1",
        "192.168.1.1", "169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192",
        "0.0.0.0", "255.255.255.255", "224.0.0.1", "198.18.0.1", "192.0.2.1", "240.0.0.1",  # noqa: S104
        "[::]", "[::1]", "[fe80::1]", "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]", "[fec0::1]",
        "[64:ff9b::a00:1]", "[2002:a00:1::]", "[2001:0:a00:1::]", "[2001:db8::1]", "[::a00:1]",
    ],
)  # fmt: skip
def test_what_is_not_of_the_public_network_is_told(host: str) -> None:
    assert is_private(f"{host}:80")


@pytest.mark.parametrize(
    "host",
    ["example.org", "a.b.example.org", "8.8.8.8", "172.32.0.1", "100.128.0.1", "local.example",
     "localhost.example.org", "[2606:4700::1111]", "[2002:808:808::]"],
)  # fmt: skip
def test_public_hosts_are_not_taken_for_private_ones(host: str) -> None:
    assert not is_private(f"{host}:80")


def test_patterns_have_one_form_too() -> None:
    assert host_pattern("**") == "**"
    assert host_pattern("API.Example.org.:443") == "api.example.org:443"
    assert host_pattern("bücher.example:443") == "xn--bcher-kva.example:443"
    assert host_pattern("0x7f.1:80") == "127.0.0.1:80"
    assert host_pattern("*.Example.org.:*") == "*.example.org:*"


@pytest.mark.parametrize(
    "text", ["*", "*.example.org", "*.bücher.example:1", "a/*:1", "*@a:1", "a\\*:1", "x:"]
)
def test_a_pattern_that_is_no_host_and_port_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        host_pattern(text)
