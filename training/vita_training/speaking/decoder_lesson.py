"""Stage 3.2: the speech decoder learns to say text in the codes of the frozen codec."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, replace

from torch import Tensor

from vita15.speech_decoder import SpeechDecoder
from vita15.tokenizer import Tokenizer
from vita_training.data.pools import Pools
from vita_training.recipe.schedule import Schedule
from vita_training.speaking.examples import Batch, Example, collate
from vita_training.speaking.free_running import judge, longest_codes, speak
from vita_training.speaking.intelligibility import Listener
from vita_training.speaking.teaching import TaughtDecoder
from vita_training.speaking.voice import SpokenClause

SCHEDULE = Schedule(steps=7_000, warmup_share=0.02, floor=0.04, weight_decay=0.05, judge_steps=1_000)
PEAK_RATE = 2e-3


class DecoderLesson:
    """Teaches clauses: text in, codes out."""

    def __init__(
        self,
        model: TaughtDecoder,
        examples: Pools[Example],
        tokenizer: Tokenizer,
        judged: tuple[Sequence[SpokenClause], Listener] | None,
        seed: int,
    ) -> None:
        """Take the model, what it learns, and, where it can be judged, clauses and who listens to them."""
        self.model, self._pools, self._tokenizer, self._judged, self._seed = model, examples, tokenizer, judged, seed

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
