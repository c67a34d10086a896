"""Free TCP ports on loopback."""

from __future__ import annotations

import random
import socket
from pathlib import Path

from vita_runtime.errors import StartupError

LOOPBACK = "127.0.0.1"
LOWEST_PORT = 20_000  # below are ports that other software expects to own
# The kernel gives outgoing connections ports from here on; one of ours there could be taken while its part restarts.
EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_ports(count: int) -> list[int]:
    """Return `count` different ports that nobody listens on, below the range of outgoing connections.

    Raises:
        StartupError: there are not that many.
    """
    first_ephemeral = int(EPHEMERAL_RANGE.read_text().split()[0]) if EPHEMERAL_RANGE.exists() else 32_768
    candidates = list(range(LOWEST_PORT, max(first_ephemeral, LOWEST_PORT + 1000)))
    # Random, so that two stacks that start at once do not try the same ones.
    random.shuffle(candidates)
    found: list[int] = []
    for port in candidates:
        if len(found) == count:
            return found
        if is_free(port):
            found.append(port)
    raise StartupError(f"{count} ports are needed and {len(found)} are free between {LOWEST_PORT} and {candidates[-1]}")


def is_free(port: int) -> bool:
    """Say whether one could listen on this port now."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
