"""The agents above a sub-agent, whose rules bind it as well as its own.

A sub-agent's record says who is above it and by which code's policies, as they were when it was
spawned. What the workspace stores for those agents is taken as it is now.
"""

from collections.abc import Mapping, Sequence

import msgspec

from bursar.gate.policies import Layered, layers_from
from bursar.gate.policy import Policy

__all__ = ["ChainLink", "decode_chain", "encode_chain", "under"]


class ChainLink(msgspec.Struct, frozen=True):
    """One agent above, with the policy of its code."""

    agent: str
    policy: dict[str, list[str]]


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(tuple[ChainLink, ...])


def encode_chain(links: Sequence[ChainLink]) -> str:
    return _encoder.encode(links).decode()


def decode_chain(text: str) -> tuple[ChainLink, ...]:
    """Read what `encode_chain` wrote; nothing stands for no agents."""
    return _decoder.decode(text) if text else ()


def under(rules: Layered, links: Sequence[ChainLink], stored: Mapping[bytes, bytes]) -> Layered:
    """Return the rules of a sub-agent: its own, and nothing that those above would not allow."""
    above = (layers_from(stored, link.agent, Policy.from_dict(link.policy)) for link in links)
    return Layered(rules.layers, tuple(above)) if links else rules
