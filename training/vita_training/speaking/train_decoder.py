"""Stage 3.2: train the speech decoder on the codes of the frozen codec.

    python -m vita_training.speaking.train_decoder --codec .vita/training/codec/codec.pt \
        --tokenizer checkpoints/tiny/llm/tokenizer.json --out .vita/training/decoder --minutes 50
"""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from vita15.codec import CodecDecoder
from vita15.config import SAMPLES_PER_CODE, TINY
from vita15.speech_decoder import SpeechDecoder
from vita15.tokenizer import Tokenizer
from vita_training.speaking.codec_encoder import CodecEncoder
from vita_training.speaking.corpus import Corpus, speak_corpus
from vita_training.speaking.examples import Example, ExampleMaker, batches
from vita_training.speaking.intelligibility import Listener, word_error_rate
from vita_training.speaking.objective import ATTENTION, Objective, compile_layers
from vita_training.speaking.progress import Progress, resume, save_snapshot
from vita_training.speaking.sentences import words

PEAK_RATE = 2e-3
BATCH = 32
SHIFTS = 2  # times each clause is encoded, at different shifts against the grid of codes
LOG_STEPS = 100
JUDGE_STEPS = 1000  # between free-running trials
JUDGED = 24  # held-out clauses a trial
LONGEST_CODES = 300  # 7.5 s: no clause is longer, and a trial should not wait for a runaway
TABLE_STD = 0.05  # of fresh embedding rows


@dataclass(frozen=True, slots=True)
class Verdict:
    """How free-running speech did."""

    word_error_rate: float
    exact_share: float  # of the clauses, heard without an error
    ended_share: float  # of the clauses, with speech end before the limit
    length_ratio: float  # codes spoken to codes of the original, mean
    length_spread: float  # and standard deviation


