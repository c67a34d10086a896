#!/usr/bin/env python3
"""Generates the stubs in gen/ from protos/: `protos.py [FOLDER]`, the folder being gen/ unless named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import google.rpc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"


def generate(folder: Path) -> None:
    """Write the stubs of every file under protos/ into `folder`, with the pinned grpcio-tools."""
    googleapis = Path(next(iter(google.rpc.__path__))).parent.parent  # ships google/rpc/*.proto beside its modules
    sources = sorted(str(file.relative_to(PROTOS)) for file in PROTOS.rglob("*.proto"))
    outputs = [f"--{kind}_out={folder}" for kind in ("python", "pyi", "grpc_python")]
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTOS}", f"-I{googleapis}", *outputs, *sources]
    subprocess.run(command, cwd=ROOT, check=True)


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "gen")
