"""From files to settings: every problem of every file at once, and warnings for what is allowed but unwise.

Needs no hardware and opens no port: what a device would be asked is decided here, by the drivers' pure functions.
"""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from agent.settings import (
    ClockSettings,
    DeviceKeys,
    DeviceSettings,
    GatewaySettings,
    LinkKeys,
    LinkSettings,
    LogSettings,
    OutboxSettings,
    PolledPoint,
    Settings,
    SiteSettings,
    UplinkSettings,
)
from drivers.api import DriverSpec
from drivers.library import ProfileError, find_profile, load_profile, profile_folders, profile_names
from drivers.profile import Profile
from drivers.registry import driver_specs
from drivers.tomlfile import Problem, Section, load_with_drop_ins, nfc

StructT = TypeVar("StructT", bound=msgspec.Struct)

DEFAULT_FILE = Path("/etc/oc-agent/agent.toml")
RESERVED_IDS = frozenset({"ioc"})
LOAD_WARNING = 0.7
_TABLES = ("gateway", "site", "uplink", "outbox", "clock", "log", "link", "device")


class ConfigError(Exception):
    """The configuration has problems; `problems` holds all of them, in the order of files and lines."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(map(str, self.problems)))


class Configuration(msgspec.Struct, frozen=True):
    """Settings that are complete and consistent, and what to think about all the same."""

    settings: Settings
    warnings: tuple[Problem, ...] = ()


def load_configuration(file: Path) -> Configuration:
    """Read `file` and the `conf.d/*.toml` beside it; raises `ConfigError` with every problem found."""
    problems: list[Problem] = []
    tree = load_with_drop_ins(file, problems)
    if tree is None:
        raise ConfigError(problems)
    root = Section.root(tree, problems)
    root.only(_TABLES)
    reader = _Reader(root, file, driver_specs())
    settings = reader.settings()
    if settings is None or problems:
        raise ConfigError(problems)
    return Configuration(settings, tuple(sorted(_warnings(root, settings))))


def bus_load(link: LinkSettings, devices: Sequence[DeviceSettings]) -> float:
    """Which share of the wire's time the polls of `devices` take when all answer; 1.0 is all of it."""
    return sum(
        link.spec.bus_time_s(link.options, link.spec.compile_plan(device.profile, [p.point for p in points]))
        / interval_s
        for device in devices
        for interval_s, points in by_interval(device).items()
    )


def by_interval(device: DeviceSettings) -> Mapping[float, Sequence[PolledPoint]]:
    """The points of a device in groups that are polled together, shortest interval first."""
    groups: dict[float, list[PolledPoint]] = {}
    for point in sorted(device.points, key=lambda p: p.interval_s):
        groups.setdefault(point.interval_s, []).append(point)
    return groups


