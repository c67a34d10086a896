"""The recipe's rows are what serving reads, and each of its stages changes its own parts and nothing else."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import pytest
import torch
from vita_training.data.json_source import JsonSource, write_json
from vita_training.data.pools import Mixture, Part, Pools, cut
from vita_training.data.sample import AUDIO, IMAGE, Sample, Utterance
from vita_training.recipe.alignment import Alignment
from vita_training.recipe.answering import AnsweringLesson, RowMaker, TaughtAssistant, judge_rows
from vita_training.recipe.assistant import Assistant
from vita_training.recipe.export import export_assistant
from vita_training.recipe.freezing import is_within
from vita_training.recipe.loop import SNAPSHOT, make_optimizer
from vita_training.recipe.rows import Splicer
from vita_training.recipe.schedule import Schedule
from vita_training.recipe.stages import STAGES, starts_from
from vita_training.recipe.teach import Setting, lesson_of, load_assistant, teach
from vita_training.world.prompt import SYSTEM_PROMPT
from vita_training.world.sources import captions, questions

from tests.training.small_sets import Listed, clip, spoken, write_sets
from vita15.checkpoint import load_into, load_manifest
from vita15.config import (
    TINY,
    LlmConfig,
    SpeechEncoderConfig,
    VisionEncoderConfig,
    VitaConfig,
)
from vita15.speech_encoder import SpeechEncoder
from vita15.splicing import IGNORED
from vita15.splicing import Splicer as ServedSplicer
from vita15.splicing import splice as served_splice
from vita15.tokenizer import Tokenizer, byte_level_tokenizer

pytestmark = pytest.mark.unit

SMALL = VitaConfig(
    "tiny",
    VisionEncoderConfig(tile_px=56, hidden=32, layers=1, heads=2, ffn=32, embed=48),
    SpeechEncoderConfig(
        subsampling_channels=4,
        hidden=32,
        layers=1,
        heads=2,
        ffn=32,
        adapter_hidden=32,
        embed=48,
        prompt_count=3,
        turn_end_hidden=8,
    ),
    LlmConfig(hidden=48, layers=1, heads=2, kv_heads=1, head_dim=24, ffn=48, vocab=512, max_positions=4096),
)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer(byte_level_tokenizer(512))


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sets(tmp_path_factory.mktemp("sets"))


def conversation(*turns: tuple[str, str], **others: object) -> Sample:
    utterances = tuple(Utterance(speaker, value) for speaker, value in turns)  # type: ignore[arg-type]
    return dataclasses.replace(Sample("one", "tests", utterances), **others)  # type: ignore[arg-type]


def learnt(tokenizer: Tokenizer, sample: Sample) -> list[int]:
    row = Splicer(tokenizer, SMALL).conversation(sample, random.Random(1))
    return [label for label in row.labels if label != IGNORED]


def test_training_lays_a_conversation_out_as_serving_does(tokenizer: Tokenizer) -> None:
    pictures = next(s.pictures for s in map(captions().__getitem__, range(20)) if s.pictures)
    sample = conversation(
        ("human", f"{IMAGE}\nWhere is the star?"),
        ("gpt", "There is no star."),
        ("human", f"{AUDIO}\n"),
        ("gpt", "Okay."),
        ("tool", "12:30"),
        ("gpt", "It is late."),
        pictures=pictures[:1],
        audio=(clip(0),),
    )
    row = Splicer(tokenizer, SMALL).conversation(sample, random.Random(1))
    served, table = ServedSplicer(tokenizer), torch.nn.Embedding(SMALL.llm.vocab, 1)
    table.weight.data[:, 0] = torch.arange(SMALL.llm.vocab)
    blank = torch.zeros(100, 1)
    segments = [
        *served.system_turn(SYSTEM_PROMPT),
        *served.user_turn("Where is the star?", pictures=[blank[: SMALL.vision_encoder.tokens_per_tile]]),
        *served.assistant_turn("There is no star.", "text"),
        *served.user_turn(speech=blank[:12]),  # of one second
        *served.assistant_turn("Okay.", "speech"),
        *served.tool_turn("12:30"),
        *served.assistant_turn("It is late.", "text"),
    ]
    spliced = served_splice(segments, table)
    assert row.ids == spliced.embeddings[:, 0].int().tolist()
    assert row.labels == spliced.labels.tolist()


def test_an_answer_that_was_broken_off_does_not_teach_to_stop_there(tokenizer: Tokenizer) -> None:
    whole = conversation(("human", "Who are you?"), ("gpt", "I am"), ("human", "Hi."), ("gpt", "Hello."))
    asked, cut, *then = whole.conversations
    broken = dataclasses.replace(whole, conversations=(asked, dataclasses.replace(cut, is_broken_off=True), *then))
    taught, first_end = learnt(tokenizer, whole), learnt(tokenizer, whole).index(tokenizer.im_end)
    assert learnt(tokenizer, broken) == taught[:first_end] + taught[first_end + 1 :]


def test_noise_teaches_the_noise_mark_and_silence(tokenizer: Tokenizer) -> None:
    special = tokenizer.special
    taught = learnt(tokenizer, spoken(0))
    assert taught == [special.speech, *tokenizer.encode("It is red."), special.im_end, special.noise, special.im_end]


def test_a_transcription_stands_behind_its_vectors_and_its_mark_is_given(tokenizer: Tokenizer) -> None:
    sample = conversation(("human", AUDIO), audio=(clip(1),))
    row = Splicer(tokenizer, SMALL).transcription(sample)
    ((start, _),) = row.sounds
    assert row.prompts == [start - SMALL.speech_encoder.prompt_count]
    assert [t for t in row.labels if t != IGNORED] == [*tokenizer.encode("What color is the star?"), tokenizer.im_end]


def test_what_the_sample_does_not_hold_is_an_error(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="more <image> than there are media"):
        Splicer(tokenizer, SMALL).conversation(conversation(("human", IMAGE), ("gpt", "No.")), random.Random(0))


def test_a_set_comes_back_from_json_as_it_was(tmp_path: Path, tokenizer: Tokenizer) -> None:
    samples = [*map(questions().__getitem__, range(12)), *map(captions().__getitem__, range(8)), spoken(1)]
    assert any(sample.videos for sample in samples)
    write_json(Listed(samples), len(samples), tmp_path / "set.json")
    read = JsonSource(tmp_path / "set.json")
    splicer = Splicer(tokenizer, SMALL)
    for index, sample in enumerate(samples):
        ours, theirs = (splicer.conversation(s, random.Random(1)) for s in (sample, read[index]))
        assert (ours.ids, ours.labels, ours.answers) == (theirs.ids, theirs.labels, theirs.answers)
        for (_, a), (_, b) in zip(ours.sights, theirs.sights, strict=True):
            assert torch.equal(a.tiles, b.tiles)
            assert a.labels is not None
            assert b.labels is not None
            assert torch.equal(a.labels, b.labels)
        for (_, a), (_, b) in zip(ours.sounds, theirs.sounds, strict=True):
            assert torch.equal(a.samples, b.samples)


def test_json_that_is_no_sample_is_named(tmp_path: Path) -> None:
    (tmp_path / "set.json").write_text('[{"id": 7, "set": "s", "conversations": [{"from": "dog", "value": "Woof"}]}]')
    with pytest.raises(ValueError, match=r"set\.json: sample 7: .*'dog' is none of"):
        JsonSource(tmp_path / "set.json")


def test_shares_of_sets_are_mixed_in_proportion_and_taken_from_their_beginning() -> None:
    parts = [Part(captions(), 0.2), Part(questions(), 0.025)]  # 20,000 each
    mixture, rng = Mixture(parts), random.Random(0)
    drawn = [mixture.draw(rng) for _ in range(200)]
    assert 70 < sum(index for index, _ in drawn) < 130
    assert all(int(sample.id.rsplit("-", 1)[1]) < 20_000 for _, sample in drawn)


def test_any_batch_can_be_drawn_again_and_its_items_are_of_like_length() -> None:
    def draw(rng: random.Random) -> int:
        return rng.randint(10, 300)

    pools, others = (Pools(draw, int, batch_length=2000, seed=3) for _ in range(2))
    batches = [pools.batch(number) for number in range(40)]
    assert [others.batch(number) for number in (39, 5, 12)] == [batches[39], batches[5], batches[12]]
    assert all(1500 < sum(batch) < 2700 for batch in batches)
    assert sum(max(batch) * len(batch) for batch in batches) < 1.25 * sum(map(sum, batches))


def test_no_run_of_a_cut_is_empty() -> None:
    assert [len(run) for run in cut([1, 1, 1, 500], int, 4)] == [1, 1, 1, 1]
    assert [item for run in cut(list(range(1, 30)), int, 8) for item in run] == list(range(1, 30))


def test_a_few_steps_teach_the_assistant_its_batch(tokenizer: Tokenizer) -> None:
    torch.manual_seed(0)
    config = dataclasses.replace(TINY, llm=dataclasses.replace(TINY.llm, layers=4))
    splicer = Splicer(tokenizer, config)
    rows = [splicer.conversation(spoken(i), random.Random(9)) for i in range(3)]
    model = TaughtAssistant(Assistant(config), Alignment(tokenizer, config.llm.hidden), has_states=True)
    maker = RowMaker(Mixture([Part(captions(), 1.0)]), splicer)
    lesson = AnsweringLesson(model, {"assistant": 1e-3, "alignment": 1e-3, "states": 1e-3}, maker.pools(500, 0))
    optimizer = make_optimizer(lesson, Schedule(steps=1))
    figures: list[dict[str, float]] = []
    for _ in range(6):
        loss, more = lesson.loss(rows)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        figures.append(more)
    assert {"answers", "sights", "words", "states"} <= figures[0].keys()
    for name in ("answers", "sights", "states"):
        assert figures[-1][name] < 0.9 * figures[0][name], name


def test_a_right_answer_is_one_that_greedy_generation_would_say(tokenizer: Tokenizer) -> None:
    torch.manual_seed(0)
    assistant = Assistant(SMALL).eval()
    row = Splicer(tokenizer, SMALL).conversation(conversation(("human", "Hi."), ("gpt", "Hello.")), random.Random(0))
    assert [(a.state, s, r) for a, s, r in judge_rows(assistant, [row])] == [("text", False, False)]
    with torch.no_grad():
        said = assistant.plain_layers(assistant.embeddings([row], torch.tensor([row.ids])).rows)[0][0]
        for position, label in enumerate(row.labels[1:]):
            if label != IGNORED:  # a head that answers rightly, by heart
                assistant.llm.lm_head.weight[label] += 50 * said[position]
    assert any(is_right for _, is_right, _ in judge_rows(assistant, [row]))


def setting(tokenizer: Tokenizer, folder: Path, data: Path) -> Setting:
    return Setting(SMALL, tokenizer, folder, data=str(data), batch_length=1500)


def test_every_stage_changes_its_own_parts_and_leaves_the_rest_to_the_bit(
    tokenizer: Tokenizer, tmp_path: Path, sets: Path
) -> None:
    ours = setting(tokenizer, tmp_path, sets)
    for stage in STAGES.values():
        before = load_assistant(ours, starts_from(stage)).state_dict()
        done = teach(stage, ours, dataclasses.replace(stage.schedule, steps=5, weight_decay=0.0))
        after = load_assistant(ours, [*starts_from(stage), stage]).state_dict()
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        assert done.step == 5
        assert (tmp_path / stage.name / SNAPSHOT).exists()
        assert all(is_within(name, stage.trains) for name in changed), stage.name
        assert {part for part in stage.trains if any(is_within(n, [part]) for n in changed)} == set(stage.trains)
    byte_level_tokenizer(512).save(str(tmp_path / "tokenizer.json"))
    export_assistant(ours, tmp_path / "tokenizer.json", tmp_path / "out", "7")
    manifests = [load_manifest(tmp_path / "out" / name) for name in ("vision_encoder", "speech_encoder", "llm")]
    assert len({manifest.contract["embedding_space"] for manifest in manifests}) == 1
    assert [manifest.version for manifest in manifests] == ["7"] * 3
    assert "45 steps" in manifests[0].training_run
    served = load_into(SpeechEncoder(SMALL.speech_encoder), tmp_path / "out/speech_encoder")
    trained = load_assistant(ours, list(STAGES.values())).speech
    assert torch.equal(served.adapter.conv.weight, trained.adapter.conv.weight.half().float())


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("0.1", {"colour", "shape", "place", "size"}),
        ("0.2", {"state", "text"}),
        ("2.1a", {"wer_stream", "wer_full"}),
        ("2.3", {"finished", "unfinished"}),
    ],
)
def test_a_stage_is_judged_by_what_it_does_on_development_batches(
    tokenizer: Tokenizer, tmp_path: Path, sets: Path, name: str, figures: set[str]
) -> None:
    ours = setting(tokenizer, tmp_path, sets)
    for before in starts_from(STAGES[name]):
        teach(before, ours, Schedule(steps=1))
    lesson = lesson_of(STAGES[name], ours)
    assert lesson.judge() == {}  # of data from elsewhere nothing is kept aside
    lesson.development = [lesson.batch(0), lesson.batch(1)]  # type: ignore[attr-defined]
    lesson.model.eval()
    with torch.no_grad():
        judged = lesson.judge()
    assert figures <= judged.keys()
    assert all(0 <= value <= 10 for value in judged.values())


def test_a_stage_does_not_begin_before_those_it_starts_from_are_finished(
    tokenizer: Tokenizer, tmp_path: Path, sets: Path
) -> None:
    with pytest.raises(ValueError, match="no finished run"):
        teach(STAGES["1.2"], setting(tokenizer, tmp_path, sets), Schedule(steps=1))


def test_the_table_names_parts_that_there_are() -> None:
    names = [*Assistant(SMALL).state_dict()]
    for stage in STAGES.values():
        assert all(any(is_within(name, [part]) for name in names) for part in stage.trains), stage.name
    assert [stage.name for stage in starts_from(STAGES["2.2"])] == ["0.1", "0.2", "1.1", "1.2", "1.3", "2.1a", "2.1b"]
