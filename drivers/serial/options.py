"""What a serial link may say in `agent.toml`, and which units may be on it.

Must not know: ports, sockets, frames.
"""

from typing import Annotated

import msgspec

from drivers.serial.profile import ADDRESSES, SerialProfile
from drivers.serial_line import SerialLine, parse_line
from drivers.tomlfile import Section


class SerialOptions(SerialLine, frozen=True, kw_only=True):
    """The keys of a serial `[[link]]`. `timeout_s` is to be longer than the pause between two bursts of a stream.

    `warm_up_s` replaces the profile's: how long values are `ini` after a pause, in seconds. 0 for instruments that
    are never switched off without this agent.
    """

    warm_up_s: Annotated[float, msgspec.Meta(ge=0, le=3600)] | None = None


def parse_link(section: Section) -> SerialOptions | None:
    """The keys of one `[[link]]`, or None when problems were reported."""
    return parse_line(section, SerialOptions)


def check_device(_options: SerialOptions, profile: SerialProfile, unit: int | None, section: Section) -> None:
    """Report a unit id that is missing, impossible or means nothing."""
    if not profile.has_address:
        if unit is not None:
            what = f"means nothing for {profile.model}: it has no address, so the link has one instrument"
            section.problem("unit", what, "remove `unit`")
    elif unit is None:
        section.problem("unit", f"is missing: {profile.model} has an address", "add `unit = 0`, or what is set in it")
    elif unit >= len(ADDRESSES):
        fix = "0 to 9 as they are, 10 to 35 for a to z, 36 to 61 for A to Z"
        section.problem("unit", f"{unit} is no address of one character", fix)
