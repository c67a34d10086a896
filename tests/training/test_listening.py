"""The side lesson in listening points at where a word was said before: in what was typed, and in what was heard."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from vita_training.data.sample import AUDIO, Clip, Sample, Utterance
from vita_training.recipe.echo import spoken_ids
from vita_training.recipe.listening import listens, word_shares
from vita_training.recipe.looking import Look, looking_loss
from vita_training.recipe.rows import Row, Splicer
from vita_training.world.tokenizer import make_tokenizer

from vita15.config import TINY
from vita15.tokenizer import Tokenizer

pytestmark = pytest.mark.unit

SURE = 20.0  # a logit


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer(make_tokenizer(TINY.llm.vocab))


@pytest.fixture(scope="module")
def splicer(tokenizer: Tokenizer) -> Splicer:
    return Splicer(tokenizer, TINY)


def clip(text: str) -> Clip:
    return Clip(np.zeros(16_000 * 2, np.int16), text)


def conversation(splicer: Splicer, kinds: str, *turns: str, audio: tuple[Clip, ...] = ()) -> Row:
    speakers = ("human", "gpt")
    said = tuple(Utterance(speakers[index % 2], text) for index, text in enumerate(turns))
    return splicer.conversation(Sample("one", "tests", said, audio=audio, kind=kinds), random.Random(0))


def echoes(tokenizer: Tokenizer, row: Row) -> list[tuple[str, list[tuple[int | None, str]]]]:
    """Each word that is said again, with where it was said: in which clip, or in the row."""
    return [
        (
            tokenizer.decode([row.ids[echo.query + 1]]).strip(),
            [(w.clip, tokenizer.decode([w.token])) for w in echo.said],
        )
        for echo in row.echoes
    ]


def read_at(tokenizer: Tokenizer, text: str, places: list[int], count: int) -> torch.Tensor:
    """Logits of one clip (1, count, classes) of which CTC reads each word at one place."""
    logits = torch.zeros(1, count, tokenizer.vocab_size + 1)
    logits[..., 0] = SURE
    for token, place in zip(spoken_ids(tokenizer, text), places, strict=True):
        logits[0, place, 0], logits[0, place, token + 1] = 0.0, SURE
    return logits


def test_a_transcript_says_every_word_of_its_clip_again_in_order(tokenizer: Tokenizer, splicer: Splicer) -> None:
    said = "The red circle, and the blue one."
    row = splicer.transcription(Sample("one", "tests", (), audio=(clip(said),)))
    assert [word for word, _ in echoes(tokenizer, row)] == ["The", "red", "circle", "and", "the", "blue", "one"]
    assert [echo.said[0].place for echo in row.echoes] == list(range(7))


@pytest.mark.parametrize(
    ("asked", "answer", "expected"),
    [
        pytest.param("Say, say two two, please.", "Two two.", [("Two", " two"), ("two", " two")], id="repeated"),
        pytest.param("Say five Anna.", "Six Anna.", [], id="not word for word"),
    ],
)
def test_a_repeated_phrase_is_where_the_question_has_it(
    tokenizer: Tokenizer, splicer: Splicer, asked: str, answer: str, expected: list[tuple[str, str]]
) -> None:
    row = conversation(splicer, "repeat", asked, answer)
    assert [(word, said[0][1]) for word, said in echoes(tokenizer, row)] == expected
    places = [echo.said[0].place for echo in row.echoes]
    assert places == sorted(set(places))


def test_a_number_is_recalled_from_the_newest_turn_that_told_it_and_its_answer(
    tokenizer: Tokenizer, splicer: Splicer
) -> None:
    row = conversation(
        splicer,
        "tell_number plus tell_number ask_number",
        *("My number is six.", "Okay, I will remember six.", "What is six plus one?", "Six plus one is seven."),
        *(AUDIO, "Okay, I will remember six.", "What is my number?", "The number is six."),
        audio=(clip("Remember the number six."),),
    )
    assert echoes(tokenizer, row) == [
        ("six", [(None, " six")]),
        ("Six", [(None, " six")]),
        ("one", [(None, " one")]),
        ("six", [(0, " six")]),
        ("six", [(0, " six"), (None, " six")]),
    ]


def test_what_was_never_told_is_not_looked_for(splicer: Splicer) -> None:
    assert not conversation(splicer, "ask_number", "What is my number?", "You have not told me a number.").echoes


def test_each_word_is_where_ctc_reads_it_and_one_said_twice_is_told_apart() -> None:
    logits = torch.zeros(1, 8, 5)
    logits[..., 0] = SURE
    for place, word in ((1, 3), (4, 2), (6, 3)):
        logits[0, place, 0], logits[0, place, word] = 0.0, SURE
    (shares,) = word_shares(logits, torch.tensor([8]), [[3, 2, 3]])
    assert shares.argmax(1).tolist() == [1, 4, 6]
    assert torch.allclose(shares.sum(1), torch.ones(3), atol=1e-3)


def test_a_word_that_is_read_in_two_places_is_shared_between_them() -> None:
    logits = torch.zeros(1, 4, 3)
    logits[..., 0] = SURE
    logits[0, 1:3, 0], logits[0, 1:3, 1] = 0.0, SURE
    (shares,) = word_shares(logits, torch.tensor([4]), [[1]])
    assert (shares[0, 1:3] > 0.9).all()


def test_before_a_word_its_sound_is_listened_to_and_from_there_the_one_before(
    tokenizer: Tokenizer, splicer: Splicer
) -> None:
    said = "Red circle."
    rows = [
        conversation(splicer, "hello", AUDIO, "Hello.", audio=(clip("Hello."),)),
        splicer.transcription(Sample("one", "tests", (), audio=(clip(said),))),
    ]
    start, _ = rows[1].sounds[0]
    read = read_at(tokenizer, said, [3, 7], 20)
    looks = listens(rows, torch.cat([torch.zeros_like(read), read]), torch.tensor([20, 20]), tokenizer)
    first, second = (echo.query for echo in rows[1].echoes)
    assert set(looks) == {
        (1, Look(first, (start + 3,), "word")),
        (1, Look(second, (start + 7,), "word")),
        (1, Look(start + 7, (start + 3,), "word before")),
    }


def test_words_that_were_typed_and_heard_may_be_taken_from_either(tokenizer: Tokenizer, splicer: Splicer) -> None:
    told = "My name is Ben."
    row = conversation(
        splicer,
        "tell_name ask_name",
        *(AUDIO, "Nice to meet you, Ben.", "Who am I?", "Your name is Ben."),
        audio=(clip(told),),
    )
    looks = listens([row], read_at(tokenizer, told, [2, 4, 6, 8], 20), torch.tensor([20]), tokenizer)
    start, _ = row.sounds[0]
    told_again, recalled = (look for _, look in looks if look.aim == "word")
    assert told_again.keys == (start + 8,)
    assert recalled.keys == (start + 8, told_again.query + 1)


def test_listening_elsewhere_costs_much() -> None:
    looks = [(0, Look(5, (1,), "word")), (0, Look(3, (1,), "word before"))]
    right, wrong = torch.zeros(1, 6, 8, 8), torch.zeros(1, 6, 8, 8)
    right[..., 1] = wrong[..., 7] = 1.0
    assert looking_loss([right] * 4, looks).item() < 0.01
    assert looking_loss([wrong] * 4, looks).item() > 10
