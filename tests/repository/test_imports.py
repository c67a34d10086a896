"""Who may import whom: the table of the architecture, checked over every file, `model_repo/*/1/model.py` included."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.stack import ROOT

pytestmark = pytest.mark.unit

OURS = ("vita", "vita15")  # every import root of ours is `vita`, `vita15`, or starts with `vita_`

# Import root: what it may import of ours. A name with a dot allows that module only.
ALLOWED = {
    "vita15": (),
    "vita_runtime": (),
    "vita_gateway": ("vita", "vita_runtime"),
    "vita_orchestrator": ("vita", "vita_runtime", "vita_sessions", "vita_recordings", "vita_rollout.policy"),
    # It implements the orchestrator's Protocols, and notes what passes.
    "vita_components": ("vita", "vita_runtime", "vita_orchestrator.components", "vita_recordings.tape"),
    "vita_sessions": ("vita", "vita_runtime"),
    "vita_recordings": ("vita", "vita_runtime"),
    "vita_rollout": ("vita", "vita_runtime"),
    # A replay is the orchestrator itself, between recorded components and a recorded client.
    "vita_replay": ("vita", "vita_runtime", "vita_recordings", "vita_sessions", "vita_components", "vita_orchestrator"),
    "vita_cli": ("vita", "vita_runtime", "vita_replay"),
    "model_repo": ("vita15", "vita_runtime"),
    # The voice learns clauses as the orchestrator cuts and spells them.
    "vita_training": ("vita15", "vita_orchestrator.speakable", "vita_orchestrator.spoken_form"),
    # The latency bench does by itself, one after another, the stages that the orchestrator overlaps. What is asked when
    # quality is measured, and who listens to the voice, is training's: the small world and its recogniser.
    "vita_evaluation": (
        *("vita15", "vita", "vita_runtime", "vita_components", "vita_orchestrator"),
        *("vita_sessions", "vita_recordings", "vita_replay", "vita_training"),
    ),
}
WIRING = {"services/vita_orchestrator/main.py": ("vita_components",)}  # implementations are chosen in main only

FOLDERS = {
    "vita15": "vita15",
    "vita_runtime": "runtime/vita_runtime",
    "vita_gateway": "gateway/vita_gateway",
    "vita_orchestrator": "services/vita_orchestrator",
    "vita_components": "services/vita_components",
    "vita_sessions": "services/vita_sessions",
    "vita_recordings": "services/vita_recordings",
    "vita_replay": "replay/vita_replay",
    "vita_rollout": "services/vita_rollout",
    "vita_cli": "cli/vita_cli",
    "model_repo": "model_repo",
    "vita_training": "training/vita_training",
    "vita_evaluation": "evaluation/vita_evaluation",
}

# Third-party libraries that only these files or folders may import.
ONLY_IN = {
    "torch": ("vita15/", "model_repo/", "training/", "evaluation/"),
    "transformers": ("vita15/", "model_repo/", "training/", "evaluation/"),
    "tritonclient": ("services/vita_components/triton.py", "replay/vita_replay/kserve.py"),
    "redis": ("services/vita_sessions/redis_store.py", "gateway/vita_gateway/quotas.py"),
    "kubernetes": ("services/vita_rollout/controller.py", "services/vita_components/pool.py"),
    "triton_python_backend_utils": ("runtime/vita_runtime/",),
}

# Pure modules: what they decide depends on their arguments alone.
PURE = (
    "services/vita_orchestrator/turn.py",
    "services/vita_orchestrator/endpointing.py",
    "services/vita_orchestrator/speakable.py",
    "services/vita_rollout/policy.py",
    "services/vita_rollout/judge.py",
    "services/vita_sessions/session.py",
)
EFFECTS = {"asyncio", "grpc", "httpx", "io", "multiprocessing", "os", "pathlib", "random", "redis", "secrets", "select"}
EFFECTS |= {"shutil", "socket", "subprocess", "tempfile", "threading", "time", "urllib", "websockets"}

# The model runs anywhere: no servers, no clients, no environment.
NOT_IN_THE_MODEL = frozenset(["asyncio", "fastapi", "grpc", "httpx", "redis", "subprocess", "tritonclient", "uvicorn"])


def files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@cache
def imported(file: Path) -> frozenset[str]:
    """Return the absolute names a file imports, those inside functions and type checking blocks included."""
    return frozenset(_names(ast.parse(file.read_text(), str(file))))


def _names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            # `from vita_rollout import policy` imports vita_rollout.policy
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_ours(name: str) -> bool:
    root = name.partition(".")[0]
    return root in OURS or root.startswith("vita_")


def is_within(name: str, allowed: str) -> bool:
    return name == allowed or name.startswith(f"{allowed}.")


def relative(file: Path) -> str:
    return str(file.relative_to(ROOT))


@pytest.mark.parametrize("root", ALLOWED)
def test_a_root_imports_of_ours_only_what_the_table_allows(root: str) -> None:
    wrong = [
        f"{relative(file)} imports {name}"
        for file in files(FOLDERS[root])
        for name in imported(file)
        if is_ours(name)
        and not any(is_within(name, other) for other in (root, *ALLOWED[root], *WIRING.get(relative(file), ())))
    ]
    assert wrong == []


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_is_imported_only_where_it_belongs(library: str) -> None:
    wrong = [
        relative(file)
        for folder in FOLDERS.values()
        for file in files(folder)
        if any(is_within(name, library) for name in imported(file)) and not relative(file).startswith(ONLY_IN[library])
    ]
    assert wrong == []


@pytest.mark.parametrize("module", [module for module in PURE if (ROOT / module).exists()])
def test_a_pure_module_imports_nothing_that_has_effects(module: str) -> None:
    assert {name.partition(".")[0] for name in imported(ROOT / module)} & EFFECTS == set()


def test_the_model_knows_no_server_and_no_environment() -> None:
    wrong = [
        f"{relative(file)} imports {name}"
        for file in files("vita15")
        for name in imported(file)
        if name.partition(".")[0] in NOT_IN_THE_MODEL or name.startswith(("os.environ", "os.getenv"))
    ]
    assert wrong == []


def test_every_folder_of_code_is_in_the_table() -> None:
    folders = ("gateway", "services", "runtime", "replay", "cli", "training", "evaluation")
    roots = {path.parent.name for folder in folders for path in (ROOT / folder).glob("vita_*/__init__.py")}
    assert roots <= set(ALLOWED)
