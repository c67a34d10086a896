"""`vita demo` against the running stack: the conversation that the README promises."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from tests.stack import ROOT, RunningStack

pytestmark = pytest.mark.triton

LONG_MS = 9_500  # of the description: ten seconds, and the voice may hurry
CONVERSATION_S = 200.0  # some 60 s, and on a slow machine more


def test_the_demo_shows_remembers_is_interrupted_coughed_at_and_uses_a_tool(
    stack: RunningStack, trained: None, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "vita_cli.main", "demo", "--url", stack.url, "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=CONVERSATION_S, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    turns = {turn["question"]: turn for turn in json.loads(done.stdout.splitlines()[-1])["turns"]}
    assert turns["What color is the star?"]["answer"] == "The star is blue."
    assert turns["Where is it?"]["answer"] == "It is at the top right."
    described = turns["Please describe the picture."]
    assert all(thing in described["answer"] for thing in ("red circle", "blue star", "yellow triangle"))
    assert described["audio_ms"] >= LONG_MS
    assert described["is_coughed_at"]
    assert not described["is_interrupted"]
    counted = turns["Please count to twenty."]
    assert counted["is_interrupted"]
    assert turns["Stop. How many shapes are there?"]["answer"] == "There are three shapes."
    lit = turns["Turn on the light in the kitchen."]
    assert lit["calls"] == ['set_light {"room": "kitchen", "state": "on"}']
    assert lit["answer"] == "The light in the kitchen is on."
    samples, rate_hz = soundfile.read(tmp_path / "conversation.wav")
    assert samples.shape[1] == 2
    assert len(samples) / rate_hz > 20
