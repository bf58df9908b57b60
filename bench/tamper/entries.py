"""Changes of entries: what they say, how many there are, and in which order."""

import random
from collections.abc import Callable

import msgspec

from bench.tamper.place import State

__all__ = ["ENTRIES", "Expected", "Tamper"]

Expected = tuple[int, int]
"""The first and the last number that may be named as the first wrong one."""
Tamper = Callable[[random.Random, State], Expected]

_BODY = b"d"


def _one(rng: random.Random, state: State) -> int:
    """The place of a sealed entry."""
    return rng.randrange(state.sealed())


def _set(state: State, at: int, body: bytes) -> Expected:
    seq, part, fields = state.entries[at]
    state.entries[at] = (seq, part, {**fields, _BODY: body})
    return seq, seq


def flip_a_byte(rng: random.Random, state: State) -> Expected:
    at = _one(rng, state)
    body = bytearray(state.entries[at][2][_BODY])
    body[rng.randrange(len(body))] ^= rng.randrange(1, 256)
    return _set(state, at, bytes(body))


def say_something_else(rng: random.Random, state: State) -> Expected:
    at = _one(rng, state)
    said = msgspec.json.decode(state.entries[at][2][_BODY])
    name = rng.choice(sorted(said.keys() - {"seq"}))
    value = said[name]
    if isinstance(value, int):
        said[name] = value + rng.choice((-1, 1))
    elif isinstance(value, str):
        said[name] = f"{value}."
    else:
        said[name] = {**value, "more": 1}
    return _set(state, at, msgspec.json.encode(said))


def say_who_else(rng: random.Random, state: State) -> Expected:
    at = _one(rng, state)
    said = msgspec.json.decode(state.entries[at][2][_BODY])
    said["actor"] = f"key:{rng.randrange(10**6)}"
    return _set(state, at, msgspec.json.encode(said))


def say_another_number(rng: random.Random, state: State) -> Expected:
    at = _one(rng, state)
    said = msgspec.json.decode(state.entries[at][2][_BODY])
    said["seq"] += rng.choice((-1, 1, 100))
    return _set(state, at, msgspec.json.encode(said))


def write_it_otherwise(rng: random.Random, state: State) -> Expected:
    """The same content in other bytes."""
    at = _one(rng, state)
    body = state.entries[at][2][_BODY]
    said = msgspec.json.decode(body)
    shuffled = list(said.items())
    rng.shuffle(shuffled)
    other = rng.choice(
        (body.replace(b",", b", ", 1), body + b" ", msgspec.json.encode(dict(shuffled)) + b" ")
    )
    return _set(state, at, other)


def empty_it(rng: random.Random, state: State) -> Expected:
    return _set(state, _one(rng, state), rng.choice((b"", b"{}", b"null", b"\xff\x00")))


def add_a_field(rng: random.Random, state: State) -> Expected:
    at = _one(rng, state)
    state.entries[at][2][b"e"] = b"more"
    return state.entries[at][0], state.entries[at][0]


def drop_one(rng: random.Random, state: State) -> Expected:
    seq = state.entries.pop(_one(rng, state))[0]
    return seq, seq


def drop_some(rng: random.Random, state: State) -> Expected:
    first = _one(rng, state)
    last = min(state.sealed(), first + rng.randrange(2, 30))
    seq = state.entries[first][0]
    del state.entries[first:last]
    return seq, seq


def drop_and_count_anew(rng: random.Random, state: State) -> Expected:
    """Without a gap: all that follow are moved up, and say so."""
    at = _one(rng, state)
    seq = state.entries.pop(at)[0]
    _count_from(state, at)
    return seq, seq


def swap_two(rng: random.Random, state: State) -> Expected:
    one, other = sorted(rng.sample(range(state.sealed()), 2))
    return _swap(state, one, other, rng)


def swap_neighbours(rng: random.Random, state: State) -> Expected:
    at = rng.randrange(state.sealed() - 1)
    return _swap(state, at, at + 1, rng)


def _swap(state: State, one: int, other: int, rng: random.Random) -> Expected:
    bodies = [state.entries[at][2][_BODY] for at in (one, other)]
    numbers = [state.entries[at][0] for at in (one, other)]
    honest = rng.random() < 0.5
    for at, seq, body in zip((one, other), numbers, reversed(bodies), strict=True):
        said = msgspec.json.decode(body)
        said["seq"] = seq
        _set(state, at, body if honest else msgspec.json.encode(said))
    return numbers[0], numbers[0]


def insert_between(rng: random.Random, state: State) -> Expected:
    at = _one(rng, state)
    seq, _, fields = state.entries[at]
    state.entries.insert(at + 1, (seq, rng.randrange(1, 9), dict(fields)))
    return seq, seq


def insert_and_count_anew(rng: random.Random, state: State) -> Expected:
    at = _one(rng, state)
    seq, part, fields = state.entries[at]
    said = msgspec.json.decode(fields[_BODY])
    said["actor"] = "key:forged"
    state.entries.insert(at, (seq, part, {_BODY: msgspec.json.encode(said)}))
    _count_from(state, at)
    return seq, seq


def _count_from(state: State, at: int) -> None:
    seq = state.entries[at - 1][0] if at else state.entries[0][0] - 1
    if not at:
        seq = state.counters["trimmed_seq"]
    for place in range(at, len(state.entries)):
        seq += 1
        said = msgspec.json.decode(state.entries[place][2][_BODY])
        said["seq"] = seq
        state.entries[place] = (seq, 0, {_BODY: msgspec.json.encode(said)})
    state.counters["audit_seq"] = seq


def append_uncounted(rng: random.Random, state: State) -> Expected:
    seq = state.entries[-1][0]
    for number in range(rng.randrange(1, 4)):
        said = msgspec.json.decode(state.entries[-1][2][_BODY])
        said["seq"] = seq + number + 1
        state.entries.append((seq + number + 1, 0, {_BODY: msgspec.json.encode(said)}))
    return seq + 1, seq + 1


def drop_all(rng: random.Random, state: State) -> Expected:
    del rng
    seq = state.entries[0][0]
    state.entries.clear()
    return seq, seq


ENTRIES: tuple[Tamper, ...] = (
    flip_a_byte, say_something_else, say_who_else, say_another_number, write_it_otherwise,
    empty_it, add_a_field, drop_one, drop_some, drop_and_count_anew, swap_two, swap_neighbours,
    insert_between, insert_and_count_anew, append_uncounted, drop_all,
)  # fmt: skip
