"""Instruments and cameras that answer in a language of their own: each profile asks once, through its driver.

Only where it is told to (`--ask`): bytes that are no Modbus may disturb a Modbus bus. Promises: asks only what neither
sets, wakes nor switches anything: profiles with steps before their requests are left out.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

import msgspec

from agent.cli.scan.course import LineSetting
from drivers.api import DriverSpec
from drivers.camera.options import CameraOptions, CameraProfile
from drivers.errors import BadReply, DeviceRefused, NoReply
from drivers.profile import Profile
from drivers.registry import driver_specs
from drivers.serial.options import SerialOptions
from drivers.serial.profile import SerialProfile

TIMEOUT_S = 0.4


class Follower(Protocol):
    """Who is told how far it is."""

    def at(self, where: str) -> None: ...
    def passed(self, seconds: float) -> None: ...


class AskedInstrument(msgspec.Struct, frozen=True, kw_only=True):
    """A profile whose question was answered. `checked`: with a right checksum."""

    setting: LineSetting
    profile: str
    kind: str
    unit: int | None
    checked: bool
    values: dict[str, Any]


def inquirable(profiles: Mapping[str, Profile]) -> dict[str, Profile]:
    """The profiles that may ask."""
    return {name: one for name, one in profiles.items() if _may_ask(one)}


async def inquire(
    port: str, settings: Sequence[LineSetting], profiles: Mapping[str, Profile], watcher: Follower
) -> list[AskedInstrument]:
    """Ask by each profile at each baud without parity, until one baud has answers; raises `LinkDown`."""
    for setting in _without_parity(settings):
        found: list[AskedInstrument] = []
        for name, profile in inquirable(profiles).items():
            watcher.at(f"{setting}, {name}")
            found += await _ask(port, setting, name, profile)
            watcher.passed(TIMEOUT_S)
        if found:
            return sorted(found, key=lambda one: (not one.checked, -len(one.values), one.profile))
    return []


def longest_s(settings: Sequence[LineSetting], profiles: Mapping[str, Profile]) -> float:
    """How long it takes where nobody answers, in seconds."""
    return len(list(_without_parity(settings))) * len(inquirable(profiles)) * TIMEOUT_S


async def _ask(port: str, setting: LineSetting, name: str, profile: Profile) -> list[AskedInstrument]:
    spec: DriverSpec = driver_specs()[profile.kind]
    options = (CameraOptions if isinstance(profile, CameraProfile) else SerialOptions)(
        port=port, baud=setting.baud, timeout_s=TIMEOUT_S
    )
    unit = _unit(profile)
    values: dict[str, Any] = {}
    async with spec.open_link(options) as link:
        with suppress(NoReply, BadReply, DeviceRefused):
            readings = await link.read(unit, spec.compile_plan(profile, profile.point))
            values = {one.point: one.value for one in readings if one.value is not None}
    if not values:
        return []
    checked = isinstance(profile, SerialProfile) and profile.frame.checked.checksum.size > 0
    return [
        AskedInstrument(setting=setting, profile=name, kind=profile.kind, unit=unit, checked=checked, values=values)
    ]


def _may_ask(profile: Profile) -> bool:
    if isinstance(profile, CameraProfile):
        return True
    if not isinstance(profile, SerialProfile) or not profile.is_asked:
        return False
    return not profile.settings and not profile.duty and not any(one.before for one in profile.request)


def _unit(profile: Profile) -> int | None:
    """The one that most have from the factory."""
    if isinstance(profile, CameraProfile):
        return None if profile.protocol == "vc0706" else 1
    return 0 if isinstance(profile, SerialProfile) and profile.has_address else None


def _without_parity(settings: Sequence[LineSetting]) -> Iterator[LineSetting]:
    yield from (LineSetting(baud, "N") for baud in dict.fromkeys(one.baud for one in settings))
