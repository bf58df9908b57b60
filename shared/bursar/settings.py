"""All settings, one class a process. Read from ``BURSAR_…`` variables and an optional ``.env``.

Settings are built once in a process's ``main`` and passed in; nothing reads them at import.
Amounts are integer micro-USD; times say their unit in the name.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    Field,
    IPvAnyNetwork,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from bursar.errors import InvalidInput
from bursar.money import MAX_LIMIT_MICROUSD
from bursar.store.topology import Topology

__all__ = ["MAX_LIMIT_MICROUSD", "GatewaySettings", "Settings", "WorkerSettings", "load_settings"]

Microusd = Annotated[int, Field(gt=0, le=MAX_LIMIT_MICROUSD)]
S = TypeVar("S", bound="Settings")
Seconds = Annotated[float, Field(gt=0)]


class Settings(BaseSettings):
    """What gateways and workers share."""

    model_config = SettingsConfigDict(env_prefix="BURSAR_", env_file=".env", extra="ignore")

    redis_url: str = "redis://127.0.0.1:6379/0"
    """The state: sessions, budgets, events. Needs ``maxmemory-policy noeviction``. Also
    ``redis+sentinel://host:port,host:port/service/0`` and ``redis+cluster://host:port,host:port``.
    """
    queue_url: Annotated[str, Field(validate_default=True)] = ""
    """Redis for arq's bells; empty means database 1 of ``redis_url``, which a Cluster does not
    have. Losing it loses nothing."""
    durability: Literal["dev", "standard", "strict"] = "dev"
    """What Redis must be set to, see docs/operations.md. Production refuses to start without."""
    wait_replicas: Annotated[int, Field(ge=0, le=10)] = 1
    """Replicas that must have a durable write before it counts; in ``strict`` only. 0 for one
    server alone."""
    env: Literal["dev", "production"] = "dev"
    shards: Annotated[int, Field(ge=1, le=1000)] = 16
    """Fixed at the first start of an installation; another value then refuses to start."""

    failpoints: str = ""
    """For tests of crashes: see `bursar.failpoints`. Refused in production."""

    redis_timeout_s: Seconds = 3.0

    session_limit_microusd: Microusd = 100_000_000
    per_action_limit_microusd: Microusd = 10_000_000
    per_turn_limit_microusd: Microusd | None = None
    user_limit_microusd: Microusd | None = None
    """The limit of a user's account when it is made; None is unlimited."""
    closing_microusd: Annotated[int, Field(ge=0)] = 50_000
    """What a session keeps back at most, of its limit at most a twentieth, so that it can give a
    closing answer when the rest is spent."""
    warn_percent: Annotated[int, Field(ge=0, le=100)] = 80
    max_depth: Annotated[int, Field(ge=1, le=8)] = 3
    """Levels of a session tree: 1 is root sessions only."""
    max_tree_live: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """Sessions below a root that have not ended; what would be more is refused as a whole."""
    max_tree_running: Annotated[int, Field(ge=1)] = 16
    """Of those, so many are driven at once; the others wait for a place, in order."""
    max_children_a_step: Annotated[int, Field(ge=1)] = 32
    """Tasks that a model may give in one step."""
    child_timeout_s: Seconds = 300.0
    """How long a sub-agent works on its task, unless the spawn says so; waiting does not count."""
    child_timeout_max_s: Seconds = 3000.0
    child_wait_s: Seconds = 86400.0
    """After this, a sub-agent ends in any case, also if it waited all the time."""

    max_input_bytes: Annotated[int, Field(ge=1024)] = 1024 * 1024
    max_inbox: Annotated[int, Field(ge=1, le=10_000)] = 256
    max_queued: Annotated[int, Field(ge=1)] = 10_000
    """Queued turns a workspace, unless it has a cap of its own; one more is refused with 429."""
    event_log_max: Annotated[int, Field(ge=100)] = 10_000
    """Events kept a session; a client that comes back later than that gets a `gap`."""
    event_log_ttl_s: Seconds = 3600.0
    """How long an idle session's event log lives after its last turn ended."""
    turn_ttl_s: Seconds = 7 * 86400.0
    """How long the record of an ended turn stays readable. The messages stay."""
    hold_open_s: Seconds = 60.0
    """How long a hold stays open at least; it is renewed with the lease of its turn."""
    hold_ttl_s: Seconds = 900.0
    """How long ended holds stay on record, so that a repeat is answered and not charged again."""
    idempotency_ttl_s: Seconds = 86400.0
    max_approvals: Annotated[int, Field(ge=1)] = 10_000
    """Open questions a workspace; a call that would be one more is refused."""
    max_approvals_a_session: Annotated[int, Field(ge=1)] = 256
    """The same of a session, so that one agent in a loop does not ask for all."""
    deferred_ttl_s: Seconds = 86400.0
    """How long a question that was deferred can still be answered."""

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, url: str) -> str:
        Topology.parse(url)
        return url

    @field_validator("queue_url")
    @classmethod
    def _check_queue_url(cls, url: str, info: ValidationInfo) -> str:
        if url and Topology.parse(url).kind == "cluster":
            raise ValueError("the queue cannot be on a Cluster: arq's keys have no common slot")
        state = info.data.get("redis_url", "")
        if not url and state and Topology.parse(state).kind == "cluster":
            raise ValueError(
                "BURSAR_REDIS_URL is a Cluster, which cannot hold the queue: "
                "set a Redis of its own for it, such as redis://host:6379/0"
            )
        return url

    def resolved_queue_url(self) -> str:
        """The queue's URL: as set, else database 1 of the state's servers."""
        return self.queue_url or Topology.parse(self.redis_url).with_database(1)


