"""Training of the voice: what is said, which word is said when, and what the losses ask for."""

from __future__ import annotations

import math

import pytest
import torch
from vita_training.speaking.clauses import choose, cut, words
from vita_training.speaking.codec import CodebookMeans, Codec, nearest
from vita_training.speaking.examples import IGNORED, Example, collate, pools
from vita_training.speaking.intelligibility import bigram_model, word_error_rate
from vita_training.speaking.teaching import MASK_CODES, TaughtDecoder, hidden_spans, onset_weights
from vita_training.speaking.voice import word_starts
from vita_training.world.topics.every import answers

from vita15.config import TINY
from vita15.speech_decoder import SpecialIds, SpeechDecoder

pytestmark = pytest.mark.unit

SPECIAL = SpecialIds.of(TINY.speech_decoder)


def example(token_count: int, code_count: int) -> Example:
    """Each token is a word, spoken for an equal share of the codes."""
    steps = [min(token_count - 1, t * token_count // code_count) for t in range(code_count + 1)]
    spoken = torch.tensor([[s, s] for s in steps])
    return Example(torch.arange(token_count) + 5, torch.arange(code_count) % 1024, spoken, spoken[:, 0].clone())


def test_clauses_kept_aside_are_not_learnt_and_hold_no_unknown_word() -> None:
    said = choose(answers())
    assert len(said.development) >= 100
    assert len(said.held_out) >= 100
    aside = {*said.development, *said.held_out}
    assert len(aside) == len(said.development) + len(said.held_out)
    assert not set(said.train) & aside
    learnt = {word for text in said.train for word in words(text)}
    assert {word for text in aside for word in words(text)} <= learnt
    everything = [clause for answer in answers() for clause in cut(answer)]
    assert {word for clause in everything for word in words(clause)} == learnt


def test_of_a_combinatorial_list_each_pair_of_neighbours_is_learnt_and_little_more() -> None:
    things = [f"{colour}ish thing" for colour in ("red", "blue", "green", "pink")]
    texts = [f"I see a {a}, a {b}, a {c} and a {d}." for a in things for b in things for c in things for d in things]
    train = choose([*texts, *(f"Number {n}." for n in ("one", "two"))]).train
    whole = [clause for clause in train if clause.startswith("i see") and clause.endswith(".")]
    assert 40 <= len(whole) < 200
    assert "number one." in train
    assert "number two." in train


def test_what_is_counted_up_is_also_learnt_in_other_orders() -> None:
    train = choose(["One, two, three, four, five.", "Red, green, blue."]).train
    counted = [clause for clause in train if sorted(words(clause)) == sorted(["one", "two", "three", "four", "five"])]
    assert len(counted) == 3
    assert all(clause.endswith(".") and clause.count(",") == 4 for clause in counted)
    assert [clause for clause in train if len(words(clause)) == 3 and "red" in clause] == ["red, green, blue."]


def test_answers_are_cut_and_spelt_as_the_orchestrator_does() -> None:
    assert cut("Hello, how can I help you?") == ["hello,", "how can i help you?", "hello, how can i help you?"]
    assert cut("It is red. It is 9:30.") == ["it is red.", "it is nine thirty."]


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


def test_batches_hold_clauses_of_similar_length_and_are_a_function_of_their_number() -> None:
    examples = [example(3, count) for count in range(10, 110)]
    drawn = pools(examples, subframes=2, seed=0)
    batches = [collate(drawn.batch(number), SPECIAL) for number in range(16)]
    padding = sum(int((batch.targets == IGNORED).sum()) for batch in batches)
    assert padding / sum(batch.targets.numel() for batch in batches) < 0.15
    assert all(batch.inputs.numel() < 4000 for batch in batches)
    assert torch.equal(batches[7].targets, collate(pools(examples, 2, 0).batch(7), SPECIAL).targets)


def test_clauses_with_rare_words_come_more_often() -> None:
    rare = example(1, 40)
    rare.word.fill_(7)
    drawn = pools([*(example(3, count) for count in (12, 96) for _ in range(300)), rare], subframes=2, seed=0)
    words_drawn = [int(e.word[0]) for number in range(160) for e in drawn.batch(number)]
    assert words_drawn.count(7) / len(words_drawn) > 8 / 601


def test_onsets_of_words_weigh_more() -> None:
    spoken = torch.tensor([[[0, 0]] * 10 + [[1, 1]] * 10])
    weights = onset_weights(spoken)[0]
    assert weights[10] > weights[8] == 1.0
    assert weights[9] > 1.0
    assert weights[16] == 1.0


def test_speech_start_and_what_lies_outside_the_spans_stay_visible() -> None:
    torch.manual_seed(0)
    hidden = hidden_spans(200, 60)
    assert not hidden[:, 0].any()
    assert 0.55 < hidden.any(1).float().mean() < 0.85
    assert hidden.sum(1).max() <= 4 * MASK_CODES[1]


def test_the_lesson_reaches_every_weight_and_the_loss_falls() -> None:
    torch.manual_seed(0)
    model = TaughtDecoder(TINY.speech_decoder, 8, Codec(TINY.codec_decoder).requires_grad_(False))
    batch = collate([example(4, 12), example(3, 9)], SPECIAL)
    weights = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(weights, 3e-3)
    losses: list[float] = []
    for _ in range(12):
        loss, parts = model(batch)
        assert set(parts) == {"code", "word", "guide"}
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert all(weight.grad is not None for weight in weights)
    assert losses[-1] < 0.8 * losses[0]


def test_training_attends_as_serving_does() -> None:
    torch.manual_seed(0)
    taught = TaughtDecoder(TINY.speech_decoder, 8, Codec(TINY.codec_decoder)).decoder.eval()
    served = SpeechDecoder(TINY.speech_decoder).eval()
    served.load_state_dict(taught.state_dict())
    batch = collate([example(4, 12), example(2, 9)], SPECIAL)
    ours, theirs = (m(batch.tokens, batch.token_counts, batch.inputs) for m in (taught, served))
    assert torch.allclose(ours[batch.targets != IGNORED], theirs[batch.targets != IGNORED], atol=1e-5)


def test_the_encoder_gives_forty_vectors_a_second() -> None:
    assert Codec(TINY.codec_decoder).encoder(torch.zeros(2, 24_000)).shape == (2, 40, 16)


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
