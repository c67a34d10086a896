"""What work costs: fixed + per token + per other in the same batch, for each component.

REALISTIC follows what one H200 could do for the model at its full size, as rounded for measurements of plumbing: 0.9 ms
a tile, 0.16 ms a piece of 160 ms of sound, 3.3 ms a step of the language model and 17 µs a token read, 0.03 ms for
a clause's start and for each of its codes, 0.4 ms a window of codes. `REALISTIC.scaled(10)` is "×10".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one step, or of one request where there are no steps."""

    fixed_s: float = 0.0
    per_token_s: float = 0.0  # a tile, a token that is read, a code
    per_batch_s: float = 0.0  # added by each other call in progress

    def of(self, tokens: int = 0, others: int = 0) -> float:
        """Seconds that a step takes."""
        return self.fixed_s + self.per_token_s * tokens + self.per_batch_s * others

    def scaled(self, factor: float) -> Cost:
        """Return a cost that is higher by a factor."""
        return Cost(self.fixed_s * factor, self.per_token_s * factor, self.per_batch_s * factor)


@dataclass(frozen=True, slots=True)
class Costs:
    """Of all components."""

    vision_encoder: Cost = Cost()  # a token is a tile
    speech_encoder: Cost = Cost()  # of a piece of 160 ms
    # Of a step, which writes one token of each answer. Reading costs per token only: it goes along with steps.
    llm: Cost = Cost()
    speech_decoder: Cost = Cost()  # fixed: the clause's start; a token is a code; per batch: each code's
    codec_decoder: Cost = Cost()  # of a window

    def scaled(self, factor: float) -> Costs:
        """Return costs that are all higher by a factor."""
        return Costs(**{field.name: getattr(self, field.name).scaled(factor) for field in fields(self)})


ZERO = Costs()
REALISTIC = Costs(
    vision_encoder=Cost(per_token_s=0.9e-3),
    speech_encoder=Cost(fixed_s=0.16e-3, per_batch_s=0.6e-6),
    llm=Cost(fixed_s=3.3e-3, per_token_s=17e-6, per_batch_s=13e-6),  # 64 at once: 4.14 ms a step
    speech_decoder=Cost(fixed_s=0.03e-3, per_token_s=0.03e-3, per_batch_s=1.4e-6),  # 64 at once: 0.12 ms a code
    codec_decoder=Cost(fixed_s=0.4e-3, per_batch_s=37e-6),  # 64 at once: 2.4 ms
)


def costs_of(name: str) -> Costs:
    """Return the costs that a name means: "zero", "x1", "x10", "x2.5".

    Raises:
        ValueError: it means none.
    """
    if name == "zero":
        return ZERO
    factor = re.fullmatch(r"x(\d+(?:\.\d+)?)", name)
    if factor is None:
        raise ValueError(f"{name!r} is neither zero nor a factor such as x1")
    return REALISTIC.scaled(float(factor[1]))
