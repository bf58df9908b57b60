"""URLs: which servers they stand for, and what a wrong one is told."""

import pytest
from pydantic import ValidationError

from bursar.errors import InvalidInput
from bursar.settings import Settings, load_settings
from bursar.store.topology import Topology, redacted

SENTINELS = "redis+sentinel://u:p@a:1,b,[::1]:3/purse/2?protocol=3&sentinel_password=s%40"
CLUSTER = "rediss+cluster://u:p@a:1,b"


def test_a_plain_url_is_taken_as_it_is() -> None:
    assert Topology.parse("redis://h:1/0") == Topology("standalone", "redis://h:1/0")
    assert Topology.parse("unix:///run/redis.sock").kind == "standalone"


def test_sentinels_their_service_and_its_database() -> None:
    found = Topology.parse(SENTINELS)
    assert found.nodes == (("a", 1), ("b", 26379), ("::1", 3))
    assert (found.service, found.database) == ("purse", 2)
    assert Topology.parse("redis+sentinel://a/purse").database == 0


def test_servers_and_sentinels_have_users_of_their_own() -> None:
    found = Topology.parse(SENTINELS)
    assert found.server_url(("::1", 3)) == "redis://u:p@[::1]:3/2?protocol=3"
    assert found.sentinel_url(("b", 26379)) == "redis://:s%40@b:26379/0?protocol=3"
    assert Topology.parse("redis+sentinel://u:p@a/x").sentinel_url(("a", 1)) == "redis://a:1/0"


def test_a_cluster() -> None:
    found = Topology.parse(CLUSTER)
    assert (found.kind, found.nodes) == ("cluster", (("a", 1), ("b", 6379)))
    assert found.server_url(("b", 6379)) == "rediss://u:p@b:6379/0"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis+sentinel://a:1,b:2", "service"),
        ("redis+sentinel:///purse", "no host"),
        ("redis+sentinel://a:one/purse", "'one'"),
        ("redis+sentinel://:1/purse", "names no host"),
        ("redis+cluster://a:1/1", "database 0 only"),
        ("redis+magic://a:1", r"redis\+magic"),
        ("http+cluster://a:1", r"http\+cluster"),
        ("localhost:6379", "no kind of URL"),
        ("http://a:1", "no kind of URL"),
    ],
)
def test_what_is_wrong_is_said(url: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Topology.parse(url)
    with pytest.raises(ValidationError, match=told):
        Settings(redis_url=url)


def test_the_queue_is_another_database_of_the_same_sentinels() -> None:
    assert Settings(redis_url="redis+sentinel://a:1,b:2/purse/0").resolved_queue_url() == (
        "redis+sentinel://a:1,b:2/purse/1"
    )


def test_on_a_cluster_the_queue_must_have_a_redis_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BURSAR_REDIS_URL", "redis+cluster://a:1,b:2")
    with pytest.raises(InvalidInput, match="set a Redis of its own") as caught:
        load_settings(Settings)
    assert caught.value.field == "BURSAR_QUEUE_URL"
    monkeypatch.setenv("BURSAR_QUEUE_URL", "redis+cluster://a:1,b:2")
    with pytest.raises(InvalidInput, match="cannot be on a Cluster"):
        load_settings(Settings)
    monkeypatch.setenv("BURSAR_QUEUE_URL", "redis://q:1/0")
    assert load_settings(Settings).resolved_queue_url() == "redis://q:1/0"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:1/0", "redis://host:1/0"),
        ("redis://user:pass@host:1/0", "redis://host:1/0"),
        ("rediss://:p@ss@host/0", "rediss://host/0"),
        (SENTINELS, "redis+sentinel://a:1,b,[::1]:3/purse/2"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert redacted(url) == shown
