"""Each role does its work on a server with the shipped users, and nothing else."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from bursar import history, listing, manifests, sessions, turns, workspaces
from bursar.api_keys import ApiKeys
from bursar.budgets.accounts import LimitChange, change_limit, read_accounts
from bursar.budgets.audit import audit_budgets
from bursar.budgets.checkpoints import make_checkpoint, trim_ledger
from bursar.budgets.ledger import read_ledger
from bursar.budgets.periods import change_period, reset_now
from bursar.budgets.spending import read_spending
from bursar.documents import read_document
from bursar.embedded import EmbeddedServer
from bursar.events import read_log
from bursar.forking import ForkSpec, fork
from bursar.gate import policy_store
from bursar.gate.policies import layers_from
from bursar.gate.policy import Policy
from bursar.ids import new_id
from bursar.inbox import Inputs
from bursar.messages import AssistantMessage, UserMessage
from bursar.portability import ImportOptions, export_session, import_session
from bursar.queue import Bells, connect_queue, queue_name
from bursar.registry import AgentEntry, Registry, announce, list_workers, withdraw
from bursar.settings import Settings
from bursar.store.keys import GlobalKeys, SessionKeys
from bursar.store.opening import open_store
from bursar.store.redis import RedisClient
from bursar.store.scripts import leases
from bursar.store.scripts import turns as turn_scripts
from bursar.store.scripts.budgets import HoldWish, reserve
from bursar.store.scripts.inputs import Accepted, Facts
from bursar.store.scripts.timers import defer_timer
from bursar.store.store import Store
from support.stage import Stage

WORKER: dict[str, str | int] = {
    "id": "w1", "host": "test", "pid": 1, "group": "default", "slots": 1, "busy": 0,
    "agents": "echo", "started_ms": 1,
}  # fmt: skip


@dataclass
class Deployment:
    """A gateway and a worker, each connected as its own user, and an empty workspace of theirs."""

    gateway: Store
    gateway_queue: RedisClient
    worker: Store
    worker_queue: RedisClient
    registry: Registry
    workspace: str

    def inputs(self) -> Inputs:
        return Inputs(
            self.gateway, self.registry, Bells(self.gateway, self.gateway_queue, self.registry)
        )

    async def session_with_input(self) -> tuple[SessionKeys, Accepted]:
        spec = sessions.SessionSpec(agent="echo", user="u1")
        opened = await sessions.create(self.gateway, self.registry, self.workspace, spec)
        accepted = await self.inputs().put(self.workspace, opened.id, UserMessage("hello"))
        return sessions.locate(self.gateway, self.workspace, opened.id), accepted

    def stage(self, session: SessionKeys) -> Stage:
        """The worker's hands."""
        ws = self.worker.workspace(self.workspace)
        return Stage(
            self.worker, ws, ws.session(session.id), Facts("u1", "", "echo", "interactive")
        )


@pytest.fixture
async def deployment(as_role: Callable[[str], Settings]) -> AsyncIterator[Deployment]:
    async with AsyncExitStack() as stack:
        stores = {}
        queues = {}
        for role in ("gateway", "worker"):
            stores[role] = await open_store(as_role(role))
            stack.push_async_callback(stores[role].aclose)
            queues[role] = await connect_queue(as_role(role))
            stack.push_async_callback(queues[role].aclose)
        await announce(stores["worker"], WORKER, [AgentEntry("echo", "default", "m", model="x")])
        workspace = new_id("ws").replace("_", "-")
        await workspaces.create(stores["gateway"], workspace, limit_microusd=1_000_000)
        yield Deployment(
            stores["gateway"],
            queues["gateway"],
            stores["worker"],
            queues["worker"],
            Registry(stores["gateway"], max_age_s=0),
            workspace,
        )


@pytest.fixture
async def connect(as_role: Callable[[str], Settings]) -> AsyncIterator[Callable[[str], Redis]]:
    """A bare connection as one of the roles."""
    opened: list[Redis] = []

    def client(role: str) -> Redis:
        redis: Redis = Redis.from_url(as_role(role).redis_url)
        opened.append(redis)
        return redis

    yield client
    for redis in opened:
        await redis.aclose()


