"""The assistant without its servers: the engines that hear, see and think, for many conversations at once.

A conversation is a script: a generator that yields operations of the text engine and is sent the events that answer
each. Scripts that are held together share the engine's batches, as sessions do in serving.
"""

from __future__ import annotations

import wave
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from vita15.checkpoint import tokenizer_path
from vita15.config import SPEECH_IN_HZ
from vita15.engine.speech_encoder_engine import SpeechEncoderEngine, SpeechEvent
from vita15.engine.text_engine import TextEngine
from vita15.engine.text_protocol import (
    AppendEmbeddings,
    AppendText,
    CallChoice,
    Generate,
    Kind,
    Operation,
    TextEvent,
)
from vita15.engine.vision_engine import Picture, TileEvent, VisionEngine
from vita15.splicing import AFTER_PICTURES
from vita15.tokenizer import Tokenizer
from vita15.tool_format import ToolCall, read_call

ResultT = TypeVar("ResultT")
Events = tuple[TextEvent, ...]
Script = Generator[Operation, Events, ResultT]

TOGETHER = 32  # conversations held at once: as many as a batch of the engine's takes in serving
MAX_CONTEXT = 2048  # positions; the longest conversation of the small world has 600
MAX_ANSWER_TOKENS = 96


class EngineRefused(Exception):
    """An engine did not do what it was asked; the message is its own."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model made of a query."""

    state: str  # speech, text or noise; empty where nothing was judged
    text: str
    calls: tuple[ToolCall, ...] = ()  # behind the text
    ending: str = "stop"  # or length, noise or bad_call: as the engine tells it


class Assistant:
    """Hears, sees and thinks; holds conversations."""

    def __init__(self, checkpoint: Path, *, together: int = TOGETHER) -> None:
        """Load the three components.

        Raises:
            CheckpointError: the folder holds none of them, or damaged ones.
        """
        self.tokenizer = Tokenizer.from_file(tokenizer_path(checkpoint / "llm"))
        self._vision = VisionEngine.load(checkpoint / "vision_encoder")
        self._speech = SpeechEncoderEngine.load(checkpoint / "speech_encoder")
        self._text = TextEngine.load(checkpoint / "llm", max_sessions=together, max_context=MAX_CONTEXT)
        self._together = together

    def see(self, picture: bytes, max_tiles: int = 1) -> Tensor:
        """Look at a compressed picture: (n, width).

        Raises:
            EngineRefused: it is none.
        """
        seen: list[TileEvent] = []
        self._vision.encode(Picture(picture, max_tiles, seen.append))
        self._vision.run_until_idle()
        return torch.cat([_checked(event.embeddings, event.error) for event in seen])

    def hear(self, samples: NDArray[np.int16]) -> Tensor:
        """Hear (S,) samples at 16 kHz as they stream in: (n, width).

        Raises:
            EngineRefused: they are too many.
        """
        heard: list[SpeechEvent] = []
        self._speech.open("", heard.append)
        self._speech.push("", samples, heard.append)
        self._speech.finish("", heard.append)
        self._speech.run_until_idle()
        return torch.cat([_checked(event.embeddings, event.error) for event in heard])

    def hold(self, scripts: Sequence[Script[ResultT]], title: str = "") -> list[ResultT]:
        """Hold conversations, so many together; what each script returns, in order.

        Raises:
            EngineRefused: the engine refused an operation, and the script did not catch it.
        """
        stage = _Stage(self._text, scripts, title)
        stage.begin(self._together)
        self._text.run_until_idle()
        return stage.results()


def say(role: str, text: str, state: str = "") -> Script[None]:
    """Add words to the turn of a role."""
    yield AppendText(role, text, state)


def ask(text: str = "", *, pictures: Sequence[Tensor] = (), speech: Tensor | None = None) -> Script[None]:
    """Add a user's turn: pictures (n, width) each, words, speech (n, width)."""
    for rows in pictures:
        yield AppendEmbeddings("user", rows)
    words = (AFTER_PICTURES if pictures else "", text)
    for word in filter(None, words):
        yield AppendText("user", word)
    if speech is not None:
        yield AppendEmbeddings("user", speech)


def answer(
    states: tuple[str, ...], calls: CallChoice | None = None, max_tokens: int = MAX_ANSWER_TOKENS
) -> Script[Answer]:
    """Let the assistant answer, greedily; without states it goes on with what it says."""
    events = yield Generate(max_tokens, states=states, calls=calls or CallChoice())
    judged = [event.text for event in events if event.kind is Kind.JUDGEMENT]
    made = (read_call(event.text) for event in events if event.kind is Kind.TOOL_CALL)
    text = "".join(event.text for event in events if event.kind is Kind.TEXT)
    return Answer(judged[0] if judged else "", text, tuple(call for call in made if call), events[-1].text)


def read_wav(path: Path) -> NDArray[np.int16]:
    """Read a 16 kHz mono 16-bit WAV: (S,).

    Raises:
        ValueError: it is of another format.
    """
    with wave.open(str(path), "rb") as file:
        found = (file.getframerate(), file.getnchannels(), file.getsampwidth())
        if found != (SPEECH_IN_HZ, 1, 2):
            raise ValueError(f"{path}: rate, channels and bytes a sample are {found}, not {(SPEECH_IN_HZ, 1, 2)}")
        return np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16)


class _Stage(Generic[ResultT]):
    """Scripts and how far they are. All of it runs within `run_until_idle`, on the caller's thread."""

    def __init__(self, engine: TextEngine, scripts: Sequence[Script[ResultT]], title: str) -> None:
        self._engine = engine
        self._waiting = deque(enumerate(scripts))
        self._count = len(scripts)
        self._results: dict[int, ResultT] = {}
        self._failure: Exception | None = None
        self._shown = tqdm(total=self._count, desc=title, unit="talk", disable=None, leave=False)

    def begin(self, count: int = 1) -> None:
        """Begin the next scripts."""
        for _ in range(min(count, len(self._waiting))):
            index, script = self._waiting.popleft()
            self._engine.open(str(index), lambda event: None)
            self._go_on(index, script, None)

    def results(self) -> list[ResultT]:
        """What the scripts returned.

        Raises:
            Exception: what the first that failed raised.
        """
        self._shown.close()
        if self._failure is not None:
            raise self._failure
        return [self._results[index] for index in range(self._count)]

    def _go_on(self, index: int, script: Script[ResultT], events: Events | None) -> None:
        heard: list[TextEvent] = []

        def reply(event: TextEvent) -> None:
            heard.append(event)
            if event.is_last:
                self._go_on(index, script, tuple(heard))

        try:
            if events is None:
                operation = next(script)
            elif events[-1].kind is Kind.ERROR:
                operation = script.throw(EngineRefused(events[-1].text))
            else:
                operation = script.send(events)
        except StopIteration as end:
            self._results[index] = end.value
        except Exception as error:  # the engine would only log it; `results` raises it
            self._failure = self._failure or error
        else:
            self._engine.ask(str(index), operation, reply)
            return
        self._engine.end(str(index))
        self._shown.update()
        if self._failure is None:
            self.begin()


def _checked(embeddings: Tensor | None, error: str) -> Tensor:
    if embeddings is None:
        raise EngineRefused(error)
    return embeddings
