"""Makes the committed material: the held-out set of spoken questions, and the pictures and questions in examples/.

`python -m vita_training.world.committed`, after `python -m vita_training.world.pool`. Pictures come from seeds that
training never draws from, voices are those that training never meets, and so are the held-out set's wordings.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image

from vita15.config import SPEECH_IN_HZ
from vita_training.data.sample import AUDIO, Sample, Thing
from vita_training.world import held_out
from vita_training.world.espeak import Voice
from vita_training.world.painting import paint, sample_look
from vita_training.world.pool import DEFAULT_FOLDER
from vita_training.world.sounds import cough
from vita_training.world.sources import load_recordings, spoken_questions
from vita_training.world.topics import colours, counts, descriptions, places, presence, shapes, sizes
from vita_training.world.voices import speak

SEED = 20_261_122
QUESTION_COUNT = 20
SILENCE_S = 0.3
KINDS = tuple(
    kind.name for topic in (colours, shapes, counts, presence, places, sizes, descriptions) for kind in topic.KINDS
)
EXAMPLE_THINGS = (
    Thing("red", "circle", "at the bottom left", 0.18, 0.81, 0.15),
    Thing("blue", "star", "at the top right", 0.82, 0.19, 0.15),
    Thing("yellow", "triangle", "at the bottom right", 0.82, 0.81, 0.15),
)
EXAMPLE_SIZE = (448, 336)
VOICED_S = 0.16  # of the example's cough: five frames of the detector, where eight are speech
EXAMPLE_QUESTIONS = {
    "hello": "Hello.",
    "what-color": "What color is the star?",
    "where-is-it": "Where is it?",
    "describe": "Please describe the picture.",
    "count": "Please count to twenty.",
    "interrupt": "Stop. How many shapes are there?",
    "light": "Turn on the light in the kitchen.",
    "thank-you": "Thank you.",
}


def write_wav(path: Path, samples: NDArray[np.int16]) -> None:
    """Write 16 kHz mono 16-bit with a little silence around it."""
    silence = np.zeros(int(SILENCE_S * SPEECH_IN_HZ), dtype=np.int16)
    soundfile.write(path, np.concatenate([silence, samples, silence]), SPEECH_IN_HZ, subtype="PCM_16")


def make_held_out(folder: Path, recordings: Path) -> None:
    """Write spoken questions, each about a new picture, in turn of every kind."""
    for left in (*folder.glob("*.wav"), *folder.glob("*.png")):
        left.unlink()
    entries: list[dict[str, str]] = []
    for index, sample in enumerate(_of_each_kind(recordings)):
        clip, picture = sample.audio[0], sample.pictures[0]
        kind = sample.kind.split()[0]
        name = f"{index + 1:02d}-{kind.replace('_', '-')}"
        if not isinstance(picture.pixels, Image.Image) or isinstance(clip.samples, Path):
            raise TypeError(f"{sample.id}: the small world draws its media")
        picture.pixels.save(folder / f"{name}.png")
        write_wav(folder / f"{name}.wav", clip.samples)
        files = {"wav": f"{name}.wav", "picture": f"{name}.png"}
        answer = next(turn.value for turn in sample.conversations if turn.speaker == "gpt")
        entries.append({"name": name, **files, "text": clip.text, "answer": answer})
    (folder / "questions.json").write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")


def voiced(noise: NDArray[np.int16], speech: NDArray[np.int16]) -> NDArray[np.int16]:
    """Put the onset of a voice into a cough's first burst, too short for speech: (S,) at 16 kHz, as `noise`.

    Our coughs of noise and one sine are no voice at all to a detector; a person's throat is one for a moment.
    """
    length = int(VOICED_S * SPEECH_IN_HZ)
    start = int(np.argmax(np.abs(speech) > 600))
    at = np.arange(length)
    voice = speech[start : start + length] * np.minimum(at / 80, 1) * np.minimum((length - at) / (0.4 * length), 1)
    sound = noise * 0.45
    sound[:length] += voice * (16_000 / np.abs(voice).max())
    return sound.round().astype(np.int16)


def make_examples(folder: Path) -> None:
    """Write one picture, its questions and a cough, which has the voice of one of them."""
    rng = random.Random(SEED + 1)
    paint(EXAMPLE_THINGS, sample_look(EXAMPLE_THINGS, EXAMPLE_SIZE, rng), rng).save(folder / "shapes.png")
    voice = Voice(*held_out.VOICES[0], 160, 50)
    spoken = {name: speak(text, voice) for name, text in EXAMPLE_QUESTIONS.items()}
    for name, samples in spoken.items():
        write_wav(folder / f"{name}.wav", samples)
    if not (folder / "cough.wav").exists():  # the demo was tried with the committed one
        write_wav(folder / "cough.wav", voiced((cough(rng) * 32767).astype(np.int16), spoken["hello"]))


def _of_each_kind(recordings: Path) -> Iterator[Sample]:
    """Samples whose first question is spoken and of the next kind, over and over."""
    pool = load_recordings(recordings, is_held_out=True)
    source = spoken_questions(SEED, recordings=pool, is_held_out=True, subject="picture", ratio_db=math.inf)
    drawn = (source[index] for index in itertools.count())
    spoken = (sample for sample in drawn if AUDIO in sample.conversations[0].value)
    for number in range(QUESTION_COUNT):
        wanted = KINDS[number % len(KINDS)]
        yield next(sample for sample in spoken if sample.kind.split()[0] == wanted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--held-out", type=Path, default=Path("evaluation/vita_evaluation/held_out"))
    parser.add_argument("--examples", type=Path, default=Path("examples"))
    parser.add_argument("--recordings", type=Path, default=DEFAULT_FOLDER)
    options = parser.parse_args()
    for folder in (options.held_out, options.examples):
        folder.mkdir(parents=True, exist_ok=True)
    make_held_out(options.held_out, options.recordings)
    make_examples(options.examples)


if __name__ == "__main__":
    main()
