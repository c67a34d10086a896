"""Listen to a checkpoint: clauses kept aside, spoken freely, beside the original voice.

    python -m vita_training.speaking.judge --checkpoint checkpoints/tiny [--codec .vita/training/tiny/3.1]

With the folder of stage 3.1, which holds the codec's encoder, what the codes alone lose is told apart.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import soundfile
import torch

from vita15.checkpoint import load_into, load_manifest, tokenizer_path
from vita15.codec import CodecDecoder
from vita15.config import SPEECH_OUT_HZ, CodecConfig, SpeechDecoderConfig
from vita15.speech_decoder import SpeechDecoder
from vita15.tokenizer import Tokenizer
from vita_training.recipe.loop import SNAPSHOT
from vita_training.recipe.sets import WORLD
from vita_training.speaking.clauses import choose
from vita_training.speaking.codec import Codec, load_codec
from vita_training.speaking.corpus import on_the_grid, speak_all
from vita_training.speaking.free_running import Take, judge, longest_codes, misheard, speak
from vita_training.speaking.intelligibility import Listener
from vita_training.speaking.material import assistant_answers, world_listener
from vita_training.speaking.measures import resynthesis
from vita_training.speaking.voice import SpokenClause, Voice

KEPT = 8  # clauses written as WAV


def load_codec_decoder(folder: Path) -> CodecDecoder:
    """Load a `codec_decoder` as it is served."""
    config = load_manifest(folder).component_config()
    assert isinstance(config, CodecConfig)
    return load_into(CodecDecoder(config), folder).requires_grad_(False)


def load_speech_decoder(folder: Path, max_codes: int) -> tuple[SpeechDecoder, Tokenizer]:
    """Load a `speech_decoder` that stops after `max_codes`, and its tokenizer."""
    config = load_manifest(folder).component_config()
    assert isinstance(config, SpeechDecoderConfig)
    decoder = SpeechDecoder(replace(config, max_codes=max_codes))
    return load_into(decoder, folder).requires_grad_(False), Tokenizer.from_file(tokenizer_path(folder))


def report(way: str, takes: Sequence[Take], factor: float, listener: Listener, **more: float) -> None:
    """Print one line of JSON: what was heard of one way of speaking."""
    figures = {"way": way, "clauses": len(takes), **asdict(judge(takes, factor, listener)), **more}
    print(json.dumps({**figures, "misheard": misheard(takes, listener)}), flush=True)


def codes_only(codec: Codec, clauses: Sequence[SpokenClause]) -> list[Take]:
    """Send clauses through the codes alone."""
    return [Take(c, codec.decoder(codec.codes(on_the_grid(c)[None]))[0].numpy(), is_ended=True) for c in clauses]


def main() -> None:
    """Judge a checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--codec", type=Path, help="folder of stage 3.1")
    parser.add_argument("--set", choices=("development", "held_out"), default="development")
    parser.add_argument("--clauses", type=int, default=1000, help="at most so many")
    parser.add_argument("--seed", type=int, default=0, help="of the sampling")
    parser.add_argument("--out", type=Path, help="folder for some WAV files")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    said = getattr(choose(assistant_answers(WORLD)), arguments.set)
    clauses, listener = speak_all(Voice(), said[: arguments.clauses]), world_listener()
    report("original", [Take(clause, clause.samples, is_ended=True) for clause in clauses], 0.0, listener)
    codec = load_codec_decoder(arguments.checkpoint / "codec_decoder")
    if arguments.codec is not None:
        whole = load_codec(arguments.codec / SNAPSHOT, codec.config)
        with torch.no_grad():
            report("codes", codes_only(whole, clauses), 0.0, listener, **resynthesis(whole, clauses))
    folder = arguments.checkpoint / "speech_decoder"
    decoder, tokenizer = load_speech_decoder(folder, longest_codes(clauses))
    takes, factor = speak(decoder, codec, tokenizer, clauses, arguments.seed)
    report("speech decoder", takes, factor, listener)
    for index, take in enumerate(takes[:KEPT] if arguments.out else ()):
        arguments.out.mkdir(parents=True, exist_ok=True)
        soundfile.write(arguments.out / f"{index}.wav", take.sound, SPEECH_OUT_HZ)


if __name__ == "__main__":
    main()
