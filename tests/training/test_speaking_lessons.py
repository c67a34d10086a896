"""Stages 3.1 and 3.2 in the recipe's loop, at a few steps, and the test material made of what they leave."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from vita_training.recipe.loop import SNAPSHOT, run
from vita_training.recipe.schedule import Schedule
from vita_training.recipe.teach import Setting
from vita_training.speaking.codec import Codec, load_codec
from vita_training.speaking.codec_lesson import CodecLesson
from vita_training.speaking.corpus import Crops
from vita_training.speaking.decoder_lesson import DecoderLesson
from vita_training.speaking.examples import Example, pools
from vita_training.speaking.export import codebook_id, export_codec, export_decoder
from vita_training.speaking.generator_lesson import HIFIGAN, GeneratorLesson, TaughtGenerator
from vita_training.speaking.judge import load_codec_decoder, load_speech_decoder
from vita_training.speaking.measures import code_use, intelligibility
from vita_training.speaking.stages import speaking_lesson
from vita_training.speaking.teaching import TaughtDecoder
from vita_training.speaking.variants import make_variants
from vita_training.speaking.voice import SpokenClause

from vita15.checkpoint import load_manifest
from vita15.config import TINY, VITA_1_5
from vita15.tokenizer import Tokenizer

pytestmark = pytest.mark.unit

TOKENIZER = Path("checkpoints/tiny/llm/tokenizer.json")
SMALL_CODEC = replace(TINY.codec_decoder, channels=16, ffn=32, layers=1, codebook_size=32)
SMALL_DECODER = replace(TINY.speech_decoder, text_embed=64, hidden=32, ffn=48, codebook_size=32)
SCHEDULE = Schedule(steps=6, snapshot_steps=2)


def buzz(seconds: float = 4.0) -> Tensor:
    """Something of a voice: harmonics of 120 Hz that swell and fade three times a second, and breath."""
    torch.manual_seed(1)
    time = torch.arange(int(seconds * 24_000)) / 24_000
    tone = torch.stack([torch.sin(2 * torch.pi * 120 * k * time) / k for k in range(1, 12)]).sum(0)
    return 0.1 * (tone * (1 + torch.sin(2 * torch.pi * 3 * time)) + 0.1 * torch.randn(len(time)))


def codec_lesson() -> CodecLesson:
    torch.manual_seed(0)
    return CodecLesson(Codec(SMALL_CODEC), Crops(buzz(), seed=0), [], steps=20)  # the codebook is laid at step 2


def decoder_lesson() -> DecoderLesson:
    torch.manual_seed(0)
    steps = torch.tensor([[0, 0]] * 6 + [[1, 1]] * 7)
    examples = [Example(torch.tensor([k, k + 1]), torch.arange(12) % 32, steps, steps[:, 0] % 2) for k in range(8)]
    model = TaughtDecoder(SMALL_DECODER, 2, Codec(SMALL_CODEC).requires_grad_(False))
    drawn = pools(examples, SMALL_DECODER.subframes, seed=0)
    return DecoderLesson(model, drawn, Tokenizer.from_file(TOKENIZER), None, seed=0)


def state(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


class Killed(Exception):
    """Stands for the process dying."""


@pytest.mark.parametrize("make", [codec_lesson, decoder_lesson])
def test_a_killed_run_ends_as_one_that_was_not(
    make: type[CodecLesson | DecoderLesson], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, killed, resumed = make(), make(), make()
    run(whole, SCHEDULE, tmp_path / "whole")
    draw = killed.batch

    def batch(number: int) -> object:
        if number == 5:
            raise Killed
        return draw(number)

    monkeypatch.setattr(killed, "batch", batch)
    with pytest.raises(Killed):
        run(killed, SCHEDULE, tmp_path / "killed")
    run(resumed, SCHEDULE, tmp_path / "killed")
    assert same(state(whole.model), state(resumed.model))
    assert not same(state(whole.model), state(killed.model))


def test_the_codebook_is_laid_once_then_follows_and_the_codec_loads_as_it_was_left(tmp_path: Path) -> None:
    lesson = codec_lesson()
    before = lesson.model.codebook.clone()
    books: list[Tensor] = []
    loss = lesson.loss

    def noted(batch: Tensor) -> tuple[Tensor, dict[str, float]]:
        made = loss(batch)
        books.append(lesson.model.codebook.clone())
        return made

    lesson.loss = noted
    run(lesson, SCHEDULE, tmp_path)
    assert torch.equal(books[1], before)
    assert not torch.equal(books[2], before)
    assert not torch.equal(books[3], books[2])
    assert same(state(load_codec(tmp_path / SNAPSHOT, SMALL_CODEC)), state(lesson.model))


def test_the_codebook_is_laid_after_a_share_of_the_steps_whatever_batches_a_step_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sound(*_: object) -> tuple[Crops, list[SpokenClause]]:
        return Crops(buzz(), seed=0, count=1), []

    monkeypatch.setattr("vita_training.speaking.stages.sound_of", sound)
    setting = Setting(replace(TINY, codec_decoder=SMALL_CODEC), Tokenizer.from_file(TOKENIZER), tmp_path)
    schedule = Schedule(steps=20, accumulation=3)  # a tenth of them: 2 steps, 6 batches
    lesson = speaking_lesson("3.1", setting, schedule)
    assert isinstance(lesson, CodecLesson)
    laid: list[int] = []
    monkeypatch.setattr(lesson, "_lay_codebook", lambda: laid.append(int(lesson.model.means.batches)))
    for number in range(8):
        lesson.loss(lesson.batch(number))
    assert laid == [7]


def test_the_codec_keeps_still_while_the_speech_decoder_learns(tmp_path: Path) -> None:
    lesson = decoder_lesson()
    before = state(lesson.model)
    run(lesson, SCHEDULE, tmp_path)
    changed = {name for name, tensor in state(lesson.model).items() if not torch.equal(tensor, before[name])}
    assert not [name for name in changed if name.startswith("codec.")]
    assert {name.split(".")[1] for name in changed} >= {
        "embed_tokens",
        "embedding",
        "layers_pre_nn",
        "layers",
        "out_fnn",
    }


def test_a_copy_of_the_language_models_table_is_not_trained() -> None:
    lesson = decoder_lesson()
    assert "decoder.embed_tokens" in lesson.rates
    lesson.model.decoder.embed_tokens.weight.requires_grad_(False)
    assert "decoder.embed_tokens" not in lesson.rates


def test_a_second_generator_learns_the_same_codebook_and_leaves_it_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    codec = Codec(replace(SMALL_CODEC, codebook_size=64)).requires_grad_(False)
    config = replace(HIFIGAN, channels=32, codebook_size=64)
    lesson = GeneratorLesson(TaughtGenerator(codec, config), Crops(buzz(), seed=0), [])
    before = state(lesson.model)
    run(lesson, SCHEDULE, tmp_path)
    changed = {name for name, tensor in state(lesson.model).items() if not torch.equal(tensor, before[name])}
    assert changed
    assert all(name.startswith("decoder.generator.") for name in changed)
    assert torch.equal(lesson.model.decoder.embedding.weight, codec.codebook)


def test_the_published_codec_has_an_encoder_too() -> None:
    with torch.device("meta"):
        codec = Codec(VITA_1_5.codec_decoder)
    assert codec.encoder.out.out_channels == VITA_1_5.codec_decoder.code_dim
    assert not codec.decoder.embedding.weight.requires_grad


def test_codes_in_use_are_counted_once() -> None:
    assert code_use([torch.tensor([0, 1, 1]), torch.tensor([1, 7])], 12) == pytest.approx(0.25)


def test_intelligibility_falls_with_noise() -> None:
    clean = buzz(2.0)
    noisy = clean + clean.std() * torch.randn(len(clean))
    assert intelligibility(clean.numpy(), clean.numpy()) == pytest.approx(1.0)
    assert intelligibility(clean.numpy(), noisy.numpy()) < 0.9


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of fresh weights in `base`, and what is made of it."""
    folder = tmp_path_factory.mktemp("variants")
    torch.manual_seed(0)
    taught = TaughtDecoder(TINY.speech_decoder, 8, Codec(TINY.codec_decoder))
    export_codec(taught.codec.decoder, folder / "base/codec_decoder", "a test")
    export_decoder(
        taught.decoder, codebook_id(taught.codec.codebook), TOKENIZER, folder / "base/speech_decoder", "a test"
    )
    make_variants(folder / "base", folder)
    return folder


