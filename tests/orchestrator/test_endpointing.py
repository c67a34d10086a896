"""Voice probabilities to decisions."""

from __future__ import annotations

import pytest
from vita_orchestrator.endpointing import FRAME_MS, Decision, Endpointing, EndpointingLimits

pytestmark = pytest.mark.unit

YES, NO = 0.9, 0.05


def decisions(*frames: tuple[float, int], is_answering: bool = False, **limits: float) -> list[tuple[int, Decision]]:
    """(ms from the start, decision) for runs of (probability, frame count)."""
    endpointing = Endpointing(EndpointingLimits(**limits))  # type: ignore[arg-type]
    found: list[tuple[int, Decision]] = []
    now_ms = 0
    for probability, count in frames:
        for _ in range(count):
            now_ms += FRAME_MS
            decision = endpointing.hear(probability, is_answering=is_answering)
            if decision is not None:
                found.append((now_ms, decision))
    return found


def test_an_utterance_starts_after_100_ms_of_voice_and_ends_after_its_silence() -> None:
    assert decisions((NO, 5), (YES, 20), (NO, 30)) == [
        (9 * FRAME_MS, Decision.STARTED),
        (25 * FRAME_MS + 512, Decision.ENDED),
    ]


@pytest.mark.parametrize("blip_frames", [1, 2, 3])
def test_voice_shorter_than_100_ms_is_dropped(blip_frames: int) -> None:
    assert decisions((NO, 5), (YES, blip_frames), (NO, 30)) == []


def test_a_pause_shorter_than_the_silence_does_not_end_an_utterance() -> None:
    assert len(decisions((YES, 20), (NO, 15), (YES, 20), (NO, 15))) == 1


def test_the_silence_is_a_setting() -> None:
    assert decisions((YES, 20), (NO, 30), silence_ms=200)[-1] == (20 * FRAME_MS + 224, Decision.ENDED)


def test_speech_goes_on_below_the_threshold_by_the_hysteresis() -> None:
    assert len(decisions((YES, 20), (0.4, 40))) == 1
    assert len(decisions((YES, 20), (0.3, 40))) == 2


def test_a_voice_over_an_answer_is_suspected_after_two_frames_and_confirmed_by_240_ms() -> None:
    assert decisions((YES, 20), is_answering=True) == [
        (2 * FRAME_MS, Decision.SUSPECTED),
        (8 * FRAME_MS, Decision.CONFIRMED),
    ]


@pytest.mark.parametrize("cough_frames", [2, 3, 4, 5, 6, 7])
def test_a_cough_over_an_answer_is_rejected_within_280_ms_of_the_hold(cough_frames: int) -> None:
    found = decisions((YES, cough_frames), (NO, 20), is_answering=True)
    assert [decision for _, decision in found] == [Decision.SUSPECTED, Decision.REJECTED]
    assert found[1][0] - found[0][0] <= 280


def test_a_voice_that_stutters_is_rejected_by_time() -> None:
    found = decisions(*[(YES, 2), (NO, 2)] * 5, is_answering=True)
    assert found[1][1] is Decision.REJECTED
    assert found[1][0] - found[0][0] <= 280


def test_after_a_rejected_cough_speech_still_interrupts() -> None:
    found = decisions((YES, 3), (NO, 10), (YES, 20), is_answering=True)
    assert [decision for _, decision in found][-1] is Decision.CONFIRMED


def test_the_onset_is_where_the_voice_began() -> None:
    endpointing = Endpointing(EndpointingLimits())
    for probability in (NO, NO, YES, YES, YES, YES):
        endpointing.hear(probability, is_answering=False)
    assert endpointing.onset_age_ms == 4 * FRAME_MS


def silence_heard_ms(*finished: float | None, **limits: int) -> int:
    """Silence until the end of an utterance, behind which the sentence sounds finished or not, frame by frame."""
    endpointing = Endpointing(EndpointingLimits(**limits))
    for _ in range(20):
        endpointing.hear(YES, is_answering=False)
    for count in range(1, 100):
        said = finished[min(count, len(finished)) - 1]
        if endpointing.hear(NO, is_answering=False, finished=said) is Decision.ENDED:
            return count * FRAME_MS
    raise AssertionError("the utterance does not end")


def test_a_finished_sentence_ends_with_the_silence_and_an_unfinished_one_later() -> None:
    assert silence_heard_ms(None) == silence_heard_ms(0.9) == 512
    assert silence_heard_ms(0.1) == 47 * FRAME_MS  # the first frame from 1.5 s on
    assert silence_heard_ms(0.1, silence_ms=2000) == 63 * FRAME_MS  # who wants to wait longer does


def test_whether_a_sentence_is_finished_is_asked_once_in_a_silence() -> None:
    early_doubt, late_doubt = [0.1] * 15, [0.1] * 16
    assert silence_heard_ms(*early_doubt, 0.9) == 512
    assert silence_heard_ms(*late_doubt, 0.9) == 47 * FRAME_MS


def test_a_longer_silence_than_the_head_was_taught_is_not_waited_for_before_it_is_asked() -> None:
    doubt_at_500_ms = [0.9] * 15 + [0.1] + [0.9] * 99
    assert silence_heard_ms(*doubt_at_500_ms, silence_ms=1000, unfinished_ms=3000) == 94 * FRAME_MS
    assert silence_heard_ms(*[0.1] * 15, *[0.9] * 99, silence_ms=1000, unfinished_ms=3000) == 32 * FRAME_MS


@pytest.mark.parametrize("unfinished_ms", [0, 500])
def test_nobody_asks_where_all_sentences_are_given_the_same_silence(unfinished_ms: int) -> None:
    assert silence_heard_ms(0.1, unfinished_ms=unfinished_ms) == 512
    endpointing = Endpointing(EndpointingLimits(unfinished_ms=unfinished_ms))
    for probability in [YES] * 20 + [NO] * 15:
        assert not endpointing.is_asking
        endpointing.hear(probability, is_answering=False)


def test_it_is_time_to_ask_before_one_frame_of_a_silence_and_the_wait_is_counted_behind_it() -> None:
    endpointing = Endpointing(EndpointingLimits())
    asking: list[int] = []
    waited_ms: list[int] = []
    for frame in range(20 + 47):
        if endpointing.is_asking:
            asking.append(frame - 20)
        endpointing.hear(YES if frame < 20 else NO, is_answering=False, finished=0.1)
        waited_ms.append(endpointing.waited_ms)
    assert asking == [15], "the frame that makes it 512 ms"
    assert waited_ms[20 + 14] == 0
    assert waited_ms[20 + 15] == 12
    assert waited_ms[-2:] == [46 * FRAME_MS - 500, 0]
    assert endpointing.ended_ms == 1500


def test_a_voice_after_an_unfinished_sentence_goes_on_with_it_and_is_judged_anew() -> None:
    endpointing = Endpointing(EndpointingLimits())
    frames = [(YES, 20, 0.1), (NO, 40, 0.1), (YES, 10, 0.1), (NO, 15, 0.9)]
    heard = [endpointing.hear(p, is_answering=False, finished=f) for p, count, f in frames for _ in range(count)]
    assert [decision for decision in heard if decision] == [Decision.STARTED]
    assert endpointing.hear(NO, is_answering=False, finished=0.9) is Decision.ENDED
