"""Arguments that are not those that were approved, however much they look like them.

A mutant is another call if its canonical form is another one. Some are the same call in another
spelling; those have to count as the same, or an approval would be void for nothing.
"""

import json
import random
import unicodedata
from collections.abc import Callable
from typing import Any

__all__ = ["MUTATORS", "SPELLINGS", "arguments"]

Arguments = dict[str, Any]
Mutator = Callable[[Arguments, random.Random], Arguments]
Spelling = Callable[[Arguments, random.Random], str]

_WORDS = (
    "report",
    "caf\u00e9",
    "\u212bngstr\u00f6m",
    "a\u0300",
    "na\u00efve",
    "x",
    "rm -rf",
    "\u5c02\u9580",
    "",
)


def arguments(chance: random.Random) -> Arguments:
    """Of some call: text, numbers and what lies deeper."""
    return {
        "to": chance.choice(_WORDS) + str(chance.randrange(100)),
        "text": " ".join(chance.choice(_WORDS) for _ in range(3)) + " caf\u00e9",
        "count": 1,
        "ratio": chance.choice((0.5, 1.25, -2.75)),
        "force": True,
        "tags": [chance.choice(_WORDS), "b", {"deep": [1, "1", None]}],
        "more": {"b": 1, "a": {"c": False}},
    }


def _with(name: str, change: Callable[[Any], Any]) -> Mutator:
    def mutate(given: Arguments, _: random.Random) -> Arguments:
        return given | {name: change(given[name])}

    return mutate


def _in_text(change: Callable[[str, random.Random], str]) -> Mutator:
    def mutate(given: Arguments, chance: random.Random) -> Arguments:
        return given | {"text": change(given["text"], chance)}

    return mutate


def _insert(extra: str) -> Mutator:
    def insert(text: str, chance: random.Random) -> str:
        at = chance.randrange(len(text) + 1)
        return text[:at] + extra + text[at:]

    return _in_text(insert)


def _without(given: Arguments, chance: random.Random) -> Arguments:
    gone = chance.choice(sorted(given))
    return {name: value for name, value in given.items() if name != gone}


def _extra(given: Arguments, chance: random.Random) -> Arguments:
    return given | {f"extra{chance.randrange(10)}": chance.choice((None, "", 0, [], {}))}


def _renamed(given: Arguments, chance: random.Random) -> Arguments:
    name = chance.choice(sorted(given))
    other = chance.choice((name.upper(), f"{name} ", f" {name}", f"{name}\u200b", f"{name}\x00"))
    return {other if key == name else key: value for key, value in given.items()}


def _order_in_a_list(given: Arguments, _: random.Random) -> Arguments:
    return given | {"tags": list(reversed(given["tags"]))}


def _deep(given: Arguments, chance: random.Random) -> Arguments:
    deep = chance.choice(
        ([1, 1, None], [True, "1", None], ["1", 1, None], [1, "1", False], [[1, "1", None]])
    )
    return given | {"tags": [*given["tags"][:-1], {"deep": deep}]}


MUTATORS: dict[str, Mutator] = {
    "true for 1": _with("count", lambda _: True),
    "'1' for 1": _with("count", lambda _: "1"),
    "2 for 1": _with("count", lambda value: value + 1),
    "-1 for 1": _with("count", lambda value: -value),
    "1 + ε for 1": _with("count", lambda _: 1.0000000000000002),
    "null for 1": _with("count", lambda _: None),
    "[1] for 1": _with("count", lambda _: [1]),
    "1 for true": _with("force", lambda _: 1),
    "'true' for true": _with("force", lambda _: "true"),
    "false for true": _with("force", lambda _: False),
    "next float": _with("ratio", lambda value: value * (1 + 2**-52)),
    "float as text": _with("ratio", str),
    "NFD": _in_text(lambda text, _: unicodedata.normalize("NFD", text)),
    "NFKC and more": _in_text(lambda text, _: unicodedata.normalize("NFKC", text) + "\ufe0f"),
    "homoglyph": _in_text(lambda text, _: text.replace("c", "\u0441")),
    "upper case": _in_text(lambda text, _: text.upper()),
    "blank behind": _in_text(lambda text, _: f"{text} "),
    "no-break blank": _in_text(lambda text, _: text.replace(" ", "\u00a0")),
    "zero width": _insert("\u200b"),
    "bidi": _insert("\u202e"),
    "NUL": _insert("\x00"),
    "a command behind": _insert("; rm -rf /"),
    "field left out": _without,
    "further field": _extra,
    "field renamed": _renamed,
    "list turned round": _order_in_a_list,
    "changed deep inside": _deep,
}
"""By name; the result is another call, unless its canonical form says otherwise."""


def _shuffled(value: Any, chance: random.Random) -> Any:
    if isinstance(value, dict):
        names = list(value)
        chance.shuffle(names)
        return {name: _shuffled(value[name], chance) for name in names}
    return [_shuffled(each, chance) for each in value] if isinstance(value, list) else value


SPELLINGS: dict[str, Spelling] = {
    "keys in another order": lambda given, chance: json.dumps(_shuffled(given, chance)),
    "blanks between": lambda given, _: json.dumps(given, indent=3),
    "characters as codes": lambda given, _: json.dumps(given, ensure_ascii=True),
    "characters as they are": lambda given, _: json.dumps(given, ensure_ascii=False),
    "1.0 for 1": lambda given, _: json.dumps(given | {"count": 1.0}),
    "1e0 for 1": lambda given, _: json.dumps(given).replace('"count": 1,', '"count": 1e0,'),
}
"""The same call in other words."""
