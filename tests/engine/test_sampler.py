"""Chance depends on (seed, step) and nothing else, and is fair."""

from __future__ import annotations

import pytest
import torch

from vita15.engine.sampler import sample_temperature, sample_top_k, uniform

pytestmark = pytest.mark.unit


def test_noise_is_reproducible_and_differs_by_seed_and_step() -> None:
    draws = {(seed, step): uniform(seed, step) for seed in range(-20, 20) for step in range(50)}
    assert draws == {(seed, step): uniform(seed, step) for seed, step in draws}
    assert len(set(draws.values())) == len(draws)
    assert all(0 <= draw < 1 for draw in draws.values())


def test_noise_is_uniform() -> None:
    draws = torch.tensor([uniform(7, step) for step in range(20_000)])
    assert float(draws.mean()) == pytest.approx(0.5, abs=0.01)
    assert float((draws < 0.25).float().mean()) == pytest.approx(0.25, abs=0.01)


def test_top_k_takes_the_best_k_by_their_shares() -> None:
    logits = torch.tensor([[0.0, 3.0, 3.0 + torch.log(torch.tensor(3.0)), -1.0]])
    chosen = [sample_top_k(logits, 2, [uniform(1, step)])[0] for step in range(4000)]
    assert set(chosen) == {1, 2}
    assert chosen.count(2) / len(chosen) == pytest.approx(0.75, abs=0.03)


def test_temperature_zero_is_greedy_and_others_follow_the_softmax() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0])
    assert sample_temperature(logits, 0.0, 3, 0) == 2
    chosen = torch.tensor([sample_temperature(logits, 2.0, 3, step) for step in range(6000)])
    shares = torch.bincount(chosen, minlength=3) / len(chosen)
    assert shares.tolist() == pytest.approx(torch.softmax(logits / 2, -1).tolist(), abs=0.03)


def test_impossible_tokens_are_never_drawn() -> None:
    logits = torch.tensor([-torch.inf, 0.0, -torch.inf])
    assert {sample_temperature(logits, 1.0, 1, step) for step in range(200)} == {1}
