"""Reading the files: the single tables, and all tables together."""

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from agent.configuration.devices import read_devices
from agent.configuration.forecast import check_loads
from agent.configuration.hints import nfc_values
from agent.configuration.links import read_links
from agent.configuration.warnings import warnings_of
from agent.settings import (
    ClockSettings,
    GatewaySettings,
    LogSettings,
    OutboxSettings,
    Settings,
    SiteSettings,
    UplinkSettings,
)
from drivers.registry import driver_specs
from drivers.tomlfile import Problem, Section, load_with_drop_ins

DEFAULT_FILE = Path("/etc/oc-agent/agent.toml")
RESERVED_IDS = frozenset({"ioc"})
_TABLES = ("gateway", "site", "uplink", "outbox", "clock", "log", "link", "device")
_FILES = ("ca_file", "cert_file", "key_file", "password_file")


class ConfigError(Exception):
    """The configuration has problems; `problems` holds all of them, in the order of files and lines."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(map(str, self.problems)))


class Configuration(msgspec.Struct, frozen=True):
    """Settings that are complete and consistent, and what to think about all the same."""

    settings: Settings
    warnings: tuple[Problem, ...] = ()


def load_configuration(file: Path, *, for_use: bool = False) -> Configuration:
    """Read `file` and the `conf.d/*.toml` beside it; raises `ConfigError` with every problem found.

    `for_use`: by the service itself, which must be able to read the files that are named.
    """
    problems: list[Problem] = []
    tree = load_with_drop_ins(file, problems)
    if tree is None:
        raise ConfigError(problems)
    root = Section.root(tree, problems)
    root.only(_TABLES)
    settings = _settings(root, file, for_use=for_use)
    if settings is None or problems:
        raise ConfigError(problems)
    return Configuration(settings, tuple(sorted(warnings_of(root, settings))))


def _settings(root: Section, file: Path, *, for_use: bool) -> Settings | None:
    """Goes through all tables; one with problems gives None, and the others are still looked at."""
    specs, folder = driver_specs(), file.parent.absolute()
    gateway = _gateway(root.child("gateway"), folder)
    site = root.child("site").convert(SiteSettings)
    uplink = _uplink(root.child("uplink"), folder, for_use=for_use)
    outbox = root.child("outbox").convert(OutboxSettings)
    clock = root.child("clock").convert(ClockSettings)
    log = root.child("log").convert(LogSettings)
    links = read_links(root, specs)
    devices = read_devices(root, links, file.parent, specs)
    check_loads(root, links, devices)
    if not (gateway and site and uplink and outbox and clock and log):
        return None
    return Settings(
        gateway=gateway,
        site=msgspec.structs.replace(site, name=nfc_values(site.name)),
        uplink=uplink,
        outbox=outbox,
        clock=clock,
        log=log,
        links=tuple(links.values()),
        devices=tuple(devices),
        file=file,
    )


def _gateway(section: Section, folder: Path) -> GatewaySettings | None:
    gateway = section.convert(GatewaySettings)
    if gateway is None:
        return None
    if gateway.id in RESERVED_IDS:
        section.problem("id", f'"{gateway.id}" is reserved', 'write a name of its own, like "dng-hc-01"')
    data_dir, runtime_dir = str(folder / gateway.data_dir), str(folder / gateway.runtime_dir)
    return msgspec.structs.replace(gateway, data_dir=data_dir, runtime_dir=runtime_dir)


def _uplink(section: Section, folder: Path, *, for_use: bool) -> UplinkSettings | None:
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
    paths = {key: str(folder / getattr(uplink, key)) for key in _FILES if getattr(uplink, key)}
    for key, path in paths.items():
        if _is_missing(Path(path)):
            section.problem(key, f"there is no file {path}", "check the path, or copy the file there")
        elif for_use and not os.access(path, os.R_OK):
            fix = "give it to the service's group (root:oc-agent, 0640), or use LoadCredential="
            section.problem(key, f"the service may not read {path}", fix)
    return msgspec.structs.replace(uplink, **paths)


def _is_missing(path: Path) -> bool:
    """Whether there is surely no such file; what only the service may see is left to it."""
    try:
        return not path.is_file()
    except PermissionError:
        return False
