"""The sets of the small world, one a kind of lesson; every sample is a function of the set's seed and its index.

Held-out twins (`is_held_out`) draw other pictures, put questions in wordings that training never meets, and are spoken
by other voices at other speeds (vita_training.world.held_out).

How a sample comes about: `things` and `scene` say what there is, `painting` shows it; `phrasing` words a question that
a topic asks (`topics/`), `dialogue` and `conversations` put questions in a row; `espeak` and `voices` spoke them once
into the `pool`, and `sound_stage` lets them be heard in a `room`; `samples` lays all of it out.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vita_training.data.sample import AUDIO, Clip, Sample, Utterance
from vita_training.world import held_out
from vita_training.world.conversations import draw_caption, draw_dialogue
from vita_training.world.dialogue import LONG_TURNS, TURNS
from vita_training.world.phrasing import Asker
from vita_training.world.pool import DEFAULT_FOLDER, Recordings, pool_folder
from vita_training.world.samples import Draft, add_noise, draft, interrupt
from vita_training.world.sound_stage import TURN_END_TRAIL_S, SoundStage

VIDEO_SHARE = 0.15  # of captions
SPOKEN_SHARE = 0.5  # of the questions of stage 2.2 (paper: half of the text questions)
NOISE_SHARE = 0.12  # of its conversations end in a sound that is no question
BARE_NOISE_SHARE = 0.04  # of its samples are nothing but such a sound
CAPTION_SHARE = 0.1  # of its samples
ASIDE_SHARE = 0.1  # of transcripts, where they have any
INTERRUPTED_SHARE = 0.08  # of conversations, in one answer
TOOLS_SHARE = 0.35  # of conversations without pictures, for stage 0.2
# Of typed conversations without pictures, and of all: a sentence is said again word for word. A ready language model
# can do that, and stage 2.1b needs it: there a frozen one writes down what is heard.
DICTATION_SHARES = 0.2, 0.05
# Any number could be drawn; these say how large the sets are for shares of them (20 % of the captions …).
CAPTIONS, QUESTIONS, TALKS, TRANSCRIPTS, TURN_ENDS = 100_000, 800_000, 200_000, 200_000, 100_000

Draw = Callable[[Asker], Draft]


@dataclass(frozen=True)
class WorldSource:
    """A set, drawn when it is asked for."""

    name: str
    size: int
    seed: int
    is_held_out: bool
    draw: Draw

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Sample:
        """Draw a sample.

        Raises:
            IndexError: the set is smaller.
        """
        if not 0 <= index < self.size:
            raise IndexError(f"sample {index} of {self.size} in {self.name}")
        seed = self.seed + held_out.SEED * self.is_held_out
        made = self.draw(Asker(random.Random(f"{self.name} {seed} {index}"), self.is_held_out))
        return made.finished(f"{self.name}-{index:06d}", self.name)


def captions(seed: int = 0, *, is_held_out: bool = False) -> WorldSource:
    """Pictures and videos with a sentence or more about them."""
    return WorldSource("captions", CAPTIONS, seed, is_held_out, _caption)


def questions(seed: int = 0, *, is_held_out: bool = False, subject: str = "") -> WorldSource:
    """Typed conversations, most about a picture; `subject`: all about one of `conversations.SUBJECTS`."""

    def draw(asker: Asker) -> Draft:
        is_dictation = not subject and asker.rng.random() < DICTATION_SHARES[1]
        return _dictation(asker) if is_dictation else _conversation(asker, subject)

    return WorldSource(f"questions-{subject}" if subject else "questions", QUESTIONS, seed, is_held_out, draw)


def spoken_questions(
    seed: int = 0,
    *,
    recordings: Recordings,
    is_held_out: bool = False,
    subject: str = "",
    ratio_db: float | None = None,
) -> WorldSource:
    """The same conversations, every question spoken of which there is a recording."""
    stage = SoundStage(recordings, ratio_db)

    def draw(asker: Asker) -> Draft:
        return draft(draw_dialogue(asker, subject), asker.rng, stage, 1.0)

    name = f"questions-{subject}" if subject else "questions"
    return WorldSource(name, QUESTIONS, seed, is_held_out, draw)


def text_only(seed: int = 0, *, is_held_out: bool = False) -> WorldSource:
    """Typed conversations without media."""

    def draw(asker: Asker) -> Draft:
        if asker.rng.random() < DICTATION_SHARES[0]:
            return _dictation(asker)
        subject = "tools" if asker.rng.random() < TOOLS_SHARE else "talk"
        return _conversation(asker, subject)

    return WorldSource("talk", TALKS, seed, is_held_out, draw)


def transcripts(
    seed: int = 0,
    *,
    recordings: Recordings,
    is_held_out: bool = False,
    ratio_db: float | None = None,
    has_asides: bool = False,
) -> WorldSource:
    """Speech, and what is said.

    Args:
        seed: of the set.
        recordings: what is heard.
        is_held_out: draw other takes than training does; give it the held-out recordings.
        ratio_db: of speech to noise: drawn if None, `math.inf` is clean.
        has_asides: people talk to each other too, in words that the language model does not know.
    """
    stage = SoundStage(recordings, ratio_db)

    def draw(asker: Asker) -> Draft:
        is_aside = has_asides and asker.rng.random() < ASIDE_SHARE
        clip = (stage.any_aside(asker.rng) if is_aside else None) or stage.any_question(asker.rng)
        return _heard(clip, clip.text, "transcript")

    return WorldSource("transcripts", TRANSCRIPTS, seed, is_held_out, draw)


def speech_and_noise(seed: int = 0, *, recordings: Recordings, is_held_out: bool = False) -> WorldSource:
    """The mix of stage 2.2: conversations half spoken, some ending in noise; captions; noise alone."""
    stage = SoundStage(recordings)

    def draw(asker: Asker) -> Draft:
        rng, kind = asker.rng, asker.rng.random()
        if kind < BARE_NOISE_SHARE:
            made = Draft()
            add_noise(made, rng, stage)
            return made
        if kind < BARE_NOISE_SHARE + CAPTION_SHARE:
            return _caption(asker)
        made = draft(draw_dialogue(asker, lengths=_lengths(asker)), rng, stage, SPOKEN_SHARE)
        ending = rng.random()
        if ending < NOISE_SHARE:
            add_noise(made, rng, stage)
        elif ending < NOISE_SHARE + INTERRUPTED_SHARE:
            interrupt(made, rng)
        return made

    return WorldSource("speech", QUESTIONS, seed, is_held_out, draw)


def noises(seed: int = 0, *, recordings: Recordings, is_held_out: bool = False) -> WorldSource:
    """Sounds that are no question, each alone."""
    stage = SoundStage(recordings)

    def draw(asker: Asker) -> Draft:
        made = Draft()
        add_noise(made, asker.rng, stage)
        return made

    return WorldSource("noises", TRANSCRIPTS, seed, is_held_out, draw)


def turn_ends(
    seed: int = 0,
    *,
    recordings: Recordings,
    is_held_out: bool = False,
    pause_s: tuple[float, float] = TURN_END_TRAIL_S,
) -> WorldSource:
    """Sentences and then a pause; `kind` is "finished" or "unfinished"."""
    stage = SoundStage(recordings)

    def draw(asker: Asker) -> Draft:
        clip, is_finished = stage.turn_end(asker.rng, pause_s)
        return _heard(clip, "", "finished" if is_finished else "unfinished")

    return WorldSource("turn-ends", TURN_ENDS, seed, is_held_out, draw)


def load_recordings(folder: Path = DEFAULT_FOLDER, *, is_held_out: bool = False) -> Recordings:
    """Open one of the two pools that `vita_training.world.pool` renders."""
    return Recordings.load(pool_folder(folder, is_held_out=is_held_out))


def _caption(asker: Asker) -> Draft:
    return draft(draw_caption(asker, VIDEO_SHARE), asker.rng)


def _conversation(asker: Asker, subject: str) -> Draft:
    """Draw a typed conversation; in training some are interrupted."""
    made = draft(draw_dialogue(asker, subject, _lengths(asker)), asker.rng)
    if not asker.is_held_out and asker.rng.random() < INTERRUPTED_SHARE:
        interrupt(made, asker.rng)
    return made


def _lengths(asker: Asker) -> Sequence[int]:
    return TURNS if asker.is_held_out else LONG_TURNS


def _dictation(asker: Asker) -> Draft:
    """Draw a sentence that somebody could say to the assistant, to be said again."""
    sentence = asker.rng.choice(draw_dialogue(asker).questions).text
    utterances = [Utterance("human", f"Repeat after me: {sentence}"), Utterance("gpt", sentence)]
    return Draft(utterances, kinds=["dictation"])


def _heard(clip: Clip, answer: str, kind: str) -> Draft:
    utterances = [Utterance("human", AUDIO), *([Utterance("gpt", answer)] if answer else [])]
    return Draft(utterances, audio=[clip], kinds=[kind])
