"""How the answers of one link get onto the wire: in order, with the faults of the link and of the device.

Promises: without faults an answer goes out at once and as it is; what was spoilt is recorded with the names of what
has spoilt it; a message that is late holds back those behind it, as on any wire.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import Final, Protocol

import msgspec

from simulators.faults.answers import SPOILS, Part, Spoken, meet
from simulators.faults.fault import Fault
from simulators.faults.scripts import Said, Script
from simulators.lines.speaking import Answer
from simulators.world import Exchange, World

MAX_WAITING_PARTS: Final = 20_000
"""More than this on its way is a line that is slower than what is said on it: the newest are lost."""
SCRIPTED: Final = "script"
"""In the place of a fault's name: a test has said what is answered."""
BITS_PER_BYTE: Final = 10
_CHUNK_S: Final = 0.01


class Wire(Protocol):
    """One way to a reader: a pty, or one TCP connection."""

    @property
    def deaf(self) -> str:
        """The fault because of which nothing passes; empty where it does."""

    def make_room(self, size: int) -> None:
        """Before an answer of so many bytes: forget what nobody will read any more."""

    def put(self, parts: Sequence[Part], *, in_order: bool = True) -> None:
        """Send the parts in order, behind those that still wait; or each by itself, after its own wait."""


class Delivery:
    """What one link does to answers. Knows no ports. Who has an answer finds it recorded."""

    def __init__(self, link: str, world: World) -> None:
        self.link = link
        self._world = world
        self._random = Random(f"{world.seed}/{link}")

    def say(self, answer: Answer, wire: Wire) -> None:
        """Send it, or what the faults of this moment leave of it."""
        if answer.device:
            wire.make_room(len(answer.data))
        script = self._script(answer.device)
        if script is not None:
            self._record(answer, (SCRIPTED,))
            said = script.answer(answer.request, answer.data)
            wire.put(_in_order(said) if script.in_order else _loose(said), in_order=script.in_order)
        elif not self._world.faults and not wire.deaf:
            self._record(answer, ())
            wire.put((Part(0.0, answer.data),) if answer.data else ())
        else:
            self._say_with_faults(answer, wire)

    def _script(self, device: str) -> Script | None:
        """That of the device, or of its line; what nobody says has none."""
        scripts = self._world.scripts
        return scripts.get(device) or (scripts.get(self.link) if device else None)

    def _say_with_faults(self, answer: Answer, wire: Wire) -> None:
        parts: list[Part] = []
        names = self._line_is_dead(answer.device, wire)
        if not names:
            parts, names = self._met(answer)
        self._record(answer, names)
        wire.put(parts)

    def _line_is_dead(self, device: str, wire: Wire) -> list[str]:
        if wire.deaf:
            return [wire.deaf]
        return ["reboot"] if self._world.has("reboot", device, self.link) else []

    def _met(self, answer: Answer) -> tuple[list[Part], list[str]]:
        active = self._world.faults.active(("answer", "line"), self._world.elapsed_s(), answer.device, self.link)
        spoiling = [one for one in active if "answer" in one.kind.places]
        parts, names = meet(spoiling, Spoken(answer.request, answer.data), answer.dialect, self._random)
        names += [one.name for one in active if one.name == "babble"]  # it may stand right before or behind
        bytes_per_s = _speed(active)
        if bytes_per_s and parts:
            parts = paced(parts, bytes_per_s, len(answer.request))
        return parts, names

    def _record(self, answer: Answer, names: Sequence[str]) -> None:
        world = self._world
        if answer.served:
            fault = ",".join(name for name in names if name in SPOILS or name == SCRIPTED)
            world.record(
                [msgspec.structs.replace(one, fault=fault) for one in answer.served] if fault else answer.served
            )
        if answer.device:
            world.watch(Exchange(answer.device, self.link, answer.request, tuple(names), world.wall_ms()))


def _loose(said: Said) -> list[Part]:
    return [Part(at_s, data, said.until_s) for at_s, data in said.parts]


def _in_order(said: Said) -> list[Part]:
    """With a wait after the part before it."""
    before = 0.0
    parts: list[Part] = []
    for at_s, data in said.parts:
        parts.append(Part(max(0.0, at_s - before), data, said.until_s))
        before = max(before, at_s)
    return parts


def _speed(active: Sequence[Fault]) -> float:
    """Bytes a second that the slowest of the faults lets pass; 0: no limit."""
    speeds = [one["baud"] / BITS_PER_BYTE for one in active if one.name == "baud"]
    speeds += [one["bytes_per_s"] for one in active if one.name == "slow"]
    return min(speeds, default=0.0)


def paced(parts: Sequence[Part], bytes_per_s: float, asked_bytes: int) -> list[Part]:
    """The parts at the speed of a line, after the time that the request of `asked_bytes` has taken on it. Pure."""
    chunk = max(1, int(bytes_per_s * _CHUNK_S))
    slowly: list[Part] = []
    for wait_s, data, _ in parts:
        for at in range(0, len(data), chunk):
            piece = data[at : at + chunk]
            slowly.append(Part((wait_s if at == 0 else 0.0) + len(piece) / bytes_per_s, piece))
    if slowly:
        slowly[0] = slowly[0]._replace(wait_s=slowly[0].wait_s + asked_bytes / bytes_per_s)
    return slowly


class Sequencer:
    """Sends parts in order, each at its time; one that is too late is not sent."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._waiting: deque[tuple[float, Part]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._loose: list[asyncio.TimerHandle] = []

    @property
    def is_behind(self) -> bool:
        """Whether something still waits."""
        return bool(self._waiting)

    def put(self, parts: Sequence[Part], *, in_order: bool = True) -> None:
        if not in_order:
            for part in parts:
                self._alone(part)
            return
        if not self._waiting and all(part.wait_s == 0.0 for part in parts):
            for part in parts:
                self._send_in_time(part)
            return
        loop = asyncio.get_running_loop()
        due_s = self._waiting[-1][0] if self._waiting else loop.time()
        due_s = max(due_s, loop.time())
        for part in parts:
            due_s += part.wait_s
            if len(self._waiting) < MAX_WAITING_PARTS:
                self._waiting.append((due_s, part))
        if self._timer is None:
            self._timer = loop.call_at(self._waiting[0][0], self._due)

    def _alone(self, part: Part) -> None:
        if part.wait_s:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(part.wait_s, self._send_in_time, part)
            self._loose = [one for one in self._loose if not one.cancelled() and one.when() > loop.time()]
            self._loose.append(timer)
        else:
            self._send_in_time(part)

    def _send_in_time(self, part: Part) -> None:
        if time.monotonic() <= part.until_s:
            self._send(part.data)

    def close(self) -> None:
        """What still waits is never sent."""
        self._waiting.clear()
        for timer in self._loose:
            timer.cancel()
        self._loose.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        while self._waiting and self._waiting[0][0] <= loop.time():
            self._send_in_time(self._waiting.popleft()[1])
        if self._waiting:
            self._timer = loop.call_at(self._waiting[0][0], self._due)
