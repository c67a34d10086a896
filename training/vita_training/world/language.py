"""What is asked about a scene and what the assistant says: every answer is true of its scene, by construction.

An answer is one of few sentence forms, so that the whole of the assistant's speech can be listed (`answers`) and the
speech decoder can be taught all of it. Questions have several wordings; answers have one.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass

from vita_training.world.scenes import COLOURS, MAX_THINGS, PLACES, SHAPES, Scene, Thing
from vita_training.world.small_talk import NO_PICTURE, SMALL_TALK, UNKNOWN

NUMBERS = ("no", "one", "two", "three")
WORDINGS: dict[str, tuple[str, ...]] = {
    "colour": ("What color is the {shape}?", "Which color is the {shape}?", "What is the color of the {shape}?"),
    "shape": ("What shape is {colour}?", "Which shape is {colour}?", "What is the {colour} shape?"),
    "count": ("How many {shape}s are there?", "How many {shape}s do you see?", "How many {shape}s can you see?"),
    "count_all": ("How many shapes are there?", "How many shapes do you see?", "How many things are there?"),
    "exist": ("Is there a {colour} {shape}?", "Do you see a {colour} {shape}?", "Can you see a {colour} {shape}?"),
    "exist_shape": ("Is there a {shape}?", "Do you see a {shape}?", "Can you see a {shape}?"),
    "where": ("Where is the {colour} {shape}?", "Where do you see the {colour} {shape}?"),
    "where_shape": ("Where is the {shape}?", "Where do you see the {shape}?"),
    "at": ("What is {place}?", "What do you see {place}?", "Which shape is {place}?"),
    "see": ("What do you see?", "What can you see?", "What is in the picture?", "What is this?"),
    "describe": (
        "Describe the picture.",
        "Please describe the picture.",
        "Tell me about the picture.",
        "Tell me everything about the picture.",
    ),
}
OPENINGS = ("Stop.", "Wait.", "Okay.", "Please tell me.")  # before a question, often when it interrupts an answer
LAST_WORDS = "That is all I can see."


@dataclass(frozen=True, slots=True)
class Question:
    """A question and its one right answer."""

    kind: str
    text: str
    answer: str
    about: Thing | None = None  # what "it" means from now on


def ask(scene: Scene, rng: random.Random, kind: str | None = None) -> Question:
    """Ask something about a scene that has one answer."""
    kind = kind or rng.choice(tuple(WORDINGS))
    colour, shape, place = _subject(scene, kind, rng)
    text = rng.choice(WORDINGS[kind]).format(colour=colour, shape=shape, place=place)
    answer, about = _answer(scene, kind, colour, shape, place)
    return Question(kind, text, answer, about)


def follow_up(scene: Scene, last: Question, rng: random.Random) -> Question | None:
    """Ask on, in words that need the last question; None where nothing fits."""
    options: list[Question] = []
    if last.kind == "colour":
        shape = rng.choice([s for s in SHAPES if len(scene.with_shape(s)) < 2])
        options.append(Question("and_colour", f"And the {shape}?", *_answer(scene, "colour", "", shape, "")))
    if last.kind == "at":
        place = rng.choice(PLACES)
        options.append(Question("and_at", f"And {place}?", *_answer(scene, "at", "", "", place)))
    if last.about is not None and last.kind in ("colour", "shape", "exist", "and_colour"):
        thing = last.about
        options.append(Question("where_it", "Where is it?", f"It is {thing.place}.", thing))
    if last.about is not None and last.kind in ("where_shape", "exist_shape"):
        thing = last.about
        options.append(Question("colour_it", "What color is it?", f"It is {thing.colour}.", thing))
    return rng.choice(options) if options else None


def describe(scene: Scene) -> str:
    """The long answer: eight seconds of speech and more."""
    count = len(scene.things)
    first = f"There {'is' if count == 1 else 'are'} {NUMBERS[count]} shape{'' if count == 1 else 's'} in the picture."
    return " ".join([first, *(f"There is a {t.name} {t.place}." for t in scene.things), LAST_WORDS])


def see(things: tuple[str, ...]) -> str:
    """Name up to three things in one sentence."""
    named = [f"a {name}" for name in things]
    return f"I see {', '.join(named[:-1])}{' and ' if len(named) > 1 else ''}{named[-1]}."


def answers() -> list[str]:
    """Every text the assistant may say, as clauses: longer answers are these one after another.

    Pairs in "I see …" are all here; triples, 13,000, by a fixed sample.
    """
    names = [f"{c} {s}" for c, s in itertools.product(COLOURS, SHAPES)]
    said = [f"The {s} is {c}." for c, s in itertools.product(COLOURS, SHAPES)]
    said += [f"The {c} shape is a {s}." for c, s in itertools.product(COLOURS, SHAPES)]
    said += [f"Nothing is {c}." for c in COLOURS] + [f"It is {c}." for c in COLOURS]
    said += [count_answer(n, s) for n in range(MAX_THINGS + 1) for s in (*SHAPES, "shape") if n or s != "shape"]
    said += [f"{yes} there is {a} {x}." for x in (*names, *SHAPES) for yes, a in (("Yes,", "a"), ("No,", "no"))]
    said += [f"There is no {name}." for name in names]
    said += [f"The {x} is {p}." for x in (*names, *SHAPES) for p in PLACES] + [f"It is {p}." for p in PLACES]
    said += [f"There is a {name} {p}." for name in names for p in PLACES] + [f"There is nothing {p}." for p in PLACES]
    said += ["There is one shape in the picture."]
    said += [f"There are {n} shapes in the picture." for n in NUMBERS[2:]] + [LAST_WORDS]
    said += [see((name,)) for name in names] + [see(pair) for pair in itertools.permutations(names, 2)]
    rng = random.Random(0)
    said += [see(tuple(rng.sample(names, 3))) for _ in range(300)]
    said += [f"a {a} and a {b}." for a, b in (rng.sample(names, 2) for _ in range(150))]  # the end of a triple
    said += [line for _, line in SMALL_TALK] + [NO_PICTURE, UNKNOWN]
    return list(dict.fromkeys(said))


def questions() -> list[str]:
    """Every question about pictures in every wording, follow-ups included."""
    asked: list[str] = []
    for wordings in WORDINGS.values():
        for wording, colour, shape, place in itertools.product(wordings, COLOURS, SHAPES, PLACES):
            asked.append(wording.format(colour=colour, shape=shape, place=place))
    asked += [f"And the {s}?" for s in SHAPES] + [f"And {p}?" for p in PLACES]
    asked += ["Where is it?", "What color is it?"]
    return list(dict.fromkeys(asked))


def count_answer(count: int, shape: str) -> str:
    """How many there are, in words."""
    if count < 2:
        return f"There is {NUMBERS[count]} {shape}."
    return f"There are {NUMBERS[count]} {shape}s."


def _subject(scene: Scene, kind: str, rng: random.Random) -> tuple[str, str, str]:
    """Draw what to ask about: mostly what is there, never what has two answers."""
    thing = rng.choice(scene.things)
    colour, shape, place = thing.colour, thing.shape, thing.place
    if rng.random() < (0.5 if kind in ("exist", "exist_shape", "count") else 0.15):
        colour, shape = (rng.choice(COLOURS), shape) if rng.random() < 0.5 else (colour, rng.choice(SHAPES))
    if kind == "at" and rng.random() < 0.3:
        place = rng.choice(PLACES)
    if kind in ("colour", "where_shape") and len(scene.with_shape(shape)) > 1:
        shape = rng.choice([s for s in SHAPES if len(scene.with_shape(s)) < 2])
    if kind == "shape":
        colour = rng.choice([t.colour for t in scene.things] * 3 + list(COLOURS))
        if len(scene.with_colour(colour)) > 1:
            colour = rng.choice([c for c in COLOURS if len(scene.with_colour(c)) < 2])
    return colour, shape, place


def _answer(scene: Scene, kind: str, colour: str, shape: str, place: str) -> tuple[str, Thing | None]:
    """The right answer, and the one thing that it is about."""
    if kind in ("see", "describe", "count", "count_all"):
        return _overview(scene, kind, shape), None
    if kind == "at":
        found = scene.at(place)
        return (f"There is a {found.name} {place}." if found else f"There is nothing {place}."), found
    if kind == "shape":
        found = next(iter(scene.with_colour(colour)), None)
        return (f"The {colour} shape is a {found.shape}." if found else f"Nothing is {colour}."), found
    is_named = kind in ("exist", "where")
    matches = [t for t in scene.with_shape(shape) if not is_named or t.colour == colour]
    found = matches[0] if len(matches) == 1 else None
    name = f"{colour} {shape}" if is_named else shape
    if kind in ("exist", "exist_shape"):
        return (f"Yes, there is a {name}." if matches else f"No, there is no {name}."), found
    if found is None:
        return f"There is no {name}.", None
    return (f"The {shape} is {found.colour}." if kind == "colour" else f"The {name} is {found.place}."), found


def _overview(scene: Scene, kind: str, shape: str) -> str:
    if kind == "see":
        return see(tuple(t.name for t in scene.things))
    if kind == "describe":
        return describe(scene)
    if kind == "count_all":
        return count_answer(len(scene.things), "shape")
    return count_answer(len(scene.with_shape(shape)), shape)