async def test_gateway_manages_everything_a_client_can_ask_for(deployment: Deployment) -> None:
    gateway, workspace = deployment.gateway, deployment.workspace
    session, accepted = await deployment.session_with_input()

    assert (await turns.get(gateway, workspace, accepted.turn)).state == "queued"
    assert len(await read_log(gateway, session, after=0)) == 2
    assert (await listing.list_sessions(gateway, workspace, user="u1")).sessions
    assert (
        await change_limit(gateway, workspace, "ws", LimitChange(limit_microusd=5))
    ).limit_microusd == 5
    assert (await read_ledger(gateway, workspace))[0]["op"] == "limit"
    assert (await workspaces.update(gateway, workspace, {"paused": True})).paused
    assert workspace in await workspaces.list_workspaces(gateway)
    assert await workspaces.read_stats(gateway, workspace)
    assert (await list_workers(gateway))[0].id == "w1"

    await change_period(gateway, workspace, "ws", "day", time_zone="Europe/Berlin")
    await reset_now(gateway, workspace, "ws")
    assert (await audit_budgets(gateway, workspace)).ok
    assert (await read_spending(gateway, workspace)).total_microusd == 0
    made = await make_checkpoint(gateway, workspace)
    assert (await trim_ledger(gateway, workspace, made.checkpoint)).entries == 3

    cancelled = await deployment.inputs().cancel(workspace, accepted.turn)
    assert cancelled.state == "cancelled"
    assert await history.add_message(gateway, workspace, session.id, AssistantMessage("hi")) == 0
    assert await history.read_messages(gateway, workspace, session.id, last=5)
    forked = await fork(gateway, deployment.registry, workspace, session.id, ForkSpec())
    pieces = [piece async for piece in await export_session(gateway, workspace, forked.id)]
    document, anew = read_document(b"".join(pieces)), ImportOptions(new_id=True)
    await import_session(gateway, deployment.registry, workspace, document, anew)
    await sessions.clear(gateway, workspace, session.id)
    assert await deployment.inputs().end(workspace, session.id) == "ended"
    await sessions.delete(gateway, workspace, session.id)


async def test_gateway_changes_policies_and_worker_reads_them(deployment: Deployment) -> None:
    gateway = deployment.gateway.workspace(deployment.workspace)
    lists = policy_store.PolicyLists(ask=("net://**",))
    await policy_store.set_policy(deployment.gateway, gateway, lists, by="key:k")
    await policy_store.set_policy(deployment.gateway, gateway, lists, by="key:k", agent="echo")
    await policy_store.remove_policy(deployment.gateway, gateway, by="key:k")
    assert len(await policy_store.read_history(deployment.gateway, gateway)) == 2

    fields = await deployment.worker.redis.call("HGETALL", gateway.policies)
    assert len(layers_from(fields, "echo", Policy()).layers) == 2


async def test_worker_puts_timers_off(deployment: Deployment) -> None:
    workspace = deployment.worker.workspace(deployment.workspace)
    timer = workspace.session("s").timer("hooks", "echo u1 1")
    await deployment.worker.redis.call("ZADD", workspace.shard.timers, 1, timer)
    assert await defer_timer(deployment.worker, workspace, timer, for_ms=1)
    await deployment.worker.redis.call("ZREM", workspace.shard.timers, timer)


async def test_gateway_makes_and_revokes_api_keys(deployment: Deployment) -> None:
    keys = ApiKeys(deployment.gateway)
    made = await keys.create(name="ci", workspaces=("*",), admin=False)

    assert made.key.id in {key.id for key in await keys.list_keys()}
    assert (await keys.verify(made.token)).id == made.key.id
    await keys.revoke(made.key.id)


async def test_gateway_hears_what_the_worker_publishes(
    deployment: Deployment, connect: Callable[[str], Redis]
) -> None:
    session, _ = await deployment.session_with_input()
    async with connect("gateway").pubsub() as subscriber:
        await subscriber.subscribe(session.events)
        assert (await subscriber.get_message(timeout=5))["type"] == "subscribe"
        claimed = await deployment.stage(session).claim()
        await deployment.stage(session).start(claimed.lease, claimed.inbox[0])
        heard = await subscriber.get_message(timeout=5)
    assert heard["data"].split(b" ")[1] == b"turn.started"


