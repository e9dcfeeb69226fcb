"""What can be scanned: a serial port, a link of the configuration, a host, a subnet. Each makes the report its own."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from agent.cli.messages import tr
from agent.cli.output import Failed
from agent.cli.scan import inquiring
from agent.cli.scan.bus import BusScan, Terms
from agent.cli.scan.course import longest_s
from agent.cli.scan.finding import ScanReport
from agent.cli.scan.hosts import AT_ONCE, CONNECT_S, SUBNET_UNITS, HostScan, listening_hosts
from agent.cli.scan.progress import Watcher
from agent.cli.scan.snippet import bus_toml, host_toml
from agent.cli.wiring import WiringHint
from drivers.errors import LinkDown
from drivers.modbus.options import ModbusOptions
from drivers.modbus.profile import ModbusProfile
from drivers.ports import lasting_names
from drivers.profile import Profile

Profiles = Mapping[str, Profile]


class Target(Protocol):
    """Something to scan. `where` is how JSON names it."""

    @property
    def where(self) -> dict[str, Any]: ...

    @property
    def longest_s(self) -> float:
        """How long it takes at most where nothing answers; devices that are found take a few seconds more each."""

    async def scan(self, report: ScanReport, watcher: Watcher) -> None:
        """Fill the report as things are found; raises `LinkDown`."""

    def finish(self, report: ScanReport) -> None:
        """What can be said at the end, also of a scan that was broken off: hints, TOML."""


@dataclass
class BusTarget:
    """A serial port. `link` and `devices` (by unit) are the names that the configuration has there."""

    options: ModbusOptions
    terms: Terms
    profiles: Profiles
    ask: bool = False
    link: str = ""
    devices: Mapping[int, str] = field(default_factory=dict)
    _bus: BusScan | None = None

    @property
    def where(self) -> dict[str, Any]:
        return {"port": self.options.port, **({"link": self.link} if self.link else {})}

    @property
    def longest_s(self) -> float:
        terms = self.terms
        asking_s = inquiring.longest_s(terms.settings, self.profiles) if self.ask else 0.0
        return longest_s(terms.settings, terms.units, terms.timeout_s, terms.listen_s) + asking_s

    async def scan(self, report: ScanReport, watcher: Watcher) -> None:
        self._bus = BusScan(self.options, self.terms, self.profiles, report, watcher, self.devices)
        await self._bus.run()
        if self.ask and (self.terms.everything or not report.is_something):
            report.asked += await inquiring.inquire(self.options.port, self.terms.settings, self.profiles, watcher)

    def finish(self, report: ScanReport) -> None:
        report.hints += self._bus.hints() if self._bus else []
        if not report.found and any(not one.profiles for one in report.heard):
            report.hints.append(_talks(self.options.port))
        names = lasting_names(self.options.port)
        port = names[-1] if names else self.options.port
        report.toml = bus_toml(self.link or "bus-1", port, report, known=bool(self.link))


@dataclass
class HostTarget:
    """One host, or a serial server that carries RTU."""

    options: ModbusOptions
    profiles: Profiles
    units: Sequence[int]
    timeout_s: float
    link: str = ""
    devices: Mapping[int, str] = field(default_factory=dict)
    _host: HostScan | None = None

    @property
    def where(self) -> dict[str, Any]:
        link = {"link": self.link} if self.link else {}
        return {"host": self.options.host, "tcp_port": self.options.tcp_port, **link}

    @property
    def longest_s(self) -> float:
        return 2 * len(self.units) * self.timeout_s

    async def scan(self, report: ScanReport, watcher: Watcher) -> None:
        self._host = HostScan(self.options, _modbus(self.profiles), report, watcher, self.devices)
        await self._host.run(self.units, self.timeout_s)

    def finish(self, report: ScanReport) -> None:
        report.hints += self._host.hints() if self._host else []
        if report.complete and not report.found and not report.hints:
            report.hints.append(_mute())
        report.toml = host_toml(self.link or "tcp-1", report.found, known=bool(self.link))


@dataclass
class SubnetTarget:
    """The hosts of a subnet, each asked as few units as there are to a device of its own."""

    subnet: str
    hosts: Sequence[str]
    tcp_port: int
    profiles: Profiles
    timeout_s: float

    @property
    def where(self) -> dict[str, Any]:
        return {"subnet": self.subnet, "tcp_port": self.tcp_port}

    @property
    def longest_s(self) -> float:
        return len(self.hosts) * CONNECT_S / AT_ONCE

    async def scan(self, report: ScanReport, watcher: Watcher) -> None:
        for host in await listening_hosts(self.hosts, self.tcp_port, watcher):
            before = len(report.found)
            options = ModbusOptions(transport="tcp", host=host, given_port=self.tcp_port)
            try:
                await HostScan(options, _modbus(self.profiles), report, watcher, {}).run(SUBNET_UNITS, self.timeout_s)
            except LinkDown:
                await asyncio.sleep(0)
            if len(report.found) == before:
                report.silent_hosts.append(host)

    def finish(self, report: ScanReport) -> None:
        report.toml = host_toml("tcp", report.found)


async def scanned(target: Target, report: ScanReport, watcher: Watcher) -> None:
    """Scan to the end; raises `Failed` where the way is not there."""
    started = time.monotonic()
    try:
        await target.scan(report, watcher)
        report.complete = True
    except LinkDown as err:
        hint = tr("`oc-agent ports` says who holds a port; a link of the running agent: `oc-agent scan --link NAME`")
        raise Failed(f"{err}\n  -> {hint}") from err
    finally:
        report.took_s = round(time.monotonic() - started, 1)


def _modbus(profiles: Profiles) -> dict[str, ModbusProfile]:
    return {name: one for name, one in profiles.items() if isinstance(one, ModbusProfile)}


def _mute() -> WiringHint:
    return WiringHint(
        code="no_modbus",
        what=tr("the connection is there, and no unit answers"),
        advice=tr(
            'is it Modbus TCP at all? behind a serial server it may be RTU: a link with `transport = "rtu-over-tcp"`, '
            "then `oc-agent scan --link`; behind a gateway look at its bus"
        ),
    )


def _talks(port: str) -> WiringHint:
    return WiringHint(
        code="talks",
        what=tr("bytes come by themselves, and no profile understands them"),
        advice=tr("another baud rate, or an instrument without a profile: `oc-agent capture --port {port}`", port=port),
    )