class _Reader:
    """Goes through the tables once; a table with problems gives None and the others are still checked."""

    def __init__(self, root: Section, file: Path, specs: Mapping[str, DriverSpec]) -> None:
        self._root = root
        self._file = file
        self._specs = specs
        self._profiles: dict[str, Profile | None] = {}
        self._folders = profile_folders(file.parent)

    def settings(self) -> Settings | None:
        gateway = self._gateway()
        site = self._table("site", SiteSettings)
        uplink = self._uplink()
        outbox = self._table("outbox", OutboxSettings)
        clock = self._table("clock", ClockSettings)
        log = self._table("log", LogSettings)
        links = self._links()
        devices = self._devices(links)
        self._check_loads(links, devices)
        if not (gateway and site and uplink and outbox and clock and log) or self._root.problem_count:
            return None
        return Settings(
            gateway=gateway,
            site=msgspec.structs.replace(site, name=_nfc(site.name)),
            uplink=uplink,
            outbox=outbox,
            clock=clock,
            log=log,
            links=tuple(links.values()),
            devices=tuple(devices),
            file=self._file,
        )

    def _table(self, name: str, cls: type[StructT]) -> StructT | None:
        return self._root.child(name).convert(cls)

    def _gateway(self) -> GatewaySettings | None:
        section = self._root.child("gateway")
        gateway = section.convert(GatewaySettings)
        if gateway is None:
            return None
        if gateway.id in RESERVED_IDS:
            section.problem("id", f'"{gateway.id}" is reserved', 'write a name of its own, like "dng-hc-01"')
        folder = self._file.parent
        return msgspec.structs.replace(
            gateway, data_dir=str(folder / gateway.data_dir), runtime_dir=str(folder / gateway.runtime_dir)
        )

    def _uplink(self) -> UplinkSettings | None:
        section = self._root.child("uplink")
        if "password" in section.data:
            fix = 'put it into a file that only the service can read, and write `password_file = "/path"`'
            section.problem("password", "a secret may not stand in this file", fix)
        visible = {key: value for key, value in section.data.items() if key != "password"}
        uplink = section.with_data(visible).convert(UplinkSettings)
        if uplink is None:
            return None
        for one, other in (("cert_file", "key_file"), ("key_file", "cert_file"), ("password_file", "username")):
            if getattr(uplink, one) and not getattr(uplink, other):
                section.problem(one, f"is of no use without `{other}`", f"add `{other}`, or leave out `{one}`")
        files = ("ca_file", "cert_file", "key_file", "password_file")
        paths = {key: str(self._file.parent / getattr(uplink, key)) for key in files if getattr(uplink, key)}
        for key, path in paths.items():
            if not Path(path).is_file():
                section.problem(key, f"there is no file {path}", "check the path, or copy the file there")
        return msgspec.structs.replace(uplink, **paths)

    def _links(self) -> dict[str, LinkSettings]:
        links: dict[str, LinkSettings] = {}
        endpoints: dict[str, str] = {}
        common = {field.name for field in msgspec.structs.fields(LinkKeys)}
        for section in self._root.children("link"):
            keys = section.with_data({k: v for k, v in section.data.items() if k in common}).convert(LinkKeys)
            if keys is None:
                continue
            spec = self._specs.get(keys.kind)
            if spec is None:
                known = ", ".join(f'"{kind}"' for kind in sorted(self._specs))
                section.problem("kind", f'there is no driver "{keys.kind}"', f"write one of: {known}")
                continue
            if keys.name in links:
                section.problem("name", f'there is already a link "{keys.name}"', "give each link its own name")
                continue
            options = spec.parse_link(section)
            if options is None:
                continue
            other = endpoints.setdefault(options.endpoint, keys.name)
            if other != keys.name:
                fix = f'move its devices to "{other}", or correct the address'
                section.problem("", f'uses {options.endpoint}, as link "{other}" does', fix)
            links[keys.name] = LinkSettings(keys.name, spec, options)
        return links

    def _devices(self, links: Mapping[str, LinkSettings]) -> list[DeviceSettings]:
        taken = _Taken(tuple(str(section.data.get("name")) for section in self._root.children("link")))
        devices: list[DeviceSettings] = []
        for section in self._root.children("device"):
            keys = section.convert(DeviceKeys)
            taken.check(section)
            profile = self._profile(section)
            link = links.get(keys.link) if keys else None
            if keys is None or link is None or profile is None:
                continue
            device = _device(section, keys, link, profile)
            if device is not None and keys.enabled:
                devices.append(device)
        return devices

    def _check_loads(self, links: Mapping[str, LinkSettings], devices: Sequence[DeviceSettings]) -> None:
        for section in self._root.children("link"):
            link = links.get(str(section.data.get("name")))
            load = bus_load(link, [d for d in devices if d.link == link.name]) if link else 0.0
            if load > 1:
                what = f"cannot fit: its polls take {load:.0%} of the wire's time"
                section.problem("", what, "raise `interval_s` of its devices, raise the baud rate, or use another bus")

    def _profile(self, section: Section) -> Profile | None:
        """The profile that a device names, read once; problems of its file are reported once."""
        name = section.data.get("profile")
        if not isinstance(name, str) or not name:
            return None
        if self._profiles.get(name) is not None:
            return self._profiles[name]
        profile = None
        path = find_profile(name, self._file.parent, self._folders)
        if path is None:
            section.problem(
                "profile", f'there is no profile "{name}"', _did_you_mean(name, profile_names(self._folders))
            )
        else:
            try:
                profile = load_profile(path, self._specs)
            except ProfileError as err:
                if name not in self._profiles:
                    section.report(err.problems)
        self._profiles[name] = profile
        return profile


