"""Training of the voice: what is said, which word is said when, and what the losses ask for."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest
import torch
from vita_training.speaking.codec_encoder import CodebookMeans, CodecEncoder, nearest
from vita_training.speaking.examples import IGNORED, Example, batches, collate
from vita_training.speaking.intelligibility import bigram_model, word_error_rate
from vita_training.speaking.objective import ATTENTION, Objective, onset_weights
from vita_training.speaking.progress import Progress, resume, save_snapshot
from vita_training.speaking.sentences import clauses, comma_pieces, words
from vita_training.speaking.voice import word_starts

from vita15.config import TINY
from vita15.speech_decoder import SpecialIds, SpeechDecoder

pytestmark = pytest.mark.unit

SPECIAL = SpecialIds.of(TINY.speech_decoder)


def example(token_count: int, code_count: int) -> Example:
    """Each token is a word, spoken for an equal share of the codes."""
    steps = [min(token_count - 1, t * token_count // code_count) for t in range(code_count + 1)]
    spoken = torch.tensor([[s, s] for s in steps])
    return Example(torch.arange(token_count) + 5, torch.arange(code_count) % 1024, spoken, spoken[:, 0].clone())


def test_held_out_clauses_are_not_learnt_and_hold_no_unknown_word() -> None:
    said = clauses()
    assert not set(said.train) & set(said.held_out)
    learnt = {word for text in said.train for word in words(text)}
    assert {word for text in said.held_out for word in words(text)} <= learnt


def test_clauses_are_cut_after_commas() -> None:
    assert comma_pieces("hello, how can i help you?") == ["hello,", "how can i help you?"]
    assert comma_pieces("it is red.") == []


def test_words_of_which_no_time_is_known_lie_between_their_neighbours() -> None:
    starts = word_starts("no, there is no star.", [(0, 0.0), (-1, 0.5), (4, 0.6), (13, 1.0)], 1.5)
    assert [at for at, _ in starts] == [0, 4, 10, 13, 16]
    times = [s for _, s in starts]
    assert times == sorted(times)
    assert times[1] == 0.6
    assert 0.6 < times[2] < times[3] == 1.0


def test_a_batch_starts_with_speech_start_and_ends_with_speech_end() -> None:
    batch = collate([example(3, 4), example(2, 2)], SPECIAL)
    assert batch.inputs.tolist() == [[1025, 0, 1, 2, 3], [1025, 0, 1, 1027, 1027]]
    assert batch.targets.tolist() == [[0, 1, 2, 3, 1026], [0, 1, 1026, IGNORED, IGNORED]]
    assert batch.token_counts.tolist() == [3, 2]


def test_batches_hold_clauses_of_similar_length() -> None:
    examples = [example(3, count) for count in range(10, 110)]
    drawn = batches(examples, 8, SPECIAL, random.Random(0))
    spreads = [int((b.targets == IGNORED).sum(1).max()) for b in (next(drawn) for _ in range(12))]
    assert sum(spreads) / len(spreads) < 20


def test_onsets_of_words_weigh_more() -> None:
    spoken = torch.tensor([[[0, 0]] * 10 + [[1, 1]] * 10])
    weights = onset_weights(spoken)[0]
    assert weights[10] > weights[8] == 1.0
    assert weights[9] > 1.0
    assert weights[16] == 1.0


def test_the_objective_reaches_every_weight_and_falls() -> None:
    torch.manual_seed(0)
    decoder = SpeechDecoder(TINY.speech_decoder, ATTENTION)
    objective = Objective(decoder, word_count=8)
    batch = collate([example(4, 12), example(3, 9)], SPECIAL)
    weights = [*decoder.parameters(), *objective.parameters()]
    optimiser = torch.optim.AdamW(weights, 3e-3)
    losses: list[float] = []
    for _ in range(12):
        loss, parts = objective(batch, random.Random(0))
        assert set(parts) == {"code", "word", "guide"}
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert all(weight.grad is not None for weight in weights)
    assert losses[-1] < 0.8 * losses[0]


def test_the_encoder_gives_forty_vectors_a_second() -> None:
    assert CodecEncoder(TINY.codec_decoder)(torch.zeros(2, 24_000)).shape == (2, 40, 16)


def test_a_codebook_follows_what_is_given_to_it_and_moves_rows_that_nothing_is_given_to() -> None:
    torch.manual_seed(0)
    vectors = torch.cat([torch.full((50, 2), 1.0), torch.full((50, 2), -1.0)]) + torch.randn(100, 2) * 0.01
    means, codebook = CodebookMeans(3, 2), torch.tensor([[0.5, 0.5], [-0.5, -0.5], [9.0, 9.0]])
    means.sums.copy_(codebook)
    for _ in range(300):
        means.follow(vectors, nearest(vectors, codebook), codebook)
    assert (codebook[nearest(vectors, codebook)] - vectors).abs().max() < 0.1
    assert codebook.abs().max() < 2


def test_word_errors_ignore_case_and_punctuation() -> None:
    assert word_error_rate(["The star, is red."], ["the star is red"]) == 0
    assert word_error_rate(["The star is red."], ["the star is"]) == 0.25


def test_a_bigram_model_gives_certain_words_their_probability() -> None:
    model = bigram_model([["it", "is"], ["it", "was"]])
    assert f"{math.log10(0.99):.4f} <s> it" in model
    assert f"{math.log10(0.495):.4f} it is" in model


def test_an_interrupted_run_goes_on_where_it_was(tmp_path: Path) -> None:
    module = torch.nn.Linear(2, 2)
    optimiser = torch.optim.AdamW(module.parameters())
    progress = Progress(10.0, step=7, spent_s=60.0)
    save_snapshot(tmp_path / "x.pt", progress, optimiser, module=module)
    other, later = torch.nn.Linear(2, 2), Progress(10.0)
    assert resume(tmp_path / "x.pt", later, torch.optim.AdamW(other.parameters()), module=other)
    assert (later.step, later.spent_s) == (7, 60.0)
    assert torch.equal(other.weight, module.weight)
    assert not resume(tmp_path / "none.pt", later, optimiser, module=module)
