"""Which blocks of a plan to ask one unit for, learnt from what it refused. Pure: no I/O, time is passed in.

Promises: a refused block is split until the guilty points stand alone; they are remembered, and tried again rarely.
"""

from collections import deque
from collections.abc import Iterable

from drivers.api import Quality, Reading
from drivers.errors import DeviceRefused, DriverError
from drivers.modbus.plan import Block, ReadPlan, split

RETRY_REFUSED_S = 600.0
"""A refused point is asked again after so long: someone may have changed the device."""
_SPLITTABLE = (1, 2, 3)
_SILENT_IN_A_ROW = 2


class Round:
    """One read of a plan: what is still to ask, what came, and what did not.

    Where `probe` is given, everything was refused last time: the rest is asked only when the probe is answered.
    """

    def __init__(self, blocks: Iterable[Block], probe: Block | None = None) -> None:
        self.readings: dict[str, Reading] = {}
        self.missing: dict[str, Quality] = {}
        self.good: list[Block] = []
        self.bad: list[Block] = []
        self.todo = deque(blocks)
        self.refusal: DeviceRefused | None = None
        self._probe = probe
        self._silent = 0
        if probe:
            self.todo.appendleft(probe)

    def next(self) -> Block | None:
        """The block to ask now; None when done, or when the device fell silent in the middle."""
        return self.todo.popleft() if self.todo and self._silent < _SILENT_IN_A_ROW else None

    def answered(self, block: Block, readings: Iterable[Reading]) -> None:
        self._silent = 0
        self.readings.update({reading.point: reading for reading in readings})
        if block is not self._probe:
            self.good.append(block)

    def silent(self, block: Block, err: DriverError) -> None:
        """No good answer: raise `err`, unless the device has answered another block in this round."""
        if not self.readings:
            raise err
        self._silent += 1
        self.good.append(block)

    def refused(self, block: Block, err: DeviceRefused) -> None:
        """Split the block, or give its points up: `cfg` for a wrong map, `flt` where the device itself failed."""
        self._silent = 0
        self.refusal = err
        if block is self._probe:
            self.todo.clear()
        elif err.code not in _SPLITTABLE:
            self.good.append(block)
            self._miss(block, Quality.FAULT)
        elif halves := split(block):
            self.todo.extendleft(reversed(halves))
        else:
            self.bad.append(block)
            self._miss(block, Quality.CONFIGURATION)

    def _miss(self, block: Block, quality: Quality) -> None:
        self.missing.update(dict.fromkeys((point.name for point in block.points), quality))


class Asking:
    """What is known about one unit under one plan."""

    def __init__(self, plan: ReadPlan) -> None:
        self._plan = plan
        self._blocks: tuple[Block, ...] = plan.blocks
        self._bad: tuple[Block, ...] = ()
        self._again_at = 0.0

    def start(self, now_s: float) -> Round:
        """A round over the blocks that are worth asking; `now_s` is monotonic."""
        if self._bad and now_s >= self._again_at:
            self._blocks, self._bad = self._plan.blocks, ()
        if not self._bad:
            self._again_at = now_s + RETRY_REFUSED_S
        if self._bad and not self._blocks:
            return Round(self._plan.blocks, probe=self._bad[0])
        turn = Round(self._blocks)
        for block in self._bad:
            turn.missing.update(dict.fromkeys((point.name for point in block.points), Quality.CONFIGURATION))
        return turn

    def learn(self, turn: Round) -> None:
        """Remember the narrowed blocks of a round. Raises `DeviceRefused` where every block was refused."""
        if turn.readings and not self._blocks:
            self._bad = ()
        self._blocks = (*turn.good, *turn.todo)
        self._bad = (*self._bad, *turn.bad)
        if turn.refusal and not turn.readings:
            raise turn.refusal
