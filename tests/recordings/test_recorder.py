"""What a session's tape hands over to be written, and when; and that no disk ever holds a turn up."""

from __future__ import annotations

import asyncio
import errno
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.recording.v1 import recording_pb2 as pb
from vita.recording.v1.snapshot_pb2 import Snapshot
from vita_components.triton import build_request
from vita_recordings import recorder as recorders
from vita_recordings import writer as writers
from vita_recordings.bundle import Bundle, read
from vita_recordings.consent import Consent, Recordings
from vita_recordings.recorder import Finished, TurnRecorder
from vita_recordings.writer import Origin, Writer, bundle_of

from tests.stack import wait_until

pytestmark = pytest.mark.unit


class Recorded:
    """A recorder and what it handed over; its clock goes a ms with every look."""

    def __init__(self, form: pb.Form = pb.FORM_FULL) -> None:
        self.finished: list[Finished] = []
        self.time_ns = 0
        self.tape = TurnRecorder(form, "sess_1", "tenant", self.finished.append, self._now_ns)

    def _now_ns(self) -> int:
        self.time_ns += 1_000_000
        return self.time_ns

    def begin(self, context_position: int = 0) -> None:
        self.tape.begin(lambda: Snapshot(context_position=context_position))

    def hear(self, number: int) -> None:
        request = wire.ConverseRequest(client_event_id=str(number))
        self.tape.note(pb.EDGE_CONVERSATION, pb.KIND_REQUEST, request)

    def start(self, number: int) -> None:
        started = wire.ResponseStarted(response_id=f"resp_{number}")
        self.say(wire.ConverseResponse(turn_id=f"turn_{number}", response_started=started))

    def end(self, number: int, outcome: wire.ResponseOutcome = wire.RESPONSE_OUTCOME_COMPLETED) -> None:
        done = wire.ResponseDone(response_id=f"resp_{number}", outcome=outcome)
        self.say(wire.ConverseResponse(turn_id=f"turn_{number}", response_done=done))

    def say(self, event: wire.ConverseResponse) -> None:
        self.tape.note(pb.EDGE_CONVERSATION, pb.KIND_REPLY, event)

    def report(self, number: int, *times_ns: int, sent_ns: int = 0) -> None:
        records = [pb.Record(time_ns=at, kind=pb.KIND_REPLY, content=b"{}") for at in times_ns]
        self.tape.take_client_records(
            wire.ClientRecords(records=records, sent_ns=sent_ns, response_id=f"resp_{number}")
        )

    def bundle(self, index: int = -1) -> Bundle:
        return bundle_of(self.finished[index], Origin("test"))


def requests(bundle: Bundle) -> list[str]:
    """Names of the requests in it."""
    found = [record for record in bundle.records if record.kind == pb.KIND_REQUEST and not record.component]
    return [wire.ConverseRequest.FromString(record.content).client_event_id for record in found]


async def test_a_recording_starts_at_the_last_quiet_moment_and_ends_with_its_turn() -> None:
    it = Recorded()
    it.hear(1)  # before the first quiet moment
    it.begin()
    it.hear(2)
    it.begin(context_position=9)
    it.hear(3)
    it.start(1)
    it.end(1)
    it.hear(4)  # the next turn's
    assert not it.finished
    it.report(1)
    (bundle,) = [it.bundle()]
    assert requests(bundle) == ["3"]
    assert bundle.snapshot.context_position == 9
    (turn,) = bundle.manifest.turns
    assert (turn.turn_id, turn.response_id, turn.outcome) == ("turn_1", "resp_1", "completed")
    assert bundle.records[0].time_ns == 1_000_000, "times count from the quiet moment"
    assert [record.time_ns for record in bundle.records] == sorted(record.time_ns for record in bundle.records)


async def test_a_turn_that_interrupts_another_holds_both() -> None:
    it = Recorded()
    it.begin()
    it.hear(1)
    it.start(1)
    it.end(1, wire.RESPONSE_OUTCOME_INTERRUPTED)
    it.report(1)
    it.hear(2)
    it.start(2)
    it.end(2)
    it.report(2)
    first, second = it.bundle(0), it.bundle(1)
    assert (requests(first), requests(second)) == (["1"], ["1", "2"])
    assert [turn.outcome for turn in second.manifest.turns] == ["interrupted", "completed"]


