"""Held-out conversations, held: every answer of the model's stays in the context for the next turn."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image
from torch import Tensor
from vita_training.data.sample import AUDIO, IMAGE, VIDEO, Clip, Picture, Sample, Utterance, Video
from vita_training.world.prompt import SYSTEM_PROMPT

from vita15.engine.text_protocol import CallChoice
from vita15.tool_format import ToolCall, parse_call
from vita_evaluation import offline
from vita_evaluation.content import says_the_same
from vita_evaluation.offline import Answer, Assistant, Script

MAX_CALLS = 8  # of one answer, as in serving
MAX_TILES = 1  # of a picture whose sender says nothing, as in serving
_PLACEHOLDER = re.compile(f"({'|'.join((IMAGE, VIDEO, AUDIO))})\n?")


@dataclass(frozen=True, slots=True)
class Turn:
    """What is asked, and what is right."""

    kind: str
    asked: str  # with placeholders
    answer: str
    call: ToolCall | None = None  # before the answer
    result: str = ""  # of the call


@dataclass(frozen=True, slots=True)
class Exchange:
    """A turn as it went."""

    turn: Turn
    said: Answer
    is_call_right: bool  # as it should be: none, or one with the same arguments and no words before it

    @property
    def is_right(self) -> bool:
        """Whether all of it was right, and the answer came to its end."""
        is_whole = self.said.state != "noise" and self.said.ending == "stop"
        return self.is_call_right and is_whole and says_the_same(self.turn.answer, self.said.text)


def turns_of(sample: Sample) -> list[Turn]:
    """Return a sample's turns."""
    turns: list[Turn] = []
    kinds = sample.kind.split()
    rest = [utterance for utterance in sample.conversations if utterance.speaker != "system"]
    while rest:
        asked = rest.pop(0)
        told = [rest.pop(0) for _ in range(_until_next_question(rest))]
        call = next((parse_call(utterance.value) for utterance in told if utterance.speaker == "gpt"), None)
        result = next((utterance.value for utterance in told if utterance.speaker == "tool"), "")
        turns.append(Turn(kinds[len(turns)], asked.value, told[-1].value if told else "", call, result))
    return turns


def converse(assistant: Assistant, sample: Sample, turn_count: int | None = None) -> Script[list[Exchange]]:
    """Hold a conversation, or its first turns; it ends early after a wrong call or a question taken for noise."""
    media = _Media(assistant, sample)
    has_tools = sample.conversations[0].speaker == "system"
    yield from offline.say("system", sample.conversations[0].value if has_tools else SYSTEM_PROMPT)
    held: list[Exchange] = []
    for turn in turns_of(sample)[:turn_count]:
        yield from media.ask(turn.asked)
        states = ("speech", "noise") if AUDIO in turn.asked else ("text",)  # as serving asks
        calls = CallChoice(MAX_CALLS) if has_tools else None
        said = yield from offline.answer(states, calls)
        is_call_right = _is_same(said, turn.call)
        if said.calls and is_call_right:
            yield from offline.say("tool", turn.result)
            said = yield from offline.answer(("text",), calls)
            is_call_right = not said.calls
        held.append(Exchange(turn, said, is_call_right))
        if said.state == "noise" or not is_call_right:
            break
    return held


def png(picture: Picture | Image.Image) -> bytes:
    """Return a picture as a client would send it."""
    image = picture.pixels if isinstance(picture, Picture) else picture
    if not isinstance(image, Image.Image):
        return image.read_bytes()
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1)
    return out.getvalue()


class _Media:
    """A sample's media in order, as the model takes them."""

    def __init__(self, assistant: Assistant, sample: Sample) -> None:
        self._assistant = assistant
        self._pictures: Iterator[Picture] = iter(sample.pictures)
        self._videos: Iterator[Video] = iter(sample.videos)
        self._clips: Iterator[Clip] = iter(sample.audio)

    def ask(self, asked: str) -> Script[None]:
        """Add a user's turn: what is seen, words, speech."""
        seen: list[Tensor] = []
        speech: Tensor | None = None
        words = ""
        for piece in filter(None, _PLACEHOLDER.split(asked)):
            if piece == IMAGE:
                seen.append(self._assistant.see(png(next(self._pictures)), MAX_TILES))
            elif piece == VIDEO:
                frames = next(self._videos).frames
                assert isinstance(frames, tuple), "the small world's videos are drawn, not read"
                seen += [self._assistant.see(png(frame)) for frame in frames]
            elif piece == AUDIO:
                samples = next(self._clips).samples
                speech = self._assistant.hear(samples)  # pyright: ignore[reportArgumentType]  # drawn, not read
            else:
                words += piece
        yield from offline.ask(words, pictures=seen, speech=speech)


def _until_next_question(rest: Sequence[Utterance]) -> int:
    return next((index for index, utterance in enumerate(rest) if utterance.speaker == "human"), len(rest))


def _is_same(said: Answer, wanted: ToolCall | None) -> bool:
    """Whether an answer calls what it should, and nothing else."""
    if wanted is None:
        return not said.calls
    if len(said.calls) != 1 or said.text.strip():
        return False
    (made,) = said.calls
    return made.name == wanted.name and json.loads(made.arguments) == json.loads(wanted.arguments)
