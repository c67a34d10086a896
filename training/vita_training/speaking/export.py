"""Write what stages 3.1 and 3.2 left as components that are served."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from vita15.checkpoint import Manifest, save_component
from vita15.codec import CodecDecoder
from vita15.config import CodecConfig, SpeechDecoderConfig
from vita15.speech_decoder import SpeechDecoder

LICENCE = "Apache-2.0"
TEXT_CONTRACT = "en-1"  # lower-case English clauses, numbers spelled out


def codebook_id(codebook: Tensor) -> str:
    """Name a codebook by what it holds: a decoder trained on other codes must not match."""
    return "tiny-" + hashlib.sha256(codebook.detach().to(torch.float16).numpy().tobytes()).hexdigest()[:12]


def export_codec(codec: CodecDecoder, folder: Path, training_run: str, version: str = "1") -> Manifest:
    """Write a `codec_decoder`, named by its codebook, into `folder`."""
    config: CodecConfig = codec.config
    return save_component(
        folder,
        "codec_decoder",
        config,
        codec.state_dict(),
        contract={"codebook": codebook_id(codec.embedding.weight)},
        licence=LICENCE,
        training_run=training_run,
        version=version,
    )


def export_decoder(
    decoder: SpeechDecoder, codebook: str, tokenizer: Path, folder: Path, training_run: str, version: str = "1"
) -> Manifest:
    """Write a `speech_decoder`, tied to the codebook of that name whose codes it speaks, into `folder`."""
    config: SpeechDecoderConfig = decoder.config
    return save_component(
        folder,
        "speech_decoder",
        config,
        decoder.state_dict(),
        contract={"codebook": codebook, "text": TEXT_CONTRACT},
        licence=LICENCE,
        training_run=training_run,
        tokenizer=tokenizer,
        version=version,
    )
