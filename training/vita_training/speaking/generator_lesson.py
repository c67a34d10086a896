"""A second generator, in the published model's way (HiFi-GAN's), learns to make the voice of the codes there are.

The codebook stays as it is, so speech decoders need not be taught anew: what comes out is another version of
`codec_decoder` that fits in beside the first.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vita15.codec import CodecDecoder
from vita15.config import CodecConfig
from vita_training.recipe.schedule import Schedule
from vita_training.speaking.clauses import Clauses
from vita_training.speaking.codec import Codec
from vita_training.speaking.codec_lesson import JUDGED, SPOKEN_S
from vita_training.speaking.corpus import Crops, speak_all, speak_for
from vita_training.speaking.measures import resynthesis
from vita_training.speaking.spectra import spectral_loss
from vita_training.speaking.voice import SpokenClause, Voice

HIFIGAN = CodecConfig(
    generator="hifigan",
    code_dim=16,
    channels=192,
    upsample_rates=(5, 5, 4, 3, 2),
    upsample_kernels=(11, 11, 8, 7, 4),
    resblock_kernels=(3, 7),
    resblock_dilations=(1, 3),
    global_tokens=(),
    global_dim=0,
)
SCHEDULE = Schedule(
    steps=2_000, warmup_share=0.02, floor=0.04, clip=5.0, betas=(0.8, 0.99), weight_decay=0.01, judge_steps=500
)
PEAK_RATE = 2e-3


class TaughtGenerator(nn.Module):
    """A frozen codec, and the decoder that learns to read its codes."""

    def __init__(self, codec: Codec, config: CodecConfig) -> None:
        super().__init__()
        self.codec, self.decoder = codec, CodecDecoder(config)
        self.decoder.embedding.weight.requires_grad_(False).copy_(codec.codebook)


class GeneratorLesson:
    """Teaches codes to become the sound that they are of."""

    def __init__(self, model: TaughtGenerator, crops: Crops, development: Sequence[SpokenClause]) -> None:
        """Take a fresh generator, what to learn, and clauses to judge by."""
        self.model, self._crops, self._development = model, crops, development

    @property
    def rates(self) -> dict[str, float]:
        """See `Lesson`."""
        return {"decoder.generator": PEAK_RATE}

    def batch(self, number: int) -> Tensor:
        """See `Lesson`: sound."""
        return self._crops.batch(number)

    def loss(self, batch: Tensor) -> tuple[Tensor, dict[str, float]]:
        """See `Lesson`."""
        decoder = self.model.decoder
        sound = batch.to(self.model.codec.codebook.device)
        vectors = decoder.embedding(self.model.codec.codes(sound))
        loss, mel = spectral_loss(decoder.generate(vectors.transpose(1, 2)), sound)
        return loss, {"mel": mel.item()}

    def judge(self) -> dict[str, float]:
        """See `Lesson`: mel distance, STOI and use of codes on development clauses."""
        return resynthesis(self.model.codec, self._development, self.model.decoder) if self._development else {}


def generator_lesson(
    codec: Codec, clauses: Clauses, *, seed: int = 0, config: CodecConfig = HIFIGAN
) -> GeneratorLesson:
    """Speak the clauses and make the lesson, its weights drawn by the seed."""
    voice = Voice()
    crops = Crops(speak_for(voice, clauses.train, SPOKEN_S), seed)
    torch.manual_seed(seed)
    return GeneratorLesson(TaughtGenerator(codec, config), crops, speak_all(voice, clauses.development[:JUDGED]))
