"""Stages 3.1 and 3.2 as the recipe calls them.

Both learn the assistant's side of the data alone. Nothing of stages 1 and 2 is loaded but the language model's text
table, and that only to be read: nothing of them can change.

The full model's speech decoder reads that very table, frozen (docs/model.md, 4), so there 3.2 comes after 2.2. The tiny
one learns a table of its own, so that 3.2 can be taught beside stages 1 and 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vita15.checkpoint import Manifest
from vita15.speech_decoder import SpeechDecoder
from vita_training.recipe.errors import RecipeError
from vita_training.recipe.loop import SNAPSHOT, Lesson, run
from vita_training.recipe.schedule import Schedule
from vita_training.recipe.snapshot import Progress, load_part, read_progress, trained
from vita_training.recipe.stages import LLM, STAGES
from vita_training.recipe.start import stages_left
from vita_training.recipe.teach import PART, Setting, training_run
from vita_training.speaking import codec_lesson, decoder_lesson
from vita_training.speaking.codec import Codec, load_codec
from vita_training.speaking.corpus import CROPS
from vita_training.speaking.encoder_lesson import EncoderLesson
from vita_training.speaking.examples import BATCH_LENGTH, ExampleMaker
from vita_training.speaking.export import LICENCE, TEXT_CONTRACT, codebook_id, export_codec, export_decoder
from vita_training.speaking.material import material_of, sound_of
from vita_training.speaking.teaching import TaughtDecoder

CODEC, SPEECH = "3.1", "3.2"
CODEC_DECODER, SPEECH_DECODER = "codec_decoder", "speech_decoder"
SPEAKING_SCHEDULES: Mapping[str, Schedule] = {CODEC: codec_lesson.SCHEDULE, SPEECH: decoder_lesson.SCHEDULE}


def teach_speaking(name: str, setting: Setting, schedule: Schedule) -> Progress:
    """Run stage "3.1" or "3.2" from where it is.

    Raises:
        RecipeError: what it stands on is not finished in this folder, and nothing stands in for it.
    """
    lesson = speaking_lesson(name, setting, schedule)
    return run(lesson, replace(schedule, seed=setting.seed), setting.folder / name)


def speaking_lesson(name: str, setting: Setting, schedule: Schedule) -> Lesson[Any]:
    """Build the lesson of stage "3.1" or "3.2", to be taught by a schedule.

    Raises:
        RecipeError: what it stands on is not finished in this folder, and nothing stands in for it.
    """
    return _codec_lesson(setting, schedule) if name == CODEC else _speech_lesson(setting)


def load_ready_codec(setting: Setting) -> Codec:
    """Load the codec that stage 3.1 left, frozen; its decoder is the start's, if that holds one.

    Raises:
        RecipeError: the stage is not finished.
    """
    path = setting.folder / CODEC / SNAPSHOT
    if not _is_ready(setting, CODEC_DECODER):
        return load_codec(path, setting.config.codec_decoder)
    codec = _started_codec(setting)
    load_part(path, "encoder", codec.encoder)
    return codec.requires_grad_(False).eval()


def load_decoder(setting: Setting) -> SpeechDecoder:
    """Load the speech decoder that stage 3.2 left, frozen.

    Raises:
        RecipeError: the stage is not finished.
    """
    decoder = SpeechDecoder(setting.config.speech_decoder)
    table = text_table(setting)
    if table is not None:
        decoder.embed_tokens.weight.data.copy_(table)
    for part, module in decoder.named_children():
        load_part(setting.folder / SPEECH / SNAPSHOT, f"decoder.{part}", module)
    return decoder.requires_grad_(False).eval()


def text_table(setting: Setting) -> Tensor | None:
    """The language model's input table, (vocab, embed) float32, for the speech decoder; None if it has its own.

    Raises:
        RecipeError: the language model is not finished, or its table is not of the speech decoder's size.
    """
    if setting.is_tiny:
        return None
    llm, speech = setting.config.llm, setting.config.speech_decoder
    if (llm.vocab, llm.hidden) != (speech.text_vocab, speech.text_embed):
        sizes = f"({llm.vocab}, {llm.hidden}), and ({speech.text_vocab}, {speech.text_embed})"
        raise RecipeError(f"the language model's text table is {sizes} in the speech decoder")
    table = nn.Embedding(llm.vocab, llm.hidden)
    stages = [stage for stage in STAGES.values() if LLM in stage.trains]
    name = "model.embed_tokens"
    if setting.start is not None and _is_ready(setting, "llm"):
        stages, _ = stages_left(setting.folder, stages)
        table.weight.data.copy_(setting.start.tensor("llm", f"{name}.weight"))
    elif not read_progress(setting.folder / stages[-1].name / SNAPSHOT).is_finished:
        raise RecipeError(f"the speech decoder reads the language model's text table: finish {stages[-1].name} before")
    for stage in stages:
        path = setting.folder / stage.name / SNAPSHOT
        if f"{LLM}.{name}.weight" in trained(path, PART):
            load_part(path, f"{PART}.{LLM}.{name}", table)
    return table.weight.data


def export_speech(setting: Setting, tokenizer: Path, out: Path, version: str) -> list[Manifest]:
    """Write `codec_decoder` and `speech_decoder` into `out`; of a run with a start, those that it trained.

    Raises:
        RecipeError: a stage is not finished, and nothing stands in for it.
    """
    has_started = setting.start is not None
    written: list[Manifest] = []
    is_codec_kept = _is_ready(setting, CODEC_DECODER)
    if not is_codec_kept and not (has_started and not _is_finished(setting, CODEC)):
        codec = load_ready_codec(setting)
        run_name, model = training_run(setting, [CODEC]), setting.config.name
        written.append(export_codec(codec.decoder, out / CODEC_DECODER, run_name, version, model=model))
    if not (has_started and not _is_finished(setting, SPEECH)):
        written.append(_export_decoder(setting, tokenizer, out / SPEECH_DECODER, version))
    return written


def _export_decoder(setting: Setting, tokenizer: Path, folder: Path, version: str) -> Manifest:
    """Write `speech_decoder`; its codebook, licence and contract of text are the start's where that has them."""
    ready = setting.start.manifests if setting.start is not None else {}
    tag = codebook_id(load_ready_codec(setting).codebook, setting.config.name)
    if CODEC_DECODER in ready:
        tag = ready[CODEC_DECODER].contract["codebook"]
    contracts = [ready[name].contract for name in (SPEECH_DECODER, "llm") if name in ready]
    texts = [contract["text"] for contract in contracts if "text" in contract]
    return export_decoder(
        load_decoder(setting),
        tag,
        tokenizer,
        folder,
        training_run(setting, [CODEC, SPEECH]),
        version,
        model=setting.config.name,
        licence=ready[SPEECH_DECODER].licence if SPEECH_DECODER in ready else LICENCE,
        text=texts[0] if texts else TEXT_CONTRACT,
    )


