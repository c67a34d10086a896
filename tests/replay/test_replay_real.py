"""A turn of a real stack, replayed: all recorded, all real, one real at a time; and with one weight changed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file
from vita_cli.main import main
from vita_cli.realtime_client import connected, microphone
from vita_cli.sounds import read_sound
from vita_recordings.bundle import SUFFIX

from tests.acceptance.conversing import ANSWER_S, EXAMPLES, PICTURE
from tests.stack import COMPONENTS, RunningStack, running_stack, wait_until

pytestmark = pytest.mark.triton

# One weight of each, so near to the output that it shows, and by how much it is changed. The language model is sure of
# its words: they stay the same until one weight of its head is very large.
WEIGHTS = {
    "vision_encoder": ("projector.2.bias", 4.0),
    "speech_encoder": ("adapter.project.bias", 4.0),
    "llm": ("lm_head.weight", 1e4),
    "speech_decoder": ("layers.0.input_layernorm.weight", 4.0),
    "codec_decoder": ("generator.conv_in.weight", 4.0),
}
CHANGED = ("speech_encoder", "llm", "codec_decoder")  # a test waits for a Triton each; all five were tried by hand


@pytest.fixture(scope="module")
def recording_stack(triton: None, scratch: Path, checkpoint: Path) -> Iterator[tuple[RunningStack, Path]]:
    """A stack that records every turn, and where."""
    folder = scratch / "recordings"
    environment = {"VITA_ORCHESTRATOR_RECORDING_DIR": str(folder), "VITA_ORCHESTRATOR_RECORDED_SHARE": "1"}
    with running_stack(scratch / "own-replay", checkpoint, environment=environment) as stack:
        yield stack, folder


@pytest.fixture
async def bundle(recording_stack: tuple[RunningStack, Path]) -> Path:
    """A turn with a picture and a spoken question, recorded once."""
    stack, folder = recording_stack
    if not any(folder.glob(f"*{SUFFIX}")):
        async with connected(stack.url) as client, microphone(client) as mouth:
            await client.configure(seed=7, max_output_tokens=12)
            await client.send_image(PICTURE)
            await mouth.say(read_sound(EXAMPLES / "what-color.wav"))
            await client.wait_for_answer(lambda one: one.is_done, timeout_s=ANSWER_S)
        wait_until(lambda: any(folder.glob(f"*{SUFFIX}")), 10, "a recording")
    return next(folder.glob(f"*{SUFFIX}"))


def changed(component: str, checkpoint: Path, folder: Path) -> Path:
    """Copy a component's checkpoint and change one weight."""
    shutil.copytree(checkpoint / component, folder)
    tensors = load_file(folder / "model.safetensors")
    name, change = WEIGHTS[component]
    tensors[name].reshape(-1)[0] += change
    save_file(tensors, folder / "model.safetensors")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["weights"]["sha256"] = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def replayed(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[str, object]]:
    """Run `vita replay` and return its exit status and what it says."""
    capsys.readouterr()
    status = main(["replay", "--json", *map(str, arguments)])
    return status, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("real", ["", "all", *COMPONENTS])
def test_a_replay_is_identical_whatever_is_real(
    recording_stack: tuple[RunningStack, Path], bundle: Path, capsys: pytest.CaptureFixture[str], real: str
) -> None:
    status, said = replayed(capsys, bundle, "--real", real, "--state-dir", recording_stack[0].state_dir)
    assert said["copies"][0]["divergence"] is None  # type: ignore[index]
    assert (status, said["identical"], said["copies"][0]["sound_identical"]) == (0, True, True)  # type: ignore[index]
    assert len(said["real"]) == {"": 0, "all": 5}.get(real, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("component", CHANGED)
def test_with_one_weight_changed_its_stage_is_named(
    bundle: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], component: str
) -> None:
    weights = changed(component, checkpoint, tmp_path / component)
    status, said = replayed(capsys, bundle, "--variant", f"{component}={weights}")
    assert status == 1
    assert said["copies"][0]["divergence"]["stage"] == component  # type: ignore[index]
