"""Makes the committed material: the held-out set of spoken questions, and the pictures and questions in examples/.

`python -m vita_training.world.committed`. Pictures come from seeds that training never draws from, voices are those
that training never hears.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vita15.config import SPEECH_IN_HZ
from vita_training.world.language import WORDINGS, ask
from vita_training.world.pictures import draw
from vita_training.world.scenes import Scene, Thing, sample_scene
from vita_training.world.sounds import cough
from vita_training.world.voices import HELD_OUT_VOICES, Voice, speak

HELD_OUT_SEED = 20_261_122
QUESTION_COUNT = 20
SILENCE_S = 0.3
EXAMPLE_SCENE = Scene(
    (
        Thing("red", "circle", "on the left"),
        Thing("blue", "star", "on the right"),
        Thing("yellow", "triangle", "at the top"),
    )
)
EXAMPLE_SIZE = (448, 336)
VOICED_S = 0.16  # of the example's cough: five frames of the detector, where eight are speech
# name, question; each is spoken by one held-out voice
EXAMPLE_QUESTIONS = (
    ("hello", "Hello."),
    ("what-color", "What color is the star?"),
    ("where-is-it", "Where is it?"),
    ("describe", "Please describe the picture."),
    ("interrupt", "Stop. How many shapes are there?"),
    ("thank-you", "Thank you."),
)


def write_wav(path: Path, samples: NDArray[np.int16]) -> None:
    """Write 16 kHz mono 16-bit with a little silence around it."""
    silence = np.zeros(int(SILENCE_S * SPEECH_IN_HZ), dtype=np.int16)
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SPEECH_IN_HZ)
        file.writeframes(np.concatenate([silence, samples, silence]).tobytes())


def make_held_out(folder: Path) -> None:
    """Write twenty questions, each about a new picture, in turn of every kind and every held-out voice."""
    rng = random.Random(HELD_OUT_SEED)
    kinds = [kind for kind in WORDINGS if kind != "describe"]
    voices = itertools.cycle(HELD_OUT_VOICES)
    entries: list[dict[str, str]] = []
    for index, kind in enumerate(itertools.islice(itertools.cycle(kinds), QUESTION_COUNT)):
        scene = sample_scene(rng)
        question = ask(scene, rng, kind)
        name = f"{index + 1:02d}-{kind.replace('_', '-')}"
        draw(scene, rng, rng.choice(((112, 112), (112, 112), (112, 112), (224, 224), (240, 180)))).picture.save(
            folder / f"{name}.png"
        )
        voice = Voice(*next(voices), rng.randint(135, 185), rng.randint(30, 70))
        write_wav(folder / f"{name}.wav", speak(question.text, voice))
        files = {"wav": f"{name}.wav", "picture": f"{name}.png"}
        entries.append({"name": name, **files, "text": question.text, "answer": question.answer})
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
    """Write one picture, its questions and a cough, which has the voice of the first of them."""
    rng = random.Random(HELD_OUT_SEED + 1)
    draw(EXAMPLE_SCENE, rng, EXAMPLE_SIZE).picture.save(folder / "shapes.png")
    for (name, question), voice in zip(EXAMPLE_QUESTIONS, itertools.cycle(HELD_OUT_VOICES[:1]), strict=False):
        write_wav(folder / f"{name}.wav", speak(question, Voice(*voice, 155, 50)))
    if not (folder / "cough.wav").exists():  # the demo was tried with the committed one
        hello = speak(EXAMPLE_QUESTIONS[0][1], Voice(*HELD_OUT_VOICES[0], 155, 50))
        write_wav(folder / "cough.wav", voiced((cough(rng) * 32767).astype(np.int16), hello))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--held-out", type=Path, default=Path("evaluation/vita_evaluation/held_out"))
    parser.add_argument("--examples", type=Path, default=Path("examples"))
    options = parser.parse_args()
    for folder in (options.held_out, options.examples):
        folder.mkdir(parents=True, exist_ok=True)
    make_held_out(options.held_out)
    make_examples(options.examples)


if __name__ == "__main__":
    main()
