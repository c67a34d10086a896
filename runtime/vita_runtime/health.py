"""What a process can say of itself: alive, ready, or why not.

A process names what it needs to serve ("store", "llm", …) and marks each as it comes and goes. It is ready when all are
there and it is not draining. `/livez` and `/readyz` (metrics.py) and gRPC's health service show the same thing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from grpc_health.v1 import health_pb2
from grpc_health.v1._async import HealthServicer


class Health:
    """The readiness of one process; all methods are to be called on its event loop."""

    def __init__(self, *needs: str) -> None:
        self._problems: dict[str, str] = {need: "not started" for need in needs}
        self._is_draining = False
        self._listeners: list[Callable[[], None]] = []

    @property
    def is_ready(self) -> bool:
        """Everything needed is there and the process takes new work."""
        return not self._problems and not self._is_draining

    @property
    def is_draining(self) -> bool:
        """The process finishes what it has and takes nothing new."""
        return self._is_draining

    def problems(self) -> list[str]:
        """Return what keeps the process from being ready, one phrase each."""
        problems = [f"{need}: {problem}" for need, problem in sorted(self._problems.items())]
        return [*problems, "draining"] if self._is_draining else problems

    def mark(self, need: str, problem: str = "") -> None:
        """Say that `need` is there, or with `problem` that it is not."""
        before = self.is_ready
        if problem:
            self._problems[need] = problem
        else:
            self._problems.pop(need, None)
        self._tell(before)

    def drain(self) -> None:
        """Stop being ready, for good."""
        before = self.is_ready
        self._is_draining = True
        self._tell(before)

    def when_changed(self, listener: Callable[[], None]) -> None:
        """Call `listener` each time readiness changes."""
        self._listeners.append(listener)

    def _tell(self, before: bool) -> None:
        if before != self.is_ready:
            for listener in self._listeners:
                listener()


def grpc_servicer(health: Health, service: str) -> tuple[HealthServicer, Callable[[], Awaitable[None]]]:
    """Return gRPC's health servicer, and a coroutine function that makes it say what `health` says now.

    Call the second once after the server has started and again on each change (`Health.when_changed`).
    """
    servicer = HealthServicer()
    statuses = health_pb2.HealthCheckResponse

    async def update() -> None:
        status = statuses.SERVING if health.is_ready else statuses.NOT_SERVING
        for name in ("", service):
            await servicer.set(name, status)

    return servicer, update
