"""How good sound is, measured without a recogniser."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from pystoi import stoi
from torch import Tensor

from vita15.codec import CodecDecoder
from vita15.config import SPEECH_OUT_HZ
from vita_training.speaking.codec import Codec
from vita_training.speaking.corpus import Sound, on_the_grid
from vita_training.speaking.spectra import mel_distance
from vita_training.speaking.voice import SpokenClause


def intelligibility(true: Sound, made: Sound) -> float:
    """STOI (Taal et al. 2011): how well the envelopes of third-octave bands agree, 1 at best.

    The two must be the same utterance, sample for sample, and hold 0.4 s that is not silence.
    """
    length = min(len(true), len(made))
    return float(stoi(true[:length], made[:length], SPEECH_OUT_HZ))


def code_use(spoken: Iterable[Tensor], size: int) -> float:
    """Share of a codebook's codes that occur at least once in the given codes (T,) each."""
    used = torch.zeros(size, dtype=torch.bool)
    for codes in spoken:
        used[codes] = True
    return float(used.float().mean())


@torch.no_grad()
def resynthesis(codec: Codec, clauses: Iterable[SpokenClause], decoder: CodecDecoder | None = None) -> dict[str, float]:
    """Send clauses through the codes and compare.

    Args:
        codec: whose codes.
        clauses: what is said.
        decoder: who makes sound of them, in the place of the codec's own.

    Returns:
        Means over clauses: `mel`, the distance in nepers, and `stoi`; and `code_use` by all of them together.
    """
    mel: list[float] = []
    similar: list[float] = []
    spoken: list[Tensor] = []
    for clause in clauses:
        sound = on_the_grid(clause)
        codes = codec.codes(sound[None].to(codec.codebook.device))
        made = (decoder or codec.decoder)(codes).cpu()
        spoken.append(codes[0].cpu())
        mel.append(float(mel_distance(made, sound[None])))
        similar.append(intelligibility(sound.numpy(), made[0].numpy()))
    count = len(spoken)
    use = code_use(spoken, codec.decoder.size)
    return {"mel": sum(mel) / count, "stoi": sum(similar) / count, "code_use": use}
