"""A conversation by a script: what the user says next, and what happens while the answer is heard.

Everything goes through a microphone that is always on: the server decides when a question is over, that a cough is no
question, and that a voice over an answer is one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from vita_cli.answers import BYTES_PER_MS, Answer, Call
from vita_cli.house import House
from vita_cli.realtime_client import Microphone, RealtimeClient, RealtimeError
from vita_cli.sounds import trailing_silence_s

COUGH_AFTER_S = 1.0  # into an answer
INTERRUPT_AFTER_S = 4.5  # into an answer: long enough to hear what it will be
PAUSE_S = 0.4  # between an answer's end and the next question, as people leave it
BEGIN_S = 8.0  # an answer that has not begun by then never will
END_S = 60.0  # the longest answer
MOST_CALLS = 3  # of tools, for one question


@dataclass(frozen=True, slots=True)
class Line:
    """What the user says next."""

    name: str  # of the sound file, and of the answer's
    words: str
    is_coughed_at: bool = False  # somebody coughs while it is answered
    is_interrupting: bool = False  # it is said over the answer before it


@dataclass(slots=True)
class Turn:
    """A question and what was heard in answer. Times are the client's, in seconds."""

    line: Line
    answer: Answer
    began_s: float  # when the question's sound began
    asked_s: float  # when its last word had been said
    calls: tuple[tuple[Call, str], ...] = ()  # tools that were used for it, and what they said
    cough_s: float | None = None  # when the cough over its answer began

    @property
    def cut_s(self) -> float | None:
        """When a voice cut the answer off; None: it was said to its end."""
        return self.answer.done_s if self.answer.reason == "turn_detected" else None

    @property
    def heard(self) -> bytes:
        """The answer's sound, 16 bits at 24 kHz, as far as it was listened to."""
        sound = bytes(self.answer.sound)
        if self.cut_s is None or self.answer.first_audio_s is None:
            return sound
        return sound[: round((self.cut_s - self.answer.first_audio_s) * 1000) * BYTES_PER_MS]

    def since_asked_ms(self, at_s: float | None) -> int | None:
        """Return a moment as ms after the end of the question."""
        return None if at_s is None else round((at_s - self.asked_s) * 1000)


@dataclass
class Actor:
    """Says lines into a microphone, one after another, and uses the tools of a house where an answer asks for it."""

    client: RealtimeClient
    mouth: Microphone
    sounds: Mapping[str, bytes]  # of each line by its name, and "cough": 16 bits at 24 kHz
    house: House

    async def perform(self, lines: Sequence[Line]) -> AsyncIterator[Turn]:
        """Yield the turns as they end.

        Raises:
            RealtimeError: an answer did not come, or a cough stopped one.
        """
        spoken_over: Turn | None = None
        for line, following in zip(lines, (*lines[1:], None), strict=True):
            turn = await self._ask(line)
            if spoken_over is not None:
                yield spoken_over
                spoken_over = None
            if line.is_coughed_at:
                await self._cough_over(turn)
            if following is not None and following.is_interrupting:
                await self._listen(turn, INTERRUPT_AFTER_S)
                spoken_over = turn
            else:
                await self._hear_out(turn)
                yield turn

    async def _ask(self, line: Line) -> Turn:
        """Say a line and wait until its answer can be heard."""
        count, sound = len(self.client.answers), self.sounds[line.name]
        said_s = await self.mouth.say(sound)
        asked_s = said_s - trailing_silence_s(sound)
        # A pause within the question may end a turn too early; the speech that follows then cuts that answer.
        answer = await self._begun(count, after_s=asked_s)
        calls: list[tuple[Call, str]] = []
        while answer.calls:
            if len(calls) >= MOST_CALLS:
                raise RealtimeError(f"{line.words!r}: the model calls tools and never answers")
            count = len(self.client.answers)
            for call in answer.calls:
                calls.append((call, self.house.use(call)))
                await self.client.send_tool_output(*calls[-1])
            await self.client.send("response.create")
            answer = await self._begun(count, after_s=asked_s)
        return Turn(line, answer, said_s - len(sound) / BYTES_PER_MS / 1000, asked_s, tuple(calls))

    async def _begun(self, since: int, *, after_s: float) -> Answer:
        """Wait for an answer that can be heard, or is over."""
        return await self.client.wait_for_answer(
            lambda one: one.created_s > after_s and (one.first_audio_s is not None or one.is_done),
            since=since,
            timeout_s=BEGIN_S,
        )

    async def _cough_over(self, turn: Turn) -> None:
        """Listen to the start of an answer and cough in it; it must go on."""
        await self._listen(turn, COUGH_AFTER_S)
        cough = self.sounds["cough"]
        turn.cough_s = await self.mouth.say(cough) - len(cough) / BYTES_PER_MS / 1000
        if turn.answer.is_done and turn.answer.status != "completed":
            raise RealtimeError("a cough stopped the answer")

    async def _listen(self, turn: Turn, until_s: float) -> None:
        """Listen until so many seconds of an answer have been heard."""
        begun_s = turn.answer.first_audio_s or self.client.now()
        await asyncio.sleep(max(0.0, begun_s + until_s - self.client.now()))

    async def _hear_out(self, turn: Turn) -> None:
        """Wait until the answer has been sent, and then until it has been heard."""
        index = self.client.answers.index(turn.answer)
        answer = await self.client.wait_for_answer(lambda one: one.is_done, since=index, timeout_s=END_S)
        await self._listen(turn, answer.audio_ms / 1000 + PAUSE_S)