class _Taken:
    """Names and places that devices have taken; looks at what is written, also where another key is wrong."""

    def __init__(self, links: Sequence[str]) -> None:
        self._links = links
        self._names: set[str] = set()
        self._units: dict[tuple[str, str], str] = {}

    def check(self, section: Section) -> None:
        data = section.data
        name, link, unit = str(data.get("name")), data.get("link"), data.get("unit")
        if name in self._names:
            section.problem("name", f'there is already a device "{name}"', "give each device its own name")
        self._names.add(name)
        if not isinstance(link, str):
            return
        if link not in self._links:
            section.problem("link", f'there is no link "{link}"', _did_you_mean(link, self._links))
        if data.get("enabled", True):
            other = self._units.setdefault((link, str(unit)), name)
            if other != name:
                self._same_place(section, link, unit, other)

    @staticmethod
    def _same_place(section: Section, link: str, unit: object, other: str) -> None:
        if unit is None:
            fix = f'only one device can be on "{link}" without a unit id: give this one a link of its own'
            section.problem("link", f'"{other}" is on this link already', fix)
        else:
            fix = "give it the unit id that is set in the device itself"
            section.problem("unit", f'unit {unit} on "{link}" is "{other}" already', fix)


def _device(section: Section, keys: DeviceKeys, link: LinkSettings, profile: Profile) -> DeviceSettings | None:
    before = section.problem_count
    if profile.kind != link.spec.kind:
        what = f'profile "{keys.profile}" is for {profile.kind}, link "{keys.link}" is {link.spec.kind}'
        section.problem("profile", what, "choose a profile for this kind of link, or another link")
        return None
    link.spec.check_device(link.options, keys.unit, section)
    names = [point.name for point in profile.point]
    for index, name in enumerate(keys.points or ()):
        if name not in names:
            section.problem(f"points.{index}", f'the profile has no point "{name}"', _did_you_mean(name, names))
    chosen = profile.select(keys.points)
    points = tuple(
        PolledPoint(
            point, point.interval_s or keys.interval_s, keys.deadband.get(point.name), keys.heartbeat_s.get(point.name)
        )
        for point in chosen
    )
    _check_reporting(section, keys, points)
    if section.problem_count > before:
        return None
    return DeviceSettings(
        name=keys.name,
        link=keys.link,
        profile_name=keys.profile,
        profile=profile,
        unit=keys.unit,
        points=points,
        label=_nfc(keys.label),
        station=keys.station,
        location=keys.location,
    )


def _check_reporting(section: Section, keys: DeviceKeys, points: Sequence[PolledPoint]) -> None:
    by_name = {p.point.name: p for p in points}
    for table in ("deadband", "heartbeat_s"):
        for name in getattr(keys, table):
            if name not in by_name:
                section.problem(f"{table}.{name}", "is not a point of this device", _did_you_mean(name, list(by_name)))
    for name in keys.deadband.keys() & by_name.keys():
        if by_name[name].point.wire_type not in ("f64", "i64"):
            what = f"`{name}` is {by_name[name].point.wire_type}, a deadband is for numbers"
            section.problem(f"deadband.{name}", what, "leave it out, or write `heartbeat_s` to send it on change")
    for name, seconds in keys.heartbeat_s.items():
        point = by_name.get(name)
        if point and seconds < point.interval_s:
            what = f"is {seconds:g} s, but the point is read every {point.interval_s:g} s"
            section.problem(f"heartbeat_s.{name}", what, f"write {point.interval_s:g} or more, or read it more often")


def _warnings(root: Section, settings: Settings) -> list[Problem]:
    warnings: list[Problem] = []
    quiet = root.sharing(warnings)
    if not settings.uplink.tls:
        fix = "set up certificates and remove `tls = false`; fine on a test bench"
        quiet.problem("uplink.tls", "readings and commands travel unencrypted", fix)
    order = [str(section.data.get("name")) for section in root.children("link")]
    for link in settings.links:
        devices = settings.on_link(link.name)
        key = f"link.{order.index(link.name)}"
        if not devices:
            quiet.problem(key, f'nothing is read on "{link.name}"', "add a `[[device]]` on it, or remove the link")
            continue
        load = bus_load(link, devices)
        if load > LOAD_WARNING:
            fix = "read less often, raise the baud rate, or move devices to another bus"
            quiet.problem(key, f"{load:.0%} of the wire's time is taken: little is left when a device fails", fix)
    return warnings


def _did_you_mean(name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, known, 1)
    if close:
        return f'did you mean "{close[0]}"?'
    return f"known: {', '.join(sorted(set(known)))}" if known else "there are none yet"


def _nfc(label: dict[Any, str]) -> dict[Any, str]:
    return {language: nfc(text) for language, text in label.items()}
