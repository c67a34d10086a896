"""The laws of a conversation, on a virtual clock."""

from __future__ import annotations

import pytest
from tests.fakes.components import FakeComponents
from vita.conversation.v1 import conversation_service_pb2 as wire

from tests.orchestrator.talk import SILENCE, VOICE, picture, talking

pytestmark = pytest.mark.unit


async def test_a_spoken_question_is_heard_judged_and_answered_in_words_and_sound() -> None:
    fakes = FakeComponents.answering("It is a red circle. It is big.")
    async with talking(fakes) as talk:
        await talk.say(image=picture())
        await talk.speak((SILENCE, 320), (VOICE, 960), (SILENCE, 640))
        await talk.until("response_done")
    assert talk.text() == "It is a red circle. It is big."
    assert talk.done().outcome == wire.RESPONSE_OUTCOME_COMPLETED
    assert len(talk.sound()) == talk.done().audio_ms * 48
    assert talk.kinds()[:7] == [
        "speech_started",
        "speech_stopped",
        "audio_committed",
        "item_added",
        "response_started",
        "query_judged",
        "text_delta",
    ]
    assert fakes.speech_decoder.clauses == ["it is a red circle.", "it is big."]
