"""What the frozen encoders make of pictures and clips, computed once: the language model trains on these."""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from vita15.config import TINY
from vita15.speech_encoder import Mode, SpeechEncoder
from vita15.vision_encoder import VisionEncoder
from vita_training.answering.splice import Clip, PictureRows
from vita_training.hearing.augment import heard, noise_bank
from vita_training.hearing.pretrain import as_float, make_batch
from vita_training.seeing.picture_pool import make_pool
from vita_training.world.language import OPENINGS
from vita_training.world.recordings import DEFAULT_PATH, Recordings
from vita_training.world.scenes import Scene
from vita_training.world.sounds import Samples, sample_sound

PICTURES = 10_000
LARGE_SHARE = 0.07
SOUNDS = 1500
FULL_SHARE = 0.15  # of the batches of clips; the rest is heard as when streaming
_BATCH = 32
SEEN, HEARD = "seen.pt", "heard.pt"


@dataclass(frozen=True)
class Seen:
    """Pictures as the vision tower leaves them."""

    scenes: list[Scene]
    pictures: list[PictureRows]  # features (tiles × tokens, 4 × hidden) bfloat16


@dataclass(frozen=True)
class Heard:
    """Clips as the speech encoder leaves them, before the adapter."""

    takes: dict[str, list[Clip]]  # of each question, openings before it not counted; frames are bfloat16
    sounds: list[Clip]


@torch.no_grad()
def see_pictures(encoder: VisionEncoder, seed: int, count: int = PICTURES) -> Seen:
    """Draw pictures and encode them."""
    encoder.eval()
    pool = make_pool(random.Random(seed), count, LARGE_SHARE, TINY.vision_encoder)
    rows: list[PictureRows] = []
    for first in range(0, count, _BATCH):
        pictures = pool[first : first + _BATCH]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            encoded = encoder.features(torch.cat([p.tiles for p in pictures]).float())
        parts = encoded.split([len(p.tiles) for p in pictures])
        for picture, part in zip(pictures, parts, strict=True):
            rows.append(PictureRows(part.flatten(0, 1).bfloat16().clone(), picture.labels.flatten(0, 1)))
    return Seen([p.scene for p in pool], rows)


def hear_recordings(encoder: SpeechEncoder, recordings: Recordings, seed: int) -> Heard:
    """Encode every take once, with noise and silence around it, and other sounds: mostly as when streaming."""
    rng = random.Random(seed)
    noises = noise_bank(rng)
    order = sorted(range(len(recordings.texts)), key=lambda i: len(recordings.take(i)))
    clips = [as_float(recordings.take(i)) for i in order]
    takes: dict[str, list[Clip]] = {}
    for index, frames in zip(order, encode_clips(encoder, clips, rng, noises), strict=True):
        text = recordings.texts[index]
        takes.setdefault(without_opening(text), []).append(Clip(frames, text))
    sounds = [sample_sound(rng) for _ in range(SOUNDS)]
    return Heard(takes, [Clip(frames, "") for frames in encode_clips(encoder, sounds, rng, noises)])


@torch.no_grad()
def encode_clips(
    encoder: SpeechEncoder, clips: list[Samples], rng: random.Random, noises: list[Samples]
) -> list[Tensor]:
    """Augment and encode clips, without the adapter."""
    encoder.eval()
    encoded: list[Tensor] = []
    for first in range(0, len(clips), _BATCH):
        changed = [heard(c, rng, noises, is_clean=rng.random() < 0.25) for c in clips[first : first + _BATCH]]
        batch = make_batch(changed, [])
        mode: Mode = "full" if rng.random() < FULL_SHARE else "stream"
        with torch.autocast("cpu", dtype=torch.bfloat16):
            frames, lengths = encoder.encode_frames(batch.features, batch.lengths, mode)
        encoded += [row[:n].bfloat16().clone() for row, n in zip(frames, lengths.tolist(), strict=True)]
    return encoded


def without_opening(text: str) -> str:
    """ "Stop. Where is it?" → "Where is it?"."""
    for opening in OPENINGS:
        if text.startswith(f"{opening} "):
            return text[len(opening) + 1 :]
    return text


def load_seen(folder: Path) -> Seen:
    """Read the pictures that `main` encoded."""
    return cast(Seen, torch.load(folder / SEEN, weights_only=False))  # our own file, made by this module


def load_heard(folder: Path) -> Heard | None:
    """Read the clips that `main` encoded; None if it has not yet."""
    return cast(Heard, torch.load(folder / HEARD, weights_only=False)) if (folder / HEARD).exists() else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("pictures", "clips"))
    parser.add_argument("--folder", type=Path, default=Path(".vita/training"))
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder: Path = options.folder
    if options.what == "pictures":
        vision = VisionEncoder(TINY.vision_encoder, attention="eager")
        vision.load_state_dict(torch.load(folder / "seeing/encoder.pt", weights_only=True))
        torch.save(see_pictures(vision, options.seed), folder / SEEN)
        return
    speech = SpeechEncoder(TINY.speech_encoder)
    listener = torch.load(folder / "hearing/listener.pt", weights_only=True)
    speech.load_state_dict({k[8:]: v for k, v in listener.items() if k.startswith("encoder.")})
    heard_clips = hear_recordings(speech, Recordings.load(DEFAULT_PATH), options.seed)
    torch.save(heard_clips, folder / "heard.new")
    (folder / "heard.new").replace(folder / HEARD)


if __name__ == "__main__":
    main()
