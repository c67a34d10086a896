"""Listen to what is served: held-out clauses spoken by the checkpoint, beside the original voice.

    python -m vita_training.speaking.judge --checkpoint checkpoints/tiny [--codec .vita/training/codec/codec.pt]

With a snapshot of the codec, its encoder is there too, and what the codes alone lose is told apart.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import torch

from vita15.checkpoint import load_into, tokenizer_path
from vita15.codec import CodecDecoder
from vita15.config import SAMPLES_PER_CODE, SPEECH_OUT_HZ, TINY
from vita15.speech_decoder import SpeechDecoder
from vita15.tokenizer import Tokenizer
from vita_training.speaking.codec_encoder import nearest
from vita_training.speaking.corpus import whole_codes
from vita_training.speaking.intelligibility import Listener, word_error_rate
from vita_training.speaking.sentences import judged, normalised, words
from vita_training.speaking.train_decoder import load_codec
from vita_training.speaking.voice import Utterance, Voice
from vita_training.world.language import answers

Sound = npt.NDArray[np.float32]  # (S,) at 24 kHz
KEPT = 8  # clauses written as WAV


class Judge:
    """Listens to several ways of saying the same clauses."""

    def __init__(self, utterances: list[Utterance], listener: Listener, out: Path | None) -> None:
        self.utterances, self.listener, self.out = utterances, listener, out

    def report(self, name: str, say: Callable[[Utterance], Sound]) -> None:
        """Print the word error rate of one way, and the clauses that were misheard."""
        sounds = [say(u) for u in self.utterances]
        heard = [self.listener.hear(sound) for sound in sounds]
        said = [u.text for u in self.utterances]
        missed = {a: b for a, b in zip(said, heard, strict=True) if " ".join(words(a)) != b}
        lengths = [len(s) / len(u.samples) for s, u in zip(sounds, self.utterances, strict=True)]
        figures = {
            "way": name,
            "clauses": len(said),
            "word_error_rate": round(word_error_rate(said, heard), 4),
            "exact": len(said) - len(missed),
            "length_ratio": [round(float(np.mean(lengths)), 3), round(float(np.std(lengths)), 3)],
            "misheard": missed,
        }
        print(json.dumps(figures, indent=1), flush=True)
        if self.out is not None:
            self.out.mkdir(parents=True, exist_ok=True)
            for index, sound in enumerate(sounds[:KEPT]):
                soundfile.write(self.out / f"{name}-{index}.wav", sound, SPEECH_OUT_HZ)


def main() -> None:
    """Judge a checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--codec", type=Path, help="snapshot of the codec, with its encoder")
    parser.add_argument("--set", default="held_out", help="what is said: held_out, small_talk or short")
    parser.add_argument("--clauses", type=int, default=1000, help="at most so many")
    parser.add_argument("--seed", type=int, default=0, help="of the sampling")
    parser.add_argument("--out", type=Path, help="folder for some WAV files")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    voice, said = Voice(), judged(arguments.set)
    utterances = [voice.speak(text) for text in said[: arguments.clauses]]
    judge = Judge(utterances, Listener([*map(normalised, answers()), *said]), arguments.out)
    codec = load_into(CodecDecoder(TINY.codec_decoder), arguments.checkpoint / "codec_decoder").requires_grad_(False)
    judge.report("original", lambda utterance: utterance.samples)
    if arguments.codec is not None:
        _, encoder = load_codec(arguments.codec)
        judge.report(
            "codes",
            lambda u: codec(nearest(encoder(whole_codes(u)[None]), codec.embedding.weight))[0].numpy(),
        )
    folder = arguments.checkpoint / "speech_decoder"
    if not folder.exists():
        return
    decoder = load_into(SpeechDecoder(TINY.speech_decoder), folder).requires_grad_(False)
    tokenizer = Tokenizer.from_file(tokenizer_path(folder))
    noise = torch.Generator().manual_seed(arguments.seed)

    def speak(utterance: Utterance) -> Sound:
        codes, is_ended = decoder.generate(torch.tensor(tokenizer.encode(utterance.text)), noise)
        if not is_ended:
            print(f"did not end within {len(codes) * SAMPLES_PER_CODE / SPEECH_OUT_HZ:.1f} s: {utterance.text}")
        return codec(torch.tensor([codes]))[0].numpy()

    judge.report("decoder", speak)


if __name__ == "__main__":
    main()
