"""Instruments that send by themselves: whose frames are in what was heard on a line. Pure."""

from collections.abc import Mapping

import msgspec

from drivers.errors import BadReply
from drivers.serial.decode import decode
from drivers.serial.framing import Framer, on_the_wire
from drivers.serial.profile import SerialProfile

_UNCHECKED_MIN = 2
"""So many frames of a form without a checksum are no chance."""


class HeardProfile(msgspec.Struct, frozen=True, kw_only=True):
    """Frames of a serial profile. `checked`: they have a checksum, and it was right."""

    profile: str
    frames: int
    checked: bool
    values: dict[str, object]


def heard_profiles(data: bytes, profiles: Mapping[str, SerialProfile]) -> list[HeardProfile]:
    """The profiles that understand `data`, those with checksums first."""
    found = [one for name, profile in profiles.items() if (one := _heard(name, profile, data))]
    return sorted(found, key=lambda one: (not one.checked, -len(one.values), one.profile))


def _heard(name: str, profile: SerialProfile, data: bytes) -> HeardProfile | None:
    checked = profile.frame.checked.checksum.size > 0
    frames = Framer(profile.frame).feed(data)
    if profile.is_asked or len(frames) < (1 if checked else _UNCHECKED_MIN):
        return None
    values: dict[str, object] = {}
    for frame in frames:
        try:
            values |= {one.point: one.value for one in decode(profile, None, on_the_wire(profile.frame, frame))}
        except BadReply:
            continue
    return HeardProfile(profile=name, frames=len(frames), checked=checked, values=values) if values else None
