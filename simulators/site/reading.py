"""Which devices a site has, read from the same `agent.toml` and `conf.d` that the agent reads.

Only what a simulator must know: links, devices, profiles. `oc-agent check` looks at everything else.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from drivers.api import DriverSpec
from drivers.catalogue import ProfileError, find_profile, load_profile, profile_folders
from drivers.profile import Profile
from drivers.registry import driver_specs
from drivers.tomlfile import Problem, Section, load_with_drop_ins
from simulators.problems import SiteError

StructT = TypeVar("StructT", bound=msgspec.Struct)


class SiteDevice(msgspec.Struct, frozen=True):
    """One instrument to simulate. `unit` is the Modbus unit id, None where the link has one device only."""

    name: str
    unit: int | None
    profile: Profile
    profile_file: Path


class SiteLink(msgspec.Struct, frozen=True):
    """One link to serve: its kind, the driver's own options, and the devices on it."""

    name: str
    kind: str
    options: Any
    devices: tuple[SiteDevice, ...]


class Site(msgspec.Struct, frozen=True):
    """All links that have devices, in the order of the file."""

    links: tuple[SiteLink, ...]

    @property
    def devices(self) -> tuple[SiteDevice, ...]:
        return tuple(device for link in self.links for device in link.devices)


class _LinkKeys(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    kind: str


class _DeviceKeys(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    link: str
    profile: str
    unit: int | None = None
    enabled: bool = True


def load_site(file: Path) -> Site:
    """Read `file` and the `conf.d/*.toml` beside it; raises `SiteError` with every problem found."""
    problems: list[Problem] = []
    tree = load_with_drop_ins(file, problems)
    if tree is None:
        raise SiteError(problems)
    site = read_site(Section.root(tree, problems), file.parent)
    if problems:
        raise SiteError(problems)
    return site


def read_site(root: Section, folder: Path) -> Site:
    """The links and devices of a file that was read; its problems are reported, and are not in the site.

    Profiles are looked for in `folder` first.
    """
    specs = driver_specs()
    options = _links(root, specs)
    devices = _devices(root, folder, options, specs)
    links = (SiteLink(name, kind, opts, tuple(devices[name])) for name, (kind, opts) in options.items())
    return Site(tuple(link for link in links if link.devices))


def _links(root: Section, specs: Mapping[str, DriverSpec]) -> dict[str, tuple[str, Any]]:
    links: dict[str, tuple[str, Any]] = {}
    for section in root.children("link"):
        keys = _own_keys(section, _LinkKeys)
        if keys is None:
            continue
        spec = specs.get(keys.kind)
        if spec is None:
            section.problem("kind", f'there is no driver "{keys.kind}"', f"write one of: {', '.join(sorted(specs))}")
            continue
        options = spec.parse_link(section)
        if options is not None:
            links[keys.name] = (keys.kind, options)
    return links


def _devices(
    root: Section, folder: Path, links: Mapping[str, tuple[str, Any]], specs: Mapping[str, DriverSpec]
) -> dict[str, list[SiteDevice]]:
    devices: dict[str, list[SiteDevice]] = {name: [] for name in links}
    profiles = _Profiles(folder, specs)
    taken: set[tuple[str, int | None]] = set()
    for section in root.children("device"):
        keys = _own_keys(section, _DeviceKeys)
        if keys is None or not keys.enabled or keys.link not in links:
            _report_link(section, keys, links)
            continue
        if (keys.link, keys.unit) in taken:
            section.problem("unit", f'another device on "{keys.link}" has it already', "give each its own unit id")
        taken.add((keys.link, keys.unit))
        found = profiles.find(section, keys.profile)
        if found is not None and found[0].kind != links[keys.link][0]:
            what = f'is for {found[0].kind}, and "{keys.link}" is {links[keys.link][0]}'
            section.problem("profile", what, "choose a profile for this kind of link")
        elif found is not None:
            devices[keys.link].append(SiteDevice(keys.name, keys.unit, *found))
    return devices


def _report_link(section: Section, keys: _DeviceKeys | None, links: Mapping[str, Any]) -> None:
    if keys is not None and keys.enabled and not section.problem_count:
        section.problem("link", f'there is no link "{keys.link}"', f"known: {', '.join(sorted(links)) or 'none'}")


class _Profiles:
    """The profiles of one site: hundreds of devices often share a few, and reading one takes milliseconds."""

    def __init__(self, folder: Path, specs: Mapping[str, DriverSpec]) -> None:
        self._folder = folder
        self._folders = profile_folders(folder)
        self._specs = specs
        self._read: dict[str, tuple[Profile, Path]] = {}

    def find(self, section: Section, name: str) -> tuple[Profile, Path] | None:
        """The profile that a device names, and its file; None where a problem was reported."""
        if name not in self._read:
            file = find_profile(name, self._folder, self._folders)
            if file is None:
                fix = "write vendor/model, or a path ending in .toml"
                section.problem("profile", f'there is no profile "{name}"', fix)
                return None
            try:
                self._read[name] = load_profile(file, self._specs), file
            except ProfileError as err:
                section.report(err.problems)
                return None
        return self._read[name]


def _own_keys(section: Section, cls: type[StructT]) -> StructT | None:
    """The keys that a simulator reads; the others belong to the agent or to the driver."""
    known = {field.encode_name for field in msgspec.structs.fields(cls)}
    return section.with_data({key: value for key, value in section.data.items() if key in known}).convert(cls)
