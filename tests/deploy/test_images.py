"""The image and compose files name things that exist: files, modules, settings, ports, users."""

import re
import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from bursar.settings import GatewaySettings, WorkerSettings

TOP = Path(__file__).parents[2]
DEPLOY = TOP / "deploy"
FIELDS = {
    f"BURSAR_{name.upper()}"
    for settings in (GatewaySettings, WorkerSettings)
    for name in settings.model_fields
}


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile as (instruction, arguments), continued lines joined."""
    text = re.sub(r"\\\n\s*", "", (DEPLOY / "Dockerfile").read_text())
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def stages() -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    current: list[tuple[str, str]] = []
    for word, rest in instructions():
        if word == "FROM":
            current = found.setdefault(rest.split(" AS ")[1], [])
        current.append((word, rest))
    return found


def argument(stage: str, instruction: str) -> str:
    return next(rest for word, rest in stages()[stage] if word == instruction)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return loaded


@pytest.fixture(scope="module")
def example() -> dict[str, str]:
    """Variables of `.env.example`, those that are commented out included."""
    text = (DEPLOY / ".env.example").read_text()
    return dict(re.findall(r"^(?:# )?([A-Z_]+)=(.*)$", text, re.MULTILINE))


def test_everything_copied_exists_and_reaches_the_builder() -> None:
    ignore = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    sent = {line[1:] for line in ignore if line.startswith("!")}
    for word, rest in instructions():
        if word != "COPY" or rest.startswith("--from="):
            continue
        for source in rest.split()[:-1]:
            # README.md is the wheel's long description.
            assert source in sent
            assert (TOP / source).exists() or source == "README.md"
    for name in sent:
        assert (TOP / name).exists() or name == "README.md"


def test_stages_build_on_stages_that_come_before_them() -> None:
    seen: set[str] = set()
    for name, content in stages().items():
        base = content[0][1].split(" AS ")[0]
        assert base.startswith("python:") or base in seen
        for word, rest in content:
            if word == "COPY" and rest.startswith("--from="):
                assert rest.split()[0].removeprefix("--from=") in seen
        seen.add(name)
    assert list(stages())[-2:] == ["gateway", "worker"]


@pytest.mark.parametrize("role", ["gateway", "worker"])
def test_images_run_a_module_that_exists_as_nobody_special(role: str) -> None:
    user = argument(role, "USER")
    assert int(user.split(":")[0]) > 0
    command = yaml.safe_load(argument(role, "CMD"))
    assert command[:2] == ["python", "-m"]
    assert find_spec(command[2]) is not None
    assert find_spec(f"{command[2]}.__main__") is not None


@pytest.mark.parametrize("role", ["gateway", "worker"])
def test_images_have_a_health_check_that_compiles(role: str) -> None:
    command = yaml.safe_load(argument(role, "HEALTHCHECK").split("CMD ", 1)[1])
    assert command[0] == "python"
    script = Path(command[1])
    source = command[2] if command[1] == "-c" else (DEPLOY / script.name).read_text()
    compile(source, "healthcheck", "exec")


def test_extras_that_the_images_install_exist() -> None:
    text = (TOP / "pyproject.toml").read_text()
    for stage in ("gateway-env", "worker-env"):
        extras = re.search(r"\.whl\)\[([a-z,]+)\]", argument(stage, "RUN"))
        assert extras
        for extra in extras[1].split(","):
            assert re.search(rf"^{extra} = \[", text, re.MULTILINE)


def test_every_variable_is_a_setting(compose: dict[str, Any], example: dict[str, str]) -> None:
    in_images = {
        part.split("=")[0]
        for word, rest in instructions()
        if word == "ENV"
        for part in shlex.split(rest)
    }
    in_compose = {
        name for service in compose["services"].values() for name in service["environment"]
    }
    named = {name for name in in_images | in_compose | set(example) if name.startswith("BURSAR_")}
    assert named - FIELDS == set()


def test_example_has_each_variable_that_compose_asks_for(example: dict[str, str]) -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    passed_on = re.findall(r"^ +([A-Z_]+):$", text, re.MULTILINE)
    assert set(re.findall(r"\$\{([A-Z_]+)", text)) | set(passed_on) == set(example)
    must = set(re.findall(r"\$\{([A-Z_]+):\?", text))
    assert {name for name in must if example[name]} == set(), "no secret has a default"


def test_defaults_in_the_example_are_those_of_the_settings(example: dict[str, str]) -> None:
    worker = WorkerSettings.model_fields
    assert example["BURSAR_SHARDS"] == str(worker["shards"].default)
    assert example["BURSAR_SLOTS"] == str(worker["slots"].default)
    assert float(example["BURSAR_DRAIN_S"]) == worker["drain_s"].default
    assert example["BURSAR_AGENTS"] == worker["agents"].default


def test_compose_connects_each_role_as_its_own_user(compose: dict[str, Any]) -> None:
    for role in ("gateway", "worker"):
        url = compose["services"][role]["environment"]["BURSAR_REDIS_URL"]
        assert url == f"redis://{role}:${{REDIS_{role.upper()}_PASSWORD}}@redis:6379/0"
    assert compose["services"]["worker"]["deploy"]["replicas"] == 2
    assert "ports" not in compose["services"]["redis"]


def test_compose_builds_targets_that_exist_and_mounts_files_that_exist(
    compose: dict[str, Any],
) -> None:
    for service in compose["services"].values():
        if "build" in service:
            assert service["build"]["target"] in stages()
            assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in compose["volumes"] or (DEPLOY / source).exists()


def test_ports_agree(compose: dict[str, Any]) -> None:
    port = str(GatewaySettings.model_fields["port"].default)
    assert argument("gateway", "EXPOSE") == port
    assert f"BURSAR_PORT={port}" in argument("gateway", "ENV")
    assert compose["services"]["gateway"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert "port 6379" in (DEPLOY / "redis.conf").read_text()


def test_a_stopped_worker_has_time_to_drain(compose: dict[str, Any]) -> None:
    grace_s = float(compose["services"]["worker"]["stop_grace_period"].removesuffix("s"))
    assert grace_s > WorkerSettings.model_fields["drain_s"].default
