"""Conventions that no linter knows."""

from __future__ import annotations

import ast
import subprocess

import pytest

from tests.conftest import MARKERS
from tests.stack import ROOT

pytestmark = pytest.mark.unit

LONGEST_MODEL = 60  # lines of a model.py: tensors in, one engine call, tensors out; the rest belongs in vita15
LONGEST_FILE = 300  # lines
CODE = ("vita15", "gateway", "services", "runtime", "replay", "cli", "model_repo", "training", "evaluation", "scripts")
LARGEST_CHECKPOINT = 30 << 20  # bytes, all components together


def test_a_model_is_a_page() -> None:
    lengths = {
        file.parent.parent.name: len(file.read_text().splitlines()) for file in ROOT.glob("model_repo/*/1/model.py")
    }
    assert {name: length for name, length in lengths.items() if length > LONGEST_MODEL} == {}


def test_a_file_is_no_longer_than_300_lines() -> None:
    files = [file for folder in CODE for file in (ROOT / folder).rglob("*.py")]
    long = {str(f.relative_to(ROOT)): n for f in files if (n := len(f.read_text().splitlines())) > LONGEST_FILE}
    assert long == {}


def test_a_test_module_has_exactly_one_marker() -> None:
    wrong: list[str] = []
    for file in (ROOT / "tests").rglob("test_*.py"):
        marks = [
            ast.unparse(node.value)
            for node in ast.parse(file.read_text()).body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"
        ]
        if len(marks) != 1 or marks[0] not in {f"pytest.mark.{marker}" for marker in MARKERS}:
            wrong.append(f"{file.relative_to(ROOT)}: {marks}")
    assert wrong == []


def test_no_exception_is_swallowed() -> None:
    wrong: list[str] = []
    for file in (file for folder in CODE for file in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ExceptHandler) and [type(s) for s in node.body] == [ast.Pass]:
                caught = ast.unparse(node.type) if node.type else "everything"
                if caught in ("everything", "Exception", "BaseException"):
                    wrong.append(f"{file.relative_to(ROOT)}:{node.lineno}")
    assert wrong == []


def test_the_chores_are_listed_with_a_line_of_help() -> None:
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    chores = {line.split()[0] for line in listed.splitlines()}
    assert {"help", "setup", "fmt", "check", "test", "test-slow", "protos", "up", "down"} <= chores


def test_the_committed_checkpoint_is_small() -> None:
    files = [file for file in (ROOT / "checkpoints").rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= LARGEST_CHECKPOINT
