"""What can go wrong with a machine, by name. A fault begins where its context is entered, and heals where it ends."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from simulators.host.machine import STOP_TIMEOUT_S, Machine

Fault = Callable[..., AbstractAsyncContextManager[None]]
"""Makes one fault of a machine, its first argument; the others are numbers, with the names that a scenario writes."""


@asynccontextmanager
async def disk_full(machine: Machine, *, leave_bytes: float = 0) -> AsyncIterator[None]:
    """ENOSPC: nothing fits on its disk any more but `leave_bytes`."""
    await machine.fill_disk(int(leave_bytes))
    try:
        yield
    finally:
        await machine.free_disk()


@asynccontextmanager
async def read_only(machine: Machine) -> AsyncIterator[None]:
    """EROFS: nothing on its disk can be changed."""
    await machine.make_read_only()
    try:
        yield
    finally:
        await machine.make_writable()


@asynccontextmanager
async def clock_jump(machine: Machine, *, seconds: float, back: float = 1) -> AsyncIterator[None]:
    """Its wall clock jumps by `seconds`, and at the end to the true time; with `back = 0` it stays wrong."""
    await machine.step_clock(seconds)
    try:
        yield
    finally:
        if back:
            await machine.step_clock(-seconds)


@asynccontextmanager
async def sigkill(machine: Machine) -> AsyncIterator[None]:
    """SIGKILL; the command is started again at the end."""
    await machine.down()
    try:
        yield
    finally:
        await machine.up()


@asynccontextmanager
async def sigterm(machine: Machine) -> AsyncIterator[None]:
    """SIGTERM, and SIGKILL after 90 s; the command is started again at the end."""
    await machine.terminate(STOP_TIMEOUT_S)
    try:
        yield
    finally:
        await machine.up()


@asynccontextmanager
async def power_cut(machine: Machine) -> AsyncIterator[None]:
    """SIGKILL, and the RAM disk is empty; the command is started again at the end."""
    await machine.down()
    await machine.forget_run_dir()
    try:
        yield
    finally:
        await machine.up()


@asynccontextmanager
async def sigstop(machine: Machine) -> AsyncIterator[None]:
    """SIGSTOP; SIGCONT at the end."""
    await machine.freeze()
    try:
        yield
    finally:
        machine.thaw()


FAULTS: Final[Mapping[str, Fault]] = {
    "disk_full": disk_full,
    "read_only": read_only,
    "clock_jump": clock_jump,
    "sigkill": sigkill,
    "sigterm": sigterm,
    "power_cut": power_cut,
    "sigstop": sigstop,
}
