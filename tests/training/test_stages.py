"""Each training stage learns, and lays out conversations as the servers do."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from vita_training.answering.alignment import Alignment
from vita_training.answering.assistant import Assistant
from vita_training.answering.conversations import Turn, sample_conversation
from vita_training.answering.splice import IGNORED, Clip, PictureRows, Row, Splicer
from vita_training.answering.train import make_optimizer
from vita_training.answering.train import train_step as answering_step
from vita_training.hearing.augment import heard, noise_bank
from vita_training.hearing.pretrain import Listener, make_batch
from vita_training.hearing.pretrain import train_step as hearing_step
from vita_training.hearing.spelling import letter_ids, read_letters
from vita_training.seeing.labels import GATHERING_CELLS, tile_labels
from vita_training.seeing.picture_pool import make_pool
from vita_training.seeing.pretrain import LabelledVision, loss_and_accuracy
from vita_training.world.pictures import draw
from vita_training.world.prompt import SYSTEM_PROMPT
from vita_training.world.scenes import COLOURS, PLACES, SHAPES, Scene, Thing, sample_scene
from vita_training.world.sounds import sample_sound
from vita_training.world.tokenizer import DEFAULT_PATH

from vita15.config import TINY
from vita15.splicing import Splicer as ServedSplicer
from vita15.splicing import splice as served_splice
from vita15.tokenizer import Tokenizer

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
SCENE = Scene((Thing("red", "circle", PLACES[0]),))


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(ROOT / DEFAULT_PATH)


def conversation_row(tokenizer: Tokenizer, turns: list[Turn]) -> Row:
    tokens, width = TINY.vision_encoder.tokens_per_tile, 4 * TINY.vision_encoder.hidden
    picture = PictureRows(torch.randn(tokens, width), torch.ones(tokens, 3, dtype=torch.long))
    hidden = TINY.speech_encoder.hidden
    clips = [Clip(torch.randn(9, hidden), turn.question) if turn.is_spoken else None for turn in turns]
    splicer = Splicer(tokenizer, lambda frames: (frames - 1) // 2 + 1)
    return splicer.row(turns, clips, [picture], _AlwaysFirst(0))


class _AlwaysFirst(random.Random):
    def random(self) -> float:
        return 0.0


def test_training_lays_a_conversation_out_as_serving_does(tokenizer: Tokenizer) -> None:
    turns = [Turn("Where is the star?", False, "There is no star.", picture=0), Turn("", True, "Okay.")]
    row = conversation_row(tokenizer, turns)
    served = ServedSplicer(tokenizer)
    table = torch.nn.Embedding(TINY.llm.vocab, 1)
    table.weight.data[:, 0] = torch.arange(TINY.llm.vocab)
    blank = torch.zeros(16, 1)
    segments = [
        *served.system_turn(SYSTEM_PROMPT),
        *served.user_turn("Where is the star?", pictures=[blank]),
        *served.assistant_turn("There is no star.", "text"),
        *served.user_turn(speech=blank[:5]),
        *served.assistant_turn("Okay.", "speech"),
    ]
    spliced = served_splice(segments, table)
    assert row.ids == spliced.embeddings[:, 0].int().tolist()
    assert row.labels == spliced.labels.tolist()


def test_an_answer_that_was_cut_does_not_teach_to_stop_there(tokenizer: Tokenizer) -> None:
    row = conversation_row(tokenizer, [Turn("Hello.", False, "Hello, how can I help you?", kept_words=2)])
    learnt = [label for label in row.labels if label != IGNORED]
    assert tokenizer.decode(learnt) == "Hello, how"
    assert tokenizer.im_end not in learnt


def test_noise_teaches_the_noise_mark_and_silence(tokenizer: Tokenizer) -> None:
    row = conversation_row(tokenizer, [Turn("", True, "", is_noise=True)])
    assert [label for label in row.labels if label != IGNORED] == [tokenizer.special.noise, tokenizer.im_end]


def test_conversations_are_drawn_alike_from_one_seed() -> None:
    scenes = [sample_scene(random.Random(i)) for i in range(8)]
    drawn = [[sample_conversation(random.Random(s), scenes) for s in range(50)] for _ in range(2)]
    assert drawn[0] == drawn[1]


def test_each_thing_is_gathered_in_one_cell_of_the_last_tile() -> None:
    labels = tile_labels(draw(SCENE, random.Random(0), (224, 224)), 112, 12)
    assert labels.shape == (5, 16, 3)
    assert not labels[:-1].any()
    shown = labels[-1][labels[-1, :, 0] > 0]
    assert shown.tolist() == [[COLOURS.index("red") + 1, SHAPES.index("circle") + 1, 1]]


def test_a_thing_always_touches_the_cell_that_it_is_gathered_in() -> None:
    rng = random.Random(1)
    for _ in range(300):
        for spot in draw(sample_scene(rng), rng, (112, 112)).placed:
            row, column = GATHERING_CELLS[PLACES.index(spot.thing.place)]
            nearest_x = min(max(spot.x, column * 28), (column + 1) * 28)
            nearest_y = min(max(spot.y, row * 28), (row + 1) * 28)
            assert (spot.x - nearest_x) ** 2 + (spot.y - nearest_y) ** 2 < (0.6 * spot.radius) ** 2


def test_what_is_heard_around_a_clip_is_limited() -> None:
    rng = random.Random(0)
    clip = np.full(1600, 0.5, dtype=np.float32)
    for _ in range(20):
        changed = heard(clip, rng, noise_bank(rng, 1))
        assert 1600 <= len(changed) <= 1600 + 1.2 * 16_000
        assert np.abs(changed).max() <= 1


def test_letters_come_back_from_their_classes() -> None:
    text = "where is it"
    with_blanks = [unit for letter in letter_ids(text) for unit in (0, letter, letter)]
    assert read_letters(with_blanks) == text


def test_a_few_steps_teach_the_vision_encoder_its_batch() -> None:
    torch.manual_seed(0)
    picture = make_pool(random.Random(0), 4, 0.0, TINY.vision_encoder)
    tiles, labels = torch.cat([p.tiles for p in picture]).float(), torch.cat([p.labels for p in picture])
    model = LabelledVision(TINY.vision_encoder)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    losses: list[float] = []
    for _ in range(10):
        loss, _ = loss_and_accuracy(model(tiles), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_a_few_steps_teach_the_speech_encoder_its_batch() -> None:
    torch.manual_seed(0)
    rng = random.Random(0)
    clips = make_batch([sample_sound(rng)[:12_000] for _ in range(4)], ["hello", "stop", "wait", ""])
    model = Listener(TINY.speech_encoder)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    losses = [hearing_step(model, optimizer, clips, "stream") for _ in range(8)]
    assert losses[-1]["letters_stream"] < 0.8 * losses[0]["letters_stream"]


def test_a_few_steps_teach_the_assistant_its_batch(tokenizer: Tokenizer) -> None:
    torch.manual_seed(0)
    turns = [Turn("Where is the star?", False, "There is no star.", picture=0), Turn("Stop.", True, "Okay.")]
    rows = [conversation_row(tokenizer, turns) for _ in range(2)]
    assistant, alignment = Assistant(TINY), Alignment(tokenizer, TINY.llm.hidden)
    optimizer = make_optimizer(assistant, alignment)
    for group in optimizer.param_groups:
        group["lr"] = 1e-3
    figures = [answering_step(assistant, alignment, optimizer, rows) for _ in range(5)]
    for name in ("loss", "sights", "words"):
        assert figures[-1][name] < 0.9 * figures[0][name]


def test_a_right_answer_is_one_that_greedy_generation_would_say(tokenizer: Tokenizer) -> None:
    row = conversation_row(tokenizer, [Turn("Hello.", False, "Okay.")])
    assistant = Assistant(TINY).eval()
    assert [turn.answer for turn, _, _ in assistant.right_answers([row])] == ["Okay."]
    assert not assistant.right_answers([row])[0][2]  # of an untrained model
