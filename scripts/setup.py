#!/usr/bin/env python3
"""Makes a checkout ready to run: `.venv` from the lock file, and Triton's server unpacked under `.vita/triton`.

Needs no root and nothing but Python's standard library. Each step leaves a stamp and is skipped while the stamp is
current, so that a second run takes well under a second. What cannot work is said in one line, with its cure.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
TRITON = ROOT / ".vita" / "triton"

# A stub of this Triton exists for 3.13 too, but no wheel of a numpy that the stub works with.
PYTHONS = ((3, 11), (3, 12))
OLDEST_GLIBC = (2, 35)  # what the Triton wheel was built against
# Triton 2.51.0, NVIDIA's own server binary. The wheel is not installed: only its server, stubs and libraries are used.
TRITON_WHEEL = "nvidia-pytriton==0.7.0"
TRITON_SHA256 = "21f063ff93bb426d0c06b7a55e7eb9efcfe62c0dddd9a908e9877e18710128df"
TRITON_PARTS = ("pytriton/tritonserver/", "nvidia_pytriton.libs/")


class SetupError(Exception):
    """Setup cannot go on; the message is one line: what is wrong, and the cure."""


def main() -> int:
    """Run all steps; return the exit status."""
    try:
        check_python()
        check_machine()
        steps: list[tuple[str, Path, str, Callable[[], None]]] = [
            ("environment", VENV / ".stamp-python", sys.version, make_venv),
            ("dependencies", VENV / ".stamp-lock", digest(ROOT / "requirements.lock"), install_dependencies),
            ("vita", VENV / ".stamp-project", digest(ROOT / "pyproject.toml"), install_project),
            ("triton", TRITON / ".stamp", f"{TRITON_SHA256} {sys.version_info[:2]}", unpack_triton),
        ]
        for name, stamp, wanted, step in steps:
            if stamp.is_file() and stamp.read_text() == wanted:
                continue
            print(f"setup: {name} …", flush=True)
            step()
            stamp.write_text(wanted)
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def check_machine() -> None:
    """Refuse machines on which Triton's binary cannot run."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise SetupError(f"this is {sys.platform} on {platform.machine()}; use Linux on x86-64, or a container of it")
    glibc = os.confstr("CS_GNU_LIBC_VERSION") or "no glibc"
    digits = glibc.removeprefix("glibc ").split(".")
    if not all(part.isdecimal() for part in digits) or tuple(map(int, digits)) < OLDEST_GLIBC:
        raise SetupError(
            f"the C library is {glibc}; use a system with glibc 2.35 or newer (Ubuntu 22.04, Debian 12, …)"
        )


def check_python() -> None:
    """Refuse Pythons that have no Triton stub, or no shared library for it to load."""
    version = platform.python_version()
    if sys.version_info[:2] not in PYTHONS:
        raise SetupError(f"this is Python {version}; name 3.11 or 3.12, as in `make setup PYTHON=python3.11`")
    if shared_library() is None:
        name = "libpython{}.{}".format(*sys.version_info)
        raise SetupError(f"{sys.executable} has no {name}.so.1.0; install {name}, or a Python with --enable-shared")


def shared_library() -> Path | None:
    """Return where this Python's shared library is, or None."""
    name = f"libpython{sys.version_info[0]}.{sys.version_info[1]}.so.1.0"
    folders = [sysconfig.get_config_var("LIBDIR"), f"/usr/lib/{platform.machine()}-linux-gnu", "/usr/lib64", "/usr/lib"]
    return next((Path(folder, name) for folder in folders if folder and Path(folder, name).exists()), None)


def make_venv() -> None:
    """Create `.venv`, afresh when it was made by another Python."""
    python = VENV / "bin" / "python"
    if python.exists():
        made_by = subprocess.run([python, "-c", "import sys; print(sys.version)"], capture_output=True, text=True)
        if made_by.stdout.strip() == sys.version.strip():
            return
    major, minor = sys.version_info[:2]
    run(
        [sys.executable, "-m", "venv", "--clear", str(VENV)],
        f"could not make {VENV.name}; install python{major}.{minor}-venv",
    )


