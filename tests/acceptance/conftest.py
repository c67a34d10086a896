from __future__ import annotations

from pathlib import Path

import pytest

from tests.stack import COMPONENTS, TRAINED

# Random weights go on talking: a word or two are enough for a clause of 25 s, which is the longest there is.
RANDOM_LONGEST = 2
TRAINED_LONGEST = 100


@pytest.fixture(scope="session")
def is_trained(checkpoint: Path) -> bool:
    """Whether the stack answers with trained weights."""
    return checkpoint == TRAINED


@pytest.fixture
def trained(is_trained: bool) -> None:
    """Skips where answers are gibberish."""
    if not is_trained:
        missing = [name for name in COMPONENTS if not (TRAINED / name / "manifest.json").is_file()]
        pytest.skip(f"the weights are random: {TRAINED.name} lacks {', '.join(missing)}")


@pytest.fixture(scope="session")
def longest(is_trained: bool) -> int:
    """The token limit of an answer that lasts some seconds."""
    return TRAINED_LONGEST if is_trained else RANDOM_LONGEST
