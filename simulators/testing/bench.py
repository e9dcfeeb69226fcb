"""Everything that a gateway needs around it: devices, broker, IOC, and what goes wrong with them."""

import ssl
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import msgspec

from drivers.modbus.options import ModbusOptions
from drivers.serial_line import SerialLine
from simulators.brokers.broker import DEFAULT_OPTIONS, broker
from simulators.brokers.certificates import Authority
from simulators.brokers.mosquitto import BrokerOptions
from simulators.ioc.service import ACK_EVERY_S
from simulators.kinds import serve_lines
from simulators.lines.line import Line, Members
from simulators.lines.opening import open_line
from simulators.modbus.image import Contents, RegisterImage
from simulators.modbus.link import modbus_unit, open_units
from simulators.modbus.units import Unit
from simulators.scripted_broker import ScriptedBroker
from simulators.site.one_device import Place, one_device
from simulators.site.reading import SiteLink, load_site
from simulators.testing.asked import Hands
from simulators.testing.brokers import BenchBroker
from simulators.testing.devices import SimulatedDevice
from simulators.testing.faults import FaultBoard
from simulators.testing.iocs import BenchIoc
from simulators.testing.lines import SimulatedLine
from simulators.testing.raw_lines import Heard, RawLine
from simulators.testing.records import Records
from simulators.testing.site_processes import SiteProcess
from simulators.testing.sites import SimulatedSite
from simulators.testing.stage import Stage
from simulators.testing.ways import Way
from simulators.world import World

