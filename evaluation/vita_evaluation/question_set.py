"""Sets of spoken questions about pictures: a folder with `questions.json`, WAV and PNG files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

HELD_OUT = Path(__file__).parent / "held_out"


@dataclass(frozen=True, slots=True)
class SpokenQuestion:
    """One question and what its answer must say."""

    name: str
    wav: Path  # 16 kHz mono 16-bit
    picture: Path | None
    text: str  # what is said in the WAV
    expected: str  # the right answer in the model's own words


def load_questions(folder: Path) -> list[SpokenQuestion]:
    """Read a set.

    Raises:
        ValueError: `questions.json` is malformed, or a file that it names is missing.
    """
    index = folder / "questions.json"
    questions: list[SpokenQuestion] = []
    for entry in json.loads(index.read_text(encoding="utf-8")):
        picture = folder / entry["picture"] if entry.get("picture") else None
        question = SpokenQuestion(entry["name"], folder / entry["wav"], picture, entry["text"], entry["answer"])
        for path in (question.wav, question.picture):
            if path is not None and not path.is_file():
                raise ValueError(f"{index}: {path.name} of {question.name!r} is missing")
        questions.append(question)
    return questions
