"""Hostile paths by the hundred thousand, and hostile arguments around them."""

import random
import unicodedata
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from bench.boundary.world import DEPTH, World

__all__ = ["arguments_with", "hostile_path", "path_that_leads_out"]

_LEAVES = ("canary", "leaf", "not_there_yet", "new/er/file", "linked", "")
_LINKS = ("out", "out_relative", "canary_link", "new_link", "loop", "pipe", "hard")
_NAMED = ("path", "file", "outputDir", "source", "file_name", "paths", "folder", "cwd")
_OTHER = ("value", "options", "items", "x", "input", "argument")


def hostile_path(rng: random.Random, world: World) -> str:
    """Return a path that may lead out, may be no path, or is odd and all right."""
    path = rng.choice(_KINDS)(rng, world)
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        path = rng.choice(_TWISTS)(rng, path)
    return path


def path_that_leads_out(rng: random.Random, world: World) -> str:
    """Return a path that leads out however it is read."""
    return rng.choice((_dots, _absolute, _twin, _link))(rng, world)


def arguments_with(rng: random.Random, path: str) -> dict[str, Any]:
    """Put a path somewhere into the arguments of a call, under a key that calls it a path."""
    value: Any = path
    for _ in range(rng.randrange(4)):
        kind = rng.randrange(3)
        if kind == 0:
            value = [rng.choice(("a", 1, None, "b/c")), value]
        elif kind == 1:
            value = {rng.choice(_NAMED): value, "n": rng.random()}
        else:
            value = {rng.choice(_OTHER): value}
    return {rng.choice(_OTHER): "nothing", rng.choice(_NAMED): value}


def _deep(rng: random.Random) -> str:
    depth = rng.randrange(DEPTH + 1)
    return "".join(f"d{number}/" for number in range(depth))


def _dots(rng: random.Random, world: World) -> str:
    prefix = rng.choice(("", "missing/", "canary/", _deep(rng), "flip/", "./"))
    up = "../" * (prefix.count("/") - prefix.count("./") + rng.randrange(1, 4))
    return f"{prefix}{up}{world.outside.name}/{rng.choice(_LEAVES)}"


def _absolute(rng: random.Random, world: World) -> str:
    return f"{world.outside}/{_deep(rng)}{rng.choice(_LEAVES)}"


def _twin(rng: random.Random, world: World) -> str:
    return f"{world.root}{rng.choice(('-evil', '-evil/', '/../ws-evil/'))}/{rng.choice(_LEAVES)}"


def _link(rng: random.Random, _: World) -> str:
    return f"{_deep(rng)}{rng.choice(('out', 'out_relative'))}/{_deep(rng)}{rng.choice(_LEAVES)}"


def _leaf(rng: random.Random, _: World) -> str:
    return f"{_deep(rng)}{rng.choice(_LINKS)}{rng.choice(('', '', '/', '/.', '/x'))}"


def _within(rng: random.Random, world: World) -> str:
    return f"{rng.choice(('', './', f'{world.root}/'))}{_deep(rng)}{rng.choice(_LEAVES)}"


def _odd(rng: random.Random, _: World) -> str:
    return rng.choice(
        ("...", "a..b", "..a/..", "~/x", "~root/.ssh", "con:stream", "-rf", "\\..\\..\\x", "", " ")
    ) + rng.choice(("", "/canary", "/../canary"))


def _long(rng: random.Random, _: World) -> str:
    return rng.choice(("x" * rng.randrange(200, 300), "y/" * rng.randrange(50, 600), "é" * 130))


def _system(rng: random.Random, world: World) -> str:
    inner = f"{world.outside}/canary"
    return rng.choice(
        (f"/proc/self/root{inner}", f"/proc/self/cwd{inner}", "/dev/stdin", "/dev/fd/0", "/")
    )


_KINDS: tuple[Callable[[random.Random, World], str], ...] = (
    *(_dots, _absolute, _twin, _link, _leaf, _within, _odd, _long, _system, _link, _leaf),
)


def _uri(rng: random.Random, path: str) -> str:
    scheme = rng.choice(
        ("file:", "FILE:", "file://", "file://localhost", "file://evil", "file:///")
    )
    return scheme + quote(path, safe=rng.choice(("/", "", "/.")), errors="replace")


def _cut_in(rng: random.Random, path: str) -> str:
    place = rng.randrange(len(path) + 1)
    char = rng.choice(
        ("\x00", "\n", "\r", "\u202e", "\ud800", "/", "//", "/./", "/../", "%2e", "\\")
    )
    return path[:place] + char + path[place:]


def _case(rng: random.Random, path: str) -> str:
    return rng.choice((str.upper, str.swapcase, str.title))(path)


def _form(rng: random.Random, path: str) -> str:
    return unicodedata.normalize(rng.choice(("NFD", "NFKD", "NFKC")), path.replace("a", "ä", 1))


def _encoded(rng: random.Random, path: str) -> str:
    dots = rng.choice(("%2e%2e", "..%2f", "%252e%252e", "\uff0e\uff0e", "..;", ".. ", "..\u200b"))
    return path.replace("..", dots)


def _slashes(rng: random.Random, path: str) -> str:
    return path.replace("/", rng.choice(("//", "/./", "\\", "\u2215", "///")))


_TWISTS: tuple[Callable[[random.Random, str], str], ...] = (
    _uri, _cut_in, _case, _form, _encoded, _slashes,
)  # fmt: skip
