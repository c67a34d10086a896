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


def codebook_id(codebook: Tensor, model: str = "tiny") -> str:
    """Name a codebook by its model and by what it holds: a decoder trained on other codes must not match."""
    return f"{model}-{hashlib.sha256(codebook.detach().to(torch.float16).numpy().tobytes()).hexdigest()[:12]}"


def export_codec(
    codec: CodecDecoder, folder: Path, training_run: str, version: str = "1", *, model: str = "tiny"
) -> Manifest:
    """Write a `codec_decoder`, named by its codebook, into `folder`."""
    config: CodecConfig = codec.config
    return save_component(
        folder,
        "codec_decoder",
        config,
        codec.state_dict(),
        contract={"codebook": codebook_id(codec.embedding.weight, model)},
        licence=LICENCE,
        training_run=training_run,
        model=model,
        version=version,
    )


def export_decoder(
    decoder: SpeechDecoder,
    codebook: str,
    tokenizer: Path,
    folder: Path,
    training_run: str,
    version: str = "1",
    *,
    model: str = "tiny",
    licence: str = LICENCE,
    text: str = TEXT_CONTRACT,
) -> Manifest:
    """Write a `speech_decoder` into `folder`, tied to the codebook of that name whose codes it speaks.

    Args:
        decoder: what is written.
        codebook: the name.
        tokenizer: its vocabulary's file.
        folder: of the component.
        training_run: how it came to be.
        version: of the component.
        model: the name of its model.
        licence: what it may be used under; of one that was taught again, what it was.
        text: the contract of what it is given to say, which the language model's must match.
    """
    config: SpeechDecoderConfig = decoder.config
    return save_component(
        folder,
        "speech_decoder",
        config,
        decoder.state_dict(),
        contract={"codebook": codebook, "text": text},
        licence=licence,
        training_run=training_run,
        tokenizer=tokenizer,
        model=model,
        version=version,
    )
