"""All five components as they were in a recording."""

from __future__ import annotations

import struct

from google.protobuf.message import DecodeError
from vita_recordings.bundle import BadRecording, Bundle
from vita_runtime.errors import VitaError

from vita_replay.behaviour import Behaviour
from vita_replay.calls import calls_of
from vita_replay.modelled.components import Modelled
from vita_replay.modelled.llm import LlmSettings
from vita_replay.pace import Pace
from vita_replay.recorded.llm import RecordedLlm, answers_of, settings_of
from vita_replay.recorded.lookup import KEYS, Lookup, scripts_of
from vita_replay.recorded.utterances import RecordedSpeechEncoder, utterances_of


class Recorded:
    """Answers from a recording; what it lacks is refused, or answered by `fallback`."""

    def __init__(self, bundle: Bundle, fallback: Modelled | None = None) -> None:
        """Read a recording. Raises BadRecording: what its components said makes no sense."""
        self._fallback = fallback
        try:
            calls = calls_of(bundle.records)
            self._scripts = {name: scripts_of(name, calls, bundle.records) for name in KEYS}
            self._utterances = utterances_of(calls)
            self._answers = answers_of(calls, bundle.snapshot.context_position)
            self._llm = settings_of(calls, fallback.llm if fallback is not None else LlmSettings())
        except (ArithmeticError, LookupError, TypeError, ValueError, VitaError, struct.error, DecodeError) as error:
            raise BadRecording("the recording's messages of components cannot be read") from error

    def behaviour(self, component: str, pace: Pace) -> Behaviour:
        """Build what a component answers. Raises ValueError: there is no such component."""
        fallback = self._fallback.behaviour(component, pace) if self._fallback is not None else None
        match component:
            case "llm":
                cost = self._fallback.costs.llm if self._fallback is not None else None
                return RecordedLlm(self._answers, pace, self._llm, cost)
            case "speech_encoder":
                return RecordedSpeechEncoder(self._utterances, pace, fallback)
            case name if name in KEYS:
                return Lookup(name, self._scripts[name], pace, fallback)
            case _:
                raise ValueError(f"there is no component {component!r}")
