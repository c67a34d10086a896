"""Write trained snapshots as components that are served.

python -m vita_training.speaking.export --codec .vita/training/codec/codec.pt --out checkpoints/tiny
… --decoder .vita/training/decoder/decoder.pt --tokenizer checkpoints/tiny/llm/tokenizer.json
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import torch
from torch import Tensor

from vita15.checkpoint import save_component
from vita15.codec import CodecDecoder
from vita15.config import TINY
from vita15.speech_decoder import SpeechDecoder
from vita_training.speaking.train_decoder import load_codec

LICENCE = "Apache-2.0"
TEXT_CONTRACT = "en-1"  # lower-case English clauses, numbers spelled out


def codebook_id(codebook: Tensor) -> str:
    """Name a codebook by what it holds: a decoder trained on other codes must not match."""
    return "tiny-" + hashlib.sha256(codebook.to(torch.float16).numpy().tobytes()).hexdigest()[:12]


def training_run(snapshot: Path, stage: str) -> str:
    """Describe the run that made a snapshot."""
    values = torch.load(snapshot, weights_only=True)
    return f"{stage}: {values['step']} steps in {values['spent_s'] / 60:.1f} min on one core; training/LOG.md"


def export_codec(snapshot: Path, out: Path) -> CodecDecoder:
    """Write `codec_decoder`."""
    codec, _ = load_codec(snapshot)
    save_component(
        out / "codec_decoder",
        "codec_decoder",
        TINY.codec_decoder,
        codec.state_dict(),
        contract={"codebook": codebook_id(codec.embedding.weight)},
        licence=LICENCE,
        training_run=training_run(snapshot, "stage 3.1"),
    )
    return codec


def export_decoder(snapshot: Path, codec: CodecDecoder, tokenizer: Path, out: Path) -> None:
    """Write `speech_decoder`, tied to the codec it was trained with."""
    decoder = SpeechDecoder(TINY.speech_decoder)
    decoder.load_state_dict(torch.load(snapshot, weights_only=True)["decoder"])
    save_component(
        out / "speech_decoder",
        "speech_decoder",
        TINY.speech_decoder,
        decoder.state_dict(),
        contract={"codebook": codebook_id(codec.embedding.weight), "text": TEXT_CONTRACT},
        licence=LICENCE,
        training_run=training_run(snapshot, "stage 3.2"),
        tokenizer=tokenizer,
    )


def main() -> None:
    """Export the codec, and the speech decoder where one is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codec", type=Path, required=True, help="snapshot of the codec")
    parser.add_argument("--decoder", type=Path, help="snapshot of the speech decoder")
    parser.add_argument("--tokenizer", type=Path, help="tokenizer.json it was trained with")
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    arguments = parser.parse_args()
    codec = export_codec(arguments.codec, arguments.out)
    if arguments.decoder is not None:
        if arguments.tokenizer is None:
            parser.error("--decoder needs --tokenizer")
        export_decoder(arguments.decoder, codec, arguments.tokenizer, arguments.out)


if __name__ == "__main__":
    main()
