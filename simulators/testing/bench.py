"""Everything that a gateway needs around it: devices, broker, IOC, and what goes wrong with them."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import msgspec

from drivers.modbus.options import ModbusOptions
from simulators.broker import broker
from simulators.kinds import serve_site
from simulators.modbus.image import Contents, RegisterImage
from simulators.modbus.link import open_units
from simulators.modbus.units import Unit
from simulators.one_device import Place, one_device
from simulators.site import SiteLink, load_site
from simulators.testing.brokers import BenchBroker, Way
from simulators.testing.devices import SimulatedDevice
from simulators.testing.faults import FaultBoard
from simulators.testing.iocs import BenchIoc
from simulators.testing.records import Records
from simulators.testing.sites import SimulatedSite
from simulators.testing.stage import Stage
from simulators.world import World

Transport = Literal["tcp", "rtu", "rtu-over-tcp", "ascii"]


class Bench:
    """The bench of one test. `folder` is for its ports, databases and logs; the same `seed` gives the same values."""

    def __init__(self, folder: Path, seed: int = 0) -> None:
        self.folder = folder
        self.records = Records()
        self._world = World(seed=seed, record=self.records.serve, watch=self.records.watch)
        self._stage = Stage()
        self._count = 0
        self.faults = FaultBoard(self._stage, self._world)

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
        image: RegisterImage | None = None,
        holding: Contents | None = None,
        input: Contents | None = None,  # noqa: A002 - the table's name in the specification
        coil: Contents | None = None,
        discrete: Contents | None = None,
    ) -> SimulatedDevice:
        """A Modbus device: by its profile, with values that move, or by what stands in its registers.

        A register that was not given is exception 02. On a free port of 127.0.0.1, or on a pty. Raises `SiteError`,
        `CannotServe`, `ValueError`.
        """
        tables = (holding, input, coil, discrete)
        if image is None and any(table is not None for table in tables):
            image = RegisterImage(holding=holding, input=input, coil=coil, discrete=discrete)
        if image is None:
            return self._by_profile("modbus", profile, name, unit, transport)
        name = name or self._next_name()
        link = self._place(name, transport).keys("modbus", name)
        options = _modbus_options(link)
        self._stage.enter(open_units(name, options, {unit: Unit(name, image)}, self._world))
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

    def _by_profile(self, kind: str, profile: str | Path, name: str, unit: int | None, where: str) -> SimulatedDevice:
        name = name or self._next_name()
        site, link = one_device(str(profile), name, unit, self._place(name, where), link=name, kind=kind)
        self._stage.enter(serve_site(site, self._world))
        return self._device(name, site.devices[0].unit, profile, link, None)

    def _device(
        self, name: str, unit: int | None, profile: str | Path, link: Mapping[str, Any], image: RegisterImage | None
    ) -> SimulatedDevice:
        return SimulatedDevice(name, unit, str(profile), link, self.records, self.faults, image)

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
