"""Work that blocks, in a thread of its own for which nobody has to wait: no cancelled task, no process that ends."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def aside(work: Callable[[], T], name: str, abandoned: Callable[[], None] | None = None) -> T:
    """What `work` returns or raises. `abandoned` is called on the loop where nobody waits for it any more."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def finish(result: T | None, failure: Exception | None) -> None:
        if done.done():
            if abandoned:
                abandoned()
        elif failure:
            done.set_exception(failure)
        else:
            done.set_result(result)  # type: ignore[arg-type] # without a failure there is a result

    def run() -> None:
        result: T | None = None
        failure: Exception | None = RuntimeError(f"{name} crashed")  # unless it comes to its end
        try:
            result = work()
            failure = None
        except (OSError, ValueError) as err:
            failure = err
        finally:
            with suppress(RuntimeError):  # the loop has ended meanwhile, and the process with it
                loop.call_soon_threadsafe(finish, result, failure)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await done