async def test_worker_takes_a_turn_from_its_bell_to_its_end(deployment: Deployment) -> None:
    session, accepted = await deployment.session_with_input()
    stage = deployment.stage(session)
    assert await deployment.worker_queue.call("ZCARD", queue_name("default")) > 0

    claimed = await stage.claim()
    assert await stage.start(claimed.lease, claimed.inbox[0])
    wish = HoldWish(
        hold_id=f"{session.id}/1", secret="s", cost_microusd=1000, tokens=1, sent=True,
        ttl_ms=60_000, turn=accepted.turn, step=1, kind="model", price="flat",
    )  # fmt: skip
    hold = await reserve(deployment.worker, claimed.lease, stage.path, wish)
    await stage.commit(
        claimed.lease, accepted.turn, turn_scripts.Commit(steps=1, hold=hold, actual_microusd=700)
    )
    keys, args = leases.renew_command([claimed.lease], lease_ms=4000)
    assert (await deployment.worker.run(leases.RENEW, keys, args))[1] == [b"1"]
    assert await stage.park(claimed.lease, accepted.turn, seen_seq=claimed.inbox[0].seq)

    await deployment.inputs().cancel(deployment.workspace, accepted.turn)
    woken = await stage.claim("o2")
    assert not await stage.finish(
        woken.lease, accepted.turn, outcome="cancelled", items=woken.inbox
    )
    ended = await turns.get(deployment.gateway, deployment.workspace, accepted.turn)
    assert (ended.state, ended.cost_microusd) == ("cancelled", 700)
    assert (await read_accounts(deployment.gateway, deployment.workspace, ["ws"]))[
        0
    ].posted_microusd == 700


async def test_worker_sweeps_what_others_left_behind(deployment: Deployment) -> None:
    session, _ = await deployment.session_with_input()
    stage = deployment.stage(session)
    await stage.claim()
    await stage.expire_lease()

    assert await leases.reap(deployment.worker, stage.session) is not None
    await stage.make_due(stage.ws.shard.ready, stage.session.ref)
    assert await leases.ring_again(deployment.worker, stage.session) is not None
    taken = await deployment.worker.redis.call("SET", GlobalKeys.sweep, "w1", "NX", "PX", 50)
    assert taken in {b"OK", True, None}


async def test_worker_waits_for_pokes_and_leaves_in_order(
    deployment: Deployment, connect: Callable[[str], Redis]
) -> None:
    session, _ = await deployment.session_with_input()
    bells = Bells(deployment.gateway, deployment.gateway_queue, deployment.registry)
    await bells.poke("w1", session.ref)

    popped = await asyncio.wait_for(
        send(connect("worker"), "BLPOP", GlobalKeys.control("w1"), 5), timeout=6
    )
    assert popped[1].decode() == session.ref
    await withdraw(deployment.worker, "w1")


async def test_worker_records_tools_of_mcp_servers_and_only_gateways_accept_changed_ones(
    deployment: Deployment, connect: Callable[[str], Redis]
) -> None:
    worker, gateway = deployment.worker, deployment.gateway
    for digit in "12":
        look = {"convert_time": manifests.Look.of(digit * 64, "Converts.", {})}
        await manifests.suspects(worker, "echo", "time", look, worker="w1")
    for command in ("HSET", "HDEL"):
        await refused(connect("worker"), command, GlobalKeys.manifests, "echo/time/x", "y")
    await manifests.accept_manifests(gateway, "echo", "time", actor="key:k")
    assert await manifests.suspects(worker, "echo", "time", look, worker="w1") == {}


async def test_dashboard_reads_state_and_changes_nothing(
    deployment: Deployment, connect: Callable[[str], Redis]
) -> None:
    session, _ = await deployment.session_with_input()
    dashboard = connect("dashboard")

    assert await dashboard.hget(session.hash, "state") == b"queued"  # type: ignore[misc]
    assert await dashboard.hgetall(session.workspace.stats)  # type: ignore[misc]
    assert await dashboard.zcard(session.workspace.sessions) == 1
    for command in (
        ("HSET", session.hash, "state", "idle"),
        ("DEL", session.hash),
        ("HINCRBY", session.workspace.account("ws"), "limit", 1),
        ("PUBLISH", session.events, "x"),
    ):
        await refused(dashboard, *command)


