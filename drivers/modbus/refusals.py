"""Which blocks of a plan to ask one unit for, learnt from what it refused. Pure: no I/O, time is passed in.

Promises: a refused block is split until the guilty points stand alone; they are remembered, and tried again rarely.
A block that stays silent while others are answered is treated alike: some devices never answer a bad address. Where
nothing is answered, each round begins at another place, so that one bad address is told from a dead device.
"""

from collections import deque
from collections.abc import Iterable

from drivers.api import Quality, Reading
from drivers.errors import DeviceRefused, DriverError
from drivers.modbus.plan import Block, ReadPlan, split
from drivers.modbus.profile import Table

RETRY_REFUSED_S = 600.0
"""A refused point is asked again after so long: someone may have changed the device."""
_SPLITTABLE = (1, 2, 3)
_SILENT_IN_A_ROW = 2
SILENT_ROUNDS = 3
"""A block that is silent in so many rounds in a row, while others are answered, has a bad address in it."""


class Round:
    """One read of a plan: what is still to ask, what came, and what did not.

    Where `probe` is given, everything was refused last time: the rest is asked only when the probe is answered.
    Where `scout` is given, nothing was answered last time: it is asked first, to see whether the device lives.
    """

    def __init__(self, blocks: Iterable[Block], probe: Block | None = None, scout: Block | None = None) -> None:
        self.readings: list[Reading] = []
        self.missing: dict[str, Quality] = {}
        self.good: list[Block] = []
        self.bad: list[Block] = []
        self.quiet: list[Block] = []
        self.todo = deque(blocks)
        self.refusal: DeviceRefused | None = None
        self._probe = probe
        self._scout = scout
        self._silent = 0
        if first := probe or scout:
            self.todo.appendleft(first)

    def next(self) -> Block | None:
        """The block to ask now; None when done, or when the device fell silent in the middle."""
        return self.todo.popleft() if self.todo and self._silent < _SILENT_IN_A_ROW else None

    def is_plain(self, blocks: tuple[Block, ...]) -> bool:
        """Were `blocks` asked for in this order, each once and nothing else, and all of them answered?"""
        first = self._probe or self._scout
        return not (first or self.missing or self.quiet) and tuple(self.good) == blocks

    def answered(self, block: Block, readings: Iterable[Reading]) -> None:
        self._silent = 0
        self.readings += readings
        if block is not self._probe and block is not self._scout:
            self.good.append(block)

    def silent(self, block: Block, err: DriverError) -> None:
        """No good answer: raise `err`, unless the device has answered another block in this round."""
        if not self.readings:
            raise err
        self._silent += 1
        self.quiet.append(block)
        self.good.append(block)

    def refused(self, block: Block, err: DeviceRefused) -> None:
        """Split the block, or give its points up: `cfg` for a wrong map, `flt` where the device itself failed."""
        self._silent = 0
        self.refusal = err
        if block is self._probe:
            self.todo.clear()
        elif block is self._scout:
            self._miss(block, Quality.CONFIGURATION)
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
        self._failed_rounds = 0
        self._silences: dict[tuple[Table, int, int], int] = {}

    def start(self, now_s: float) -> Round:
        """A round over the blocks that are worth asking; `now_s` is monotonic."""
        if self._bad and now_s >= self._again_at:
            self._blocks, self._bad = self._plan.blocks, ()
        if not self._bad:
            self._again_at = now_s + RETRY_REFUSED_S
        if self._bad and not self._blocks:
            return Round(self._plan.blocks, probe=self._bad[0])
        scout = self._scout()
        if scout and any(block is scout for block in self._blocks):
            turn = Round(sorted(self._blocks, key=lambda block: block is not scout))
        else:
            turn = Round(self._blocks, scout=scout)
        for block in self._bad:
            turn.missing.update(dict.fromkeys((point.name for point in block.points), Quality.CONFIGURATION))
        return turn

    def failed(self) -> None:
        """Nothing was answered: the next round begins elsewhere."""
        self._failed_rounds += 1

    def _scout(self) -> Block | None:
        """Where to begin after a round without an answer: the blocks in turn, then ever smaller parts of them."""
        if not self._failed_rounds:
            return None
        places = deque(self._blocks)
        number = self._failed_rounds
        while number and places:
            number -= 1
            first = places.popleft()
            places.extend(split(first) or (first,))
        return places[0] if places else None

    def learn(self, turn: Round) -> None:
        """Remember the narrowed blocks of a round. Raises `DeviceRefused` where every block was refused."""
        self._failed_rounds = 0
        if turn.is_plain(self._blocks):
            self._silences = {}
            return
        if turn.readings and not self._blocks:
            self._bad = ()
        answered = [block for block in turn.good if not any(block is quiet for quiet in turn.quiet)]
        self._blocks = (*answered, *turn.todo, *turn.quiet)
        self._bad = (*self._bad, *turn.bad)
        self._learn_silence(turn, at_once=not answered)
        if turn.refusal and not turn.readings:
            raise turn.refusal

    def _learn_silence(self, turn: Round, *, at_once: bool) -> None:
        """Narrow the blocks that are silent again and again; a single place that is so is given up.

        `at_once` where only the scout was answered, a part of what is silent: that is proof enough to narrow it.
        """
        before, self._silences = self._silences, {}
        for block in turn.quiet:
            rounds = self._silences[block.place] = before.get(block.place, 0) + 1
            halves = split(block)
            if rounds < SILENT_ROUNDS and not (at_once and halves):
                continue
            self._blocks = tuple(part for one in self._blocks for part in (halves if one is block else (one,)))
            self._silences.update({half.place: SILENT_ROUNDS - 1 for half in halves if split(half)})
            if not halves:
                self._bad = (*self._bad, block)
