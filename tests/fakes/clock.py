"""An asyncio event loop whose time is virtual: sleeping costs nothing, and 30 seconds pass in milliseconds.

When every task waits, the loop jumps to the next timer instead of sleeping. Work handed to a thread
(`asyncio.to_thread`) is waited for in real time and takes no virtual time. In a folder's conftest:

    def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, LoopFactory]:
        return {"virtual": VirtualClockLoop}
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Any

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
STUCK_S = 5.0  # real time without a timer or a thread at work after which a test is called stuck


class _JumpingSelector(selectors.DefaultSelector):
    """Polls, and moves the clock ahead by what it would have waited."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.thread_count = 0  # jobs in threads: time stands still until they are back

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self.thread_count:
            return super().select(STUCK_S)
        if timeout is not None:
            self.now_s += timeout
            return []
        ready = super().select(STUCK_S)
        if not ready:
            raise RuntimeError("every task waits and no timer is set: the test is stuck")
        return ready


class VirtualClockLoop(asyncio.SelectorEventLoop):
    """The loop; `time()` starts at 0."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = super().run_in_executor(executor, func, *args)
        self._jumping.thread_count += 1
        future.add_done_callback(self._thread_is_back)
        return future

    def _thread_is_back(self, _: asyncio.Future[Any]) -> None:
        self._jumping.thread_count -= 1


def virtual_loop_factories() -> Mapping[str, LoopFactory]:
    """What a conftest's `pytest_asyncio_loop_factories` returns to put its folder on the virtual clock."""
    return {"virtual": VirtualClockLoop}
