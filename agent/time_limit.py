"""How long one step of a loop may take, where there are many steps and hardly one takes too long.

As `asyncio.timeout`, but one timer serves all the steps: it looks now and then whether the step of that moment is late.
"""

import asyncio
import time
from types import TracebackType
from typing import Self


class TimeLimit:
    """`with limit.of(seconds):` around one step at a time, which raises `TimeoutError` where that took longer."""

    def __init__(self) -> None:
        self._until_s = self._looks_s = 0.0
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._late = False
        self._timer: asyncio.TimerHandle | None = None

    def of(self, seconds: float) -> Self:
        """So long from now."""
        self._until_s = time.monotonic() + seconds
        return self

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None or self._task is not None:
            raise RuntimeError("a time limit is for one step of one task at a time")
        self._task, self._cancelling, self._late = task, task.cancelling(), False
        if self._timer is None or self._looks_s > self._until_s:
            self._look_at_end()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        ours = self._late and task is not None and task.uncancel() <= self._cancelling
        if ours and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _look_at_end(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._looks_s = self._until_s
        self._timer = asyncio.get_running_loop().call_at(self._looks_s, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._task is None:
            return  # the next step begins with a timer of its own
        if time.monotonic() < self._until_s:
            self._look_at_end()
        else:
            self._late = True
            self._task.cancel()
