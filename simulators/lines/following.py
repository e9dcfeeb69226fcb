"""Follows the faults of one line: calls when one begins and when it ends."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from simulators.faults.catalogue import Place
from simulators.faults.fault import Fault
from simulators.world import World

PLACES: tuple[Place, ...] = ("device", "line")
Turn = Callable[[Fault], Awaitable[None]]


@asynccontextmanager
async def following(world: World, on: Sequence[str], begins: Turn, ends: Turn) -> AsyncIterator[None]:
    """Follow until the context ends; raises what went wrong meanwhile: `CannotServe`."""
    task = asyncio.create_task(follow(world, on, begins, ends), name=f"faults of {on[0]}")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def follow(world: World, on: Sequence[str], begins: Turn, ends: Turn) -> None:
    """For ever: `begins` and `ends` for each fault of the line `on`, its link and its devices, one after another."""
    there: dict[tuple[int, float], Fault] = {}
    with world.faults.follower() as me:
        while True:
            now_s = world.elapsed_s()
            now = {(id(one), one.begin_s): one.fault for one in world.faults.occurring_to(me, PLACES, now_s, *on)}
            for key in there.keys() - now.keys():
                await ends(there.pop(key))
            for key in now.keys() - there.keys():
                there[key] = now[key]
                await begins(now[key])
            await world.faults.change(me, PLACES, now_s, *on)
