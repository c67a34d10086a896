"""The side lesson in looking points at the thing that a word is about, and nowhere when that is not certain."""

from __future__ import annotations

import random

import pytest
import torch
from vita_training.data.media import LABELS, Sight, gathering_cell, see_picture
from vita_training.data.sample import IMAGE, Picture, Sample, Thing, Utterance
from vita_training.recipe.answering import found_loss
from vita_training.recipe.looking import Describer, Look, looking_loss
from vita_training.recipe.rows import Splicer
from vita_training.world.painting import paint, sample_look
from vita_training.world.scene import sample_motion, sample_scene
from vita_training.world.tokenizer import make_tokenizer

from vita15.config import TINY
from vita15.tokenizer import Tokenizer

pytestmark = pytest.mark.unit

SIDE = 4  # cells of a tile
THINGS = (
    Thing("red", "circle", "on the left", 1 / 6, 0.5, 0.1),
    Thing("blue", "star", "on the right", 5 / 6, 0.5, 0.1),
    Thing("red", "star", "at the top left", 1 / 6, 1 / 6, 0.15),
)
LEFT, RIGHT, TOP_LEFT = (gathering_cell(thing, SIDE) for thing in THINGS)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer(make_tokenizer(TINY.llm.vocab))


@pytest.fixture(scope="module")
def sight() -> Sight:
    rng = random.Random(0)
    picture = paint(THINGS, sample_look(THINGS, (112, 112), rng), rng)
    return see_picture(Picture(picture, THINGS), TINY.vision_encoder)


def looked_at(tokenizer: Tokenizer, sight: Sight, answer: str) -> list[tuple[str, tuple[int, ...]]]:
    ids = tokenizer.encode(answer)
    assert sight.labels is not None
    return [(tokenizer.decode([ids[i]]).strip(), cells) for i, cells in Describer(tokenizer).cells(ids, sight.labels)]


def test_words_about_one_thing_point_at_it(tokenizer: Tokenizer, sight: Sight) -> None:
    assert looked_at(tokenizer, sight, "The circle is red.") == [("circle", (LEFT,)), ("red", (LEFT,))]


def test_each_part_of_a_list_points_at_its_own_thing(tokenizer: Tokenizer, sight: Sight) -> None:
    found = looked_at(tokenizer, sight, "I see a red circle, a blue star and a red star.")
    assert [cells for _, cells in found] == [(LEFT,), (LEFT,), (RIGHT,), (RIGHT,), (TOP_LEFT,), (TOP_LEFT,)]


def test_a_place_is_looked_for_from_its_preposition_on_and_a_longer_one_is_another(
    tokenizer: Tokenizer, sight: Sight
) -> None:
    on_the_right = [("on", (RIGHT,)), ("the", (RIGHT,)), ("right", (RIGHT,))]
    assert looked_at(tokenizer, sight, "It is on the right.") == on_the_right
    assert {cells for _, cells in looked_at(tokenizer, sight, "It is at the top left.")} == {(TOP_LEFT,)}
    assert looked_at(tokenizer, sight, "It is at the top.") == []


def test_words_that_fit_two_things_may_look_at_either_and_those_that_fit_none_look_nowhere(
    tokenizer: Tokenizer, sight: Sight
) -> None:
    assert looked_at(tokenizer, sight, "Yes, there is a star.") == [("star", (TOP_LEFT, RIGHT))]
    assert looked_at(tokenizer, sight, "There is no square.") == []


