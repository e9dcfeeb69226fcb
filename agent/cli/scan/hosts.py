"""Modbus TCP: the units behind one host, or the hosts of a subnet that was named.

Promises: connects to one port only, to few hosts at once, and only reads. Must not know: terminals.
"""

import asyncio
import ipaddress
from collections.abc import Iterable, Mapping, Sequence

from agent.cli.messages import tr
from agent.cli.scan.asking import Asking
from agent.cli.scan.finding import FoundUnit, ScanReport
from agent.cli.scan.progress import Watcher
from agent.cli.wiring import WiringHint, wiring_hints
from drivers.errors import LinkDown
from drivers.modbus.options import ModbusOptions
from drivers.modbus.profile import ModbusProfile
from drivers.modbus.scanning import open_ear

TIMEOUT_S = 0.5
CONNECT_S = 1.0
AT_ONCE = 16
SMALLEST_PREFIX = 22
UNITS = (1, 255, *range(2, 248))
"""Most devices of their own answer as 1 or 255, or look at no unit id at all; others are behind a gateway."""
QUICK_UNITS = (1, 255, *range(2, 33))
SUBNET_UNITS = (1, 255)
_ODD_UNITS = (211, 223)
"""Where these answer too, the device looks at no unit id: nobody has two devices with such numbers."""
_REOPEN_MAX = 3


class HostScan:
    """The units behind one host, or behind one connection that carries RTU."""

    def __init__(
        self,
        options: ModbusOptions,
        profiles: Mapping[str, ModbusProfile],
        report: ScanReport,
        watcher: Watcher,
        devices: Mapping[int, str],
    ) -> None:
        self._options = options
        self._profiles = profiles
        self._report = report
        self._watcher = watcher
        self._devices = devices
        self._asked: set[int] = set()
        self._units: list[int] = []
        self._hints: list[WiringHint] = []

    async def run(self, units: Sequence[int], timeout_s: float) -> None:
        """Ask all `units`; raises `LinkDown` where there is no connection, or no more."""
        for attempt in range(_REOPEN_MAX + 1):
            try:
                await self._connection([unit for unit in units if unit not in self._asked], timeout_s)
            except LinkDown:
                if attempt == _REOPEN_MAX or not self._asked:
                    raise
            else:
                return

    def hints(self) -> list[WiringHint]:
        """What the bytes of a serial bus behind the connection say."""
        return self._hints

    async def _connection(self, units: Iterable[int], timeout_s: float) -> None:
        async with open_ear(self._options) as ear:
            asking = Asking(ear, timeout_s, self._options.framing)
            try:
                for unit in units:
                    self._asked.add(unit)
                    self._watcher.at(f"{self._options.host}, {unit}")
                    await self._unit(asking, unit)
                    self._watcher.passed(timeout_s)
                    if await self._answers_to_all(asking):
                        return
            finally:
                self._report.requests += asking.requests
                if self._options.framing == "rtu":
                    self._hints = wiring_hints(asking.symptoms, own_echo=asking.own_echo)

    async def _answers_to_all(self, asking: Asking) -> bool:
        """After two units that answered: does it look at the unit id at all?"""
        if len(self._units) != 2 or not self._options.numbered or len(self._asked) != 2:
            return False
        odd = [there for unit in _ODD_UNITS for there in await asking.look(unit, "holding")]
        if len(odd) < len(_ODD_UNITS):
            return False
        self._report.hints.append(any_unit_hint(self._options.host))
        return True

    async def _unit(self, asking: Asking, unit: int) -> None:
        for there in await asking.look(unit, "holding") or await asking.look(unit, "input"):
            found = FoundUnit(
                unit=there.unit,
                host=self._options.host,
                tcp_port=self._options.tcp_port,
                answer=there.answer,
                reply_ms=there.reply_ms,
                slow=there.slow,
                device=self._devices.get(there.unit, ""),
            )
            self._units.append(unit)
            await self._report.add(found, asking.what_is(there, self._profiles))
            self._watcher.found(self._report.found[-1])


def subnet_hosts(text: str) -> list[str]:
    """The hosts of an IPv4 subnet like 192.168.1.0/24; raises `ValueError` where it is none, or too large."""
    network = ipaddress.IPv4Network(text, strict=False)
    if network.prefixlen < SMALLEST_PREFIX:
        raise ValueError(f"{text} has {network.num_addresses} addresses: /{SMALLEST_PREFIX} is the largest")
    return [str(address) for address in network.hosts()]


async def listening_hosts(hosts: Sequence[str], tcp_port: int, watcher: Watcher) -> list[str]:
    """The hosts that take a connection at `tcp_port`, in order; few are tried at once."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def connects(host: str) -> bool:
        async with turn:
            watcher.at(host)
            try:
                async with asyncio.timeout(CONNECT_S):
                    _, writer = await asyncio.open_connection(host, tcp_port)
            except (TimeoutError, OSError):
                return False
            finally:
                watcher.passed(CONNECT_S / AT_ONCE)
            writer.transport.abort()
            return True

    async with asyncio.TaskGroup() as group:
        tasks = {host: group.create_task(connects(host), name=f"try {host}") for host in hosts}
    return [host for host, task in tasks.items() if task.result()]


def any_unit_hint(host: str) -> WiringHint:
    """A device that looks at no unit id is one device, whatever number is written."""
    return WiringHint(
        code="any_unit",
        what=tr("{host} answers to every unit id: it is one device", host=host),
        advice=tr("write `unit = 1`"),
    )
