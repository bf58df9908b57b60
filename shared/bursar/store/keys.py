"""Every Redis key of Bursar, and nothing else builds one.

All keys of a workspace share the hash tag of its shard, ``bursar:{s07}:…``, so that a script
touches one Cluster slot and a shard's indexes change together with the state they index.
Installation-wide keys are ``bursar:{g}:…``. ``docs/redis-schema.md`` says what each one holds.
"""

from zlib import crc32

__all__ = [
    "PRIORITIES",
    "STATES",
    "GlobalKeys",
    "SessionKeys",
    "ShardKeys",
    "TreeKeys",
    "WebhookKeys",
    "WorkspaceKeys",
    "barrier_beside",
    "parse_ref",
    "root_of",
    "shard_of",
    "why_blocked",
]

STATES = ("idle", "queued", "running", "waiting", "ended")
PRIORITIES = ("interactive", "background")
"""Classes of sessions: bells of the first go before those of the second."""


def shard_of(workspace: str, shards: int) -> int:
    """The shard a workspace lives in for ever: the number of shards is fixed at installation."""
    return crc32(workspace.encode()) % shards


def parse_ref(ref: str) -> tuple[str, str]:
    """Split a session reference ``workspace/session`` as it stands in shard-wide indexes."""
    workspace, _, sid = ref.partition("/")
    return workspace, sid


def root_of(sid: str) -> str:
    """The root of a session's tree, by its id: ``<root>~<name>`` below it, the id itself else."""
    return sid.partition("~")[0]


def why_blocked(name: str) -> str:
    """What stands against the sessions of a list of blocked ones: agent, paused, cap or tree."""
    return name.partition(":blocked:")[2].partition(":")[0]


def barrier_beside(key: bytes) -> bytes:
    """A key in the slot of another one, written to for the sake of its place in the log only."""
    return key[: key.index(b"}") + 1] + b":barrier"


class GlobalKeys:
    """Keys of the installation: small, rarely written, read by every process."""

    install = "bursar:{g}:install"
    workspaces = "bursar:{g}:install:workspaces"
    api_keys = "bursar:{g}:install:api_keys"
    signing_keys = "bursar:{g}:install:signing_keys"
    """Public halves of the keys that sign capabilities and seals, by their id."""
    signing_secrets = "bursar:{g}:install:signing_secrets"
    """Their private halves, which workers cannot read."""
    audit = "bursar:{g}:audit"
    """What is recorded of no workspace, such as refused logins."""
    audit_seals = "bursar:{g}:audit:seals"
    audit_heads = "bursar:{g}:audit:heads"
    """The newest seal of each workspace's audit log."""
    audit_state = "bursar:{g}:audit:state"
    """What the last round of sealing found: how much is not sealed, and what is wrong."""
    seal = "bursar:{g}:seal"
    """Held by the gateway that seals this round."""
    manifests = "bursar:{g}:manifests"
    """What each MCP tool looked like when it was first seen or last accepted."""
    manifests_seen = "bursar:{g}:manifests:seen"
    """How those look now that are not as they were accepted."""
    agents = "bursar:{g}:agents"
    workers = "bursar:{g}:workers"
    sweep = "bursar:{g}:sweep"

    @staticmethod
    def worker(worker_id: str) -> str:
        return f"bursar:{{g}}:worker:{worker_id}"

    @staticmethod
    def control(worker_id: str) -> str:
        """List on which a gateway tells one worker that a session it drives has news."""
        return f"bursar:{{g}}:worker:{worker_id}:control"