def counted(tokenizer: Tokenizer, sight: Sight, answer: str) -> list[tuple[str, tuple[int, ...]]]:
    ids = tokenizer.encode(answer)
    assert sight.labels is not None
    return [(tokenizer.decode([ids[i]]).strip(), cells) for i, cells in Describer(tokenizer).counted(ids, sight.labels)]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("There are two stars.", [("two", (TOP_LEFT, RIGHT))]),
        ("There is one blue shape.", [("one", (RIGHT,))]),
        ("There are three shapes in the picture. There is a red circle.", [("three", (TOP_LEFT, LEFT, RIGHT))]),
        ("There are no squares.", [("no", ())]),
        ("There is nothing at the top.", [("nothing", ())]),
        ("Yes, there is a red star.", [("Yes", (TOP_LEFT,))]),
        ("Yes, there is something red.", [("Yes", (TOP_LEFT, LEFT))]),
        ("No, there is no red square.", [("No", ()), ("no", ())]),
        ("No, nothing is green.", [("No", ()), ("nothing", ())]),
        ("No, the star is blue.", []),
        ("One plus two is three.", []),
        ("I will remember four.", []),
    ],
)
def test_what_is_counted_is_looked_at_before_its_number(
    tokenizer: Tokenizer, sight: Sight, answer: str, expected: list[tuple[str, tuple[int, ...]]]
) -> None:
    assert counted(tokenizer, sight, answer) == expected


def test_all_that_is_counted_gets_as_much_as_the_first_position() -> None:
    looks = [(0, Look(query=5, keys=(0, 1, 2), aim="count")), (0, Look(query=6, keys=(0,), aim="count"))]
    even, one, none = torch.zeros(1, 6, 8, 8), torch.zeros(1, 6, 8, 8), torch.zeros(1, 6, 8, 8)
    even[..., 5, :3] = 1 / 3
    one[..., 5, 0] = one[..., 5, 1] = 0.5
    none[..., 5, 1:3] = 0.5
    for attention in (even, one, none):
        attention[..., 6, 0] = 1.0
    losses = [looking_loss([attention] * 4, looks).item() for attention in (even, one, none)]
    assert abs(losses[0]) < 0.01
    assert min(losses[1:]) > 3


def test_where_things_move_nothing_is_counted(tokenizer: Tokenizer) -> None:
    labels = torch.zeros(3, SIDE**2, 4, dtype=torch.long)
    labels[:, 0] = 1
    tiles, ids = torch.zeros(3, 3, 1, 1), tokenizer.encode("There is one shape.")
    describer = Describer(tokenizer)
    assert not [look for look in describer.looks(ids, 0, 9, Sight(tiles, labels.flatten(0, 1))) if look.aim == "count"]
    still = describer.looks(ids, 0, 9, Sight(tiles[:1], labels[0]))
    assert [look for look in still if look.aim == "count"] == [Look(1, (0, 9), aim="count")]


@pytest.mark.parametrize(
    ("answer", "told", "cell"),
    [
        pytest.param("The red circle moved up.", [" moved", " up"], 5, id="where to"),
        pytest.param("The circle moved to the left.", [" moved", " to", " left"], 5, id="by its shape"),
        pytest.param("No, the star did not move.", ["No", " did", " not", " move"], 9, id="not at all"),
        pytest.param("It is red. The star did not move.", [" did", " not", " move"], 9, id="a second sentence"),
        pytest.param("There is no star.", [], 9, id="not there"),
        pytest.param("The cross moved up.", [], 9, id="not what is shown"),
    ],
)
def test_movement_is_told_from_the_last_frame_and_each_thing_in_it_looks_at_itself_in_the_first(
    tokenizer: Tokenizer, answer: str, told: list[str], cell: int
) -> None:
    red_circle, blue_star = [1, 1, 5, 1], [2, 4, 1, 1]
    labels = torch.zeros(3, SIDE**2, 4, dtype=torch.long)
    for frame, circle_at in enumerate((2, 3, 5)):
        labels[frame, circle_at], labels[frame, 9] = torch.tensor(red_circle), torch.tensor(blue_star)
    ids = tokenizer.encode(answer)
    looks = Describer(tokenizer).looks(ids, 0, 7, Sight(torch.zeros(3, 3, 1, 1), labels.flatten(0, 1)))
    last = 7 + 2 * SIDE**2
    moved = [look for look in looks if look.aim == "moved"]
    assert [tokenizer.decode([ids[look.query + 1]]) for look in moved] == told
    assert {look.keys for look in moved} == ({(last + cell,)} if told else set())
    at_first = [Look(last + 5, (7 + 2,), "thing at first"), Look(last + 9, (7 + 9,), "thing at first")]
    assert [look for look in looks if look.aim == "thing at first"] == (at_first if told else [])


