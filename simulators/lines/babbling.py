"""Bytes that nobody asked for, while the fault is there."""

import asyncio
from random import Random

from simulators.faults.answers import noise
from simulators.faults.fault import Fault
from simulators.lines.line import Line
from simulators.lines.speaking import Answer


class Babbling:
    """Every fault of the kind that is there now, each with a task of its own."""

    def __init__(self, line: Line, seed: str) -> None:
        self._line = line
        self._random = Random(f"{seed}/babble")
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def begin(self, fault: Fault) -> None:
        self._tasks[id(fault)] = asyncio.create_task(self._babble(fault), name=str(fault))

    def end(self, fault: Fault) -> None:
        if task := self._tasks.pop(id(fault), None):
            task.cancel()

    async def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _babble(self, fault: Fault) -> None:
        while True:
            size = self._random.randrange(1, int(fault["bytes"]) + 1)
            data = self._random.randbytes(size) if self._random.random() < 0.5 else noise(size, self._random)
            self._line.say(Answer("", data))
            await asyncio.sleep(self._random.expovariate(1 / fault["gap_s"]))
