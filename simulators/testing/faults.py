"""The faults of a bench, in the hands of a test."""

from collections.abc import Sequence
from dataclasses import replace

from simulators.faults.fault import EVERYTHING, BadFault, Fault, check_place, parse_fault
from simulators.likeness import like
from simulators.testing.stage import Stage
from simulators.world import World


class FaultBoard:
    """What is wrong with the devices and lines of a bench. Times of a fault that is added count from now.

    `names` are those of its devices and links.
    """

    def __init__(self, stage: Stage, world: World) -> None:
        self.names: set[str] = set()
        self._stage = stage
        self._world = world

    def add(self, fault: str | Fault, on: str | None = None) -> Fault:
        """Let something go wrong: `"no_reply on=meter-1 for=5 share=0.5"`; raises `BadFault`.

        It begins now, or `from` seconds from now, and ends by itself or with `heal`. What begins now has begun when
        this returns: a cable is pulled, connections are reset.
        """
        meant = parse_fault(fault) if isinstance(fault, str) else fault
        meant = replace(meant, on=on or meant.on)
        check_place(meant, "answer", "device", "line")
        if meant.on not in (EVERYTHING, *self.names):
            raise BadFault("on", f'there is no device or link "{meant.on}" on this bench: {like(meant.on, self.names)}')
        return self._stage.run(self._begin(meant))

    def heal(self, name: str = EVERYTHING, on: str = EVERYTHING) -> int:
        """End those of this name on this device or link; gives how many."""
        return self._stage.run(self._end(name, on))

    @property
    def active(self) -> Sequence[Fault]:
        """Those that are there now, or will be."""
        return self._stage.call(lambda: list(self._world.faults.faults))

    async def _begin(self, fault: Fault) -> Fault:
        fault = replace(fault, from_s=fault.from_s + self._world.elapsed_s())
        self._world.faults.add(fault)
        await self._world.faults.all_met()
        return fault

    async def _end(self, name: str, on: str) -> int:
        healed = self._world.faults.heal(name, on)
        await self._world.faults.all_met()
        return healed
