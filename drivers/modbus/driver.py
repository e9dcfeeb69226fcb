"""The Modbus driver: a `Link` over one line, and the `DriverSpec` that names its parts.

Promises: a refused block is narrowed to the guilty points, which are remembered and marked `cfg`; the others flow.
Must not know: frames, timing, pymodbus.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from drivers.api import DriverSpec, Identity, LinkStats, Quality, Reading
from drivers.errors import BadReply, DeviceRefused, DriverError, NoReply
from drivers.modbus import guards
from drivers.modbus.check import check_profile
from drivers.modbus.decode import decode
from drivers.modbus.identity import in_words, object_mismatch, probe_mismatch, told_by
from drivers.modbus.line import Line, open_line
from drivers.modbus.options import ModbusOptions, check_device, parse_link
from drivers.modbus.pdu import Answer, Identify, Request, refusal
from drivers.modbus.plan import Block, ReadPlan, bus_time_s, compile_plan, probe_plan
from drivers.modbus.profile import Identification, ModbusPoint, ModbusProfile
from drivers.modbus.refusals import Asking, Round

_BUSY = (5, 6)
_GATEWAY_PATH = 10
_NO_TARGET = 11
_OBJECTS_MAX = 32


class ModbusLink:
    """A `drivers.api.Link` over one line, and what was learnt about the devices on it."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._asking: dict[tuple[int, ReadPlan], Asking] = {}

    @property
    def stats(self) -> LinkStats:
        return self._line.stats

    async def read(self, unit: int | None, plan: ReadPlan) -> list[Reading]:
        """Ask `unit` for every block of `plan`; see `drivers.api.Link.read`.

        A block that is refused is split. A block without an answer gives `com` for its points where another block
        was answered, and `NoReply` where none was: some devices are silent on an address that they do not know.
        """
        unit = unit or 0
        asking = self._asking.get((unit, plan)) or self._asking.setdefault((unit, plan), Asking(plan))
        turn = asking.start(time.monotonic())
        while block := turn.next():
            try:
                answer, mono_ns = await self._ask_twice(unit, plan, block)
            except (NoReply, BadReply) as err:
                self._silent(asking, turn, block, err)
            except DeviceRefused as err:
                turn.refused(block, err)
            else:
                turn.answered(block, block.readings(answer.words, mono_ns))
        asking.learn(turn)
        return _in_order(plan, turn)

    @staticmethod
    def _silent(asking: Asking, turn: Round, block: Block, err: DriverError) -> None:
        """Note a silent block; where the device answered nothing at all, the error goes on."""
        try:
            turn.silent(block, err)
        except DriverError:
            asking.failed()
            raise

    async def identify(self, unit: int | None, profile: ModbusProfile) -> Identity:
        """Ask what `profile` says that the device can tell; see `drivers.api.Link.identify`."""
        told, mismatch = "", ""
        if profile.identification:
            told, mismatch = await self._told(unit or 0, profile, profile.identification)
        if profile.probe and not mismatch:
            mismatch = await self._probe(unit or 0, profile)
        return Identity(told, mismatch)

    async def _probe(self, unit: int, profile: ModbusProfile) -> str:
        plan = compile_plan(profile, profile.select([probe.point for probe in profile.probe]))
        found: list[Reading] = []
        for block in plan.blocks:
            try:
                answer, mono_ns = await self._ask_twice(unit, plan, block)
            except DeviceRefused as err:
                return str(err)
            found += block.readings(answer.words, mono_ns)
        return probe_mismatch(profile, found)

    async def _told(self, unit: int, profile: ModbusProfile, wanted: Identification) -> tuple[str, str]:
        plan = compile_plan(profile, profile.point)
        try:
            told = told_by(await self._objects(unit, plan))
        except DeviceRefused as err:
            return "", f"{err}: {profile.vendor} {profile.model} tells what it is"
        except NoReply:
            await self._ask_twice(unit, plan, plan.blocks[0])
            return "", f"it is silent on function 43: {profile.vendor} {profile.model} tells what it is"
        return in_words(told), object_mismatch(wanted, told)

    async def _objects(self, unit: int, plan: ReadPlan) -> list[tuple[int, bytes]]:
        objects: list[tuple[int, bytes]] = []
        following: int | None = 0
        while following is not None and len(objects) < _OBJECTS_MAX:
            answer, _ = await self._ask_again(Identify(unit, object_id=following), plan)
            objects += answer.objects
            following = answer.next_object if answer.objects else None
        return objects

    async def _ask_twice(self, unit: int, plan: ReadPlan, block: Block) -> tuple[Answer, int]:
        """Ask once more where the answer was bad: the line knows when it is quiet enough to do so."""
        return await self._ask_again(Request(unit, block.table, block.address, block.count), plan)

    async def _ask_again(self, request: Request | Identify, plan: ReadPlan) -> tuple[Answer, int]:
        try:
            return await self._ask(request, plan)
        except BadReply:
            return await self._ask(request, plan)

    async def _ask(self, request: Request | Identify, plan: ReadPlan) -> tuple[Answer, int]:
        answer, mono_ns = await self._line.request(request, plan.timeout_s, plan.pause_s)
        if not answer.refused:
            return answer, mono_ns
        self.stats.refused += 1
        error = refusal(request, answer.refused)
        if answer.refused in _BUSY:
            raise BadReply(f"{error}; ask again later") from error
        if answer.refused == _NO_TARGET:
            raise NoReply(f"{error}: the gateway is there, the device behind it is silent") from error
        if answer.refused == _GATEWAY_PATH:
            raise NoReply(f"{error}: the gateway has no way to this unit; check its routing") from error
        raise error


def _in_order(plan: ReadPlan, turn: Round) -> list[Reading]:
    """Every point of the plan once, in its order; what was not answered is stamped with the last answer's time."""
    if turn.is_plain(plan.blocks) and not plan.guarded:
        return turn.readings
    latest_ns = max((reading.mono_ns for reading in turn.readings), default=time.monotonic_ns())
    read = {reading.point: reading for reading in turn.readings}
    found = {
        point.name: read.get(point.name)
        or Reading(point.name, None, latest_ns, turn.missing.get(point.name, Quality.NO_ANSWER))
        for point in plan.asked
    }
    judged = guards.judged(plan.asked, found)
    return [judged[point.name] for point in plan.points]


@asynccontextmanager
async def open_link(options: ModbusOptions) -> AsyncIterator[ModbusLink]:
    """Open the port or connection of `options`; raises `LinkDown`."""
    async with open_line(options) as line:
        yield ModbusLink(line)


SPEC = DriverSpec(
    kind="modbus",
    profile_type=ModbusProfile,
    point_type=ModbusPoint,
    check_profile=check_profile,
    parse_link=parse_link,
    check_device=check_device,
    compile_plan=compile_plan,
    probe_plan=probe_plan,
    bus_time_s=bus_time_s,
    decode=decode,
    open_link=open_link,
)
