"""The side lesson in looking points at the thing that a word is about, and nowhere when that is not certain."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from vita_training.answering.conversations import Turn
from vita_training.answering.looking import Describer, Look, looking_loss
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


def looked_at(tokenizer: Tokenizer, answer: str) -> list[tuple[str, tuple[int, ...]]]:
    ids = tokenizer.encode(answer)
    return [(tokenizer.decode([ids[i]]).strip(), cells) for i, cells in Describer(tokenizer).cells(ids, labels())]


def test_words_about_one_thing_point_at_it(tokenizer: Tokenizer) -> None:
    assert looked_at(tokenizer, "The circle is red.") == [("circle", (LEFT,)), ("red", (LEFT,))]


def test_each_part_of_a_list_points_at_its_own_thing(tokenizer: Tokenizer) -> None:
    found = looked_at(tokenizer, "I see a red circle, a blue star and a red star.")
    assert [cells for _, cells in found] == [(LEFT,), (LEFT,), (RIGHT,), (RIGHT,), (TOP,), (TOP,)]


def test_a_place_is_looked_for_from_its_preposition_on(tokenizer: Tokenizer) -> None:
    assert looked_at(tokenizer, "It is on the right.") == [("on", (RIGHT,)), ("right", (RIGHT,))]


def test_words_that_fit_two_things_may_look_at_either_and_those_that_fit_none_look_nowhere(
    tokenizer: Tokenizer,
) -> None:
    assert looked_at(tokenizer, "Yes, there is a star.") == [("star", (TOP, RIGHT))]
    assert looked_at(tokenizer, "There is no square.") == []


def test_looking_in_the_right_place_costs_nothing_and_elsewhere_much() -> None:
    looks = [(0, Look(query=5, keys=(1, 2)))]
    right, wrong = torch.zeros(1, 6, 8, 8), torch.zeros(1, 6, 8, 8)
    right[..., 1] = right[..., 2] = 0.5
    wrong[..., 7] = 1.0
    assert looking_loss([right] * 4, looks).item() < 0.01
    assert looking_loss([wrong] * 4, looks).item() > 10


def test_a_conversation_looks_in_its_newest_picture(tokenizer: Tokenizer) -> None:
    splicer = Splicer(tokenizer, lambda frames: frames)
    turn = Turn("What color is the circle?", False, "The circle is red.", kind="colour", picture=0)
    row = splicer.row([turn, turn], [None, None], [PictureRows(torch.zeros(16, 8), labels())], random.Random(0))
    first, second = (start for start, _ in row.pictures)
    assert [look.keys[0] for look in row.looks] == [first + LEFT] * 2 + [second + LEFT] * 2
    assert all(row.ids[look.query + 1] for look in row.looks)
