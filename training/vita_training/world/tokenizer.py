"""The tiny model's vocabulary: byte-level BPE over all that is said and asked in the small world.

`python -m vita_training.world.tokenizer` writes `checkpoints/tiny/llm/tokenizer.json`. Every word of the world becomes
one token; anything else falls back to bytes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from vita15.config import TINY
from vita15.tokenizer import train_tokenizer
from vita_training.world.language import answers, describe, questions
from vita_training.world.prompt import SYSTEM_PROMPT
from vita_training.world.scenes import PLACES, Scene, Thing
from vita_training.world.small_talk import SMALL_TALK, STRANGE
from vita_training.world.typing import typed_forms

DEFAULT_PATH = Path("checkpoints/tiny/llm/tokenizer.json")


def training_text() -> list[str]:
    """All that the tokenizer is trained on, in a fixed order."""
    asked = [*questions(), *(wording for wording, _ in SMALL_TALK), *STRANGE]
    example = Scene((Thing("red", "star", PLACES[0]), Thing("blue", "circle", PLACES[1])))
    return [
        SYSTEM_PROMPT,
        "system\n",
        "user\n",
        "assistant\n",
        *answers(),
        describe(example),
        *(form for question in asked for form in typed_forms(question)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=DEFAULT_PATH)
    path: Path = parser.parse_args().out
    path.parent.mkdir(parents=True, exist_ok=True)
    train_tokenizer(training_text(), TINY.llm.vocab).save(str(path))


if __name__ == "__main__":
    main()
