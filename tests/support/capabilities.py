"""Keys and tokens for tests that need no server: those of the benchmark that forges them."""

from bench.gate.ring import ISSUER, NOW_MS, NOW_S, Ring, claims, public_of

__all__ = ["ISSUER", "NOW_MS", "NOW_S", "Ring", "claims", "public_of"]
