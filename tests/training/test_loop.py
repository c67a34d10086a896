"""The loop's laws: a killed run ends as one that was not, and what is frozen stays as it was, to the bit."""

from __future__ import annotations

import json
import math
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from vita_training.recipe.errors import RecipeError
from vita_training.recipe.freezing import FrozenChanged
from vita_training.recipe.loop import SNAPSHOT, make_optimizer, run
from vita_training.recipe.run_log import FolderTakenError, RunLog, read_log
from vita_training.recipe.schedule import Schedule
from vita_training.recipe.snapshot import Progress, load, load_part, read_progress, told

pytestmark = pytest.mark.unit

SCHEDULE = Schedule(steps=12, snapshot_steps=4, weight_decay=0.01)


class Network(nn.Module):
    """A frozen layer, one that learns, with dropout, and a table that the lesson moves itself."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.frozen = nn.Linear(4, 8)
        self.learning = nn.Sequential(nn.Dropout(0.2), nn.Linear(8, 1))
        self.means = nn.Embedding(1, 8)
        self.means.requires_grad_(False)


@dataclass
class Sums:
    """Teaches the sum of four numbers; at `killed_at` the process dies, at `careless_at` it touches what is frozen."""

    killed_at: int = -1
    careless_at: int = -1
    poisoned_at: int = -1
    model: Network = field(default_factory=Network)
    rates: dict[str, float] = field(default_factory=lambda: {"learning": 0.02, "means": 0.0})

    def batch(self, number: int) -> tuple[Tensor, Tensor]:
        if number == self.killed_at:
            raise KeyboardInterrupt
        given = torch.randn(16, 4, generator=torch.Generator().manual_seed(number))
        wanted = given.sum(1, keepdim=True)
        if number == self.careless_at:
            self.model.frozen.weight.data[0, 0] += 1e-3
        return given, wanted * (math.inf if number == self.poisoned_at else 1)

    def loss(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, dict[str, float]]:
        given, wanted = batch
        hidden = self.model.frozen(given)
        self.model.means.weight.lerp_(hidden.detach().float().mean(0, keepdim=True), 0.1)
        loss = (self.model.learning(hidden).float() - wanted).square().mean()
        return loss, {"mean": wanted.mean().item()}

    def judge(self) -> dict[str, float]:
        assert not self.model.learning.training
        return {"deviation": self.model.means.weight.std().item()}


def weights(lesson: Sums) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in lesson.model.state_dict().items()}


def same(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_killed_run_ends_with_the_same_weights_and_log_to_the_bit(tmp_path: Path) -> None:
    whole, killed, resumed = Sums(), Sums(killed_at=7), Sums()
    run(whole, SCHEDULE, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(killed, SCHEDULE, tmp_path / "killed")
    assert len(read_log(tmp_path / "killed/log.jsonl")) == 7  # three more than the snapshot knows
    run(resumed, SCHEDULE, tmp_path / "killed")
    assert same(weights(whole), weights(resumed))
    assert not same(weights(whole), weights(killed))
    ours, theirs = (read_log(tmp_path / name / "log.jsonl") for name in ("whole", "killed"))
    assert [line.get("loss") for line in ours] == [line.get("loss") for line in theirs]
    assert [line["step"] for line in theirs] == [*range(1, 13), 12]  # the last is the judgement


def test_a_finished_run_is_loaded_and_not_run_again(tmp_path: Path) -> None:
    first, again = Sums(), Sums(killed_at=0)
    run(first, SCHEDULE, tmp_path)
    assert run(again, SCHEDULE, tmp_path).step == 12
    assert same(weights(first), weights(again))


def test_only_what_is_trained_changes(tmp_path: Path) -> None:
    lesson = Sums()
    before = weights(lesson)
    run(lesson, SCHEDULE, tmp_path)
    changed = {name for name, tensor in weights(lesson).items() if not torch.equal(tensor, before[name])}
    assert changed == {"learning.1.weight", "learning.1.bias", "means.weight"}
    losses = [line["loss"] for line in read_log(tmp_path / "log.jsonl") if "loss" in line]
    assert losses[-1] < losses[0]


def test_a_run_that_touched_a_frozen_part_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FrozenChanged, match=r"frozen\.weight"):
        run(Sums(careless_at=5), SCHEDULE, tmp_path)
    assert read_log(tmp_path / "log.jsonl")[-1]["step"] == 8  # and what it had learnt since the last snapshot is lost
    with pytest.raises(FrozenChanged, match=r"frozen\.weight"):
        run(Sums(careless_at=9), SCHEDULE, tmp_path)


def test_a_run_goes_on_only_upon_the_frozen_parts_that_it_began_with(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(Sums(killed_at=7), SCHEDULE, tmp_path)
    other = Sums()
    other.model.frozen.bias.data += 1
    with pytest.raises(FrozenChanged, match=r"frozen\.bias"):
        run(other, SCHEDULE, tmp_path)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"seed": 1}, "seed was 0 and is 1 now"),
        ({"steps": 24}, "steps was 12 and is 24 now"),
        ({"data": "calls"}, "data was world and is calls now"),
        ({"peak": 0.5}, r"rate was 1\.0 and is 0\.5 now"),
        ({"accumulation": 2}, "accumulation was 1 and is 2 now"),
    ],
)
@pytest.mark.parametrize("killed_at", [7, -1])
def test_a_run_goes_on_only_as_it_was_asked_for(
    tmp_path: Path, killed_at: int, other: dict[str, Any], message: str
) -> None:
    asked, begun = replace(SCHEDULE, data="world"), Sums(killed_at=killed_at)
    with suppress(KeyboardInterrupt):
        run(begun, asked, tmp_path)
    assert read_progress(tmp_path / SNAPSHOT).asked == asked.asked()
    lesson = Sums()
    before = weights(lesson)
    with pytest.raises(RecipeError, match=message) as refused:
        run(lesson, replace(asked, **other), tmp_path)
    assert "\n" not in str(refused.value)
    assert same(weights(lesson), before)
    assert run(lesson, asked, tmp_path).step == 12


def test_a_snapshot_of_before_this_was_kept_goes_on_and_is_told_as_unknown(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(Sums(killed_at=7), SCHEDULE, tmp_path)
    path = tmp_path / SNAPSHOT
    with safe_open(path, "pt") as stored:
        kept = json.loads(stored.metadata()["progress"])
    del kept["asked"]
    save_file(load_file(path), path, {"progress": json.dumps(kept)})
    assert told([read_progress(path)]) == "data unknown, seed unknown, rate unknown, accumulation unknown"
    assert run(Sums(), replace(SCHEDULE, data="world"), tmp_path).step == 12
    assert told([read_progress(path), Progress()]).startswith("data world and unknown, seed 0 and unknown, rate 1.0")


def test_a_snapshot_of_other_sizes_is_refused_in_a_line_and_fills_nothing(tmp_path: Path) -> None:
    run(Sums(), SCHEDULE, tmp_path)
    wider = Sums()
    wider.model.learning[1] = nn.Linear(8, 3)
    before = weights(wider)
    with pytest.raises(RecipeError, match=r"learning\.1\.bias is \(1,\), and \(3,\) in this") as refused:
        load(tmp_path / SNAPSHOT, wider.model, ("learning", "means"), make_optimizer(wider, SCHEDULE))
    with pytest.raises(RecipeError, match=r"1\.bias is \(1,\), and \(3,\) in this"):
        load_part(tmp_path / SNAPSHOT, "learning", wider.model.learning)
    assert "\n" not in str(refused.value)
    assert same(weights(wider), before)


def test_a_judge_that_fails_loses_nothing_and_is_asked_again(tmp_path: Path) -> None:
    class Unjudged(Sums):
        def judge(self) -> dict[str, float]:
            raise OSError("no recogniser here")

    unjudged = Unjudged()
    with pytest.raises(OSError, match="no recogniser"):
        run(unjudged, SCHEDULE, tmp_path)
    resumed = Sums(killed_at=11)  # takes no step
    assert run(resumed, SCHEDULE, tmp_path).is_finished
    assert same(weights(unjudged), weights(resumed))
    assert "judged_deviation" in read_log(tmp_path / "log.jsonl")[-1]


def test_a_folder_is_taken_before_its_snapshot_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object) -> None:
        pytest.fail("the snapshot was read in another run's folder")

    monkeypatch.setattr("vita_training.recipe.snapshot.read_progress", read)
    with closing(RunLog(tmp_path)), pytest.raises(FolderTakenError):
        run(Sums(), SCHEDULE, tmp_path)


def test_a_snapshot_of_other_parts_is_refused(tmp_path: Path) -> None:
    run(Sums(), SCHEDULE, tmp_path)
    with pytest.raises(ValueError, match="other parts"):
        run(Sums(rates={"frozen": 0.1}), SCHEDULE, tmp_path)


def test_a_step_whose_gradient_is_not_finite_is_left_out_and_counted(tmp_path: Path) -> None:
    lesson = Sums(poisoned_at=3)
    assert run(lesson, SCHEDULE, tmp_path).skipped == 1
    assert all(tensor.isfinite().all() for tensor in weights(lesson).values())


def test_accumulated_batches_make_one_step_of_their_mean(tmp_path: Path) -> None:
    lesson = Sums()
    run(lesson, Schedule(steps=2, accumulation=3, precision="no"), tmp_path)
    losses = [line["mean"] for line in read_log(tmp_path / "log.jsonl") if "loss" in line]
    drawn = [Sums().batch(number)[1].mean().item() for number in range(6)]
    assert losses == pytest.approx([sum(drawn[:3]) / 3, sum(drawn[3:]) / 3], rel=1e-4)


def test_the_rate_rises_in_a_line_and_falls_along_a_cosine() -> None:
    schedule = Schedule(steps=1000, warmup_share=0.03, floor=0.1)
    rates = [schedule.rate(step) for step in range(1000)]
    assert rates[14] == pytest.approx(0.5)
    assert max(rates) == rates[29] == 1.0
    assert rates[515] == pytest.approx(0.55, abs=0.01)
    assert rates[-1] == pytest.approx(0.1, abs=0.001)
