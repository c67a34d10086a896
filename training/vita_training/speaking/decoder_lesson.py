"""Stage 3.2: the speech decoder learns to say text in the codes of the frozen codec."""

from __future__ import annotations

import random
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, replace

import torch
from torch import Tensor
from tqdm import tqdm

from vita15.config import SAMPLES_PER_CODE, SpeechDecoderConfig
from vita15.speech_decoder import SpeechDecoder
from vita15.tokenizer import Tokenizer
from vita_training.recipe.schedule import Schedule
from vita_training.speaking.clauses import Clauses, words
from vita_training.speaking.codec import Codec
from vita_training.speaking.corpus import speak_all
from vita_training.speaking.examples import BATCH_LENGTH, Batch, Example, ExampleMaker, collate, pools
from vita_training.speaking.free_running import judge, longest_codes, speak
from vita_training.speaking.intelligibility import Listener
from vita_training.speaking.teaching import TaughtDecoder
from vita_training.speaking.voice import SpokenClause, Voice

SCHEDULE = Schedule(steps=7_000, warmup_share=0.02, floor=0.04, weight_decay=0.05, judge_steps=1_000)
PEAK_RATE = 2e-3
SHIFTS = 2  # times each clause is encoded, at different shifts against the grid of codes
JUDGED = 40  # development clauses


class DecoderLesson:
    """Teaches clauses: text in, codes out."""

    def __init__(
        self,
        model: TaughtDecoder,
        examples: Sequence[Example],
        tokenizer: Tokenizer,
        judged: tuple[Sequence[SpokenClause], Listener] | None,
        seed: int,
        batch_length: int = BATCH_LENGTH,
    ) -> None:
        """Take the model, what it learns, and, where it can be judged, clauses and who listens to them."""
        self.model, self._tokenizer, self._judged, self._seed = model, tokenizer, judged, seed
        self._pools = pools(examples, model.decoder.config.subframes, seed, batch_length)

    @property
    def rates(self) -> dict[str, float]:
        """See `Lesson`; a table of text that needs no gradient is a copy of the language model's, and stays."""
        parts = [f"decoder.{name}" for name, _ in self.model.decoder.named_children()]
        if not self.model.decoder.embed_tokens.weight.requires_grad:
            parts.remove("decoder.embed_tokens")
        return dict.fromkeys([*parts, "helpers"], PEAK_RATE)

    def batch(self, number: int) -> Batch:
        """See `Lesson`."""
        return collate(self._pools.batch(number), self.model.decoder.special)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """See `Lesson`."""
        return self.model(batch.to(self.model.codec.codebook.device))

    def judge(self) -> dict[str, float]:
        """See `Lesson`: how development clauses are understood when it speaks freely."""
        if self._judged is None:
            return {}
        clauses, listener = self._judged
        config = replace(self.model.decoder.config, max_codes=longest_codes(clauses))
        speaker = SpeechDecoder(config).eval()  # never compiled, and on the CPU
        speaker.load_state_dict(self.model.decoder.state_dict())
        codec = deepcopy(self.model.codec.decoder).cpu()
        takes, factor = speak(speaker, codec, self._tokenizer, clauses, self._seed)
        return asdict(judge(takes, factor, listener))


def decoder_lesson(
    config: SpeechDecoderConfig,
    codec: Codec,
    tokenizer: Tokenizer,
    clauses: Clauses,
    *,
    listener: Listener | None = None,
    text_table: Tensor | None = None,
    batch_length: int = BATCH_LENGTH,
    seed: int = 0,
) -> DecoderLesson:
    """Speak and encode the clauses and make the lesson, its weights drawn by the seed.

    Args:
        config: of the speech decoder.
        codec: what stage 3.1 left.
        tokenizer: the language model's.
        clauses: what is learnt and judged.
        listener: who judges; None where the words are not a closed set.
        text_table: (text_vocab, text_embed), the language model's input table, kept as it is; None: one of its own.
        batch_length: positions of text and codes a step.
        seed: of weights, shifts and batches.
    """
    voice = Voice()
    vocabulary = sorted({word for clause in clauses.train for word in words(clause)})
    maker = ExampleMaker(codec, tokenizer, vocabulary)
    examples = make_examples(maker, voice, clauses.train, seed)
    torch.manual_seed(seed)
    model = TaughtDecoder(config, len(vocabulary), codec)
    if text_table is not None:
        model.decoder.embed_tokens.weight.requires_grad_(False).copy_(text_table)
    judged = None if listener is None else (speak_all(voice, clauses.development[:JUDGED]), listener)
    return DecoderLesson(model, examples, tokenizer, judged, seed, batch_length)


def make_examples(maker: ExampleMaker, voice: Voice, clauses: Sequence[str], seed: int) -> list[Example]:
    """Speak clauses and encode each `SHIFTS` times: as it is, then moved by less than a code."""
    shifts = random.Random(seed)
    examples: list[Example] = []
    for clause in tqdm(clauses, "speaking and encoding", unit="clause", disable=None, leave=False):
        spoken = voice.speak(clause)
        examples.append(maker.make(spoken))
        examples += [maker.make(spoken, shifts.randrange(1, SAMPLES_PER_CODE)) for _ in range(SHIFTS - 1)]
    return examples