async def test_a_gateway_that_reports_nothing_is_waited_for_but_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorders, "CLIENT_S", 0.05)
    it = Recorded()
    it.begin()
    it.start(1)
    it.end(1)
    await asyncio.sleep(0)
    assert not it.finished
    await asyncio.sleep(0.1)
    assert len(it.finished) == 1
    it.report(1)
    assert len(it.finished) == 1, "late news change nothing"


async def test_a_turn_keeps_its_notes_while_it_waits_though_a_quiet_moment_came() -> None:
    it = Recorded()
    it.begin()
    it.hear(1)
    it.start(1)
    it.end(1)
    it.begin()
    it.report(1)
    assert requests(it.bundle()) == ["1"]


async def test_a_stream_that_ends_within_a_turn_leaves_what_there_is() -> None:
    it = Recorded()
    it.begin()
    it.start(1)
    it.tape.close()
    assert it.bundle().manifest.turns[0].outcome == ""


async def test_a_stream_that_ends_between_turns_leaves_nothing_more() -> None:
    it = Recorded()
    it.begin()
    it.start(1)
    it.end(1)
    it.tape.close()
    assert len(it.finished) == 1, "what waits for the client's records waits no longer"
    it.tape.close()
    it.hear(1)
    assert len(it.finished) == 1


async def test_the_clients_times_are_put_on_our_clock() -> None:
    it = Recorded()
    it.begin()
    it.begin()  # at 2 ms
    it.start(1)
    it.end(1)
    gateway_ns = 5_000_000_000  # ahead of us
    it.report(1, gateway_ns - 1_000_000, gateway_ns - 60_000_000, sent_ns=gateway_ns)
    bundle = it.bundle()
    (record,) = [record for record in bundle.records if record.edge == pb.EDGE_CLIENT]
    assert record.time_ns == 2_000_000, "received at 5 ms, noted 1 ms before it was sent; the other is from before"
    assert bundle.manifest.gateway_clock_ns == gateway_ns - 5_000_000


async def test_a_sessions_first_recording_holds_how_its_client_opened_it() -> None:
    it = Recorded()
    it.begin()  # at 1 ms
    it.end(1)
    it.report(1, 0, sent_ns=3_000_000)
    assert it.bundle().records[0].time_ns == -1_000_000


async def test_calls_are_numbered_by_recording_and_name_their_replica() -> None:
    it = Recorded()
    calls = [it.tape.new_call() for _ in range(3)]
    it.begin()
    it.start(1)
    it.tape.note(pb.EDGE_COMPONENT, pb.KIND_OPENED, component="llm", call=calls[2], name="127.0.0.1:1")
    asked = build_request("llm", parameters={"op": "generate"})
    it.tape.note(pb.EDGE_COMPONENT, pb.KIND_REQUEST, asked, component="llm", call=calls[2], name="generate")
    it.end(1)
    it.report(1)
    opened, request = [record for record in it.bundle().records if record.component]
    assert (opened.call, opened.address, opened.name) == (1, "127.0.0.1:1", "")
    assert (request.call, request.name, request.byte_count) == (1, "generate", asked.ByteSize())


async def test_what_chance_says_is_noted() -> None:
    it = Recorded()
    it.begin()
    it.start(1)
    assert it.tape.observe("seed", 7) == 7
    it.end(1)
    it.report(1)
    (seed,) = [record for record in it.bundle().records if record.kind == pb.KIND_OBSERVED]
    assert (seed.name, seed.content) == ("seed", b"7")


