"""The file of a recording: what is written is read, by others too; what is no recording is refused in one line."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from vita.conversation.v1 import conversation_service_pb2 as wire
from vita.recording.v1.recording_pb2 import EDGE_CONVERSATION, FORM_FULL, KIND_REPLY, Manifest, Record
from vita.recording.v1.snapshot_pb2 import Medium, Snapshot
from vita_components.triton import build_request
from vita_recordings import bundle as bundles
from vita_recordings.bundle import BadRecording, Bundle, pack, read, write

pytestmark = pytest.mark.unit


def recording(words: str = "a red star") -> Bundle:
    event = wire.ConverseResponse(sequence_number=3, text_delta=wire.TextDelta(response_id="r", text=words))
    answer = Record(
        time_ns=12, edge=EDGE_CONVERSATION, kind=KIND_REPLY, type="vita.conversation.v1.ConverseResponse",
        content=event.SerializeToString(), byte_count=event.ByteSize(),
    )  # fmt: skip
    asked = build_request("llm", parameters={"op": "generate"})
    request = Record(time_ns=11, type="inference.ModelInferRequest", content=asked.SerializeToString())
    manifest = Manifest(form=FORM_FULL, session_id="sess_1", variants={"llm": "1"})
    return Bundle(
        manifest, Snapshot(media=[Medium(media_id="m", content=b"\x00\xff")], received_ms=1.5), (request, answer)
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    written = recording()
    found = read(write(written, tmp_path / "new" / "folder"))
    assert found.records == written.records
    assert found.snapshot == written.snapshot
    assert (found.manifest.format, found.manifest.record_count, found.manifest.session_id) == (1, 2, "sess_1")


def test_contents_that_are_given_apart_are_read_in_their_records(tmp_path: Path) -> None:
    whole, apart = recording("long " * 50_000), list[tuple[Record, bytes]]()
    for record in whole.records:
        head = Record()
        head.CopyFrom(record)
        head.ClearField("content")
        apart.append((head, record.content))
    assert read(pack(whole.manifest, whole.snapshot, apart, tmp_path)).records == whole.records


def test_the_name_is_the_content(tmp_path: Path) -> None:
    first, again, other = write(recording(), tmp_path), write(recording(), tmp_path), write(recording("no"), tmp_path)
    assert first == again != other
    with zipfile.ZipFile(first) as archive:
        assert first.name == hashlib.sha256(archive.read("manifest.json")).hexdigest()[:32] + ".vita.zip"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({first.name, other.name})


def test_it_is_read_without_our_code(tmp_path: Path) -> None:
    with zipfile.ZipFile(write(recording(), tmp_path)) as archive:
        pool = descriptor_pool.DescriptorPool()
        for file in descriptor_pb2.FileDescriptorSet.FromString(archive.read("schema.pb")).file:
            pool.Add(file)
        content = archive.read("records.pb")
        count = json.loads(archive.read("manifest.json"))["record_count"]

    def message(name: str, raw: bytes) -> message_factory.Message:
        return message_factory.GetMessageClass(pool.FindMessageTypeByName(name)).FromString(raw)

    found, position = [], 0
    while position < len(content):
        assert content[position] < 0x80  # these are short
        end = position + 1 + content[position]
        found.append(message("vita.recording.v1.Record", content[position + 1 : end]))
        position = end
    assert len(found) == int(count)
    assert message(found[0].type, found[0].content).parameters["op"].string_param == "generate"
    assert message(found[1].type, found[1].content).text_delta.text == "a red star"


def test_a_disk_that_is_full_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "open", full)
    with pytest.raises(OSError, match="No space"):
        write(recording(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_type_that_is_unknown_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(BadRecording, match="unknown"):
        write(Bundle(Manifest(), Snapshot(), (Record(type="no.such.Message"),)), tmp_path)


def repacked(path: Path, **changes: bytes) -> Path:
    """Replace members of a recording; their names have `_` for the dot."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members |= {name.replace("_", "."): content for name, content in changes.items()}
    other = path.with_name("other.vita.zip")
    with zipfile.ZipFile(other, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return other


def test_a_changed_member_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRecording, match=r"records\.pb is not what the manifest says"):
        read(repacked(write(recording(), tmp_path), records_pb=b""))


def signed(path: Path, records: bytes, **fields: object) -> Path:
    """Put other records into a recording, with a manifest that agrees."""
    with zipfile.ZipFile(path) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    manifest["sha256"]["records.pb"] = hashlib.sha256(records).hexdigest()
    return repacked(path, records_pb=records, manifest_json=json.dumps(manifest | fields).encode())


@pytest.mark.parametrize(
    ("records", "problem"),
    [
        (b"\x05ab", "ends within a record"),
        (b"\xff\xff\xff\xff\xff\xff", "a length that is none"),
        (b"\x80", "a length that is none"),
        (b"\x02\x0a\x7f", "cannot be parsed"),
        (b"", "0 records"),
    ],
)
def test_records_that_are_none_are_refused(tmp_path: Path, records: bytes, problem: str) -> None:
    with pytest.raises(BadRecording, match=problem):
        read(signed(write(recording(), tmp_path), records))


def test_too_many_records_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = signed(write(recording(), tmp_path), bytes(11), record_count=11)
    assert len(read(path).records) == 11
    monkeypatch.setattr(bundles, "LARGEST_RECORD_COUNT", 10)
    with pytest.raises(BadRecording, match="too many"):
        read(path)


def test_a_later_format_is_refused(tmp_path: Path) -> None:
    path = write(recording(), tmp_path)
    with pytest.raises(BadRecording, match="its format is 2; this version reads format 1"):
        read(signed(path, b"", format=2))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no zip at all", bytes(10_000)])
def test_what_is_no_zip_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.vita.zip"
    path.write_bytes(content)
    with pytest.raises(BadRecording, match="not a whole zip"):
        read(path)


def test_a_zip_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.vita.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../etc/passwd", b"")
    with pytest.raises(BadRecording, match="its members are not"):
        read(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRecording, match="cannot be read: No such file"):
        read(tmp_path / "none.vita.zip")


@pytest.mark.parametrize("is_honest", [True, False])
def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, *, is_honest: bool) -> None:
    limit = bundles.LARGEST_BYTES["manifest.json"]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in bundles.MEMBERS:
            archive.writestr(name, bytes(50 * limit) if name == "manifest.json" else b"")
    content = packed.getvalue()
    if not is_honest:  # both headers say one byte
        content = content.replace(struct.pack("<L", 50 * limit), struct.pack("<L", 1))
    path = tmp_path / "bomb.vita.zip"
    path.write_bytes(content)
    assert len(content) < limit
    with pytest.raises(BadRecording, match="too large" if is_honest else "damaged|not a whole zip|parsed"):
        read(path)


def test_a_bit_that_flips_anywhere_is_noticed_or_harmless(tmp_path: Path) -> None:
    path = write(recording(), tmp_path)
    whole, content = read(path), path.read_bytes()
    for position in range(0, len(content), 7):
        path.write_bytes(content[:position] + bytes([content[position] ^ 0x10]) + content[position + 1 :])
        try:
            found = read(path)
        except BadRecording:
            continue
        assert found == whole
