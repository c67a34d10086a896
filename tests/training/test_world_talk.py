"""What is said in the small world is true, can be listed, and keeps its held-out wordings apart."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from vita_training.data.sample import Sample, Thing
from vita_training.world.conversations import draw_dialogue
from vita_training.world.numerals import NUMBERS
from vita_training.world.patterns import SLOTS, is_held_out, is_whole, pattern
from vita_training.world.phrasing import FRAMES, Asker, wordings
from vita_training.world.prompt import SYSTEM_PROMPT
from vita_training.world.sources import captions, questions, text_only
from vita_training.world.things import COLOURS, NAMES, PLACES, SHAPES, name
from vita_training.world.tokenizer import make_tokenizer
from vita_training.world.topics.every import KINDS, answers
from vita_training.world.topics.memory import PEOPLE
from vita_training.world.typing import typed_forms

from vita15.tool_format import parse_call

pytestmark = pytest.mark.unit

PLACE = "|".join(sorted(PLACES, key=len, reverse=True))
COUNTS = ("no", "one", "two", "three", "four")


def whole_samples(count: int = 1500) -> list[Sample]:
    """Samples whose answers are all whole."""
    pictures, talk = questions(7), text_only(7)
    drawn = [*(pictures[i] for i in range(count)), *(talk[i] for i in range(count))]
    return [sample for sample in drawn if sample.is_whole and sample.kind != "dictation"]


def exchanges(sample: Sample) -> Iterator[tuple[str, str, tuple[Thing, ...] | None]]:
    """Each question without placeholders, its spoken answer, and the things that are seen (of a video, at first)."""
    seen, asked = None, ""
    pictures, videos = iter(sample.pictures), iter(sample.videos)
    for utterance in sample.conversations:
        if utterance.speaker == "human":
            asked = utterance.value.split("\n")[-1]
            seen = next(pictures).things if "<image>" in utterance.value else seen
            seen = next(videos).things[0] if "<video>" in utterance.value else seen
        elif utterance.speaker == "gpt" and parse_call(utterance.value) is None:
            yield asked, utterance.value, seen


SAMPLES = whole_samples()


def test_what_an_answer_affirms_is_there_and_what_it_denies_is_not() -> None:
    for sample in SAMPLES:
        for _, answer, things in exchanges(sample):
            names = {name(thing) for thing in things or ()}
            for sentence in re.split(r"(?<=\.) ", answer if things else ""):
                said = {n for n in NAMES if re.search(rf"\b{n}\b", sentence) and f"{n} shape" not in sentence}
                if re.match(r"(No, there is|There is) no ", sentence):
                    assert not said & names, (things, answer)
                elif "repeat" not in sample.kind:
                    assert said <= names, (things, answer)


def test_places_counts_colors_and_sizes_are_true() -> None:
    checked = 0
    for sample in SAMPLES:
        for _, answer, things in exchanges(sample):
            if not things or "repeat" in sample.kind:
                continue
            for colour, shape, place in re.findall(rf"(\w+) (\w+) (?:is )?({PLACE})\b", answer):
                if colour in COLOURS:
                    at = [t for t in things if t.place == place]
                    assert [name(t) for t in at] == [f"{colour} {shape}"]
                    checked += 1
            for shape, colour in re.findall(rf"(?:The|the) ({'|'.join(SHAPES)}) is ({'|'.join(COLOURS)})\.", answer):
                assert [t.colour for t in things if t.shape == shape] == [colour]
                checked += 1
            for count, shape in re.findall(
                rf"There (?:is|are) ({'|'.join(COUNTS)}) ({'|'.join(SHAPES)})e?s?\.", answer
            ):
                assert sum(t.shape == shape for t in things) == COUNTS.index(count)
                checked += 1
            for colour, shape in re.findall(r"The (\w+) (\w+) is the biggest\.", answer):
                assert max(things, key=lambda t: t.radius) == next(t for t in things if name(t) == f"{colour} {shape}")
                checked += 1
    assert checked > 500


def test_sums_are_right() -> None:
    sums = [
        s
        for sample in SAMPLES
        for _, a, _ in exchanges(sample)
        for s in re.findall(r"(\w+) (plus|minus) (\w+) is (\w+)\.", a)
    ]
    assert len(sums) > 100
    for one, sign, other, result in sums:
        a, b, c = (NUMBERS.index(word.lower()) for word in (one, other, result))
        assert c == (a + b if sign == "plus" else a - b)


def test_what_was_told_is_remembered_and_what_was_not_is_not_made_up() -> None:
    recalled = 0
    for sample in SAMPLES:
        person = number = None
        for _, answer, _ in exchanges(sample):
            if told := re.fullmatch(r"Nice to meet you, (\w+)\.", answer):
                person = told[1]
            if told := re.fullmatch(r"Okay, I will remember (\w+)\.", answer):
                number = told[1]
            if said := re.fullmatch(r"Your name is (\w+)\.", answer):
                assert said[1] == person
                recalled += 1
            if said := re.fullmatch(r"The number is (\w+)\.", answer):
                assert said[1] == number
                recalled += 1
            assert answer != "You have not told me your name." or person is None
            assert answer != "You have not told me a number." or number is None
    assert recalled > 50


def test_a_tool_is_called_with_what_was_asked_and_answered_from_what_it_said() -> None:
    called: set[str] = set()
    for sample in SAMPLES:
        turns = sample.conversations
        for index, turn in enumerate(turns):
            call = parse_call(turn.value) if turn.speaker == "gpt" else None
            if call is None:
                continue
            called.add(call.name)
            assert turns[0].speaker == "system"
            assert turns[index + 1].speaker == "tool"
            result, answer = json.loads(turns[index + 1].value), turns[index + 2].value
            assert "error" not in result or re.match(r"I (can|could) not ", answer)
            for value in json.loads(call.arguments).values():
                assert value in turns[index - 1].value.lower()
            assert all(value in answer for key, value in result.items() if key != "error")
    assert called == {"get_time", "set_light"}


def test_all_that_the_assistant_says_is_listed_sentence_by_sentence() -> None:
    listed = set(answers())
    for sample in SAMPLES:
        for _, answer, _ in exchanges(sample):
            for sentence in re.split(r"(?<=\.) ", answer):
                is_sampled = sentence.startswith("I see ") or re.fullmatch(r"It is \d\d:\d\d\.", sentence)
                assert is_sampled or sentence in listed


def test_the_assistant_speaks_few_words() -> None:
    assert len({word for text in answers() for word in re.findall(r"[a-z']+", text.lower())}) <= 200


def test_training_meets_no_held_out_wording_and_evaluation_hardly_any_other() -> None:
    def asked(is_held_out: bool) -> list[str]:
        sets = [make(3, is_held_out=is_held_out) for make in (captions, questions, text_only)]
        return [asked for one in sets for i in range(400) for asked, _, _ in exchanges(one[i])]

    learnt, kept = asked(is_held_out=False), asked(is_held_out=True)
    assert not [text for text in learnt if is_held_out(text)]
    assert sum(map(is_held_out, kept)) > 0.85 * len(kept)


def test_every_part_of_a_held_out_wording_is_learnt_elsewhere() -> None:
    learnt = {word for kind in KINDS for text in (*wordings(kind).bare, *wordings(kind).framed) for word in words(text)}
    for kind in KINDS:
        known = wordings(kind)
        assert known.bare or known.framed
        assert {word for text in known.held_out for word in words(text)} <= learnt, kind.name


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", re.sub(r"\{\w+\}", "", text.lower()))


def test_a_pattern_is_the_same_however_a_question_is_typed_and_whatever_it_asks_about() -> None:
    forms = typed_forms("What color is the circle?")
    assert {pattern(form) for form in forms} == {pattern("What color is the star?")}
    assert pattern("what is 5 + 3") == pattern("What is five plus three?")


def test_a_beginning_of_a_question_is_not_whole_unless_it_is_a_question_too() -> None:
    assert is_whole("What do you see at the top?")
    assert is_whole("What do you see")
    assert not is_whole("What do you see at the")
    assert not is_whole("My name is")
    assert is_whole(f"my name is {PEOPLE[0]}")


def test_every_slot_of_every_wording_can_be_filled() -> None:
    for kind in KINDS:
        for text in (*wordings(kind).bare, *wordings(kind).framed, *wordings(kind).held_out):
            assert set(re.findall(r"\{(\w+)\}", text)) <= set(SLOTS)
    assert FRAMES["question"][0] == "{}?"  # bare


def test_a_sample_is_a_function_of_seed_and_index() -> None:
    one, other = questions(5), questions(5)
    later = [one[i] for i in (9, 3)]
    assert [s.conversations for s in later] == [other[3 + 6].conversations, other[3].conversations]
    assert [p.pixels.tobytes() for s in later for p in s.pictures] == [
        p.pixels.tobytes() for i in (9, 3) for p in other[i].pictures
    ]
    assert one[3].conversations != questions(6)[3].conversations != questions(5, is_held_out=True)[3].conversations
    with pytest.raises(IndexError):
        one[len(one)]


def test_an_answer_that_was_broken_off_is_the_beginning_of_one() -> None:
    source, listed = text_only(1), set(answers())
    cut = [sample for sample in (source[i] for i in range(600)) if not sample.is_whole]
    assert 20 < len(cut) < 90
    for sample in cut:
        (broken,) = (said for said in sample.conversations if said.is_broken_off)
        assert any(said.startswith(broken.value) for said in listed) or re.match(r"It is \d\d:\d\d", broken.value)
    assert any(not sample.conversations[-1].is_broken_off for sample in cut), "nobody is asked on"


def test_tools_are_offered_beside_pictures_too() -> None:
    drawn = [draw_dialogue(Asker(random.Random(i)), "picture") for i in range(2000)]
    offered = [dialogue for dialogue in drawn if dialogue.has_tools]
    assert 0.07 < len(offered) / len(drawn) < 0.13
    assert {bool(question.call) for dialogue in offered for question in dialogue.questions} == {True, False}


def test_every_word_is_one_token_of_the_vocabulary() -> None:
    tokenizer = make_tokenizer(1536)
    rng = random.Random(0)
    for text in rng.sample(answers(), 300):
        pieces = re.findall(r" ?\w+|[^\w ]", text)
        assert len(tokenizer.encode(text, add_special_tokens=False).ids) == len(pieces), text


def test_the_system_prompt_is_the_one_that_the_orchestrator_uses() -> None:
    root = Path(__file__).parents[2]
    assert f'"{SYSTEM_PROMPT}"' in (root / "services/vita_orchestrator/prompt.py").read_text(encoding="utf-8")
