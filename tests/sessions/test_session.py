"""The record itself: items in order, answers cut to what was heard, a bounded size."""

from __future__ import annotations

import pytest
from vita.conversation.v1.item_pb2 import (
    ITEM_STATUS_COMPLETED,
    ITEM_STATUS_INCOMPLETE,
    ROLE_USER,
    ContentPart,
    Item,
    ToolCall,
    ToolResult,
)
from vita.media.v1.media_pb2 import IMAGE_DETAIL_HIGH, IMAGE_ENCODING_JPEG, AudioClip, ImageFrame
from vita_runtime.errors import AlreadyExists, BadInput, NotFound
from vita_sessions.record import decode, encode
from vita_sessions.session import Entry, Mark, Session, drop_media, media_of

from tests.sessions.laws import a_session

pytestmark = pytest.mark.unit


def spoken(name: str, turn: int, byte_count: int) -> Entry:
    clip = AudioClip(samples=b"\1" * byte_count, sample_rate_hz=16000, transcript=f"words of {name}")
    return Entry(Item(item_id=name, parts=[ContentPart(audio=clip)]), f"turn_{turn}")


def held(session: Session) -> list[int]:
    """Bytes of media that each item still holds."""
    return [sum(len(p.audio.samples) + len(p.image.content) for p in e.item.parts) for e in session.entries]


def test_items_join_at_the_end_after_another_or_at_the_front() -> None:
    session = Session("s", "t")
    assert session.add(Entry(Item(item_id="b"))) == ""
    assert session.add(Entry(Item(item_id="d"))) == "b"
    assert session.add(Entry(Item(item_id="c")), "b") == "b"
    assert session.add(Entry(Item(item_id="a")), "root") == ""
    assert [entry.item.item_id for entry in session.entries] == ["a", "b", "c", "d"]


def test_an_unknown_item_or_a_second_of_its_name_is_refused_and_changes_nothing() -> None:
    session = a_session()
    for act in (session.find, session.remove, lambda name: session.add(Entry(Item(item_id="new")), name)):
        with pytest.raises(NotFound):
            act("nobody")
    with pytest.raises(AlreadyExists):
        session.add(Entry(Item(item_id="q1")))
    assert [entry.item.item_id for entry in session.entries] == ["q1", "a1"]


@pytest.mark.parametrize(
    ("heard_ms", "text", "mark_count"),
    [(0, "", 0), (899, "", 0), (900, "A red circle.", 1), (1499, "A red circle.", 1)],
)
def test_an_answer_is_cut_to_the_last_mark_that_was_heard(heard_ms: int, text: str, mark_count: int) -> None:
    entry = a_session().cut("a1", heard_ms)
    assert (entry.text, entry.item.status) == (text, ITEM_STATUS_INCOMPLETE)
    assert len(entry.marks) == mark_count


def test_an_answer_heard_to_its_end_is_not_cut() -> None:
    entry = a_session().cut("a1", 1500)
    assert (entry.text, entry.item.status) == ("A red circle. 红色。", ITEM_STATUS_COMPLETED)


def test_the_oldest_sound_goes_first_and_its_transcript_stays() -> None:
    session = Session("s", "t", entries=[spoken(name, 1, 1000) for name in "abc"])
    session.entries[0].item.parts.append(ContentPart(image=ImageFrame(content=b"x" * 1000)))
    session.evict(max_bytes=3300)
    assert held(session) == [1000, 1000, 1000]
    assert session.entries[0].item.parts[0].audio.transcript == "words of a"


def test_pictures_go_when_no_sound_is_left() -> None:
    session = Session("s", "t", entries=[spoken("a", 1, 1000)])
    for name in "xyz":
        picture = ImageFrame(content=name.encode() * 1000)
        session.add(Entry(Item(item_id=name, parts=[ContentPart(image=picture)]), "turn_1"))
    session.evict(max_bytes=2200)
    assert held(session) == [0, 0, 1000, 1000]


def test_sound_of_old_turns_is_dropped_even_when_there_is_room() -> None:
    session = Session("s", "t", entries=[spoken(f"i{turn}", turn, 100) for turn in range(10)])
    session.evict(sound_turns=3)
    assert held(session) == [0] * 7 + [100] * 3


def test_words_that_do_not_fit_are_an_error() -> None:
    session = Session("s", "t", entries=[Entry(Item(item_id="a", parts=[ContentPart(text="x" * 3000)]))])
    with pytest.raises(BadInput):
        session.evict(max_bytes=2000)


def test_a_record_reads_back_as_it_was_and_shares_nothing_with_the_session() -> None:
    session = a_session()
    session.add(Entry(Item(item_id="t1", tool_call=ToolCall(call_id="c", name="clock", arguments="{}"))))
    session.add(Entry(Item(item_id="t2", tool_result=ToolResult(call_id="c", output="noon"))))
    record = encode(session)
    again = decode(record)
    assert again == session
    session.entries[1].item.parts[0].text = "changed"
    session.entries[1].marks.append(Mark(1, 2))
    assert decode(record) == again


def test_the_same_picture_twice_is_kept_once() -> None:
    session = Session("s", "t", entries=[spoken("a", 1, 500), spoken("b", 2, 500)])
    assert len(encode(session).media) == 1


def test_media_that_are_held_are_not_written_again_and_those_dropped_are_not_named() -> None:
    session = a_session()
    first = encode(session)
    assert encode(session, first.media_ids).media == {}
    session.evict(max_bytes=1000)
    assert encode(session).media_ids < first.media_ids


def test_the_head_holds_no_media() -> None:
    assert len(encode(a_session()).head) < 1000


def test_what_is_counted_as_words_is_never_less_than_what_remains_without_media() -> None:
    session = a_session()
    picture = ImageFrame(content=b"x" * 5000, encoding=IMAGE_ENCODING_JPEG, detail=IMAGE_DETAIL_HIGH)
    item = Item(item_id="i" * 64, role=ROLE_USER, status=ITEM_STATUS_COMPLETED)
    item.parts.extend([*[ContentPart(image=picture)] * 64, ContentPart(text="红" * 500)])
    session.add(Entry(item))
    session.add(spoken("s", 1, 3000))
    counted = session.words_byte_count
    for entry in session.entries:
        for part in filter(media_of, entry.item.parts):
            drop_media(part)
    assert session.byte_count <= counted <= session.byte_count + 70 * 64 + 4 * 128
