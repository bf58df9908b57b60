"""Settings: read from the environment, bounded, and named when they are wrong."""

import pytest
from pydantic import ValidationError

from bursar.settings import GatewaySettings, Settings, WorkerSettings


@pytest.mark.parametrize(
    ("redis", "queue"),
    [
        ("redis://host:6379/0", "redis://host:6379/1"),
        ("redis://host:6379", "redis://host:6379/1"),
        ("redis://u:p@host/5?protocol=3", "redis://u:p@host/1?protocol=3"),
        ("rediss://host:1/0", "rediss://host:1/1"),
    ],
)
def test_the_queue_is_database_1_of_the_same_server(redis: str, queue: str) -> None:
    assert Settings(redis_url=redis).resolved_queue_url() == queue


def test_a_queue_of_its_own_is_taken_as_it_is() -> None:
    assert Settings(queue_url="redis://q/3").resolved_queue_url() == "redis://q/3"


def test_variables_are_read_with_the_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURSAR_SHARDS", "4")
    monkeypatch.setenv("BURSAR_LEASE_MS", "2500")
    assert Settings().shards == 4
    assert WorkerSettings().lease_ms == 2500


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (Settings, "SHARDS", "0"),
        (Settings, "SHARDS", "many"),
        (Settings, "REDIS_TIMEOUT_S", "0"),
        (Settings, "ENV", "staging"),
        (Settings, "REDIS_URL", "localhost"),
        (Settings, "DURABILITY", "safe"),
        (Settings, "WAIT_REPLICAS", "-1"),
        (Settings, "SESSION_LIMIT_MICROUSD", "-1"),
        (Settings, "SESSION_LIMIT_MICROUSD", "1.5"),
        (Settings, "SESSION_LIMIT_MICROUSD", "nan"),
        (Settings, "SESSION_LIMIT_MICROUSD", "10000000000001"),
        (Settings, "WARN_PERCENT", "101"),
        (Settings, "MAX_DEPTH", "0"),
        (Settings, "EVENT_LOG_MAX", "99"),
        (WorkerSettings, "GROUP", "No Spaces"),
        (WorkerSettings, "SLOTS", "0"),
        (WorkerSettings, "LEASE_MS", "10"),
        (GatewaySettings, "PORT", "70000"),
    ],
)
def test_a_bad_value_names_its_setting(
    monkeypatch: pytest.MonkeyPatch, kind: type[Settings], name: str, value: str
) -> None:
    monkeypatch.setenv(f"BURSAR_{name}", value)
    with pytest.raises(ValidationError) as caught:
        kind()
    assert [error["loc"] for error in caught.value.errors()] == [(name.lower(),)]


def test_secrets_do_not_show() -> None:
    shown = repr(GatewaySettings(api_key="hunter2", key_pepper="salt"))  # type: ignore[arg-type]
    assert "hunter2" not in shown
    assert "salt" not in shown


def test_defaults_fit_each_other() -> None:
    settings = WorkerSettings()
    assert settings.per_action_limit_microusd <= settings.session_limit_microusd
    assert settings.renew_every_s * 1000 * 2 < settings.lease_ms
