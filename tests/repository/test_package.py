"""What an installed wheel brings, and what the lock file says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.repository.test_imports import FOLDERS
from tests.stack import ROOT

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy, so that nothing is left in the checkout."""
    copy = tmp_path_factory.mktemp("source") / "vita"
    roots = ("gen", "vita15", "gateway", "services", "runtime", "replay", "cli", "training", "evaluation")
    listing = ["git", "ls-files", "-co", "--exclude-standard", "pyproject.toml", "README.md", "LICENSE", *roots]
    files = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    for name in files:
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, "-w", copy, copy], check=True)
    return next(copy.glob("*.whl"))


def test_the_wheels_top_level_names_are_the_import_roots(wheel: Path) -> None:
    """An installed wheel takes no generic name such as `services` or `tests`."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name.partition("/")[0] for name in archive.namelist() if ".dist-info/" not in name}
    written = {root for root, folder in FOLDERS.items() if root != "model_repo" and any((ROOT / folder).rglob("*.py"))}
    assert names == {"vita"} | written


def test_the_wheel_holds_the_stubs_the_launcher_and_the_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert "vita/conversation/v1/conversation_service_pb2.py" in names
    assert "vita_runtime/launcher/reaper.py" in names
    assert any(name.endswith("/licenses/LICENSE") for name in names)


def test_the_serving_extras_bring_no_torch() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for requirement in (*project["dependencies"], *extras["gateway"], *extras["orchestrator"], *extras["cli"]):
        assert re.split(r"[=<>\[ ]", requirement)[0] not in {"torch", "transformers"}


def test_the_lock_names_exact_versions_and_nothing_else() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[a-z0-9.]+( ; [a-z_]+ .*)?", line)] == []
    assert "torch==2.13.0" in lines
    assert "numpy==1.26.4" in lines


def test_exact_pins_of_the_project_are_those_of_the_lock() -> None:
    locked = set((ROOT / "requirements.lock").read_text().splitlines())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    pins = {re.sub(r"\[.*\]", "", line) for group in groups for line in group if re.search(r"==\d", line)}
    assert pins - locked == set()