@pytest.mark.parametrize("bound", ["MAX_NOTES", "MAX_BYTES"])
async def test_a_recording_that_grows_too_large_is_let_go_of(monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    monkeypatch.setattr(recorders, bound, 3)
    it = Recorded()
    it.begin()
    for number in range(5):
        it.hear(number)
    it.end(1)
    it.report(1, 1, 2, 3)
    (lost,) = it.finished
    assert lost.reel.is_too_large
    assert not lost.notes
    assert not lost.client


def count(outcome: str) -> float:
    return REGISTRY.get_sample_value("vita_recordings_total", {"outcome": outcome}) or 0.0


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    one = Writer(tmp_path / "recordings", Origin("test", {"lead_ms": "2000"}))
    yield one
    one.close()


def recorded_turn(form: pb.Form = pb.FORM_FULL) -> Finished:
    """A turn, without a loop to wait for its client's records."""
    it = Recorded(form)
    it.begin()
    it.start(1)
    it.tape.close()
    return it.finished[0]


def test_what_is_offered_is_written(writer: Writer, tmp_path: Path) -> None:
    before = count("written")
    writer.offer(recorded_turn())
    writer.offer(recorded_turn(pb.FORM_REDACTED))
    writer.close()
    bundles = [read(path) for path in (tmp_path / "recordings").iterdir()]
    found = [bundle.manifest for bundle in bundles]
    (full,) = [bundle for bundle in bundles if bundle.manifest.form == pb.FORM_FULL]
    in_memory = bundle_of(recorded_turn(), Origin())
    assert full.records == in_memory.records
    assert full.manifest.turns == in_memory.manifest.turns
    assert {manifest.form for manifest in found} == {pb.FORM_FULL, pb.FORM_REDACTED}
    assert {manifest.settings["lead_ms"] for manifest in found} == {"2000"}
    assert count("written") == before + 2


def test_a_full_disk_loses_recordings_and_says_so(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    lost, written = count("lost_disk"), count("written")
    monkeypatch.setattr(writers, "store", full)
    writer.offer(recorded_turn())
    wait_until(lambda: count("lost_disk") == lost + 1, 5, "the loss to be counted")
    monkeypatch.undo()
    writer.offer(recorded_turn())  # there is room again
    writer.close()
    assert count("written") == written + 1


def test_a_slow_disk_never_holds_up_who_offers(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    is_going_on = threading.Event()

    def slow(*_: object, **__: object) -> Path:
        is_going_on.wait(10)
        return Path("written")

    monkeypatch.setattr(writers, "store", slow)
    before, started_s = count("lost_full_queue"), time.monotonic()
    for _ in range(writers.QUEUE_BOUND + 3):
        writer.offer(recorded_turn())
    assert time.monotonic() - started_s < 1
    is_going_on.set()
    assert count("lost_full_queue") >= before + 2, "one is being written, and the queue is full"


def test_a_too_large_recording_is_counted(writer: Writer) -> None:
    before, finished = count("lost_too_large"), recorded_turn()
    finished.reel.is_too_large = True
    writer.offer(finished)
    assert count("lost_too_large") == before + 1


@pytest.mark.parametrize(
    ("most", "wish", "granted"),
    [
        (pb.FORM_FULL, pb.FORM_FULL, pb.FORM_FULL),
        (pb.FORM_FULL, pb.FORM_REDACTED, pb.FORM_REDACTED),
        (pb.FORM_REDACTED, pb.FORM_FULL, pb.FORM_REDACTED),
        (pb.FORM_FULL, pb.FORM_UNSPECIFIED, pb.FORM_UNSPECIFIED),
    ],
)
def test_the_lesser_of_what_is_wished_and_allowed_is_granted(most: pb.Form, wish: pb.Form, granted: pb.Form) -> None:
    assert Consent(most).granted(wish, "sess_1", "tenant") == granted


def test_tenants_and_a_share_of_sessions_are_recorded_without_a_wish() -> None:
    nothing = pb.FORM_UNSPECIFIED
    assert Consent(tenants=("shop",)).granted(nothing, "sess_1", "shop") == pb.FORM_FULL
    sampled = [Consent(share=0.25, salt=b"s").granted(nothing, f"sess_{n}", "t") != nothing for n in range(1000)]
    assert 200 < sum(sampled) < 300
    assert all(Consent(share=1.0).granted(nothing, f"sess_{n}", "t") == pb.FORM_FULL for n in range(100))


def test_who_is_not_recorded_has_no_tape(writer: Writer) -> None:
    assert Recordings(Consent(), writer).tape_for(pb.FORM_UNSPECIFIED, "sess_1", "tenant") is None