class ShardKeys:
    """Indexes over all workspaces of one shard."""

    def __init__(self, shard: int) -> None:
        self.shard = shard
        self.prefix = f"bursar:{{s{shard:02d}}}"
        self.ready = f"{self.prefix}:ready"
        self.leases = f"{self.prefix}:leases"
        self.timers = f"{self.prefix}:timers"
        self.stats = f"{self.prefix}:stats"
        self.blocked = f"{self.prefix}:blocked"
        """Names of the lists below that have members."""
        self.waiting = f"{self.prefix}:waiting"
        """Accounts at which turns wait for money, as ``<workspace> <account>``."""
        self.outbox = f"{self.prefix}:outbox"
        """Events for webhooks that were not handed to their endpoints yet."""
        self.deliveries = f"{self.prefix}:deliveries"
        """Endpoints that messages wait for, as ``<workspace>/<webhook>``."""

    def blocked_agent(self, agent: str) -> str:
        return f"{self.prefix}:blocked:agent:{agent}"

    def blocked_paused(self, workspace: str) -> str:
        return f"{self.prefix}:blocked:paused:{workspace}"

    def blocked_cap(self, workspace: str) -> str:
        return f"{self.prefix}:blocked:cap:{workspace}"

    def blocked_tree(self, root_ref: str) -> str:
        return f"{self.prefix}:blocked:tree:{root_ref}"


class WorkspaceKeys:
    """Keys of one workspace. The channel of its feed has the same name as the stream."""

    kind = "workspace"
    counter = "event_seq"

    def __init__(self, workspace: str, shards: int) -> None:
        self.id = workspace
        self.shard = ShardKeys(shard_of(workspace, shards))
        self.prefix = f"{self.shard.prefix}:w:{workspace}"
        self.hash = self.prefix
        self.stats = f"{self.prefix}:stats"
        self.sessions = f"{self.prefix}:sessions"
        self.jobs = f"{self.prefix}:jobs"
        """Ids of jobs that were started, by when."""
        self.ledger = f"{self.prefix}:ledger"
        self.users = f"{self.prefix}:users"
        """Ids of users that have an account."""
        self.questions = f"{self.prefix}:questions"
        """Accounts about which people are asked, since when."""
        self.audit = f"{self.prefix}:audit"
        self.audit_seals = f"{self.prefix}:audit:seals"
        self.policies = f"{self.prefix}:policies"
        self.policy_history = f"{self.prefix}:policies:history"
        """Their last versions; apart, because workers read what is in force whole."""
        self.allowances = f"{self.prefix}:allowances"
        self.capabilities = f"{self.prefix}:capabilities"
        self.revoked = f"{self.prefix}:revoked"
        """Ids of capabilities that were revoked, with those that they end with them."""
        self.used = f"{self.prefix}:used"
        """Ids of single-use capabilities that were used, and by which call."""
        self.approvals = f"{self.prefix}:approvals"
        """Ids of open questions by the time of asking."""
        self.repeats = f"{self.prefix}:approvals:repeats"
        """Deferred calls by session, tool and arguments, so that a repeat asks nothing anew."""
        self.events = f"{self.prefix}:feed"
        """Log and channel of what happens to the workspace's questions; counted in its hash."""
        self.webhooks = f"{self.prefix}:webhooks"
        self.webhook_secrets = f"bursar:secrets:{{s{self.shard.shard:02d}}}:w:{workspace}:webhooks"
        """What their messages are signed with; out of reach for all but gateways."""

    def sessions_of_user(self, user: str) -> str:
        return f"{self.sessions}:user:{user}"

    def sessions_in_state(self, state: str) -> str:
        return f"{self.sessions}:state:{state}"

    def sessions_at_path(self, workspace_path: str) -> str:
        """Index by workspace path; sessions without one have the plain index only."""
        return f"{self.sessions}:path:{workspace_path}" if workspace_path else self.sessions

    def account(self, name: str) -> str:
        """``ws``, ``user:<id>`` or ``s:<sid>``."""
        return f"{self.prefix}:acct:{name}"

    def waiters(self, name: str) -> str:
        """Turns that wait for money of an account."""
        return f"{self.account(name)}:waiters"

    def period_timer(self, name: str) -> str:
        """Member of the shard's timers: this account starts anew."""
        return f"period {self.id}/ {name}"

    def capability_timer(self, capability_id: str) -> str:
        """Member of the shard's timers: this capability may be forgotten."""
        return f"capability {self.id}/ {capability_id}"

    def hold(self, hold_id: str) -> str:
        return f"{self.prefix}:hold:{hold_id}"

    def turn(self, turn_id: str) -> str:
        return f"{self.prefix}:t:{turn_id}"

    def approval(self, approval_id: str) -> str:
        return f"{self.prefix}:approval:{approval_id}"

    def webhook(self, webhook_id: str) -> "WebhookKeys":
        return WebhookKeys(self, webhook_id)

    def idempotency(self, scope: str, key: str) -> str:
        return f"{self.prefix}:idem:{scope}:{key}"

    def draft(self, draft_id: str) -> str:
        """Messages that become the history of a session which is not made yet."""
        return f"{self.prefix}:draft:{draft_id}"

    @property
    def kill_timer(self) -> str:
        """Member of the shard's timers: this workspace was killed, cancel its turns."""
        return f"kill {self.id}/ -"

    def session(self, sid: str) -> "SessionKeys":
        return SessionKeys(self, sid)


