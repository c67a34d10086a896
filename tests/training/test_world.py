"""The small world: what is said about a scene is true, and all of it can be listed."""

from __future__ import annotations

import random
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from vita_training.world.language import NUMBERS, WORDINGS, Question, answers, ask, follow_up, questions
from vita_training.world.pictures import LARGE, draw
from vita_training.world.prompt import SYSTEM_PROMPT
from vita_training.world.recordings import is_held_out
from vita_training.world.scenes import COLOURS, PLACES, SHAPES, Scene, Thing, sample_scene
from vita_training.world.small_talk import SMALL_TALK

pytestmark = pytest.mark.unit

SCENE = Scene((Thing("red", "circle", PLACES[0]), Thing("blue", "star", PLACES[1]), Thing("red", "star", PLACES[2])))


def sampled_questions(count: int) -> list[tuple[Scene, Question]]:
    rng = random.Random(7)
    drawn: list[tuple[Scene, Question]] = []
    for _ in range(count):
        scene = sample_scene(rng)
        question = ask(scene, rng)
        following = follow_up(scene, question, rng)
        drawn += [(scene, q) for q in (question, following) if q is not None]
    return drawn


def named_things(answer: str) -> set[tuple[str, str]]:
    return {pair for pair in re.findall(r"(\w+) (\w+)", answer) if pair[0] in COLOURS and pair[1] in SHAPES}


def test_every_thing_that_an_answer_affirms_is_in_the_scene() -> None:
    for scene, question in sampled_questions(3000):
        if " no " not in question.answer:
            assert named_things(question.answer) <= {(t.colour, t.shape) for t in scene.things}, (scene, question)


def test_every_thing_that_an_answer_denies_is_not_in_the_scene() -> None:
    for scene, question in sampled_questions(3000):
        if " no " in question.answer:
            assert not named_things(question.answer) & {(t.colour, t.shape) for t in scene.things}, (scene, question)


def test_places_and_counts_in_answers_are_true() -> None:
    for scene, question in sampled_questions(3000):
        for colour, shape, place in re.findall(rf"(\w+) (\w+) (?:is )?({'|'.join(PLACES)})", question.answer):
            if colour in COLOURS:
                assert Thing(colour, shape, place) in scene.things
        counted = re.match(r"There (?:is|are) (one|two|three|no) (circle|square|triangle|star)s?\.", question.answer)
        if counted:
            assert len(scene.with_shape(counted[2])) == NUMBERS.index(counted[1])


def test_all_that_the_assistant_says_is_listed_clause_by_clause() -> None:
    listed = set(answers())
    for _, question in sampled_questions(3000):
        clauses = re.findall(r"[^.]+\.", question.answer)
        if question.kind != "see":  # triples are listed by a sample
            assert {clause.strip() for clause in clauses} <= listed
    assert {line for _, line in SMALL_TALK} <= listed


def test_all_that_is_asked_is_listed() -> None:
    assert {question.text for _, question in sampled_questions(3000)} <= set(questions())


def test_the_assistant_speaks_few_words() -> None:
    assert len({word for text in answers() for word in re.findall(r"[a-z']+", text.lower())}) <= 120


def test_a_question_of_each_kind_can_be_asked_of_any_scene() -> None:
    rng = random.Random(3)
    for kind in WORDINGS:
        assert ask(SCENE, rng, kind).answer


def test_held_out_questions_leave_every_wording_and_thing_to_learn_from() -> None:
    held_out = [question for question in questions() if is_held_out(question)]
    learnt = [question for question in questions() if not is_held_out(question)]
    assert 5 <= len(held_out) <= len(questions()) // 10
    for colour in COLOURS:
        for shape in SHAPES:
            assert any(f"{colour} {shape}" in question for question in learnt)


def test_the_same_seed_draws_the_same_pixels_and_another_seed_others() -> None:
    def pixels(seed: int) -> NDArray[np.uint8]:
        return np.asarray(draw(SCENE, random.Random(seed), LARGE[0]).picture)

    assert (pixels(1) == pixels(1)).all()
    assert (pixels(1) != pixels(2)).any()


def test_things_are_drawn_where_their_place_says() -> None:
    drawing = draw(SCENE, random.Random(0), (112, 112))
    left, right, top = drawing.placed
    assert left.x < 45 < 67 < right.x
    assert top.y < 35
    red, green, blue = (int(v) for v in drawing.picture.getpixel((int(left.x), int(left.y))))  # type: ignore[misc]
    assert red > 2 * max(green, blue)


def test_the_system_prompt_is_the_one_that_the_orchestrator_uses() -> None:
    root = Path(__file__).parents[2]
    assert (root / "training/SYSTEM_PROMPT.txt").read_text(encoding="utf-8").strip() == SYSTEM_PROMPT
    assert f'"{SYSTEM_PROMPT}"' in (root / "services/vita_orchestrator/prompt.py").read_text(encoding="utf-8")
