"""The `[[device]]` tables: each device with its profile and the points that are read of it.

What is wrong with one key hides nothing about the others: names, links and units are looked at as they are written.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent.configuration.hints import did_you_mean, nfc_values
from agent.settings import DeviceKeys, DeviceSettings, LinkSettings, PolledPoint
from drivers.api import DriverSpec
from drivers.catalogue import ProfileError, find_profile, load_profile, profile_folders, profile_names
from drivers.profile import Profile
from drivers.tomlfile import Section

MIN_PICTURE_INTERVAL_S = 5.0
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,3})?) ?%")


def read_devices(
    root: Section, links: Mapping[str, LinkSettings], folder: Path, specs: Mapping[str, DriverSpec]
) -> list[DeviceSettings]:
    """The enabled devices; those with problems are left out. Profile paths are relative to `folder`."""
    taken = _Taken([str(section.data.get("name")) for section in root.children("link")])
    profiles = _Profiles(folder, specs)
    devices: list[DeviceSettings] = []
    for section in root.children("device"):
        keys = section.convert(DeviceKeys)
        taken.check(section)
        profile = profiles.of(section)
        link = links.get(keys.link) if keys else None
        if keys is None or link is None or profile is None:
            continue
        device = _device(section, keys, link, profile)
        if device is not None and keys.enabled:
            devices.append(device)
    return devices


class _Profiles:
    """The profiles that devices name, each read once; problems of a file are reported once."""

    def __init__(self, folder: Path, specs: Mapping[str, DriverSpec]) -> None:
        self._folder = folder
        self._specs = specs
        self._search = profile_folders(folder)
        self._loaded: dict[Path, Profile | None] = {}

    def of(self, section: Section) -> Profile | None:
        name = section.data.get("profile")
        if not isinstance(name, str) or not name:
            return None
        path = find_profile(name, self._folder, self._search)
        if path is None:
            section.problem("profile", f'there is no profile "{name}"', did_you_mean(name, profile_names(self._search)))
            return None
        if path not in self._loaded:
            self._loaded[path] = self._load(section, path)
        return self._loaded[path]

    def _load(self, section: Section, path: Path) -> Profile | None:
        try:
            return load_profile(path, self._specs)
        except ProfileError as err:
            section.report(err.problems)
            return None


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
            section.problem("link", f'there is no link "{link}"', did_you_mean(link, self._links))
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
    link.spec.check_device(link.options, profile, keys.unit, section)
    names = [point.name for point in profile.point]
    for index, name in enumerate(keys.points or ()):
        if name not in names:
            section.problem(f"points.{index}", f'the profile has no point "{name}"', did_you_mean(name, names))
    chosen = profile.select(keys.points)
    points = tuple(
        PolledPoint(
            point,
            point.interval_s or keys.interval_s,
            heartbeat_s=keys.heartbeat_s.get(point.name),
            **_deadband(keys.deadband.get(point.name)),
        )
        for point in chosen
    )
    _check_reporting(section, keys, points)
    _check_picture(section, keys, link, profile)
    if section.problem_count > before:
        return None
    return DeviceSettings(
        name=keys.name,
        link=keys.link,
        profile_name=keys.profile,
        profile=profile,
        unit=keys.unit,
        points=points,
        label=nfc_values(keys.label),
        station=keys.station,
        location=keys.location,
        picture=keys.picture,
    )


def _check_picture(section: Section, keys: DeviceKeys, link: LinkSettings, profile: Profile) -> None:
    if keys.picture is None:
        return
    if not link.spec.gives_pictures(profile):
        section.problem("picture", f"{profile.model} gives no pictures", "remove `picture`")
    elif 0 < keys.picture.interval_s < MIN_PICTURE_INTERVAL_S:
        what = f"{keys.picture.interval_s:g} s is too often: a picture takes up to half a minute on the line"
        section.problem("picture.interval_s", what, f"write {MIN_PICTURE_INTERVAL_S:g} or more, or 0: only when asked")


def _deadband(written: float | str | None) -> dict[str, float | None]:
    """A number is in the point's unit, text is a percentage."""
    if isinstance(written, str):
        percent = _PERCENT.fullmatch(written)
        return {"deadband_pct": float(percent[1]) if percent else None}
    return {"deadband": written}


def _check_reporting(section: Section, keys: DeviceKeys, points: Sequence[PolledPoint]) -> None:
    by_name = {p.point.name: p for p in points}
    for table in ("deadband", "heartbeat_s"):
        for name in getattr(keys, table):
            if name not in by_name:
                section.problem(f"{table}.{name}", "is not a point of this device", did_you_mean(name, list(by_name)))
    for name, written in keys.deadband.items():
        if isinstance(written, str) and not _PERCENT.fullmatch(written):
            what = f'"{written}" is neither a number nor a percentage'
            section.problem(f"deadband.{name}", what, 'write `5.0` in the unit of the point, or `"2 %"`')
    for name in keys.deadband.keys() & by_name.keys():
        if by_name[name].point.wire_type not in ("f64", "i64"):
            what = f"`{name}` is {by_name[name].point.wire_type}, a deadband is for numbers"
            section.problem(f"deadband.{name}", what, "leave it out, or write `heartbeat_s` to send it on change")
    for name, seconds in keys.heartbeat_s.items():
        point = by_name.get(name)
        if point and seconds < point.interval_s:
            what = f"is {seconds:g} s, but the point is read every {point.interval_s:g} s"
            section.problem(f"heartbeat_s.{name}", what, f"write {point.interval_s:g} or more, or read it more often")
