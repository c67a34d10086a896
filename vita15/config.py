"""What the five components look like: two configurations of one model, `vita-1.5` and `tiny`.

Tiny and full are one code path and two sets of numbers. Source of the full sizes: docs/model.md; the two differences
that are more than a number (pixels of a tile, and the codec's generator) are listed there too.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Literal

SAMPLES_PER_CODE = 600  # 24 kHz / 40 codes a second (docs/model.md, 5)
SPEECH_IN_HZ = 16_000  # the speech encoder's rate (docs/model.md, 2.1)
SPEECH_OUT_HZ = 24_000  # the codec's rate (docs/model.md, 5)


@dataclass(frozen=True, slots=True)
class VisionEncoderConfig:
    """InternViT, pixel shuffle and the projector (docs/model.md, 1)."""

    tile_px: int = 448
    patch_px: int = 14
    hidden: int = 1024
    layers: int = 24
    heads: int = 16
    ffn: int = 4096
    embed: int = 3584  # width of the language model's embeddings
    max_tiles: int = 12  # thumbnail not counted
    norm_eps: float = 1e-6

    @property
    def tokens_per_tile(self) -> int:
        """Embeddings a tile gives: one for each 2 × 2 patches."""
        return (self.tile_px // self.patch_px // 2) ** 2


@dataclass(frozen=True, slots=True)
class SpeechEncoderConfig:
    """The streaming speech encoder and its adapter (docs/model.md, 2)."""

    mel_bins: int = 80
    subsampling_channels: int = 1024
    hidden: int = 1024
    layers: int = 24
    heads: int = 16
    ffn: int = 4096
    adapter_hidden: int = 2048
    adapter_kernel: int = 5
    embed: int = 3584
    chunk_frames: int = 4  # encoder frames (40 ms) that see each other when streaming: 160 ms
    left_chunks: int = 16  # chunks seen to the left when streaming: 2.56 s
    max_frames: int = 5000  # encoder frames: the position table's end, 200 s
    prompt_count: int = 0  # trainable vectors put before a clip for transcription; none in the release
    turn_end_hidden: int = 0  # width of the head that hears whether a sentence is finished (ours); 0: no such head


@dataclass(frozen=True, slots=True)
class LlmConfig:
    """Qwen2 (docs/model.md, 3)."""

    hidden: int = 3584
    layers: int = 28
    heads: int = 28
    kv_heads: int = 4
    head_dim: int = 128
    ffn: int = 18_944
    vocab: int = 152_064
    rope_theta: float = 1_000_000.0
    norm_eps: float = 1e-6
    max_positions: int = 32_768


@dataclass(frozen=True, slots=True)
class SpeechDecoderConfig:
    """Text to codec tokens: NAR prefill and AR steps on the same layers (docs/model.md, 4)."""

    text_vocab: int = 152_064
    text_embed: int = 3584  # width of a row of the text table: text_embed / hidden sub-frames a token
    hidden: int = 896
    pre_layers: int = 2
    layers: int = 4
    heads: int = 14
    ffn: int = 4864
    codebook_size: int = 1024  # ids beyond it: text start, speech start, speech end, padding
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-6
    max_positions: int = 2048
    max_codes: int = 1000  # of one clause: 25 s
    top_k: int = 2

    @property
    def subframes(self) -> int:
        """Positions a text token takes."""
        return self.text_embed // self.hidden


@dataclass(frozen=True, slots=True)
class CodecConfig:
    """Codec tokens to sound: `hifigan`, the published generator, or `istft`, cheaper to train (docs/model.md, 5)."""

    generator: Literal["hifigan", "istft"] = "hifigan"
    codebook_size: int = 1024
    code_dim: int = 512
    channels: int = 512  # hifigan: width before the first upsampling; istft: width of the blocks
    # Codes of context a window carries either side of what is kept (docs/model.md, 4.6).
    context_codes: int = 10
    # hifigan
    upsample_rates: tuple[int, ...] = (8, 5, 5, 3)
    upsample_kernels: tuple[int, ...] = (16, 11, 11, 5)
    resblock_kernels: tuple[int, ...] = (3, 7, 11)
    resblock_dilations: tuple[int, ...] = (1, 3, 5)
    global_tokens: tuple[int, ...] = (473, 975, 419, 219, 565, 121, 550, 616)  # the voice
    global_dim: int = 16
    # istft
    layers: int = 0
    ffn: int = 0
    hop: int = 0  # samples a frame; two frames a code
    fft: int = 0


@dataclass(frozen=True, slots=True)
class VitaConfig:
    """The whole model."""

    name: str
    vision_encoder: VisionEncoderConfig = field(default_factory=VisionEncoderConfig)
    speech_encoder: SpeechEncoderConfig = field(default_factory=SpeechEncoderConfig)
    llm: LlmConfig = field(default_factory=LlmConfig)
    speech_decoder: SpeechDecoderConfig = field(default_factory=SpeechDecoderConfig)
    codec_decoder: CodecConfig = field(default_factory=CodecConfig)


VITA_1_5 = VitaConfig("vita-1.5")

TINY = VitaConfig(
    "tiny",
    VisionEncoderConfig(tile_px=112, hidden=128, layers=4, heads=4, ffn=384, embed=384),
    SpeechEncoderConfig(
        subsampling_channels=32,
        hidden=144,
        layers=4,
        heads=4,
        ffn=576,
        adapter_hidden=288,
        embed=384,
        prompt_count=8,
        turn_end_hidden=96,
    ),
    LlmConfig(
        hidden=384,
        layers=4,
        heads=6,
        kv_heads=2,
        head_dim=64,
        ffn=640,
        vocab=1536,
        rope_theta=10_000.0,
        max_positions=4096,
    ),
    SpeechDecoderConfig(text_vocab=1536, text_embed=384, hidden=192, heads=4, ffn=512),
    CodecConfig(
        generator="istft",
        code_dim=16,
        channels=192,
        layers=4,
        ffn=576,
        hop=300,
        fft=1200,
        global_tokens=(),
        global_dim=0,
    ),
)

CONFIGS = {config.name: config for config in (VITA_1_5, TINY)}


def component_config(name: str, values: dict[str, object]) -> object:
    """Rebuild one component's configuration from a manifest's `config` object.

    Raises:
        ValueError: the component or a field is unknown.
    """
    types = {f.name: f.default_factory for f in dataclasses.fields(VitaConfig) if f.name != "name"}
    if name not in types:
        raise ValueError(f"unknown component {name!r}; known: {', '.join(types)}")
    config_type = types[name]
    known = {f.name for f in dataclasses.fields(config_type)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - known)
    if unknown:
        raise ValueError(f"{name}: unknown configuration fields {', '.join(unknown)}")
    return config_type(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})  # type: ignore[misc]
