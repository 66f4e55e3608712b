"""A byte-pair encoder small enough to train on the spot.

Text is cut into words (a run of letters, digits or signs with the space before it); merges never cross a
word, so training works on distinct words weighted by how often they occur and touches, per merge, only the
words that hold the merged pair. Ties go to the smaller pair: same text, same vocabulary, on every machine.

Sennrich, Haddow, Birch, "Neural Machine Translation of Rare Words with Subword Units", 2016,
https://arxiv.org/abs/1508.07909.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

Pair = tuple[int, int]
_WORD = re.compile(r" ?[A-Za-z]+| ?[0-9]+|\n *| +(?! )| ?[^A-Za-z0-9\s]+|\s+")


@dataclass(frozen=True)
class Encoder:
    """`merges[pair]` is the token that replaces `pair`; lower tokens merge first. Tokens below 256 are bytes."""

    merges: dict[Pair, int]
    _cache: dict[str, list[int]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def size(self) -> int:
        return 256 + len(self.merges)

    def encode(self, text: str) -> list[int]:
        """The tokens of `text`; `decode` gives the text back."""
        tokens: list[int] = []
        for word in _WORD.findall(text):
            if word not in self._cache:
                self._cache[word] = self._segment(list(word.encode()))
            tokens += self._cache[word]
        return tokens

    def decode(self, tokens: list[int]) -> str:
        parts = {token: pair for pair, token in self.merges.items()}

        def spell(token: int) -> bytes:
            return bytes([token]) if token < 256 else spell(parts[token][0]) + spell(parts[token][1])

        return b"".join(spell(token) for token in tokens).decode()

    def _segment(self, word: list[int]) -> list[int]:
        while len(word) > 1:
            token, pair = min((self.merges.get(pair, self.size), pair) for pair in _pairs(word))
            if token == self.size:
                break
            word = _merged(word, pair, token)
        return word


def train_encoder(text: str, size: int) -> Encoder:
    """Greedy byte-pair merges on `text` until there are `size` tokens (or no pair occurs twice)."""
    counts = Counter(_WORD.findall(text))
    words = [list(word.encode()) for word in counts]
    weights = list(counts.values())
    totals: Counter[Pair] = Counter()
    holders: dict[Pair, set[int]] = defaultdict(set)
    for i, word in enumerate(words):
        for pair in _pairs(word):
            totals[pair] += weights[i]
            holders[pair].add(i)
    heap = [(-n, pair) for pair, n in totals.items()]
    heapify(heap)
    merges: dict[Pair, int] = {}
    while heap and 256 + len(merges) < size:
        n, pair = heappop(heap)
        if -n != totals[pair]:  # an old entry: the pair has lost or won occurrences since
            continue
        if -n < 2:
            break
        token = merges[pair] = 256 + len(merges)
        changed: set[Pair] = set()
        for i in holders.pop(pair):
            new = _merged(words[i], pair, token)
            for old in _pairs(words[i]):
                totals[old] -= weights[i]
                changed.add(old)
            for now in _pairs(new):
                totals[now] += weights[i]
                holders[now].add(i)
                changed.add(now)
            words[i] = new
        changed.discard(pair)
        for other in changed:
            if totals[other] > 0:
                heappush(heap, (-totals[other], other))
    return Encoder(merges)


def _pairs(word: list[int]) -> Iterator[Pair]:
    return itertools.pairwise(word)


def _merged(word: list[int], pair: Pair, token: int) -> list[int]:
    out: list[int] = []
    i = 0
    while i < len(word):
        if i + 1 < len(word) and (word[i], word[i + 1]) == pair:
            out.append(token)
            i += 2
        else:
            out.append(word[i])
            i += 1
    return out
