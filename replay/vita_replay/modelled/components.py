"""All five modelled components."""

from __future__ import annotations

from dataclasses import dataclass, field

from vita_components.connect import NAMES

from vita_replay.behaviour import Behaviour
from vita_replay.modelled.costs import ZERO, Costs
from vita_replay.modelled.llm import Llm, LlmSettings
from vita_replay.modelled.senses import SensesSettings, SpeechEncoder, VisionEncoder
from vita_replay.modelled.voice import CodecDecoder, SpeechDecoder, VoiceSettings
from vita_replay.pace import Pace


@dataclass(frozen=True, slots=True)
class Modelled:
    """How all five answer."""

    costs: Costs = ZERO
    senses: SensesSettings = field(default_factory=SensesSettings)
    llm: LlmSettings = field(default_factory=LlmSettings)
    voice: VoiceSettings = field(default_factory=VoiceSettings)

    def behaviour(self, component: str, pace: Pace) -> Behaviour:
        """Build what a component answers.

        Raises:
            ValueError: there is no such component.
        """
        match component:
            case "vision_encoder":
                return VisionEncoder(pace, self.costs.vision_encoder, self.senses)
            case "speech_encoder":
                return SpeechEncoder(pace, self.costs.speech_encoder, self.senses)
            case "llm":
                return Llm(pace, self.costs.llm, self.llm)
            case "speech_decoder":
                return SpeechDecoder(pace, self.costs.speech_decoder, self.voice)
            case "codec_decoder":
                return CodecDecoder(pace, self.costs.codec_decoder)
            case _:
                raise ValueError(f"there is no component {component!r}; there are {', '.join(NAMES)}")
