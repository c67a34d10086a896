"""How many answers are exactly right, about new pictures, asked by voices that were never trained on.

`python -m vita_training.answering.judge` reads the last saved state. Cut answers are judged by what is left of them.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from pathlib import Path

import torch

from vita15.config import TINY
from vita15.tokenizer import Tokenizer
from vita_training.answering.assistant import Assistant
from vita_training.answering.conversations import Turn
from vita_training.answering.material import hear_recordings, see_pictures
from vita_training.answering.train import DEFAULT_FOLDER, Lessons
from vita_training.world.recordings import Recordings
from vita_training.world.tokenizer import DEFAULT_PATH as TOKENIZER_PATH

NEW_SEED = 777


def judge(assistant: Assistant, lessons: Lessons, batches: int) -> dict[str, tuple[int, int]]:
    """Count right answers and all answers: of spoken, typed and noise turns, and of each kind of question."""
    right, asked = Counter[str](), Counter[str]()
    for _ in range(batches):
        for turn, is_state_right, is_answer_right in assistant.right_answers(lessons.batch()):
            for name in _names(turn):
                asked[name] += 1
                right[name] += is_answer_right
            asked["state"] += 1
            right["state"] += is_state_right
    return {name: (right[name], asked[name]) for name in sorted(asked)}


def _names(turn: Turn) -> tuple[str, ...]:
    if turn.is_noise:
        return ("noise",)
    return ("spoken" if turn.is_spoken else "typed", f"{'spoken' if turn.is_spoken else 'typed'}/{turn.kind}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--recordings", type=Path, default=Path(".vita/training/held_out.npz"))
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--batches", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    assistant = Assistant(TINY)
    assistant.load_state_dict(torch.load(options.folder / "latest.pt", weights_only=True)["assistant"])
    assistant.eval()
    seen = see_pictures(assistant.vision, NEW_SEED, options.pictures)
    heard = hear_recordings(assistant.speech, Recordings.load(options.recordings), NEW_SEED)
    lessons = Lessons(seen, heard, Tokenizer.from_file(TOKENIZER_PATH), random.Random(NEW_SEED))
    for name, (right, asked) in judge(assistant, lessons, options.batches).items():
        print(f"{name:24} {right:5} of {asked:5}  {right / asked:.3f}")


if __name__ == "__main__":
    main()
