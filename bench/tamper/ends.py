"""Changes of seals, counters and heads, cut tails, forged trimmings, and keys of somebody else."""

import random
from collections.abc import Sequence

import msgspec

from bench.tamper.entries import Expected, Tamper
from bench.tamper.place import State
from bursar.audit.chain import genesis, join_marks, link, mark
from bursar.audit.seals import Seal, sign
from bursar.signing import SigningKey

__all__ = ["ENDS", "WITH_HEAD"]

_BODY = b"d"


def _seal(rng: random.Random, state: State) -> int:
    return rng.randrange(len(state.seals))


def _batch(state: State, at: int) -> Expected:
    """Which entry may be named when a seal is wrong: the first of its entries, or its place."""
    seal = state.seal(at)
    begins = state.counters["trimmed_seq"]
    return (begins if seal.to_seq == begins else seal.from_seq), seal.to_seq


def _put(state: State, at: int, seal: Seal) -> None:
    seq, part, _ = state.seals[at]
    state.seals[at] = (seq, part, {_BODY: msgspec.json.encode(seal)})


def change_a_seal(rng: random.Random, state: State) -> Expected:
    at = _seal(rng, state)
    expected, seal = _batch(state, at), state.seal(at)
    name = rng.choice(seal.__struct_fields__)
    value = getattr(seal, name)
    if isinstance(value, int):
        changed: str | int = value + rng.choice((-1, 1, 7))
    else:
        spot = rng.randrange(len(value))
        new = rng.choice([char for char in "0123456789abcdef" if char != value[spot]])
        changed = value[:spot] + new + value[spot + 1 :]
    _put(state, at, msgspec.structs.replace(seal, **{name: changed}))
    return min(expected[0], state.counters["trimmed_seq"] or expected[0]), expected[1]


def flip_a_byte_of_a_seal(rng: random.Random, state: State) -> Expected:
    at = _seal(rng, state)
    expected = _batch(state, at)
    seq, part, fields = state.seals[at]
    body = bytearray(fields[_BODY])
    body[rng.randrange(len(body))] ^= rng.randrange(1, 256)
    state.seals[at] = (seq, part, {_BODY: bytes(body)})
    return expected


def drop_a_seal(rng: random.Random, state: State) -> Expected:
    at = _seal(rng, state)
    expected = _batch(state, at)
    del state.seals[at]
    return expected


def drop_all_seals(rng: random.Random, state: State) -> Expected:
    del rng
    expected = _batch(state, 0)
    state.seals.clear()
    return expected


def swap_seals(rng: random.Random, state: State) -> Expected:
    one, other = sorted(rng.sample(range(len(state.seals)), 2))
    expected = _batch(state, one)
    first, second = state.seal(one), state.seal(other)
    _put(state, one, second)
    _put(state, other, first)
    return expected


def repeat_a_seal(rng: random.Random, state: State) -> Expected:
    at = _seal(rng, state)
    seq, _, fields = state.seals[at]
    state.seals.insert(at + 1, (seq, 1, dict(fields)))
    return _batch(state, at)[0], seq + 1


def _forge(state: State, first: int, key: SigningKey, claimed: str) -> None:
    """Seal everything anew from one seal on, with a key that is none of ours."""
    bodies = {seq: fields[_BODY] for seq, _, fields in state.entries}
    head = bytes.fromhex(state.seal(first).previous)
    for at in range(first, len(state.seals)):
        seal, previous = state.seal(at), head
        numbers = range(seal.from_seq, seal.to_seq + 1)
        for seq in numbers:
            head = link(head, seq, bodies[seq])
        forged = sign(
            key,
            workspace=seal.workspace,
            from_seq=seal.from_seq,
            to_seq=seal.to_seq,
            previous=previous,
            head=head,
            marks=join_marks(mark(seq, bodies[seq]) for seq in numbers),
            at_ms=seal.at_ms,
        )
        _put(state, at, msgspec.structs.replace(forged, kid=claimed))
        state.published = state.seals[at][2][_BODY]