Transport = Literal["tcp", "rtu", "rtu-over-tcp", "ascii", "udp", "tls"]


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
        tls: ssl.SSLContext | None = None,
    ) -> SimulatedDevice:
        """A Modbus device: by its profile, with values that move, or by what stands in its registers.

        A register that was not given is exception 02. It is on a free port of 127.0.0.1, or on a pty, or `on` the line
        of another one, with a `unit` of its own. Transport "tls" needs the server's side of `tls`, with a certificate.
        Raises `SiteError`, `CannotServe`, `ValueError`.
        """
        name = name or self._next_name()
        tables = (holding, input, coil, discrete)
        if image is None and any(table is not None for table in tables):
            image = RegisterImage(holding=holding, input=input, coil=coil, discrete=discrete)
        link = on.line.name if on else _line_of(name)
        made = Unit(name, image) if image else self._unit_by_profile(profile, name, unit, link)
        units = self._units.setdefault(link, {})
        if unit in units:
            raise ValueError(f"unit {unit} is {units[unit].name} already: give each its own")
        self._stage.call(units.__setitem__, unit, made)
        line = on.line if on else self._modbus_line(link, self._place(name, transport), tls)
        return self._device(name, unit, profile, line, image)

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
        options = SerialLine(**{key: keys[key] for key in ("port", "host") if key in keys})
        line = self._stage.enter(open_line(options, Members(name, (name,), lambda: heard, self._world)))
        return RawLine(name=name, link=_at(keys, line), _hands=self._hands, _line=line, _heard=heard)

    def site(self, config: Path) -> SimulatedSite:
        """A device for each device of an agent.toml, where it says; raises `SiteError`, `CannotServe`."""
        read = load_site(config)
        lines = self._stage.enter(serve_lines(read, self._world))
        devices = {
            device.name: self._device(
                device.name, device.unit, device.profile_file, self._line(_link_keys(link), lines[link.name])
            )
            for link in read.links
            for device in link.devices
        }
        return SimulatedSite(devices, {name: line.address for name, line in lines.items()})

    def site_process(self, config: Path, *options: str) -> SiteProcess:
        """The same as a process of its own, which can be killed; `options` as of `oc-sim run`. Raises `ChildFailed`."""
        seed = ("--seed", str(self._world.seed))
        return self._stage.enter(SiteProcess(self._stage, self._folder("site"), config, (*seed, *options)))

    def broker(
        self, options: BrokerOptions = DEFAULT_OPTIONS, *, embedded: bool = False, start: bool = True
    ) -> BenchBroker:
        """A real broker: mosquitto where it is installed, else (or with `embedded`) amqtt; raises `ChildFailed`.

        Without `start` it has its port, and waits for `start()`.
        """
        folder = self._folder("broker")
        one = self._stage.enter(broker(folder, options, embedded=embedded, start=start))
        return BenchBroker(self._stage, one)

    def ioc(
        self, broker: BenchBroker | Way, *options: str, ack_every_s: float | None = ACK_EVERY_S, url: str = ""
    ) -> BenchIoc:
        """The reference IOC, connected; `options` as of `oc-sim ioc`. Raises `ChildFailed`.

        `ack_every_s` None: it acknowledges nothing. It takes the way without TLS where there is one, or that of `url`.
        """
        protocol = broker.protocol if isinstance(broker, BenchBroker) else "5"
        port = broker.plain_port if isinstance(broker, BenchBroker) else broker.port
        ack = ("--ack-every", str(ack_every_s)) if ack_every_s else ("--no-ack",)
        more = ("--protocol", protocol, *ack, *options)
        ioc = BenchIoc(self._stage, self._folder("ioc"), url or f"mqtt://127.0.0.1:{port}", more)
        return self._stage.enter(ioc)

    def scripted_broker(self) -> ScriptedBroker:
        """A broker that the test plays, packet by packet; `errors` are what the client did that no client may."""
        return self._stage.enter(ScriptedBroker())

    def authority(self, name: str = "CA of the test") -> Authority:
        """A certificate authority of its own: `authority().issue("broker", names="IP:127.0.0.1")`."""
        return Authority(self._folder("authority") / "ca", name)

    def _unit_by_profile(self, profile: str | Path, name: str, unit: int, link: str) -> Unit:
        site, _ = one_device(str(profile), name, unit, Place(), link=link, kind="modbus")
        return self._stage.call(modbus_unit, site.devices[0], link, self._world)

    def _modbus_line(self, link: str, place: Place, tls: ssl.SSLContext | None) -> SimulatedLine:
        """At a port that is free when it is opened: one that was looked for before may be taken meanwhile."""
        keys = place.keys("modbus", link)
        options = msgspec.convert({key: keys[key] for key in keys.keys() - {"name", "kind"}}, ModbusOptions)
        units = self._units[link]
        line = self._stage.enter(open_units(link, options, units, self._world, tls=tls, any_port=True))
        return self._line(keys, line)

    def _by_profile(self, kind: str, profile: str | Path, name: str, unit: int | None, where: str) -> SimulatedDevice:
        name = name or self._next_name()
        site, keys = one_device(str(profile), name, unit, self._place(name, where), link=_line_of(name), kind=kind)
        (line,) = self._stage.enter(serve_lines(site, self._world)).values()
        return self._device(name, site.devices[0].unit, profile, self._line(keys, line))

    def _device(
        self,
        name: str,
        unit: int | None,
        profile: str | Path,
        line: SimulatedLine,
        image: RegisterImage | None = None,
    ) -> SimulatedDevice:
        self.faults.names |= {name, line.name}
        return SimulatedDevice(
            name=name, link=line.link, _hands=self._hands, unit=unit, profile=str(profile), line=line, image=image
        )

    def _line(self, keys: Mapping[str, Any], line: Line) -> SimulatedLine:
        return SimulatedLine(name=keys["name"], link=_at(keys, line), _hands=self._hands, _line=line)

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


def _line_of(device: str) -> str:
    """The name of the line that is made for a device; it is another one, for a fault of the line is for all on it."""
    return f"line-{device}"


def _link_keys(link: SiteLink) -> dict[str, Any]:
    """The keys of a link that stands in a file, as far as a gateway needs them, but where it is."""
    keys = {"name": link.name, "kind": link.kind}
    if transport := getattr(link.options, "transport", ""):
        keys["transport"] = transport
    return keys | ({"baud": link.options.baud} if link.options.port else {})


def _at(keys: Mapping[str, Any], line: Line) -> dict[str, Any]:
    """With where the line really is."""
    if line.address.startswith("/"):
        return {**keys, "port": line.address}
    host, _, port = line.address.rpartition(":")
    return {**keys, "host": host, "tcp_port": int(port)}