async def test_secrets_of_api_keys_are_the_gateways_alone(
    deployment: Deployment, connect: Callable[[str], Redis]
) -> None:
    assert deployment.gateway.pepper
    for role in ("worker", "dashboard", "operator"):
        await refused(connect(role), "HGETALL", GlobalKeys.api_keys)
    await refused(connect("worker"), "HSET", GlobalKeys.api_keys, "mine", "1")
    for role in ("dashboard", "operator"):
        await refused(connect(role), "HGET", GlobalKeys.install, "pepper")


@pytest.mark.parametrize("role", ["gateway", "worker", "dashboard", "operator"])
@pytest.mark.parametrize(
    "command",
    [
        "CONFIG SET appendonly no", "CONFIG REWRITE", "CONFIG RESETSTAT", "FLUSHALL", "FLUSHDB",
        "CLUSTER RESET", "CLUSTER FAILOVER", "CLUSTER NODES", "FAILOVER",
        "KEYS *", "SCAN 0", "SCRIPT KILL", "SCRIPT FLUSH", "EVAL return(1) 0", "SHUTDOWN",
        "ACL LIST", "ACL SETUSER x", "MODULE LIST", "REPLICAOF no one", "CLIENT KILL 1:1",
        "FUNCTION LIST", "MONITOR", "GET elsewhere", "SET elsewhere 1", "HGETALL elsewhere",
    ],
)  # fmt: skip
async def test_nobody_has_dangerous_commands_or_foreign_keys(
    connect: Callable[[str], Redis], role: str, command: str
) -> None:
    await refused(connect(role), *command.split())


@pytest.mark.parametrize("role", ["gateway", "worker"])
async def test_what_gateways_and_workers_need_of_other_topologies(
    connect: Callable[[str], Redis], role: str
) -> None:
    assert (await send(connect(role), "ROLE"))[0] == b"master"
    assert await send(connect(role), "CONFIG", "GET", "appendfsync")
    for command in (("CLUSTER", "SLOTS"), ("ASKING",)):
        with pytest.raises(ResponseError, match="cluster support disabled"):
            await send(connect(role), *command)


@pytest.mark.parametrize("role", ["dashboard", "operator"])
async def test_others_do_not_see_the_configuration(
    connect: Callable[[str], Redis], role: str
) -> None:
    await refused(connect(role), "CONFIG", "GET", "appendfsync")


async def test_both_can_keep_the_strict_profile(
    deployment: Deployment, as_role: Callable[[str], Settings]
) -> None:
    session, accepted = await deployment.session_with_input()
    strict = {"durability": "strict", "wait_replicas": 0, "env": "production"}
    stores = []
    for role in ("gateway", "worker"):
        changed = as_role(role).model_copy(update=strict)
        stores.append(await open_store(changed))
    gateway, worker = stores
    await change_limit(gateway, deployment.workspace, "ws", LimitChange(limit_microusd=5_000))
    deployment.worker = worker
    stage = deployment.stage(session)
    claimed = await stage.claim()
    assert await stage.start(claimed.lease, claimed.inbox[0])
    assert not await stage.finish(claimed.lease, accepted.turn)
    for store in stores:
        await store.aclose()


@pytest.mark.parametrize("role", ["gateway", "worker", "dashboard", "operator"])
async def test_debug_is_shut_for_everybody(connect: Callable[[str], Redis], role: str) -> None:
    with pytest.raises(ResponseError, match=r"not allowed|no permissions"):
        await send(connect(role), "DEBUG", "SLEEP", 0)


async def test_only_operators_see_slow_commands_and_refusals(
    connect: Callable[[str], Redis],
) -> None:
    assert isinstance(await send(connect("operator"), "ACL", "LOG"), list)
    assert isinstance(await send(connect("operator"), "SLOWLOG", "GET", 5), list)
    await refused(connect("worker"), "SLOWLOG", "GET", "5")


async def test_without_a_password_only_ping_is_answered(guarded_server: EmbeddedServer) -> None:
    anonymous: Redis = Redis(port=guarded_server.port)
    with pytest.raises(AuthenticationError):
        await anonymous.ping()
    await anonymous.aclose()
    health: Redis = Redis(port=guarded_server.port, username="health", password="none")
    assert await health.ping()
    await refused(health, "INFO")
    await health.aclose()


async def refused(redis: Redis, *command: str | int) -> None:
    with pytest.raises(NoPermissionError):
        await send(redis, *command)


async def send(redis: Redis, *command: str | int) -> Any:
    return await redis.execute_command(*command)  # type: ignore[no-untyped-call]
