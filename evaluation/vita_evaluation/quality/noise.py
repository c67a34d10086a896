"""What is not for the assistant: coughs, music, babble, speech to others; and real questions, which are."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from vita_training.data.sample import Sample
from vita_training.world.prompt import SYSTEM_PROMPT
from vita_training.world.sources import WorldSource, noises, transcripts

from vita_evaluation import offline
from vita_evaluation.offline import Script
from vita_evaluation.quality.intervals import Interval, share
from vita_evaluation.quality.material import Material, draw, is_new, sound_of
from vita_evaluation.quality.table import Finding

SOUNDS = 600  # ± 1.5 points at 97 %
NOTE = (
    "each sound alone in a conversation; judged by the state mark, without the voice activity that serving asks first"
)


def noise(material: Material) -> Iterator[Finding]:
    """Count what is taken for noise."""
    rejected = _rejected(material, noises(0, recordings=material.recordings, is_held_out=True), "noise")
    yield Finding("noise.rejected", rejected, material.count(SOUNDS), NOTE)
    spoken = transcripts(0, recordings=material.recordings, is_held_out=True)
    wrongly = _rejected(material, spoken, "questions", is_new)
    yield Finding("noise.wrongly", wrongly, material.count(SOUNDS), NOTE)


def _rejected(
    material: Material, source: WorldSource, title: str, is_wanted: Callable[[Sample], bool] = lambda sample: True
) -> Interval:
    def script(sample: Sample) -> Script[str]:
        yield from offline.say("system", SYSTEM_PROMPT)
        yield from offline.ask(speech=material.assistant.hear(sound_of(sample)))
        return (yield from offline.answer(("speech", "noise"), max_tokens=1)).state

    samples = draw(source, material.count(SOUNDS), title, is_wanted)
    states = material.assistant.hold([script(sample) for sample in samples], title)
    return share(states.count("noise"), len(states))
