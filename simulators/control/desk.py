"""The orders of a tester, carried out in a running world. No I/O: a line in, an answer out.

Promises: every line gets one answer, that of a bad one is `error` with what to write instead, and has changed nothing.
A fault that is ordered begins from now on, also where it says `from_s`.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

import msgspec

from simulators.control.tally import Tally
from simulators.faults.catalogue import FAULTS, FOREVER
from simulators.faults.fault import EVERYTHING, BadFault, Fault, make_fault, parse_fault
from simulators.likeness import like
from simulators.site.faults import PLACES, check_on_site
from simulators.site.reading import Site
from simulators.values import BadValue, Channel
from simulators.world import World

MOST_SERVED: Final = 1_000

OrderT = TypeVar("OrderT")


class Refused(Exception):
    """An order cannot be carried out; the message says what to write."""


class _Order(msgspec.Struct, forbid_unknown_fields=True):
    """What an order can say; nothing else."""


class _Set(_Order):
    device: str
    point: str
    value: bool | int | float | str


class _Release(_Order):
    device: str = EVERYTHING
    point: str = EVERYTHING


class _Heal(_Order):
    name: str = EVERYTHING
    on: str = EVERYTHING


class _State(_Order):
    device: str = EVERYTHING


class _Served(_Order):
    since: int = 0


class Desk:
    """Carries out orders on the devices of `site`."""

    def __init__(self, site: Site, world: World, tally: Tally) -> None:
        self._site = site
        self._world = world
        self._tally = tally
        self._link_of = {device.name: link.name for link in site.links for device in link.devices}
        self._orders: Mapping[str, Callable[[Any], Any]] = {
            "set": self._set,
            "release": self._release,
            "fault": self._fault,
            "heal": self._heal,
            "state": self._state,
            "served": self._served,
        }

    def answer(self, line: bytes) -> dict[str, Any]:
        """What comes back for one line: the name of the order and what came of it, or `error`."""
        try:
            name, said = self._read(line)
            return {name: self._orders[name](said)}
        except (Refused, BadValue, BadFault, msgspec.MsgspecError) as err:
            return {"error": str(err)}

    def _read(self, line: bytes) -> tuple[str, Any]:
        try:
            order = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
            raise Refused(f'this is not JSON: {err}; write a line like {{"state":{{}}}}') from err
        if not isinstance(order, dict) or len(order) != 1:
            raise Refused(f'write one order a line, like {{"state":{{}}}}; there are {", ".join(self._orders)}')
        ((name, said),) = order.items()
        if name not in self._orders:
            raise Refused(f'there is no order "{name}": {like(name, self._orders)}')
        return name, said

    def _set(self, said: Any) -> dict[str, Any]:
        order = _converted("set", said, _Set)
        read = self._world.values.set(order.device, order.point, order.value)
        return {"device": order.device, "point": order.point, "value": read}

    def _release(self, said: Any) -> int:
        order = _converted("release", said, _Release)
        return self._world.values.release(order.device, order.point)

    def _fault(self, said: Any) -> dict[str, Any]:
        """From keys, or from a text as on the command line."""
        if not isinstance(said, str | dict):
            raise Refused('fault: write its keys, like {"name":"no_reply","on":"meter-1","for_s":5}')
        fault = parse_fault(said) if isinstance(said, str) else make_fault(said)
        check_on_site(fault, self._site)
        fault = replace(fault, from_s=self._world.elapsed_s() + fault.from_s)
        self._world.faults.add(fault)
        return _shown(fault)

    def _heal(self, said: Any) -> int:
        order = _converted("heal", said, _Heal)
        if order.name != EVERYTHING and order.name not in FAULTS:
            raise Refused(f'there is no fault "{order.name}": {like(order.name, FAULTS)}')
        if order.on != EVERYTHING and order.on not in self._names():
            raise Refused(f'there is no device or link "{order.on}": {like(order.on, self._names())}')
        return self._world.faults.heal(order.name, order.on)

    def _state(self, said: Any) -> dict[str, Any]:
        order = _converted("state", said, _State)
        if order.device not in (EVERYTHING, *self._link_of):
            raise Refused(f'there is no device "{order.device}": {like(order.device, self._link_of)}')
        names = self._link_of if order.device == EVERYTHING else (order.device,)
        now_s = self._world.elapsed_s()
        active = {id(one) for one in self._world.faults.active(PLACES, now_s, *self._names())}
        faults = [_shown(one) | {"active": id(one) in active} for one in self._world.faults.faults]
        devices = {name: self._device(name) for name in names}
        return {"elapsed_s": round(now_s, 3), "seed": self._world.seed, "devices": devices, "faults": faults}

    def _device(self, name: str) -> dict[str, Any]:
        time_s = self._world.device_s(name, self._link_of[name])
        points = {point: _point(channel, time_s) for point, channel in self._world.values.of(name).items()}
        count = self._tally.of(name)
        counts = {"requests": count.requests, "unasked": count.unasked, "faults": dict(count.faults)}
        return {"link": self._link_of[name], "points": points} | counts

    def _served(self, said: Any) -> dict[str, Any]:
        order = _converted("served", said, _Served)
        values, following, forgotten = self._tally.served(max(0, order.since), MOST_SERVED)
        return {"values": values, "next": following, "forgotten": forgotten}

    def _names(self) -> list[str]:
        return [*self._link_of, *(link.name for link in self._site.links)]


def _converted(name: str, said: Any, order: type[OrderT]) -> OrderT:
    try:
        return msgspec.convert(said, order)
    except msgspec.ValidationError as err:
        raise Refused(f"{name}: {err}") from err


def _point(channel: Channel, time_s: float) -> dict[str, Any]:
    """Its value as a reader gets it now, and who says so."""
    value = channel.at(time_s)
    try:
        value = channel.read_as(value)
    except ValueError:
        return {"value": None, "unit": channel.point.unit, "from": channel.origin}
    return {"value": value, "unit": channel.point.unit, "from": channel.origin}


def _shown(fault: Fault) -> dict[str, Any]:
    """A fault in the keys in which it can be ordered; what says nothing is left out."""
    times = {"for_s": fault.for_s, "every_s": fault.every_s, "share": fault.share}
    silent = {"for_s": FOREVER, "every_s": 0.0, "share": 1.0}
    said = {key: value for key, value in times.items() if value != silent[key]}
    return {"name": fault.name, "on": fault.on, "from_s": round(fault.from_s, 3)} | said | dict(fault.parameters)
