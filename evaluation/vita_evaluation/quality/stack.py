"""Speech to speech: questions spoken to a running stack, its answers recognised."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
from tqdm.asyncio import tqdm
from vita_orchestrator.speakable import ClauseCutter
from vita_orchestrator.spoken_form import spoken_form
from vita_runtime.launcher.stack import Options, running
from vita_training.data.sample import AUDIO, Sample
from vita_training.recipe.sets import WORLD
from vita_training.speaking.clauses import cut, words
from vita_training.speaking.corpus import Sound
from vita_training.speaking.intelligibility import Listener
from vita_training.speaking.material import assistant_answers
from vita_training.speaking.voice import Voice
from vita_training.world.conversations import draw_dialogue
from vita_training.world.phrasing import Asker
from vita_training.world.sources import spoken_questions

from vita_evaluation.content import says_the_same
from vita_evaluation.latency.bench import stack_parts
from vita_evaluation.latency.turns import Query, TimedAnswer, ask
from vita_evaluation.quality.answering import SIGHTS
from vita_evaluation.quality.conversations import MAX_TILES, png, turns_of
from vita_evaluation.quality.hearing import word_errors
from vita_evaluation.quality.intervals import share
from vita_evaluation.quality.material import Material, draw, sound_of
from vita_evaluation.quality.speaking import heard_as_another, own_errors, understood
from vita_evaluation.quality.table import Finding

QUESTIONS = 200  # ± 5 points at 85 %
AT_ONCE = 2  # sessions
LEARNT_TALKS = 1500  # that the recogniser knows; without them it errs on 4.5 % of the words of whole answers


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, the right answer, and what came back."""

    right: str
    answer: TimedAnswer

    @property
    def sound(self) -> Sound:
        """(S,) in [-1, 1] at 24 kHz."""
        return np.frombuffer(bytes(self.answer.sound), np.int16).astype(np.float32) / 32768


def stack(material: Material) -> Iterator[Finding]:
    """Start a stack on the checkpoint, ask about pictures aloud, listen."""
    source = spoken_questions(1, recordings=material.recordings, is_held_out=True, subject="picture")
    samples = list(draw(source, material.count(QUESTIONS), "speech to speech", _is_spoken))
    asked, listener = asyncio.run(_ask_all(material.checkpoint, samples)), answers_listener()
    rights = [" ".join(words(" ".join(spoken_clauses(one.right)))) for one in asked]
    heard = [understood(listener, one.sound) for one in asked]
    theirs = [
        word_errors(text, listener.hear(say_all(material.voice, one.right)))
        for text, one in zip(rights, asked, strict=True)
    ]
    original, is_valid = own_errors("stack.original", theirs, [len(text.split()) for text in rights])
    right = sum(text == sound for text, sound in zip(rights, heard, strict=True))
    failed = [one.answer.failure for one in asked if one.answer.failure]
    note = f"{len(failed)} turns failed, the first: {failed[0]}" if failed else ""
    yield Finding("stack.right", share(right, len(asked)), len(asked), note, is_valid)
    by_text = sum(says_the_same(one.right, one.answer.text) for one in asked)
    yield Finding("stack.text", share(by_text, len(asked)), len(asked))
    yield original
    yield Finding("stack.other", heard_as_another(rights, heard), len(asked))


def answers_listener() -> Listener:
    """Who understands whole answers: all clauses there are, and how learnt answers put them one after another."""
    clauses = [clause for answer in assistant_answers(WORLD) for clause in cut(answer)]
    drawn = (draw_dialogue(Asker(random.Random(f"listener {index}")), "picture") for index in range(LEARNT_TALKS))
    return Listener([*clauses, *(" ".join(spoken_clauses(q.answer)) for talk in drawn for q in talk.questions)])


def spoken_clauses(text: str) -> list[str]:
    """Cut an answer and spell it out as the orchestrator does."""
    cutter = ClauseCutter()
    return [spoken_form(clause.text) for clause in (*cutter.feed(text), *cutter.finish())]


def say_all(voice: Voice, text: str) -> Sound:
    """Let the original voice say an answer, clause after clause."""
    return np.concatenate([voice.speak(clause).samples for clause in spoken_clauses(text)])


async def _ask_all(checkpoint: Path, samples: Sequence[Sample]) -> list[Asked]:
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(channel: grpc.aio.Channel, sample: Sample) -> Asked:
        query = Query(sound_of(sample).tobytes(), png(sample.pictures[0]), MAX_TILES)
        async with turn:
            try:
                answer = await ask(channel, query, is_real_time=False)
            except grpc.aio.AioRpcError as error:  # a wrong answer, told in the note
                answer = TimedAnswer(failure=f"{error.code().name}: {error.details()}")
            return Asked(turns_of(sample)[0].answer, answer)

    with tempfile.TemporaryDirectory(prefix="vita-eval-") as folder:
        async with running(Options(state_dir=Path(folder), checkpoint=checkpoint)) as started:
            await started.start()
            parts = stack_parts(Path(folder) / "stack.json")
            async with grpc.aio.insecure_channel(parts["orchestrator"]["grpc"]) as channel:
                asked = [one(channel, sample) for sample in samples]
                return await tqdm.gather(*asked, desc="speech to speech", unit="turn", disable=None, leave=False)


def _is_spoken(sample: Sample) -> bool:
    first = turns_of(sample)[0]
    return first.kind in SIGHTS and AUDIO in first.asked
