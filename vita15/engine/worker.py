"""One thread that owns an engine's state: callers hand it tasks, and between tasks it takes steps while there is work.

Nothing of an engine is locked: only this thread touches it, and a task runs between two steps. A task that fails
unexpectedly is logged; a step that fails is handed to `abandon`, which must get rid of the work that caused it.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch

from vita15.engine.errors import AtCapacity

logger = logging.getLogger(__name__)

Task = Callable[[], None]
MAX_TASKS = 8192  # far more than all sessions can have in flight: beyond it the engine is not keeping up
POLL_S = 0.5  # an idle thread looks up this often, to notice that it should end


@dataclass(slots=True)
class Statistics:
    """What an engine has done; read by other threads, so each value stands alone."""

    steps: int = 0
    step_seconds: float = 0.0
    items: int = 0  # tokens, codes, tiles or embeddings given out
    batch_size: int = 0  # of the last step
    sessions: int = 0  # held now


class Worker(ABC):
    """Base of the engines."""

    def __init__(self, name: str) -> None:
        self.statistics = Statistics()
        self._tasks: queue.Queue[Task] = queue.Queue(MAX_TASKS)
        self._is_stopping = False
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout_s: float = 1.0) -> None:
        """End the thread after the step in progress; work that is left is dropped."""
        self._is_stopping = True
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def submit(self, task: Task) -> None:
        """Run `task` on the engine's thread, after the step in progress.

        Raises:
            AtCapacity: the engine is that far behind.
        """
        try:
            self._tasks.put_nowait(task)
        except queue.Full as error:
            raise AtCapacity(f"{MAX_TASKS} requests are waiting") from error

    def ping(self, answer: Task) -> None:
        """Call `answer` from the engine's thread: it lives."""
        self.submit(answer)

    def run_until_idle(self) -> None:
        """Do everything on the caller's thread, instead of starting: for warming up, and for tests."""
        with torch.inference_mode():
            while self.has_work() or not self._tasks.empty():
                self._drain(is_idle=False)
                if self.has_work():
                    self._timed_step()

    @abstractmethod
    def has_work(self) -> bool:
        """Whether a step would do something."""

    @abstractmethod
    def step(self) -> int:
        """Do the next piece of work; return how many sequences took part."""

    @abstractmethod
    def abandon(self, error: Exception) -> None:
        """Give up what the failed step was working on, telling those who wait for it."""

    def _loop(self) -> None:
        with torch.inference_mode():
            while not self._is_stopping:
                self._drain(is_idle=not self.has_work())
                if self.has_work() and not self._is_stopping:
                    self._timed_step()

    def _drain(self, *, is_idle: bool) -> None:
        try:
            self._run_task(self._tasks.get(block=is_idle, timeout=POLL_S if is_idle else None))
            while True:
                self._run_task(self._tasks.get_nowait())
        except queue.Empty:
            return

    def _run_task(self, task: Task) -> None:
        try:
            task()
        except Exception:
            logger.exception("engine task failed")

    def _timed_step(self) -> None:
        started = time.perf_counter()
        try:
            self.statistics.batch_size = self.step()
        except Exception as error:
            logger.exception("engine step failed")
            self.abandon(error)
        self.statistics.steps += 1
        self.statistics.step_seconds += time.perf_counter() - started
