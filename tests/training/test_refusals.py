"""What an operator can mend is told in a line before anything is taught."""

from __future__ import annotations

import json
import random
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from vita_training.data.json_source import JsonSource
from vita_training.data.media import hear, see_picture, see_video
from vita_training.data.pools import Mixture, Part, Pools
from vita_training.data.sample import AUDIO, Clip, Picture, Sample, Utterance, Video
from vita_training.recipe import __main__ as recipe
from vita_training.recipe.answering import AnsweringLesson, TaughtAssistant
from vita_training.recipe.assistant import Assistant
from vita_training.recipe.configuration import load_config
from vita_training.recipe.errors import RecipeError
from vita_training.recipe.hearing import check_said
from vita_training.recipe.rows import Row, Splicer
from vita_training.recipe.seeing import LabelledTower, SeeingLesson
from vita_training.recipe.sets import open_sets
from vita_training.recipe.stages import STAGES, Stage, narrowed
from vita_training.recipe.teach import Setting, check_parts, lesson_of
from vita_training.world.sources import captions

from tests.training.small_sets import Listed, clip, heard, write_sets
from tests.training.test_recipe import SMALL
from vita15.config import VITA_1_5, VitaConfig
from vita15.tokenizer import Tokenizer, byte_level_tokenizer

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer(byte_level_tokenizer(512))


def without(size: str) -> VitaConfig:
    """A model without an optional part."""
    return replace(SMALL, speech_encoder=replace(SMALL.speech_encoder, **{size: 0}))


@pytest.mark.parametrize(
    ("stage", "size"), [("2.1b", "prompt_count"), ("2.2", "prompt_count"), ("2.3", "turn_end_hidden")]
)
def test_a_stage_is_refused_where_the_model_lacks_what_it_trains(
    tokenizer: Tokenizer, tmp_path: Path, stage: str, size: str
) -> None:
    with pytest.raises(RecipeError, match=f"{size} is 0; name a --config file whose speech_encoder has {size}"):
        lesson_of(STAGES[stage], Setting(without(size), tokenizer, tmp_path))
    with pytest.raises(RecipeError, match=r"which vita-1\.5 has not"):
        check_parts(STAGES[stage], VITA_1_5)


def test_what_a_stage_does_not_train_may_lack() -> None:
    def refused(stage: Stage) -> bool:
        try:
            check_parts(stage, VITA_1_5)
        except RecipeError:
            return True
        return False

    assert {name for name, stage in STAGES.items() if refused(stage)} == {"2.1b", "2.2", "2.3"}
    assert not refused(narrowed(STAGES["2.2"], "llm"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"none of vita-1\.5, tiny, and no file"),
        ("{", "is no JSON: "),
        ("[1]", "wants an object with a `name`"),
        ('{"llm": {}}', "wants an object with a `name`"),
        ('{"name": "mine", "lm": {}}', "unknown component 'lm'; known: vision_encoder"),
        ('{"name": "mine", "llm": {"layer": 2}}', "llm: unknown configuration fields layer"),
        ('{"name": "mine", "llm": {"layers": "two"}}', "llm: layers is 'two', wants int"),
        ('{"name": "mine", "llm": 2}', "llm: wants an object of sizes"),
    ],
)
def test_a_configuration_that_is_none_is_told_in_a_line(
    tokenizer: Tokenizer, tmp_path: Path, content: str | None, message: str
) -> None:
    path = tmp_path / "mine.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(RecipeError, match=message) as refused:
        load_config(str(path), tokenizer)
    assert "\n" not in str(refused.value)


def test_a_file_of_sizes_is_a_configuration(tokenizer: Tokenizer, tmp_path: Path) -> None:
    sizes = {"llm": {"layers": 2, "norm_eps": 1e-5, "rope_theta": 10_000}, "codec_decoder": {"upsample_rates": [8, 5]}}
    (tmp_path / "mine.json").write_text(json.dumps({"name": "mine", **sizes}))
    config = load_config(str(tmp_path / "mine.json"), tokenizer)
    assert (config.name, config.llm.layers, config.codec_decoder.upsample_rates) == ("mine", 2, (8, 5))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"captions\.json: no such file; --data is `world`, a folder of <set>\.json, or one file"),
        ("[]", r"captions\.json: holds no samples"),
        ("[", r"captions\.json: cannot be read as JSON"),
        ('{"id": 1}', r"captions\.json: wants a list of objects"),
        ("[3]", r"captions\.json: wants a list of objects"),
    ],
)
def test_a_set_that_is_none_is_told_in_a_line(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "captions.json").write_text(content)
    with pytest.raises(RecipeError, match=message) as refused:
        open_sets(str(tmp_path), 0)("captions")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--config", "vita-2"], r"^stage 0\.1: --config vita-2: none of vita-1\.5, tiny"),
        (["--data", "nowhere", "--steps", "1"], r"^stage 0\.1: nowhere: no such file"),
    ],
)
def test_the_command_says_what_is_wrong_and_stops(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str], message: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["recipe", "0.1", "--folder", str(tmp_path), "--no-compile", *words])
    with pytest.raises(SystemExit, match=message):
        recipe.main()