def _edit(rng: random.Random, state: State) -> int:
    """Change an entry under a seal that is not the one with which the log begins."""
    begins = state.counters["trimmed_seq"]
    at = rng.choice([at for at in range(len(state.seals)) if state.seal(at).to_seq != begins])
    seal = state.seal(at)
    seq = rng.randint(seal.from_seq, seal.to_seq)
    place = seq - begins - 1
    number, part, fields = state.entries[place]
    said = msgspec.json.decode(fields[_BODY])
    said["actor"] = "key:forged"
    state.entries[place] = (number, part, {_BODY: msgspec.json.encode(said)})
    return at


def seal_with_a_foreign_key(rng: random.Random, state: State) -> Expected:
    at = _edit(rng, state)
    expected, key = _batch(state, at), SigningKey.generate()
    _forge(state, at, key, key.kid)
    return expected


def seal_in_our_name(rng: random.Random, state: State) -> Expected:
    at = _edit(rng, state)
    expected = _batch(state, at)
    _forge(state, at, SigningKey.generate(), state.seal(at).kid)
    return expected


def seal_with_a_key_in_our_place(rng: random.Random, state: State) -> Expected:
    """Also the public key is exchanged, under our key's id."""
    at = _edit(rng, state)
    expected, key, kid = _batch(state, at), SigningKey.generate(), state.seal(at).kid
    _forge(state, at, key, kid)
    _exchange(state, kid, key, kid)
    return min(expected[0], state.entries[0][0] - 1), expected[1]


def seal_with_a_smuggled_key(rng: random.Random, state: State) -> Expected:
    """A key was added to the installation's: only a head from before can tell."""
    at, key = _edit(rng, state), SigningKey.generate()
    kid = state.seal(at).kid
    _forge(state, at, key, key.kid)
    _exchange(state, kid, key, key.kid)
    return 0, state.counters["sealed_seq"]


def _exchange(state: State, kid: str, key: SigningKey, claimed: str) -> None:
    stored = msgspec.json.decode(state.keys[kid.encode()])
    state.keys[claimed.encode()] = msgspec.json.encode({**stored, "public": key.public})


def _cut(state: State, keep: int, *, seals: bool) -> Expected:
    """Leave ``keep`` entries, and the counter as if there had never been more."""
    seq = state.entries[keep - 1][0] if keep else state.counters["trimmed_seq"]
    del state.entries[keep:]
    state.counters["audit_seq"] = seq
    if seals:
        state.seals = [row for row in state.seals if row[0] <= seq]
        state.counters["sealed_seq"] = state.counters["published_seq"] = state.seals[-1][0]
    return seq + 1, seq + 1


def cut_the_tail(rng: random.Random, state: State) -> Expected:
    """So far that sealed entries go, too: of the others only the counter knows."""
    expected = _cut(state, rng.randrange(state.sealed()), seals=False)
    if rng.random() < 0.5:
        state.counters["audit_seq"] = state.counters["sealed_seq"]
    return expected


def _boundaries(state: State) -> Sequence[int]:
    """How many entries there are up to each seal but the last two."""
    begins = state.counters["trimmed_seq"]
    return [seq - begins for seq, _, _ in state.seals[:-2] if seq >= begins]


def cut_the_tail_with_seals(rng: random.Random, state: State) -> Expected:
    """Everything in the log's own slot fits; the published head does not."""
    return _cut(state, rng.choice(_boundaries(state)), seals=True)


def roll_back(rng: random.Random, state: State) -> Expected:
    """Also the published head: only one from before can tell."""
    _cut(state, rng.choice(_boundaries(state)), seals=True)
    state.published = state.seals[-1][2][_BODY]
    return state.counters["audit_seq"] + 1, state.counters["audit_seq"] + 1


