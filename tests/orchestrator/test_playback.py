"""What was heard."""

from __future__ import annotations

import pytest
from vita_orchestrator.playback import NEVER_MS, Playback, Spoken, marks

pytestmark = pytest.mark.unit


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_unreported_playback_is_assumed_to_run_in_real_time_and_to_wait_for_sound() -> None:
    clock = Clock()
    playback = Playback(clock)
    assert playback.played_ms() == 0
    playback.sent(200)
    clock.now_s += 0.15
    assert playback.played_ms() == pytest.approx(150, abs=1)
    clock.now_s += 5
    assert playback.played_ms() == 200
    playback.sent(400)
    clock.now_s += 0.1
    assert playback.played_ms() == pytest.approx(300, abs=1)


def test_a_report_is_believed_up_to_what_was_sent() -> None:
    clock = Clock()
    playback = Playback(clock)
    playback.sent(1000)
    playback.report(300)
    assert playback.played_ms() == 300
    playback.report(99_999)
    assert playback.played_ms() == 1000
    playback.report(-5)
    assert playback.played_ms() == 0


TEXT = "One two. Three four."


def test_every_word_has_its_time() -> None:
    made = marks(TEXT, [Spoken(0, 8, 0, 800), Spoken(8, 20, 800, 2000)])
    assert [TEXT[: mark.text_end] for mark in made] == ["One", "One two.", "One two. Three", TEXT]
    assert [mark.audio_end_ms for mark in made] == [300, 800, 1400, 2000]


def test_words_without_sound_yet_are_not_heard() -> None:
    made = marks(TEXT, [Spoken(0, 8, 0, 800)])
    assert made[-1].audio_end_ms == NEVER_MS
    assert made[-2].text_end == 8


def test_chinese_is_timed_by_character() -> None:
    made = marks("你好。再见。", [Spoken(0, 3, 0, 900), Spoken(3, 6, 900, 1800)])
    assert [mark.text_end for mark in made] == [1, 2, 3, 4, 5, 6]