def item(**others: object) -> dict[str, object]:
    turns = [{"from": "human", "value": "<image>\n<image>\nWhich is larger?"}, {"from": "gpt", "value": "The first."}]
    return {"set": "one", "id": 7, "conversations": turns, **others}


@pytest.mark.parametrize(
    ("sets", "folders"),
    [
        (["one", "two"], ["one", "two"]),  # the set of each picture
        (["one"], ["one", "one"]),
        (["one", "one", "one"], ["one", "one"]),  # the original allows another count where all are the same
        ("one", ["one", "one"]),
    ],
)
def test_a_packed_sample_has_the_set_of_each_picture(tmp_path: Path, sets: object, folders: list[str]) -> None:
    (tmp_path / "set.json").write_text(json.dumps([item(set=sets, image=["a.png", "b.png"])]))
    homes = {name: tmp_path / name for name in ("one", "two")}
    sample = JsonSource(tmp_path / "set.json", homes)[0]
    assert [picture.pixels for picture in sample.pictures] == [
        tmp_path / folder / name for folder, name in zip(folders, ("a.png", "b.png"), strict=True)
    ]


def test_sets_that_are_not_of_each_picture_are_refused(tmp_path: Path) -> None:
    (tmp_path / "set.json").write_text(json.dumps([item(set=["one", "two"], image=["a.png", "b.png", "c.png"])]))
    homes = {name: tmp_path / name for name in ("one", "two")}
    with pytest.raises(RecipeError, match=r"sample 7: .*set: 2 folders for 3 media"):
        JsonSource(tmp_path / "set.json", homes)
    assert len(JsonSource(tmp_path / "set.json")[0].pictures) == 3  # all beside the file


def test_media_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    film, vision = tmp_path / "film.mp4", SMALL.vision_encoder
    film.write_bytes(b"\0\0\0\x18ftypmp42" + bytes(100))
    with pytest.raises(RecipeError, match=r"film\.mp4: an animated WebP, one frame a second, is wanted"):
        see_video(Video(film), vision)
    with pytest.raises(RecipeError, match=r"film\.mp4: a picture is wanted"):
        see_picture(Picture(film), vision)
    with pytest.raises(RecipeError, match=r"film\.mp4: 16 kHz mono sound is wanted"):
        hear(Clip(film))
    with pytest.raises(RecipeError, match=r"none\.webp: an animated WebP"):
        see_video(Video(tmp_path / "none.webp"), vision)


def test_pictures_of_which_nothing_is_known_teach_the_tower_nothing() -> None:
    seen = next(sample for sample in map(captions().__getitem__, range(20)) if sample.pictures)
    unknown = replace(seen, pictures=tuple(Picture(picture.pixels) for picture in seen.pictures))
    model = LabelledTower(Assistant(SMALL))

    def lesson(*samples: Sample) -> SeeingLesson:
        return SeeingLesson(model, {}, Mixture([Part(Listed(samples), 1.0)]), seed=0, batch_tiles=4)

    with pytest.raises(RecipeError, match="samples in a row none says what its pictures show"):
        lesson(unknown).batch(0)
    assert lesson(unknown, unknown, seen).batch(0)


def test_clips_that_say_nothing_in_english_letters_are_counted(tokenizer: Tokenizer, tmp_path: Path) -> None:
    said = [heard(i, "", "transcript") for i in range(3)]
    unsaid = replace(said[0], id="zh", audio=(Clip(clip(0).samples, "你好。"),))
    answered = replace(said[1], audio=(Clip(clip(1).samples),), conversations=(Utterance("gpt", "Hello."),))
    silent = Sample("typed", "tests", (Utterance("human", "Hi."), Utterance("gpt", "Hello.")))
    check_said(Listed([*said, answered]))
    with pytest.raises(RecipeError, match=r"^2 of 6 samples .* a to z, such as 'zh' of 'heard'"):
        check_said(Listed([*said, unsaid, answered, silent]))
    sets = write_sets(tmp_path / "sets")
    listed = json.loads((sets / "transcripts.json").read_text())
    listed[2] |= {"said": ["…"]}
    (sets / "transcripts.json").write_text(json.dumps(listed))
    with pytest.raises(RecipeError, match=r"^1 of 6 samples"):
        lesson_of(STAGES["2.1a"], Setting(SMALL, tokenizer, tmp_path, data=str(sets)))


def test_a_mark_that_is_given_is_not_judged(tokenizer: Tokenizer) -> None:
    torch.manual_seed(0)
    splicer = Splicer(tokenizer, SMALL)
    transcript = splicer.transcription(Sample("said", "tests", (Utterance("human", AUDIO),), audio=(clip(1),)))
    typed = Sample("typed", "tests", (Utterance("human", "Hi."), Utterance("gpt", "Hello.")))
    pools = Pools(lambda _: transcript, lambda row: len(row.ids), batch_length=1, seed=0)
    lesson = AnsweringLesson(TaughtAssistant(Assistant(SMALL).eval()), {}, pools)

    def judged(*rows: Row) -> dict[str, float]:
        lesson.development = [rows]
        return lesson.judge()

    assert judged(transcript).keys() == {"speech", "speech/transcript"}
    both = judged(transcript, splicer.conversation(typed, random.Random(0)))
    assert both["state"] == 0.0  # of the typed answer alone: nothing was learnt
