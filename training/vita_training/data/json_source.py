"""Sets in the original's JSON format, read and written.

A list of objects: `set` (whose folder holds the media; a list: of each picture, video or clip), `id`, `conversations`
of `{"from": "human" or "gpt", "value": …}`, and where there are any `image` and `video` (a name or a list), `audio`
(names under the folder's `audio/`), `inserted_id` and `end_tag` (false: the last answer was broken off). Ours, all
optional: speakers "system" and "tool", `broken_off` of any answer, `kind`, `said` (of each clip), `things` (of each
picture) and `video_things` (of each frame of each video).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import soundfile
from PIL import Image

from vita15.config import SPEECH_IN_HZ
from vita_training.data.sample import Clip, Picture, Sample, Source, Speaker, Thing, Utterance, Video
from vita_training.recipe.errors import RecipeError

FRAME_MS = 1000  # of a written video: one frame a second (docs/model.md, 1.5)

Item = dict[str, Any]  # one object of the file, not yet checked


class JsonSource:
    """A set read from a file; its media are opened when a sample is used."""

    def __init__(self, file: Path, folders: Mapping[str, Path] | None = None) -> None:
        """Read the list.

        Args:
            file: the JSON file.
            folders: where the media of each `set` lie; a set that is not named has them beside the file.

        Raises:
            RecipeError: the file cannot be read or is no such list, or an object is not of this format; the message
                names the file, the object and the field.
        """
        try:
            items = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RecipeError(f"{file}: cannot be read as JSON: {error}") from error
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in cast(list[object], items)):
            raise RecipeError(f"{file}: wants a list of objects")
        self._samples = [_sample(item, folders or {}, file) for item in cast(list[Item], items)]

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Sample:
        return self._samples[index]


def write_json(source: Source, count: int, file: Path) -> None:
    """Write the first `count` samples of a set, media beside the file."""
    (file.parent / "audio").mkdir(parents=True, exist_ok=True)
    items = [_item(source[index], file.parent) for index in range(count)]
    file.write_text(json.dumps(items, ensure_ascii=False), encoding="utf-8")


def _sample(item: Item, folders: Mapping[str, Path], file: Path) -> Sample:
    try:
        sets = _names(item["set"])
        homes = [folders.get(name, file.parent) for name in sets]
        things = [tuple(Thing(**thing) for thing in shown) for shown in item.get("things", [])]
        films = [tuple(tuple(Thing(**t) for t in frame) for frame in film) for film in item.get("video_things", [])]
        images, videos = (_placed(_names(item.get(key, [])), homes) for key in ("image", "video"))
        clips = _placed(_names(item.get("audio", [])), [home / "audio" for home in homes])
        return Sample(
            id=str(item["id"]),
            set=" + ".join(dict.fromkeys(sets)),
            conversations=_utterances(item["conversations"], end_tag=item.get("end_tag", True)),
            pictures=tuple(Picture(path, t) for path, t in zip(images, _filled(things, images), strict=True)),
            videos=tuple(Video(path, t) for path, t in zip(videos, _filled(films, videos), strict=True)),
            audio=tuple(Clip(path, s) for path, s in zip(clips, item.get("said") or [""] * len(clips), strict=True)),
            inserted_id=item.get("inserted_id"),
            kind=item.get("kind", ""),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RecipeError(f"{file}: sample {item.get('id', '?')!r}: {type(error).__name__} {error}") from error


def _utterances(turns: Sequence[Item], *, end_tag: bool) -> tuple[Utterance, ...]:
    last = len(turns) - 1
    return tuple(_utterance(turn, is_cut=i == last and not end_tag) for i, turn in enumerate(turns))


def _utterance(turn: Item, *, is_cut: bool) -> Utterance:
    speaker = turn["from"]
    if speaker not in get_args(Speaker):
        raise ValueError(f"from: {speaker!r} is none of {', '.join(get_args(Speaker))}")
    return Utterance(cast(Speaker, speaker), turn["value"], is_cut or turn.get("broken_off", False))


def _names(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _placed(names: list[str], homes: list[Path]) -> list[Path]:
    """Where each medium lies: in the folder of its own set, or all in one.

    Raises:
        ValueError: there are several folders, and not one for each medium.
    """
    if len(set(homes)) == 1:
        homes = homes[:1] * len(names)
    if names and len(homes) != len(names):
        raise ValueError(f"set: {len(homes)} folders for {len(names)} media")
    return [home / name for home, name in zip(homes, names, strict=False)]


def _filled(given: Sequence[Any], media: Sequence[Path]) -> Sequence[Any]:
    """What is known of each medium: nothing, if the key is absent."""
    return given or [()] * len(media)


def _item(sample: Sample, folder: Path) -> Item:
    images = [_write_picture(p, folder, f"{sample.id}-{i}.png") for i, p in enumerate(sample.pictures)]
    videos = [_write_video(v, folder, f"{sample.id}-{i}.webp") for i, v in enumerate(sample.videos)]
    clips = [_write_clip(c, folder, f"{sample.id}-{i}.wav") for i, c in enumerate(sample.audio)]
    present = {
        "image": images,
        "video": videos,
        "audio": clips,
        "said": [clip.text for clip in sample.audio],
        "things": [[asdict(thing) for thing in picture.things] for picture in sample.pictures],
        "video_things": [[[asdict(t) for t in frame] for frame in video.things] for video in sample.videos],
        "kind": sample.kind,
    }
    item: Item = {"set": sample.set, "id": sample.id, **{key: value for key, value in present.items() if value}}
    item["conversations"] = [_turn(utterance) for utterance in sample.conversations]
    if sample.inserted_id is not None:
        item["inserted_id"] = sample.inserted_id
    return item


def _turn(utterance: Utterance) -> Item:
    turn: Item = {"from": utterance.speaker, "value": utterance.value}
    return turn | {"broken_off": True} if utterance.is_broken_off else turn


def _write_picture(picture: Picture, folder: Path, name: str) -> str:
    pixels = Image.open(picture.pixels) if isinstance(picture.pixels, Path) else picture.pixels
    pixels.save(folder / name)
    return name


def _write_video(video: Video, folder: Path, name: str) -> str:
    if isinstance(video.frames, Path):
        (folder / name).write_bytes(video.frames.read_bytes())
    else:
        first, *rest = video.frames
        first.save(folder / name, save_all=True, append_images=rest, duration=FRAME_MS, lossless=True)
    return name


def _write_clip(clip: Clip, folder: Path, name: str) -> str:
    if isinstance(clip.samples, Path):
        (folder / "audio" / name).write_bytes(clip.samples.read_bytes())
    else:
        soundfile.write(folder / "audio" / name, np.asarray(clip.samples), SPEECH_IN_HZ, subtype="PCM_16")
    return name
