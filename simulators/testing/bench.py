"""Everything that a gateway needs around it: devices, broker, IOC, and what goes wrong with them."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import msgspec

from drivers.modbus.options import ModbusOptions
from drivers.serial_line import SerialLine
from simulators.broker import broker
from simulators.kinds import serve_site
from simulators.lines.line import Members
from simulators.lines.opening import open_line
from simulators.modbus.image import Contents, RegisterImage
from simulators.modbus.link import modbus_unit, open_units
from simulators.modbus.units import Unit
from simulators.one_device import Place, one_device
from simulators.site import SiteLink, load_site
from simulators.testing.brokers import BenchBroker, Way
from simulators.testing.devices import Hands, SimulatedDevice
from simulators.testing.faults import FaultBoard
from simulators.testing.iocs import BenchIoc
from simulators.testing.raw_lines import Heard, RawLine
from simulators.testing.records import Records
from simulators.testing.sites import SimulatedSite
from simulators.testing.stage import Stage
from simulators.world import World

Transport = Literal["tcp", "rtu", "rtu-over-tcp", "ascii", "udp"]


class Bench:
    """The bench of one test. `folder` is for its ports, databases and logs; the same `seed` gives the same values."""

    def __init__(self, folder: Path, seed: int = 0) -> None:
        self.folder = folder
        self.records = Records()
        self._world = World(seed=seed, record=self.records.serve, watch=self.records.watch)
        self._stage = Stage()
        self._count = 0
        self._units: dict[str, dict[int, Unit]] = {}
        self.faults = FaultBoard(self._stage, self._world)
        self._hands = Hands(self._stage, self._world, self.records, self.faults)

    def __enter__(self) -> Self:
        self._stage.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, at: TracebackType | None) -> None:
        self._stage.__exit__(kind, err, at)

    def modbus_device(
        self,
        profile: str | Path = "",
        *,
        name: str = "",
        unit: int = 1,
        transport: Transport = "tcp",
        on: SimulatedDevice | None = None,
        image: RegisterImage | None = None,
        holding: Contents | None = None,
        input: Contents | None = None,  # noqa: A002 - the table's name in the specification
        coil: Contents | None = None,
        discrete: Contents | None = None,
    ) -> SimulatedDevice:
        """A Modbus device: by its profile, with values that move, or by what stands in its registers.

        A register that was not given is exception 02. It is on a free port of 127.0.0.1, or on a pty, or `on` the line
        of another one, with a `unit` of its own. Raises `SiteError`, `CannotServe`, `ValueError`.
        """
        name = name or self._next_name()
        tables = (holding, input, coil, discrete)
        if image is None and any(table is not None for table in tables):
            image = RegisterImage(holding=holding, input=input, coil=coil, discrete=discrete)
        link = on.link if on else self._place(name, transport).keys("modbus", name)
        made = Unit(name, image) if image else self._unit_by_profile(profile, name, unit, link)
        units = self._units.setdefault(link["name"], {})
        if unit in units:
            raise ValueError(f"unit {unit} is {units[unit].name} already: give each its own")
        self._stage.call(units.__setitem__, unit, made)
        if on is None:
            self._stage.enter(open_units(link["name"], _modbus_options(link), units, self._world))
        return self._device(name, unit, profile, link, image)

    def serial_device(
        self, profile: str | Path, *, name: str = "", unit: int | None = None, tcp: bool = False
    ) -> SimulatedDevice:
        """A serial instrument by its profile: on a pty, or with `tcp` behind a serial server."""
        return self._by_profile("serial", profile, name, unit, "tcp" if tcp else "pty")

    def camera_device(
        self, profile: str | Path, *, name: str = "", unit: int | None = None, tcp: bool = False
    ) -> SimulatedDevice:
        """A serial camera by its profile: on a pty, or with `tcp` behind a serial server."""
        return self._by_profile("camera", profile, name, unit, "tcp" if tcp else "pty")

    def serial_line(self, *, name: str = "", tcp: bool = False) -> RawLine:
        """A serial line on which the test itself speaks: on a pty, or with `tcp` behind a serial server."""
        name = name or self._next_name()
        keys = self._place(name, "tcp" if tcp else "pty").keys("serial", name)
        heard = Heard(name)
        self.faults.names.add(name)
        options = SerialLine(**{key: keys[key] for key in ("port", "host", "tcp_port") if key in keys})
        line = self._stage.enter(open_line(options, Members(name, (name,), lambda: heard, self._world)))
        return RawLine(name, keys, self._hands, line, heard)

    def site(self, config: Path) -> SimulatedSite:
        """A device for each device of an agent.toml, where it says; raises `SiteError`, `CannotServe`."""
        read = load_site(config)
        addresses = self._stage.enter(serve_site(read, self._world))
        devices = {
            device.name: self._device(
                device.name, device.unit, device.profile_file, _link_keys(link, addresses[link.name]), None
            )
            for link in read.links
            for device in link.devices
        }
        return SimulatedSite(devices, addresses)

    def broker(self, *, embedded: bool = False) -> BenchBroker:
        """A real broker: mosquitto where it is installed, else (or with `embedded`) amqtt; raises `ChildFailed`."""
        folder = self._folder("broker")
        return BenchBroker(self._stage, self._stage.enter(broker(folder, embedded=embedded)))

    def ioc(self, broker: BenchBroker | Way, *options: str) -> BenchIoc:
        """The reference IOC, connected; `options` as of `oc-sim ioc`. Raises `ChildFailed`."""
        protocol = broker.protocol if isinstance(broker, BenchBroker) else "5"
        ioc = BenchIoc(self._stage, self._folder("ioc"), broker, ("--protocol", protocol, *options))
        return self._stage.enter(ioc)

    def _unit_by_profile(self, profile: str | Path, name: str, unit: int, link: Mapping[str, Any]) -> Unit:
        site, _ = one_device(str(profile), name, unit, Place(), link=link["name"], kind="modbus")
        return self._stage.call(modbus_unit, site.devices[0], link["name"], self._world)

    def _by_profile(self, kind: str, profile: str | Path, name: str, unit: int | None, where: str) -> SimulatedDevice:
        name = name or self._next_name()
        site, link = one_device(str(profile), name, unit, self._place(name, where), link=name, kind=kind)
        self._stage.enter(serve_site(site, self._world))
        return self._device(name, site.devices[0].unit, profile, link, None)

    def _device(
        self, name: str, unit: int | None, profile: str | Path, link: Mapping[str, Any], image: RegisterImage | None
    ) -> SimulatedDevice:
        self.faults.names |= {name, str(link["name"])}
        return SimulatedDevice(name, unit, str(profile), link, self._hands, image)

    def _place(self, name: str, where: str) -> Place:
        if where in ("rtu", "ascii", "pty"):
            return Place(port=self.folder / f"port-{name}", transport="" if where == "pty" else where)
        return Place(transport=where)

    def _next_name(self) -> str:
        self._count += 1
        return f"device-{self._count}"

    def _folder(self, what: str) -> Path:
        self._count += 1
        folder = self.folder / f"{what}-{self._count}"
        folder.mkdir(parents=True)
        return folder


def _link_keys(link: SiteLink, address: str) -> dict[str, Any]:
    """The keys of a link that stands in a file, as far as a gateway needs them to find it."""
    head = {"name": link.name, "kind": link.kind}
    transport = getattr(link.options, "transport", None)
    head |= {"transport": transport} if transport else {}
    if address.startswith("/"):
        return head | {"port": address, "baud": link.options.baud}
    host, _, port = address.rpartition(":")
    return head | {"host": host, "tcp_port": int(port)}


def _modbus_options(link: Mapping[str, Any]) -> ModbusOptions:
    keys = {key: value for key, value in link.items() if key not in ("name", "kind")}
    return msgspec.convert(keys, ModbusOptions)
