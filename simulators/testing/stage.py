"""A thread with an event loop of its own, in which simulators live beside a test.

Promises: what was entered is left, in the opposite order, each in the task that entered it; what has failed meanwhile
is raised at the end, never passed over.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

T = TypeVar("T")
TIMEOUT_S: Final = 30.0
LOOK_EVERY_S: Final = 0.005


class Stage:
    """The thread and what stands on it. Use as a context manager; its methods may be called from any other thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="simulators", daemon=True)
        self._kept: list[_Kept[Any]] = []
        self._failures: list[BaseException] = []
        self._loop.set_exception_handler(self._failed)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, at: TracebackType | None) -> None:
        try:
            self.run(self._leave_all())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(TIMEOUT_S)

    def run(self, work: Coroutine[Any, Any, T], timeout_s: float = TIMEOUT_S) -> T:
        """Do it over there, and give what comes of it; raises `TimeoutError`."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call it over there."""

        async def called() -> T:
            return function(*arguments)

        return self.run(called())

    def enter(self, context: AbstractAsyncContextManager[T], timeout_s: float = TIMEOUT_S) -> T:
        """Enter it over there, until the stage is cleared; gives what it yields, raises what it raises."""
        kept = _Kept(context)
        value = self.run(kept.enter(), timeout_s)
        self._kept.append(kept)
        return value

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    async def _leave_all(self) -> None:
        self._failures += [failure for kept in reversed(self._kept) if (failure := await kept.leave())]
        self._kept.clear()
        await asyncio.sleep(0)  # transports close their sockets in the next round of the loop
        if self._failures:
            raise self._failures[0]

    def _failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What nobody else would see: a callback has raised, like the script of a test."""
        failure = context.get("exception")
        if failure is not None:
            self._failures.append(failure)
        else:
            loop.default_exception_handler(context)


class _Kept(Generic[T]):
    """A context that is entered and left in one task, as task groups want it."""

    def __init__(self, context: AbstractAsyncContextManager[T]) -> None:
        self._context = context

    async def enter(self) -> T:
        self._leave = asyncio.Event()
        self._entered: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._keep(), name="on the stage")
        await asyncio.wait((self._task, self._entered), return_when=asyncio.FIRST_COMPLETED)
        if not self._entered.done():
            self._entered.cancel()
            self._task.result()
        return self._entered.result()

    async def leave(self) -> BaseException | None:
        """What went wrong, then or before."""
        self._leave.set()
        await asyncio.wait((self._task,))
        return None if self._task.cancelled() else self._task.exception()

    async def _keep(self) -> None:
        async with self._context as value:
            self._entered.set_result(value)
            await self._leave.wait()


def wait_until(condition: Callable[[], T], timeout_s: float, what: str) -> T:
    """Wait until it gives something true, and give that; raises `AssertionError` saying what was waited for."""
    end_s = time.monotonic() + timeout_s
    while not (result := condition()):
        if time.monotonic() >= end_s:
            raise AssertionError(f"not within {timeout_s:g} s: {what}")
        time.sleep(LOOK_EVERY_S)
    return result