def _codec_lesson(setting: Setting, schedule: Schedule) -> Lesson[Any]:
    crops, judged = sound_of(setting.data, setting.seed, setting.batch_length or CROPS)
    torch.manual_seed(setting.seed)
    if _is_ready(setting, CODEC_DECODER):
        return EncoderLesson(_started_codec(setting), crops, judged, schedule.steps)
    codec = Codec(setting.config.codec_decoder)
    return codec_lesson.CodecLesson(codec, crops, judged, schedule.steps, schedule.accumulation)


def _speech_lesson(setting: Setting) -> Lesson[Any]:
    config, codec = setting.config.speech_decoder, load_ready_codec(setting)
    table = text_table(setting)
    material = material_of(
        setting.data,
        lambda vocabulary: ExampleMaker(codec, setting.tokenizer, vocabulary),
        config.subframes,
        batch_length=setting.batch_length or BATCH_LENGTH,
        seed=setting.seed,
    )
    torch.manual_seed(setting.seed)
    model = TaughtDecoder(config, material.word_count, codec)
    if setting.start is not None and _is_ready(setting, SPEECH_DECODER):
        setting.start.fill(model.decoder, SPEECH_DECODER, torch.float32)
    if table is not None:
        model.decoder.embed_tokens.weight.requires_grad_(False).copy_(table)
    if setting.is_compiled:
        model.compile_layers()
    return decoder_lesson.DecoderLesson(model, material.examples, setting.tokenizer, material.judged, setting.seed)


def _started_codec(setting: Setting) -> Codec:
    codec = Codec(setting.config.codec_decoder)
    if setting.start is not None:
        setting.start.fill(codec.decoder, CODEC_DECODER, torch.float32)
    return codec


def _is_ready(setting: Setting, component: str) -> bool:
    """Whether the run starts from such a component."""
    return setting.start is not None and component in setting.start.manifests


def _is_finished(setting: Setting, stage: str) -> bool:
    return read_progress(setting.folder / stage / SNAPSHOT).is_finished