class WebhookKeys:
    """Keys of one endpoint of a workspace that is told of events."""

    def __init__(self, workspace: WorkspaceKeys, webhook_id: str) -> None:
        self.workspace = workspace
        self.id = webhook_id
        self.ref = f"{workspace.id}/{webhook_id}"
        self.hash = f"{workspace.prefix}:webhook:{webhook_id}"
        """Who delivers to it now, and how it has answered."""
        self.due = f"{self.hash}:due"
        self.messages = f"{self.hash}:messages"
        self.dead = f"{self.hash}:dead"
        self.attempts = f"{self.hash}:attempts"


class SessionKeys:
    """Keys of one session. The channel of its events has the same name as the stream.

    The id of a session below another one begins with its root's, so that whoever knows a session
    knows the keys of its tree.
    """

    kind = "session"
    counter = "event_seq"

    def __init__(self, workspace: WorkspaceKeys, sid: str) -> None:
        self.workspace = workspace
        self.id = sid
        self.ref = f"{workspace.id}/{sid}"
        self.hash = f"{workspace.prefix}:s:{sid}"
        self.text = f"{self.hash}:text"
        self.inbox = f"{self.hash}:inbox"
        self.messages = f"{self.hash}:messages"
        self.events = f"{self.hash}:events"
        self.effects = f"{self.hash}:effects"
        self.allowances = f"{self.hash}:allowances"
        """Of a root session: what people allowed in its tree, and in single sessions of it."""
        self.approvals = f"{self.hash}:approvals"
        """Ids of the session's open questions."""
        self.joins = f"{self.hash}:joins"
        """What its turn waits for: children by their places, and how they ended."""
        self.account = workspace.account(f"s:{sid}")
        self.root = root_of(sid)
        self.tree = f"{workspace.prefix}:s:{self.root}"
        """The root's hash, which counts for the whole tree."""
        self.tree_log = f"{self.tree}:tree"
        self.live = f"{self.tree}:live"
        """Ids of the sessions below the root that have not ended."""
        self.members = f"{self.tree}:members"
        """Ids of all sessions below the root, by the time they were made."""
        self.tree_blocked = workspace.shard.blocked_tree(f"{workspace.id}/{self.root}")

    @property
    def stateful(self) -> tuple[str, ...]:
        """The first thirteen KEYS of every script that changes the session's state."""
        ws = self.workspace
        return (
            *self.counted,
            *(ws.sessions_in_state(state) for state in STATES),
            self.live,
            self.tree_blocked,
        )

    @property
    def counted(self) -> tuple[str, ...]:
        """The first six KEYS of every script that counts but leaves the state alone."""
        return (*self.logged, self.workspace.shard.stats, self.workspace.stats)

    @property
    def logged(self) -> tuple[str, str, str, str]:
        """The first four KEYS of every script that writes events."""
        return (self.hash, self.events, self.tree, self.tree_log)

    def timer(self, kind: str, target: str) -> str:
        """Member of the shard's timers: what is due, for whom."""
        return f"{kind} {self.ref} {target}"


class TreeKeys:
    """The log of all sessions below a root, without streamed text; its channel has its name."""

    kind = "session"
    counter = "tree_seq"

    def __init__(self, session: SessionKeys) -> None:
        self.hash = session.tree
        self.events = session.tree_log
