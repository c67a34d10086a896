"""One answer: think, speak, and send what comes of it, all at once and each stage a little ahead of the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

from google.protobuf.message import Message
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.conversation.v1.item_pb2 import ITEM_STATUS_COMPLETED, ROLE_ASSISTANT, Item
from vita.media.v1.media_pb2 import AUDIO_ENCODING_PCM_S16LE, AudioChunk
from vita_runtime.errors import BadToolCall, VitaError
from vita_sessions.session import Mark

from vita_orchestrator.channel import Channel, together
from vita_orchestrator.components import (
    Components,
    FinishReason,
    GenerationEnd,
    Judgement,
    QueryState,
    Sampling,
    ToolCall,
)
from vita_orchestrator.context import ContextKeeper, Plan
from vita_orchestrator.measures import STAGE, stage
from vita_orchestrator.patience import Clock, Patience
from vita_orchestrator.playback import NEVER_MS, Playback, Spoken, marks
from vita_orchestrator.policy import Policy
from vita_orchestrator.speakable import Clause, ClauseCutter
from vita_orchestrator.speaking import (
    BYTES_PER_MS,
    CLAUSE_BOUND,
    SOUND_BOUND,
    WINDOW_BOUND,
    ClauseSound,
    ClauseWindow,
    decode,
    voice,
)
from vita_orchestrator.thinking import Thought, think

STATES: dict[QueryState, wire.QueryState] = {
    QueryState.SPEECH: wire.QUERY_STATE_SPEECH,
    QueryState.TEXT: wire.QUERY_STATE_TEXT,
    QueryState.NOISE: wire.QUERY_STATE_NOISE,
}
OUTCOMES: dict[FinishReason, wire.ResponseOutcome] = {
    FinishReason.STOP: wire.RESPONSE_OUTCOME_COMPLETED,
    FinishReason.LENGTH: wire.RESPONSE_OUTCOME_LENGTH,
    FinishReason.CANCELLED: wire.RESPONSE_OUTCOME_CANCELLED,
    FinishReason.NOISE: wire.RESPONSE_OUTCOME_IGNORED,
    FinishReason.BAD_CALL: wire.RESPONSE_OUTCOME_FAILED,
}
PACE_CHECK_MS = 200  # a client's report may allow more before the clock does


@dataclass(slots=True)
class Answer:
    """What an answer is, and what there is of it so far."""

    response_id: str
    item_id: str
    turn_id: str
    generation: int
    is_spoken: bool
    is_paced: bool
    is_out_of_band: bool
    asked_s: float  # when the query was over
    playback: Playback
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    tool_names: frozenset[str] = frozenset()  # that it may call
    text: str = ""
    call_item_ids: list[str] = field(default_factory=list[str])  # of the calls that the client knows
    clauses: list[Spoken] = field(default_factory=list[Spoken])
    made_ms: int = 0  # sound made, sent or not
    is_whole: bool = False
    usage: wire.Usage = field(default_factory=wire.Usage)
    stage_times: wire.StageTimes = field(default_factory=wire.StageTimes)

    def marks(self) -> list[Mark]:
        """Tie its words to its sound; words without sound count as heard when they are out."""
        if not self.is_spoken:
            return [Mark(len(self.text), 0)] if self.text else []
        return marks(self.text, self.clauses, end_ms=self.made_ms if self.is_whole else NEVER_MS)


Send = Callable[[Answer, Message], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Stages:
    """What an answer is made with."""

    keeper: ContextKeeper
    plan: Plan
    components: Components
    patience: Patience


class Answering:
    """The work on one answer."""

    def __init__(
        self, answer: Answer, sampling: Sampling, stages: Stages, policy: Policy, now: Clock, send: Send
    ) -> None:
        self.answer = answer
        self._sampling = sampling
        self._stages = stages
        self._policy = policy
        self._now = now
        self._send = send
        self._outcome = wire.RESPONSE_OUTCOME_COMPLETED
        self._failure: VitaError | None = None  # that its words are spoken before

    async def run(self) -> wire.ResponseOutcome:
        """Think and speak to the end; return how it ended. Cancelling stops every stage.

        Raises:
            VitaError: it failed; `answer` holds what there is of it.
        """
        clauses: Channel[Clause] = Channel(CLAUSE_BOUND)
        windows: Channel[ClauseWindow] = Channel(WINDOW_BOUND)
        sounds: Channel[ClauseSound] = Channel(SOUND_BOUND)
        async with together() as tasks:
            tasks.create_task(self._think(clauses))
            if self.answer.is_spoken:
                tasks.create_task(self._voice(clauses, windows))
                tasks.create_task(self._decode(windows, sounds))
                tasks.create_task(self._play(sounds))
        self.answer.is_whole = True
        if self._failure is not None:
            raise self._failure
        return self._outcome

    async def _think(self, clauses: Channel[Clause]) -> None:
        cutter, stages = ClauseCutter(), self._stages
        with stage("llm"):
            async with aclosing(think(stages.keeper, stages.plan, self._sampling, stages.patience)) as events:
                async for event in events:
                    match event:
                        case Judgement():
                            await self._judged(event)
                        case Thought():
                            await self._thought(event, cutter, clauses)
                        case ToolCall():
                            await self._called(event)
                        case GenerationEnd():
                            self._ended(event)
                    if self._failure is not None:
                        break
        await self._put(clauses, cutter.finish())
        await clauses.close()

    async def _judged(self, judgement: Judgement) -> None:
        usage, keeper = self.answer.usage, self._stages.keeper
        usage.input_audio_token_count = keeper.row_count("/sound")
        usage.input_image_token_count = keeper.row_count("image/")
        rows = usage.input_audio_token_count + usage.input_image_token_count
        usage.input_text_token_count = keeper.position - rows
        event = wire.QueryJudged(
            response_id=self.answer.response_id,
            state=STATES[judgement.state],
            speech_probability=judgement.speech_probability,
            text_probability=judgement.text_probability,
            noise_probability=judgement.noise_probability,
        )
        await self._send(self.answer, event)

    async def _thought(self, thought: Thought, cutter: ClauseCutter, clauses: Channel[Clause]) -> None:
        answer = self.answer
        answer.text += thought.text
        self._first("first_text_ms", "llm_first_text")
        await self._send(answer, wire.TextDelta(response_id=answer.response_id, text=thought.text))
        await self._put(clauses, cutter.feed(thought.text))

    async def _called(self, call: ToolCall) -> None:
        if call.name not in self.answer.tool_names:
            self._failure = BadToolCall("the model called a tool that there is not")
            return
        item = Item(role=ROLE_ASSISTANT, status=ITEM_STATUS_COMPLETED)
        item.tool_call.name, item.tool_call.arguments = call.name, call.arguments
        await self._send(self.answer, wire.ToolCalled(response_id=self.answer.response_id, item=item))

    def _ended(self, end: GenerationEnd) -> None:
        self._outcome = OUTCOMES[end.reason]
        self.answer.usage.output_text_token_count = end.token_count
        if end.reason is FinishReason.BAD_CALL:
            self._failure = BadToolCall("the model called a tool in words that cannot be read")

    async def _put(self, clauses: Channel[Clause], cut: list[Clause]) -> None:
        if self.answer.is_spoken:
            for clause in cut:
                await clauses.put(clause)

    async def _voice(self, clauses: Channel[Clause], windows: Channel[ClauseWindow]) -> None:
        await voice(
            clauses,
            windows,
            self._stages.components.speech_decoder,
            context_codes=self._stages.components.codec_decoder.context_codes,
            seed=self._sampling.seed,
            patience=self._stages.patience,
            on_codes=self._coded,
        )

    def _coded(self, count: int) -> None:
        self._first("first_code_ms", "speech_decoder_first_codes")
        self.answer.usage.output_audio_token_count += count

    async def _decode(self, windows: Channel[ClauseWindow], sounds: Channel[ClauseSound]) -> None:
        await decode(windows, sounds, self._stages.components.codec_decoder, patience=self._stages.patience)

    async def _play(self, sounds: Channel[ClauseSound]) -> None:
        """Send sound in small pieces, only so far ahead of the listener."""
        answer, text_start = self.answer, 0
        spoken: Spoken | None = None
        async for sound in sounds:
            if spoken is None:
                spoken = Spoken(text_start, sound.clause.end, answer.made_ms)
                answer.clauses.append(spoken)
                text_start = sound.clause.end
            await self._send_sound(sound.samples)
            if sound.is_last:
                spoken.audio_end_ms = answer.made_ms
                spoken = None

    async def _send_sound(self, samples: bytes) -> None:
        answer, size = self.answer, self._policy.max_audio_ms * BYTES_PER_MS
        for start in range(0, len(samples), size):
            piece = samples[start : start + size]
            await self._until_wanted(answer.made_ms)
            chunk = AudioChunk(
                samples=piece,
                sample_rate_hz=self._policy.answer_sample_rate_hz,
                encoding=AUDIO_ENCODING_PCM_S16LE,
            )
            event = wire.AnswerAudio(response_id=answer.response_id, audio=chunk, start_ms=answer.made_ms)
            await self._send(answer, event)
            answer.made_ms += len(piece) // BYTES_PER_MS
            answer.playback.sent(answer.made_ms)
            self._first("first_audio_ms", "first_sound")
            answer.stage_times.last_audio_ms = self._since_asked_ms()

    async def _until_wanted(self, start_ms: int) -> None:
        if not self.answer.is_paced:
            return
        while True:
            early_ms = start_ms - self.answer.playback.played_ms() - self._policy.lead_ms
            if early_ms <= 0:
                return
            await asyncio.sleep(min(early_ms, PACE_CHECK_MS) / 1000)

    def _first(self, field_name: str, stage_name: str) -> None:
        """Note a stage's first output."""
        if not self.answer.stage_times.HasField(field_name):  # type: ignore[arg-type]
            setattr(self.answer.stage_times, field_name, self._since_asked_ms())
            STAGE.labels(stage_name).observe(self._now() - self.answer.asked_s)

    def _since_asked_ms(self) -> int:
        return int((self._now() - self.answer.asked_s) * 1000)