class WorkerSettings(Settings):
    """A worker process: how much it runs at once and how it treats models and tools."""

    agents: str = "bursar_worker.builtin"
    """Modules that hold `Agent` objects, separated by commas."""
    group: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")] = "default"
    """Workers of one group serve the same agents and share a queue."""
    slots: Annotated[int, Field(ge=1, le=1000)] = 10
    """Drives at once. A drive waits for a model most of the time and needs little CPU."""
    interactive_slots: Annotated[int, Field(ge=0)] = 2
    """Slots that sessions of the background, such as sub-agents, leave to interactive ones; at most
    a quarter of ``slots``."""

    lease_ms: Annotated[int, Field(ge=1000, le=60_000)] = 4000
    renew_every_s: Seconds = 1.0
    sweep_every_s: Seconds = 0.5
    drain_s: Annotated[float, Field(ge=0)] = 10.0
    """On SIGTERM: time for running steps to end before their leases are handed back."""

    max_steps: Annotated[int, Field(ge=1)] = 50
    max_tool_calls: Annotated[int, Field(ge=1)] = 32
    """Per step; a model that asks for more gets error results for the rest."""
    tool_concurrency: Annotated[int, Field(ge=1)] = 8
    tool_timeout_s: Seconds = 60.0
    tool_output_max: Annotated[int, Field(ge=100)] = 30_000
    mcp_connect_timeout_s: Annotated[float, Field(ge=0)] = 10.0
    """How long the first turn of an agent waits for its MCP servers; later ones do not wait."""
    model_timeout_s: Seconds = 600.0
    model_attempts: Annotated[int, Field(ge=1, le=10)] = 3
    max_output_tokens: Annotated[int, Field(ge=1)] = 4096
    min_output_tokens: Annotated[int, Field(ge=1)] = 64
    """A purse that cannot pay for this many output tokens refuses the call."""
    compact_percent: Annotated[int, Field(ge=0, le=100)] = 85
    """A context that fills more than this of its model's window is summarised; 0 for never."""
    keep_recent: Annotated[int, Field(ge=1, le=1000)] = 10
    """So many of its newest messages the model then still sees as they are."""
    context_window_tokens: Annotated[int, Field(ge=1)] = 128_000
    """Window of models of which neither their object nor the price table says it."""
    history_max_bytes: Annotated[int, Field(ge=65536)] = 10 * 1024 * 1024
    history_cache_bytes: Annotated[int, Field(ge=0)] = 64 * 1024 * 1024
    """Histories that a worker keeps, by their size in Redis: a turn reads what is new only."""

    prices: Path | None = None
    """TOML file of prices that override or complete the price table."""
    files_root: Path = Path()
    """Folder below which sessions' ``workspace_path`` lies."""
    approval_timeout_s: Seconds = 300.0
    """How long a call waits for a person's answer, before its fallback comes."""
    unanswered_interactive: Literal["block", "skip", "queue"] = "block"
    """What becomes of a call that nobody answered, in sessions of priority ``interactive``, unless
    its tool says so: ``block`` waits on, ``skip`` tells the model, ``queue`` lets the turn go on
    and runs the call when somebody approves it."""
    unanswered_background: Literal["block", "skip", "queue"] = "skip"
    boundary_mode: Literal["safe", "guided", "autonomous", "ci"] = "safe"
    """What becomes of a tool call that reaches out of its session's folder: ``safe`` and ``guided``
    ask a person, ``autonomous`` lets it through, ``ci`` refuses it."""
    boundary_never: list[str] = [
        "/proc", "/sys", "/dev", "/boot", "/etc/shadow", "/run/secrets", "/var/run/secrets",
        "~/.ssh", "~/.aws", "~/.gnupg", "~/.kube", "~/.docker", "~/.config/gcloud",
    ]  # fmt: skip
    """Trees that no tool call may name, in any mode; ``~`` is the worker's home."""
    shell: bool = False
    """Whether the tool ``shell`` runs commands on this worker. They have the worker's rights."""
    shell_path: str = "/usr/local/bin:/usr/bin:/bin"
    """Where the commands of ``shell`` are found; of the worker's environment they see nothing."""