def test_looking_in_the_right_place_costs_nothing_and_elsewhere_much() -> None:
    looks = [(0, Look(query=5, keys=(1, 2)))]
    right, wrong = torch.zeros(1, 6, 8, 8), torch.zeros(1, 6, 8, 8)
    right[..., 1] = right[..., 2] = 0.5
    wrong[..., 7] = 1.0
    assert looking_loss([right] * 4, looks).item() < 0.01
    assert looking_loss([wrong] * 4, looks).item() > 10


def test_a_conversation_looks_in_its_newest_picture_from_before_each_word(tokenizer: Tokenizer) -> None:
    rng = random.Random(0)
    pixels = paint(THINGS, sample_look(THINGS, (112, 112), rng), rng)
    turns = (Utterance("human", f"{IMAGE}\nWhat color is the circle?"), Utterance("gpt", "The circle is red."))
    row = Splicer(tokenizer, TINY).conversation(
        Sample("one", "tests", turns * 2, pictures=(Picture(pixels, THINGS),) * 2), random.Random(1)
    )
    first, second = (start for start, _ in row.sights)
    assert [look.keys[0] for look in row.looks] == [first + LEFT] * 2 + [second + LEFT] * 2
    assert [tokenizer.decode([row.ids[look.query + 1]]) for look in row.looks] == [" circle", " red"] * 2


def test_each_thing_is_gathered_in_one_cell_of_the_last_tile() -> None:
    rng = random.Random(0)
    pixels = paint(THINGS[:1], sample_look(THINGS[:1], (224, 224), rng), rng)
    seen = see_picture(Picture(pixels, THINGS[:1]), TINY.vision_encoder, is_detailed=True)
    assert seen.labels is not None
    labels = seen.labels.unflatten(0, (5, SIDE**2))
    assert not labels[:-1].any()
    known = zip(LABELS, ("red", "circle", "on the left", "small"), strict=True)
    assert labels[-1][labels[-1, :, 0] > 0].tolist() == [[words.index(word) + 1 for words, word in known]]


def test_a_thing_always_touches_the_cell_that_it_is_gathered_in() -> None:
    rng = random.Random(1)
    scenes = [sample_scene(rng).things for _ in range(300)]
    for thing in (thing for things in scenes for thing in things):
        row, column = divmod(gathering_cell(thing, SIDE), SIDE)
        nearest_x = min(max(thing.x, column / SIDE), (column + 1) / SIDE)
        nearest_y = min(max(thing.y, row / SIDE), (row + 1) / SIDE)
        assert (thing.x - nearest_x) ** 2 + (thing.y - nearest_y) ** 2 < (0.6 * thing.radius) ** 2


def test_no_two_things_of_a_scene_share_a_cell() -> None:
    rng = random.Random(2)
    for things in [
        *(sample_scene(rng).things for _ in range(300)),
        *(sample_motion(rng).frames[0] for _ in range(100)),
    ]:
        assert len({gathering_cell(thing, SIDE) for thing in things}) == len(things)


def test_what_is_found_out_is_judged_by_the_word_behind_each_place() -> None:
    ids = torch.tensor([[0, 1, 2], [2, 2, 1]])
    hidden = 20.0 * torch.nn.functional.one_hot(ids.roll(-1, dims=1), 3).float()
    head = torch.nn.Identity()
    assert found_loss(head, hidden, ids, [(0, 0), (0, 1), (1, 1)]).item() < 0.01
    hidden[1, 1] = 20.0 * torch.tensor([1.0, 0.0, 0.0])
    assert found_loss(head, hidden, ids, [(0, 0), (1, 1)]).item() > 5
