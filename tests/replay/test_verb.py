"""`vita replay`'s command line: what it takes, and the one line that refuses the rest."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import pytest
import vita_components.triton  # noqa: F401  # makes KServe's messages known
from vita.recording.v1.recording_pb2 import FORM_REDACTED
from vita_cli import replay as verb
from vita_cli.main import main
from vita_recordings.bundle import read, write
from vita_recordings.redaction import redacted
from vita_replay.replaying import NAMES, Options

pytestmark = pytest.mark.unit

PLAIN = Path(__file__).parents[1] / "golden" / "plain.vita.zip"


def options(*given: str) -> Options:
    parser = argparse.ArgumentParser()
    verb.add_arguments(parser)
    return verb.options_of(parser.parse_args([str(PLAIN), *given]))


def test_everything_that_can_be_bent_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "weights" / "codec_decoder"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    read_so = options(
        *("--real", "llm, speech_decoder", "--kill", "llm@1.2s", "--slow", "speech_encoder=3x", "--load", "32"),
        *("--variant", f"codec_decoder={tmp_path / 'weights'}", "--variant", "vision_encoder=127.0.0.1:8001"),
    )
    assert read_so.all_real == ("vision_encoder", "llm", "speech_decoder", "codec_decoder")
    assert (read_so.kills, read_so.slows, read_so.copies) == ({"llm": 1.2}, {"speech_encoder": 3.0}, 32)
    assert read_so.weights == {"codec_decoder": folder}
    assert options("--real", "all").all_real == NAMES


REFUSED = {
    "no such part": ("--real", "nobody"),
    "a kill without a time": ("--kill", "llm"),
    "a slow real part": ("--real", "llm", "--slow", "llm=2x"),
    "weights that are none": ("--variant", "llm=nowhere"),
    "a kill elsewhere": ("--variant", "llm=127.0.0.1:1", "--kill", "llm@1s"),
    "no copies": ("--load", "0"),
    "no speed": ("--speed", "0"),
    "a picture of an unknown kind": ("--speed", "8", "--out", "turn.unknown"),
}


@pytest.mark.parametrize("given", REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_is_refused_in_one_line(given: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(PLAIN), *given]) == verb.CANNOT_RUN
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_a_file_that_is_no_recording_and_one_without_words_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = redacted(read(PLAIN))
    assert bare.manifest.form == FORM_REDACTED
    for path in (Path(__file__), tmp_path / "missing", write(bare, tmp_path)):
        assert main(["replay", str(path)]) == verb.CANNOT_RUN
        assert capsys.readouterr().err.count("\n") == 1


def test_the_status_says_whether_it_diverged_and_the_report_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "turn.svg"
    assert main(["replay", str(PLAIN), "--speed", "8", "--out", str(out)]) == verb.IDENTICAL
    assert "identical" in capsys.readouterr().out
    assert out.read_bytes().startswith(b"<?xml")
    bundle = read(PLAIN)
    content = {index: record for index, record in enumerate(bundle.records) if record.component == "codec_decoder"}
    number = next(index for index, record in content.items() if record.type.endswith("Response"))
    bundle.records[number].content = bundle.records[number].content[:-1] + b"\x7f"
    bent = write(replace(bundle), tmp_path)
    # The recorded codec decoder says it again, so what the client heard is what differs.
    assert main(["replay", str(bent), "--speed", "8", "--json"]) == verb.DIVERGED
    divergence = json.loads(capsys.readouterr().out)["copies"][0]["divergence"]
    assert (divergence["stage"], divergence["what"]) == ("conversation", "the answer's sound")
