"""A sleep that ends within microseconds, for the silences of a serial line.

asyncio's timers end up to a millisecond late, for epoll counts whole milliseconds: more than half of the silence at
115200 baud. A timerfd of the kernel makes the loop's file readable at the moment, whatever loop it is.

Promises: never shorter than asked; nothing stays open, nor does anybody wait meanwhile. Must not know: lines, frames.
Source: timerfd_create(2), epoll_wait(2). Python has it from 3.13 on only.
"""

import asyncio
import ctypes
import math
import os
import time

_SLOW_S = 0.05
"""From so long on a millisecond is nothing, and the loop's own timer is cheaper."""
_LOOP_S = 0.001
_ABSOLUTE = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class _Times(ctypes.Structure):
    """`struct itimerspec`: every, and first at; each in seconds and nanoseconds."""

    _fields_ = (("every", ctypes.c_long * 2), ("first", ctypes.c_long * 2))


async def sleep_until(mono_s: float) -> None:
    """Sleep until `mono_s` of `time.monotonic`. Whatever other files of the loop had to say by then was heard before.

    That holds where `mono_s` is over too: a loop that was busy goes round once.
    """
    if (rest_s := mono_s - time.monotonic()) >= _SLOW_S:
        await asyncio.sleep(rest_s - _SLOW_S / 2)
    try:
        timer = _started(mono_s)
    except OSError:  # out of files: late is better than not at all
        await asyncio.sleep(max(mono_s - time.monotonic(), 0) + _LOOP_S)
        return
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    try:
        loop.add_reader(timer, _set, over)
        await over
    finally:
        loop.remove_reader(timer)
        os.close(timer)


def _set(over: "asyncio.Future[None]") -> None:
    if not over.done():
        over.set_result(None)


def _started(mono_s: float) -> int:
    """A file that becomes readable at `mono_s`, and stays so. Raises OSError."""
    timer = int(_LIBC.timerfd_create(time.CLOCK_MONOTONIC, os.O_CLOEXEC | os.O_NONBLOCK))
    if timer < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create")
    times = _Times(first=divmod(math.ceil(mono_s * 1e9), 1_000_000_000))
    if _LIBC.timerfd_settime(timer, _ABSOLUTE, ctypes.byref(times), None):
        os.close(timer)
        raise OSError(ctypes.get_errno(), "timerfd_settime")
    return timer
