"""The side lesson in looking points at the thing that a word is about, and nowhere when that is not certain."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from vita_training.answering.conversations import Turn
from vita_training.answering.looking import Describer
from vita_training.answering.splice import PictureRows, Splicer
from vita_training.seeing.labels import GATHERING_CELLS
from vita_training.world.scenes import COLOURS, PLACES, SHAPES, Scene, Thing
from vita_training.world.tokenizer import DEFAULT_PATH

from vita15.tokenizer import Tokenizer

pytestmark = pytest.mark.unit

LEFT, RIGHT, TOP = (row * 4 + column for row, column in GATHERING_CELLS[:3])
SCENE = Scene((Thing("red", "circle", PLACES[0]), Thing("blue", "star", PLACES[1]), Thing("red", "star", PLACES[2])))


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(Path(__file__).parents[2] / DEFAULT_PATH)


def labels() -> torch.Tensor:
    table = torch.zeros(16, 3, dtype=torch.long)
    for thing in SCENE.things:
        place = PLACES.index(thing.place)
        row, column = GATHERING_CELLS[place]
        classes = (COLOURS.index(thing.colour) + 1, SHAPES.index(thing.shape) + 1, place + 1)
        table[row * 4 + column] = torch.tensor(classes)
    return table


def looked_at(tokenizer: Tokenizer, answer: str) -> list[tuple[str, int]]:
    ids = tokenizer.encode(answer)
    return [(tokenizer.decode([ids[i]]).strip(), cell) for i, cell in Describer(tokenizer).cells(ids, labels())]


def test_words_about_one_thing_point_at_it(tokenizer: Tokenizer) -> None:
    assert looked_at(tokenizer, "The circle is red.") == [("circle", LEFT), ("red", LEFT)]


def test_each_part_of_a_list_points_at_its_own_thing(tokenizer: Tokenizer) -> None:
    found = looked_at(tokenizer, "I see a red circle, a blue star and a red star.")
    assert [cell for _, cell in found] == [LEFT, LEFT, RIGHT, RIGHT, TOP, TOP]


def test_words_that_fit_two_things_or_none_point_nowhere(tokenizer: Tokenizer) -> None:
    assert looked_at(tokenizer, "Yes, there is a star.") == []
    assert looked_at(tokenizer, "There is no square.") == []


def test_before_its_first_word_an_answer_looks_at_the_thing_or_where_nothing_ever_is(tokenizer: Tokenizer) -> None:
    splicer = Splicer(tokenizer, lambda frames: frames)
    picture = PictureRows(torch.zeros(16, 8), labels())
    there = Turn("What color is the circle?", False, "The circle is red.", kind="colour", picture=0)
    missing = Turn("What color is the square?", False, "There is no square.", kind="colour")
    row = splicer.row([there, missing], [None, None], [picture], random.Random(0))
    start = row.pictures[0][0]
    first_looks = {query: key - start for query, key in row.looks}
    begins = [begin for begin, _, _ in row.answers]
    assert [first_looks[begin] for begin in begins] == [LEFT, 15]