def forget_the_past(rng: random.Random, state: State) -> Expected:
    """As if it had been trimmed, which no entry says."""
    at = rng.randrange(1, len(state.seals))
    seq, begins = state.seals[at][0], state.counters["trimmed_seq"]
    state.entries = [row for row in state.entries if row[0] > seq]
    del state.seals[:at]
    if rng.random() < 0.3:
        return begins, begins + 1
    state.counters["trimmed_seq"] = seq
    return seq, seq + 1


def trim_on_paper(rng: random.Random, state: State) -> Expected:
    """The counter says that it was trimmed; nothing else does."""
    begins = state.counters["trimmed_seq"]
    state.counters["trimmed_seq"] = rng.choice([row[0] for row in state.seals[1:]])
    return begins, state.counters["trimmed_seq"] + 1


def count_more(rng: random.Random, state: State) -> Expected:
    seq = state.counters["audit_seq"]
    state.counters["audit_seq"] += rng.randrange(1, 50)
    return seq + 1, seq + 1


def count_fewer(rng: random.Random, state: State) -> Expected:
    state.counters["audit_seq"] -= rng.randrange(1, 50)
    seq = state.counters["audit_seq"]
    return seq + 1, seq + 1


def count_other_seals(rng: random.Random, state: State) -> Expected:
    sealed = state.counters["sealed_seq"]
    state.counters["sealed_seq"] += rng.choice((-20, -1, 1, 20))
    return min(sealed, state.counters["sealed_seq"]) + 1, sealed + 1


def change_the_head(rng: random.Random, state: State) -> Expected:
    published = bytearray(state.published or b"")
    published[rng.randrange(len(published))] ^= rng.randrange(1, 256)
    state.published = bytes(published)
    return 0, state.counters["sealed_seq"] + 1


def drop_the_head(rng: random.Random, state: State) -> Expected:
    del rng
    state.published = None
    return 0, state.counters["sealed_seq"]


def publish_an_old_head(rng: random.Random, state: State) -> Expected:
    at = rng.randrange(len(state.seals) - 1)
    state.published = state.seals[at][2][_BODY]
    return state.seals[at][0] + 1, state.seals[at][0] + 1


def start_over(rng: random.Random, state: State) -> Expected:
    """A short log of another workspace's shape, in good order but for the signatures."""
    key, head = SigningKey.generate(), genesis(state.log.workspace)
    bodies = [
        msgspec.json.encode({"actor": "system", "action": "session.create", "seq": seq})
        for seq in range(1, rng.randrange(5, 30))
    ]
    for seq, body in enumerate(bodies, 1):
        head = link(head, seq, body)
    last = len(bodies)
    seal = sign(
        key, workspace=state.log.workspace, from_seq=1, to_seq=last,
        previous=genesis(state.log.workspace), head=head,
        marks=join_marks(mark(seq, body) for seq, body in enumerate(bodies, 1)), at_ms=1,
    )  # fmt: skip
    state.entries = [(seq, 0, {_BODY: body}) for seq, body in enumerate(bodies, 1)]
    state.seals = [(last, 0, {_BODY: msgspec.json.encode(seal)})]
    state.counters.update(audit_seq=last, sealed_seq=last, published_seq=last, trimmed_seq=0)
    state.published = msgspec.json.encode(seal)
    return 1, last


ENDS: tuple[Tamper, ...] = (
    change_a_seal, flip_a_byte_of_a_seal, drop_a_seal, drop_all_seals, swap_seals, repeat_a_seal,
    seal_with_a_foreign_key, seal_in_our_name, seal_with_a_key_in_our_place, cut_the_tail,
    cut_the_tail_with_seals, forget_the_past, trim_on_paper, count_more, count_fewer,
    count_other_seals, change_the_head, drop_the_head, publish_an_old_head, start_over,
)  # fmt: skip
WITH_HEAD: tuple[Tamper, ...] = (roll_back, seal_with_a_smuggled_key)
"""Consistent in themselves: found by who kept a head."""