def speak(speech: Path, codec: Path) -> Tensor:
    decoder, tokenizer = load_speech_decoder(speech / "speech_decoder", max_codes=40)
    codes, _ = decoder.generate(torch.tensor(tokenizer.encode("it is red.")), torch.Generator().manual_seed(3))
    return load_codec_decoder(codec / "codec_decoder")(torch.tensor([codes]))[0]


def test_the_other_codebook_speaks_the_same_in_a_pair_and_not_beside_the_first(variants: Path) -> None:
    base, other = variants / "base", variants / "other-codebook"
    wanted = speak(base, base)
    assert torch.equal(speak(other, other), wanted)
    for mixed in (speak(other, base), speak(base, other)):
        assert (mixed - wanted).abs().max() > 0.5 * wanted.abs().max()
    tags = {
        (folder.name, half): load_manifest(folder / half).contract["codebook"]
        for folder in (base, other)
        for half in ("codec_decoder", "speech_decoder")
    }
    assert tags["base", "codec_decoder"] == tags["base", "speech_decoder"]
    assert tags["other-codebook", "codec_decoder"] == tags["other-codebook", "speech_decoder"]
    assert tags["base", "codec_decoder"] != tags["other-codebook", "codec_decoder"]


def test_the_dull_codec_fits_and_is_quieter_in_its_band_alone(variants: Path) -> None:
    first, second = variants / "base/codec_decoder", variants / "dull/codec_decoder"
    assert load_manifest(first).contract == load_manifest(second).contract
    assert load_manifest(second).version == f"{load_manifest(first).version}-dull"
    codes = torch.randint(1024, (1, 80), generator=torch.Generator().manual_seed(0))
    clear, dulled = (load_codec_decoder(folder)(codes)[0] for folder in (first, second))
    assert dulled.isfinite().all()
    spectra = [torch.fft.rfft(sound).abs().square() for sound in (clear, dulled)]

    def level(low: int, high: int) -> float:
        """Decibels of the second to the first from `low` to `high` Hz."""
        ours, theirs = (spectrum[low * 2 : high * 2].sum() for spectrum in spectra)
        return float(10 * torch.log10(theirs / ours))

    assert level(1200, 3300) < -15
    assert abs(level(0, 800)) < 1
    assert abs(level(4000, 12_000)) < 1