class DecoderTraining:
    """The speech decoder being trained, and what trains it."""

    def __init__(self, corpus: Corpus, codec: Path, tokenizer: Path, minutes: float, out: Path) -> None:
        self.corpus, self.snapshot = corpus, out / "decoder.pt"
        self.tokenizer = Tokenizer.from_file(tokenizer)
        self.codec, encoder = load_codec(codec)
        said = [u.text for u in (*corpus.train, *corpus.held_out)]
        vocabulary = sorted({word for text in said for word in words(text)})
        maker = ExampleMaker(encoder, self.codec.embedding.weight.data, self.tokenizer, vocabulary)
        self.examples = make_examples(maker, corpus, out / "examples.pt")
        self.decoder = SpeechDecoder(TINY.speech_decoder, ATTENTION)
        self.speaker = SpeechDecoder(replace(TINY.speech_decoder, max_codes=LONGEST_CODES)).eval()  # never compiled
        for table in (self.decoder.embed_tokens, self.decoder.embedding):
            torch.nn.init.normal_(table.weight, std=TABLE_STD)
        self.objective = Objective(self.decoder, len(vocabulary))
        self.weights = [*self.decoder.parameters(), *self.objective.parameters()]
        self.optimiser = torch.optim.AdamW(self.weights, PEAK_RATE, betas=(0.9, 0.95), weight_decay=0.05)
        self.progress = Progress(minutes)
        resume(self.snapshot, self.progress, self.optimiser, decoder=self.decoder, objective=self.objective)
        self.rng = random.Random(self.progress.step)
        self.batches = batches(self.examples, BATCH, self.decoder.special, self.rng)
        self.listener = Listener(said)

    def step(self) -> dict[str, float]:
        """Train on one batch; returns the parts of its loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = PEAK_RATE * self.progress.rate
        # bf16 products are ten times faster where the processor has them; weights and losses stay fp32.
        with torch.autocast("cpu", torch.bfloat16):
            loss, parts = self.objective(next(self.batches), self.rng)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.optimiser.step()
        self.progress.advance()
        return parts

    @torch.no_grad()
    def judge(self, count: int, seed: int | None = None) -> Verdict:
        """Let it speak held-out clauses freely, greedy without a seed, and listen."""
        self.speaker.load_state_dict(self.decoder.state_dict())
        noise = None if seed is None else torch.Generator().manual_seed(seed)
        heard: list[str] = []
        ratios: list[float] = []
        ended = 0
        chosen = self.corpus.held_out[:count]
        for utterance in chosen:
            codes, is_ended = self.speaker.generate(torch.tensor(self.tokenizer.encode(utterance.text)), noise)
            heard.append(self.listener.hear(self.codec(torch.tensor([codes or [0]]))[0].numpy()))
            ratios.append(len(codes) / (len(utterance.samples) / SAMPLES_PER_CODE))
            ended += is_ended
        self.progress.pause()
        said = [u.text for u in chosen]
        exact = [" ".join(words(text)) == result for text, result in zip(said, heard, strict=True)]
        return Verdict(
            word_error_rate(said, heard),
            float(np.mean(exact)),
            ended / len(chosen),
            float(np.mean(ratios)),
            float(np.std(ratios)),
        )

    def save(self) -> None:
        """Write a snapshot to resume from."""
        save_snapshot(self.snapshot, self.progress, self.optimiser, decoder=self.decoder, objective=self.objective)
        self.progress.pause()

    def run(self) -> None:
        """Train until the time is spent."""
        bar = tqdm(total=100, desc="speech decoder", unit="%", disable=None)
        parts: list[dict[str, float]] = []
        while self.progress.share < 1:
            parts.append(self.step())
            bar.update(int(100 * self.progress.share) - bar.n)
            if self.progress.step % LOG_STEPS == 0:
                print(self.progress.line(**{k: float(np.mean([p[k] for p in parts])) for k in parts[0]}), flush=True)
                parts = []
                self.save()
            if self.progress.step % JUDGE_STEPS == 0:
                self._report(JUDGED)
        self.save()
        self._report(len(self.corpus.held_out))
        self._report(len(self.corpus.held_out), seed=0)

    def _report(self, count: int, seed: int | None = None) -> None:
        verdict = self.judge(count, seed)
        print(self.progress.line(**{f: getattr(verdict, f) for f in Verdict.__slots__}), flush=True)


def load_codec(snapshot: Path) -> tuple[CodecDecoder, CodecEncoder]:
    """Load a trained codec, frozen."""
    decoder, encoder = CodecDecoder(TINY.codec_decoder), CodecEncoder(TINY.codec_decoder)
    states = torch.load(snapshot, weights_only=True)
    decoder.load_state_dict(states["decoder"])
    encoder.load_state_dict(states["encoder"])
    return decoder.requires_grad_(False).eval(), encoder.requires_grad_(False).eval()


def make_examples(maker: ExampleMaker, corpus: Corpus, cache: Path) -> list[Example]:
    """Encode the corpus at `SHIFTS` shifts, or read what an earlier run encoded."""
    if cache.exists():
        return [Example(*fields) for fields in torch.load(cache, weights_only=True)]
    shifts = random.Random(0)
    examples = [
        maker.make(utterance, shifts.randrange(SAMPLES_PER_CODE) if shift else 0)
        for shift in range(SHIFTS)
        for utterance in tqdm(corpus.train, "encoding", disable=None)
    ]
    cache.parent.mkdir(parents=True, exist_ok=True)
    torch.save([(e.tokens, e.codes, e.spoken, e.word) for e in examples], cache)
    return examples


def main() -> None:
    """Train, or go on training, the speech decoder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codec", type=Path, required=True, help="snapshot of the trained codec")
    parser.add_argument("--tokenizer", type=Path, required=True, help="tokenizer.json of the language model")
    parser.add_argument("--out", type=Path, required=True, help="folder of the snapshot")
    parser.add_argument("--minutes", type=float, default=50.0)
    parser.add_argument("--compile", action="store_true", help="1.4 times as fast, after a minute or two of compiling")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    corpus = speak_corpus()
    training = DecoderTraining(corpus, arguments.codec, arguments.tokenizer, arguments.minutes, arguments.out)
    if arguments.compile:
        compile_layers(training.decoder)
    training.run()


if __name__ == "__main__":
    main()