class GatewaySettings(Settings):
    """A gateway process: where it listens and whom it lets in."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8700
    api_key: SecretStr | None = None
    """An administrator's key taken from the environment instead of the store."""
    key_pepper: SecretStr | None = None
    """Secret that API keys are hashed with; unset means one made at the first start, in Redis."""
    signing_key: SecretStr | None = None
    """Private key that capabilities and audit seals are signed with, base64 of 32 random bytes;
    unset means one made at the first start, in Redis. What one signed stays valid under the
    next."""
    allowed_hosts: list[str] = ["*"]
    max_queued_total: Annotated[int, Field(ge=1)] = 100_000
    """Queued turns of all workspaces together, counted each second; beyond that: 429."""
    max_body_bytes: Annotated[int, Field(ge=1024)] = 2 * 1024 * 1024
    """Of a request, but for imports of sessions and the inputs of jobs."""
    max_import_bytes: Annotated[int, Field(ge=1024)] = 32 * 1024 * 1024
    """Of a session's document that is imported. A gateway holds it in memory meanwhile."""
    max_job_body_bytes: Annotated[int, Field(ge=1024)] = 32 * 1024 * 1024
    """The same of the one request that makes a job, which brings all of its inputs."""
    ping_every_s: Seconds = 15.0
    stream_queue_events: Annotated[int, Field(ge=16)] = 256
    """Events buffered for one slow client; beyond that it is refilled from the log."""
    max_streams: Annotated[int, Field(ge=1)] = 10_000
    """Open event streams of one gateway."""
    max_streams_a_key: Annotated[int, Field(ge=1)] = 1_000
    """Open event streams of one API key on one gateway."""
    stream_send_timeout_s: Seconds = 30.0
    seal_every_s: Seconds = 3.0
    """How long an entry of an audit log may be without a seal; one gateway seals at a time."""
    webhook_http: bool = False
    """Whether webhooks may go to ``http`` addresses and port 80, unencrypted."""
    webhook_allow_nets: Annotated[list[IPvAnyNetwork], NoDecode] = []
    """Networks such as ``10.1.0.0/16``, separated by commas, that webhooks may reach at any port
    although they are not public. Whoever makes a webhook can have a gateway connect there."""
    webhook_ca_file: Path | None = None
    """Certificates of further authorities that endpoints of webhooks may be signed by."""
    webhook_timeout_s: Annotated[float, Field(gt=0, le=60)] = 10.0
    """How long an endpoint has for its answer, from resolving its name on."""
    webhook_retry_s: Seconds = 5.0
    """The first pause after a message that was not taken; later ones double, up to two hours."""
    webhook_give_up_s: Annotated[float, Field(ge=0.001)] = 86400.0
    """How long a message is tried again before it counts as dead."""
    webhook_at_once: Annotated[int, Field(ge=1, le=100)] = 8
    """Messages that one endpoint is sent at the same time, while it answers well."""
    webhook_per_second: Annotated[float, Field(gt=0)] = 50.0
    """Messages that one endpoint is sent in a second."""
    max_webhooks: Annotated[int, Field(ge=0, le=100)] = 20
    """Endpoints of one workspace."""

    @field_validator("webhook_allow_nets", mode="before")
    @classmethod
    def _split_nets(cls, nets: Any) -> Any:
        return re.findall(r"[^\s,\[\]\"]+", nets) if isinstance(nets, str) else nets


def load_settings(kind: type[S]) -> S:
    """Read a process's settings.

    Raises:
        InvalidInput: names each variable that is wrong and what was expected.

    """
    try:
        return kind()
    except ValidationError as error:
        wrong = [
            ("BURSAR_" + "_".join(map(str, each["loc"])).upper(), each["msg"])
            for each in error.errors()
        ]
        rest = "".join(f"; {name}: {what}" for name, what in wrong[1:])
        raise InvalidInput(wrong[0][1] + rest, field=wrong[0][0]) from None
