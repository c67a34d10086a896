"""What the speech decoder trains on: text tokens, codes, and which word is spoken at each code."""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Hashable, Sequence, Set
from dataclasses import dataclass, fields
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from vita15.config import SAMPLES_PER_CODE, SPEECH_OUT_HZ
from vita15.speech_decoder import SpecialIds
from vita15.tokenizer import Tokenizer
from vita_training.data.pools import Pools
from vita_training.speaking.clauses import words
from vita_training.speaking.codec import Codec
from vita_training.speaking.corpus import on_the_grid
from vita_training.speaking.voice import SpokenClause

IGNORED = -100  # cross entropy's word for "no target here"
COMMON = 160  # examples with a word: rarer ones are drawn more often,
RARE_REPEATS = 16  # though at most so many times as often
BATCH_LENGTH = 3000  # positions of text and codes a batch


@dataclass(frozen=True, slots=True)
class Example:
    """One spoken clause; T codes, and one step more for speech end."""

    tokens: Tensor  # (L,) int64
    codes: Tensor  # (T,) int64
    spoken: Tensor  # (T + 1, 2) int64: first and last token of the word spoken at each step
    word: Tensor  # (T + 1,) int64: that word, as an index into the vocabulary of words


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples, padded on the right."""

    tokens: Tensor  # (B, L) int64
    token_counts: Tensor  # (B,) int64
    inputs: Tensor  # (B, T + 1) int64, speech start first
    targets: Tensor  # (B, T + 1) int64, speech end last, then IGNORED
    spoken: Tensor  # (B, T + 1, 2) int64
    word: Tensor  # (B, T + 1) int64, IGNORED where padded

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        return Batch(*(getattr(self, field.name).to(device) for field in fields(self)))


def pools(examples: Sequence[Example], subframes: int, seed: int, batch_length: int = BATCH_LENGTH) -> Pools[Example]:
    """Draw batches of like length, of about `batch_length` positions; clauses with rare words come more often."""
    weights = rarity([set(example.word.tolist()) for example in examples])
    return Pools(
        lambda rng: rng.choices(examples, cum_weights=weights)[0],
        lambda example: positions(example, subframes),
        batch_length=batch_length,
        seed=seed,
    )


def rarity(spoken: Sequence[Set[Hashable]]) -> list[float]:
    """How often to draw each of some clauses, by the words that it holds; summed up, as `random.choices` takes them."""
    counts = Counter(word for held in spoken for word in held)
    rarest = (min(counts[word] for word in held) for held in spoken)
    return list(accumulate(min(RARE_REPEATS, max(1.0, COMMON / count)) for count in rarest))


def positions(example: Example, subframes: int) -> int:
    """How many positions of text and codes an example takes."""
    return len(example.word) + 1 + subframes * len(example.tokens)


def collate(examples: Sequence[Example], special: SpecialIds) -> Batch:
    """Pad examples into a batch."""

    def pad(rows: list[Tensor], value: int) -> Tensor:
        return pad_sequence(rows, batch_first=True, padding_value=value)

    start, end = torch.tensor([special.speech_start]), torch.tensor([special.speech_end])
    return Batch(
        tokens=pad([e.tokens for e in examples], 0),
        token_counts=torch.tensor([len(e.tokens) for e in examples]),
        inputs=pad([torch.cat([start, e.codes]) for e in examples], special.padding),
        targets=pad([torch.cat([e.codes, end]) for e in examples], IGNORED),
        spoken=pad([e.spoken for e in examples], 0),
        word=pad([e.word for e in examples], IGNORED),
    )


class ExampleMaker:
    """Turns spoken clauses into examples with a frozen codec."""

    def __init__(self, codec: Codec, tokenizer: Tokenizer, vocabulary: Sequence[str]) -> None:
        self.codec, self.tokenizer = codec, tokenizer
        self.word_index = {word: i for i, word in enumerate(vocabulary)}

    def make(self, clause: SpokenClause, lead_samples: int = 0) -> Example:
        """Encode a clause, shifted by `lead_samples` of silence against the grid of codes."""
        sound = on_the_grid(clause, lead_samples).to(self.codec.codebook.device)
        codes = self.codec.codes(sound[None])[0].cpu()
        tokens = self.tokenizer.encode(clause.text)
        starts = clause.word_starts
        spans = self._token_spans(tokens, [at for at, _ in starts])
        spellings = [words(clause.text[at:])[0] for at, _ in starts]
        lead_s = lead_samples / SPEECH_OUT_HZ
        code_s = SAMPLES_PER_CODE / SPEECH_OUT_HZ
        times = [s + lead_s for _, s in starts]
        step_words = [max(0, bisect.bisect_right(times, (t + 0.5) * code_s) - 1) for t in range(len(codes))]
        spoken = [spans[w] for w in step_words] + [(len(tokens) - 1, len(tokens) - 1)]
        word = [self.word_index[spellings[w]] for w in (*step_words, len(starts) - 1)]
        return Example(torch.tensor(tokens), codes, torch.tensor(spoken), torch.tensor(word))

    def _token_spans(self, tokens: list[int], starts: list[int]) -> list[tuple[int, int]]:
        """First and last token of each word, given the character at which each word starts.

        A token belongs to the word in which it ends: " circle" starts on the space before. A word in which none ends,
        where a token crosses words, is given the next.
        """
        owners: list[int] = []
        end = 0
        for token in tokens:
            end += len(self.tokenizer.decode([token]))
            owners.append(max(0, bisect.bisect_right(starts, end - 1) - 1))
        firsts = [min(bisect.bisect_left(owners, w), len(tokens) - 1) for w in range(len(starts))]
        return [(first, max(first, bisect.bisect_right(owners, w) - 1)) for w, first in enumerate(firsts)]