def install_dependencies() -> None:
    """Install what the lock file lists. torch brings what its build needs, which differs between CPU and CUDA."""
    pip("install", "-r", str(ROOT / "requirements.lock"), cure="see pip's message above; is a package index reachable?")
    check_numpy()


def check_numpy() -> None:
    """Refuse numpy 2: this build of Triton's stub then returns empty tensors, without an error."""
    python = str(VENV / "bin" / "python")
    version = subprocess.run([python, "-c", "import numpy; print(numpy.__version__)"], capture_output=True, text=True)
    if not version.stdout.startswith("1."):
        raise SetupError(f"numpy is {version.stdout.strip() or 'missing'}; run `.venv/bin/pip install numpy==1.26.4`")


def install_project() -> None:
    """Install the import roots as links to the checkout, and `.venv/bin/vita`."""
    pip("install", "--no-deps", "--no-build-isolation", "-e", str(ROOT), cure="see pip's message above")
    # A build leaves these in the checkout; the installed metadata is in .venv.
    shutil.rmtree(ROOT / "vita_serve.egg-info", ignore_errors=True)


def unpack_triton() -> None:
    """Download the wheel, compare its digest, unpack the server and link the backend where the server looks for it."""
    TRITON.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=TRITON.parent) as folder:
        pip(
            *("download", "--no-deps", "--only-binary=:all:", "--dest", folder, TRITON_WHEEL),
            cure="see pip's message above; is a package index reachable?",
        )
        wheel = next(Path(folder).glob("*.whl"))
        if digest(wheel) != TRITON_SHA256:
            raise SetupError(
                f"{wheel.name} is not the file we know (sha256 {digest(wheel)}); try again, or ask who made it"
            )
        unpacked = Path(folder) / "triton"
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(unpacked, [name for name in archive.namelist() if name.startswith(TRITON_PARTS)])
        link_backend(unpacked)
        shutil.rmtree(TRITON, ignore_errors=True)
        unpacked.rename(TRITON)
    check_triton()


def link_backend(folder: Path) -> None:
    """Make `backends/python` of links. Copies would lose the stub's libraries, which it finds relative to itself."""
    server = folder / "pytriton" / "tritonserver"
    stub = server / "python_backend_stubs" / "{}.{}".format(*sys.version_info) / "triton_python_backend_stub"
    for program in (server / "bin" / "tritonserver", stub):
        program.chmod(program.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    backend = folder / "backends" / "python"
    backend.mkdir(parents=True)
    shipped = server / "backends" / "python"
    for file in (shipped / "libtriton_python.so", shipped / "triton_python_backend_utils.py", stub):
        (backend / file.name).symlink_to(os.path.relpath(file, backend))


def check_triton() -> None:
    """Refuse an unpacked server whose libraries this system lacks."""
    server = TRITON / "pytriton" / "tritonserver" / "bin" / "tritonserver"
    result = subprocess.run([server, "--help"], capture_output=True, text=True)
    missing = [
        line.split(":")[-3].strip() for line in result.stderr.splitlines() if "cannot open shared object" in line
    ]
    if missing:
        raise SetupError(f"Triton's server needs {missing[0]}; install the package of your system that has it")


def pip(*arguments: str, cure: str) -> None:
    """Run the environment's pip, quietly."""
    python = str(VENV / "bin" / "python")
    run([python, "-m", "pip", "--disable-pip-version-check", arguments[0], "-q", *arguments[1:]], cure)


def run(command: list[str], cure: str) -> None:
    """Run a command; its failure is a SetupError."""
    result = subprocess.run(command, stdin=subprocess.DEVNULL)
    if result.returncode != 0:
        raise SetupError(f"`{' '.join(command[:6])}` failed; {cure}")


def digest(file: Path) -> str:
    """Return the sha256 of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
