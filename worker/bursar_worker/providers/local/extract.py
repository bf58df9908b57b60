"""Finding the sentences of a text that say most of it.

Each sentence is scored by the words it holds: by how often they stand in its file, how few other
files have them (tf-idf), whether they stand in a heading above, and whether the reader asked for
them. No model, no randomness; ties go to what stands first.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

__all__ = ["Document", "Sentence", "best_sentences", "key_terms", "words"]

_WORD = re.compile(r"[^\W\d_][\w'-]{2,}")
_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+")
_HEADING = re.compile(r"\s{0,3}#{1,6}\s+(\S.*)")
_MARKUP = re.compile(r"^\s*(?:[>*+-]\s+|\d+[.)]\s+)+")
_STOP_WORDS = """
    about above after again all also and any are because been before being below between both but
    can could did does doing down during each few for from further had has have having here how
    into its itself just more most not now off once only other our out over own same should some
    such than that the their them then there these they this those through too under until upon
    very was were what when where which while who whom why will with would you your
"""
_STOP = frozenset(_STOP_WORDS.split())
_MIN_WORDS, _MAX_WORDS = 5, 60
_ASKED_WEIGHT, _HEADING_WEIGHT = 6.0, 1.5


@dataclass(frozen=True, slots=True)
class Sentence:
    """``number`` is its place among the sentences of its file."""

    path: str
    line: int
    number: int
    text: str
    score: float = 0.0


class Document:
    """A file's sentences, each with the words of the heading above it, and all its words."""

    def __init__(self, path: str, lines: Iterable[tuple[int, str]]) -> None:
        self.path = path
        self.title = ""
        self.sentences: list[tuple[Sentence, frozenset[str]]] = []
        self.terms: Counter[str] = Counter()
        numbered = list(lines)
        self.line_count = len(numbered)
        self._read(numbered)

    def _read(self, lines: Sequence[tuple[int, str]]) -> None:
        heading: frozenset[str] = frozenset()
        paragraph: list[tuple[int, str]] = []
        in_code = False
        for number, line in [*lines, (0, "")]:
            fence = line.lstrip().startswith(("```", "~~~"))
            found = None if in_code else _HEADING.match(line)
            if fence or found or not line.strip() or in_code:
                self._add(paragraph, heading)
                paragraph = []
            elif _MARKUP.match(line):
                self._add(paragraph, heading)
                paragraph = [(number, line)]
            else:
                paragraph.append((number, line))
            if fence:
                in_code = not in_code
            if found:
                self.title = self.title or found[1].strip("# ")
                heading = frozenset(words(found[1]))
                self.terms.update(heading)

    def _add(self, paragraph: Sequence[tuple[int, str]], heading: frozenset[str]) -> None:
        """Cut a paragraph into sentences; each belongs to the line that it begins on."""
        text = ""
        starts: list[tuple[int, int]] = []
        for number, line in paragraph:
            starts.append((len(text), number))
            text += _MARKUP.sub("", line).strip() + " "
        begin = 0
        for end in [*(match.end() for match in _END.finditer(text)), len(text)]:
            sentence = " ".join(text[begin:end].split())
            found = words(sentence)
            self.terms.update(found)
            if _MIN_WORDS <= len(sentence.split()) <= _MAX_WORDS and found:
                first = next(number for offset, number in reversed(starts) if offset <= begin)
                number = len(self.sentences)
                self.sentences.append((Sentence(self.path, first, number, sentence), heading))
            begin = end


def words(text: str) -> list[str]:
    return [w for w in (match.lower() for match in _WORD.findall(text)) if w not in _STOP]


def best_sentences(
    documents: Sequence[Document], asked: Iterable[str], per_document: int
) -> list[Sentence]:
    """Return up to ``per_document`` sentences of each, best first within a document."""
    rarity = _rarity(documents)
    wanted = frozenset(asked)
    best: list[Sentence] = []
    for document in documents:
        scored = [
            _scored(sentence, heading, document, rarity, wanted)
            for sentence, heading in document.sentences
        ]
        scored.sort(key=lambda sentence: (-sentence.score, sentence.number))
        best.extend(_distinct(scored, per_document))
    return best


def key_terms(documents: Sequence[Document], count: int) -> list[str]:
    """Return the words that stand out, most telling first."""
    rarity = _rarity(documents)
    total: Counter[str] = Counter()
    for document in documents:
        total.update(document.terms)
    weight = {word: (1 + math.log(n)) * rarity[word] for word, n in total.items() if n > 1}
    return sorted(weight, key=lambda word: (-weight[word], word))[:count]


def _rarity(documents: Sequence[Document]) -> dict[str, float]:
    seen: Counter[str] = Counter()
    for document in documents:
        seen.update(document.terms.keys())
    return {word: 1 + math.log((1 + len(documents)) / (1 + n)) for word, n in seen.items()}


def _scored(
    sentence: Sentence,
    heading: frozenset[str],
    document: Document,
    rarity: dict[str, float],
    wanted: frozenset[str],
) -> Sentence:
    found = words(sentence.text)
    score = 0.0
    for word in set(found):
        weight = (1 + math.log(document.terms[word])) * rarity[word]
        weight *= _HEADING_WEIGHT if word in heading else 1.0
        weight *= _ASKED_WEIGHT if word in wanted else 1.0
        score += weight
    # Long sentences hold more words; the root keeps them from winning by length alone.
    return replace(sentence, score=score / math.sqrt(len(found)))


def _distinct(scored: Sequence[Sentence], count: int) -> list[Sentence]:
    """Take the best, without those that say the same again."""
    taken: list[tuple[Sentence, set[str]]] = []
    for sentence in scored:
        found = set(words(sentence.text))
        if all(len(found & other) <= 0.7 * len(found) for _, other in taken):
            taken.append((sentence, found))
        if len(taken) == count:
            break
    return [sentence for sentence, _ in taken]
