"""Pictures and videos of the small world show what is said of them."""

from __future__ import annotations

import random

import numpy as np
import pytest
from PIL import Image
from vita_training.data.sample import Thing
from vita_training.world.painting import MAX_ASPECT, RGB, SIDES_PX, paint, sample_look, sample_size
from vita_training.world.scene import FRAMES, STEPS, sample_motion, sample_scene
from vita_training.world.things import CELLS, COLOURS, NAMES, SHAPES, name

pytestmark = pytest.mark.unit


def painted(things: tuple[Thing, ...], seed: int, size: tuple[int, int] = (112, 112)) -> Image.Image:
    rng = random.Random(seed)
    return paint(things, sample_look(things, size, rng), rng)


def test_a_thing_lies_in_the_cell_of_its_place_and_no_two_share_one() -> None:
    rng = random.Random(1)
    for _ in range(500):
        things = sample_scene(rng).things
        assert 1 <= len(things) <= 4
        assert len({t.place for t in things}) == len({name(t) for t in things}) == len(things)
        for thing in things:
            assert (int(thing.x * 3), int(thing.y * 3)) == CELLS[thing.place]


def test_every_color_and_shape_occur_together() -> None:
    rng = random.Random(2)
    assert {name(thing) for _ in range(2000) for thing in sample_scene(rng).things} == set(NAMES)


@pytest.mark.parametrize("colour", COLOURS)
def test_a_thing_has_its_color_and_no_other_at_its_centre(colour: str) -> None:
    reference = np.array([RGB[c] for c in COLOURS], dtype=float)
    for seed in range(60):
        thing = Thing(colour, SHAPES[seed % len(SHAPES)], "in the middle", 0.5, 0.5, 0.1)
        centre = np.asarray(painted((thing,), seed))[54:59, 54:59].mean((0, 1))
        assert COLOURS[int(np.linalg.norm(reference - centre, axis=1).argmin())] == colour


def test_shapes_cover_different_pixels() -> None:
    def mask(shape: str) -> np.ndarray:
        picture = painted((Thing("red", shape, "in the middle", 0.5, 0.5, 0.15),), 3)
        pixels = np.asarray(picture, dtype=int)
        return (pixels[..., 0] > 160) & (pixels[..., 1] < 90)

    masks = [mask(shape) for shape in SHAPES]
    for one in range(len(SHAPES)):
        assert masks[one].sum() > 200
        for other in range(one):
            assert (masks[one] & masks[other]).sum() < 0.95 * (masks[one] | masks[other]).sum()


def test_the_same_seed_paints_the_same_pixels_and_another_seed_others() -> None:
    things = sample_scene(random.Random(5)).things
    assert painted(things, 1).tobytes() == painted(things, 1).tobytes()
    assert painted(things, 1).tobytes() != painted(things, 2).tobytes()


def test_pictures_have_many_sizes_within_the_limits() -> None:
    rng = random.Random(0)
    sizes = {sample_size(rng, 112, 1.0) for _ in range(300)}
    assert len(sizes) > 200
    for width, height in sizes:
        assert SIDES_PX[0] <= min(width, height) <= max(width, height) <= SIDES_PX[1]
        assert max(width / height, height / width) <= MAX_ASPECT * 1.05


def test_in_a_video_one_thing_moves_one_way_and_the_others_stay() -> None:
    rng = random.Random(4)
    for _ in range(300):
        motion = sample_motion(rng)
        first, last = motion.frames[0], motion.frames[-1]
        assert FRAMES[0] <= len(motion.frames) <= FRAMES[1]
        for index, (before, after) in enumerate(zip(first, last, strict=True)):
            if index != motion.mover:
                assert all(frame[index] == before for frame in motion.frames)
                assert before.place != last[motion.mover].place
            else:
                way = (np.sign(round(after.x - before.x, 6)), np.sign(round(after.y - before.y, 6)))
                assert way == STEPS[motion.direction]
                assert after.place != before.place
