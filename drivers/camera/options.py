"""What a camera link, profile and point may say in a TOML file.

Must not know: ports, how the protocols are written.
"""

from typing import Annotated, Literal

import msgspec

from drivers.profile import Point, Profile, WireType
from drivers.serial_line import SerialLine, parse_line
from drivers.tomlfile import Section

Protocol = Literal["visca", "pelco-d", "vc0706"]
UNITS: dict[Protocol, range] = {"visca": range(1, 8), "pelco-d": range(1, 256), "vc0706": range(256)}
READS: dict[Protocol, tuple[str, ...]] = {
    "visca": ("power", "zoom", "focus", "focus_mode", "pan", "tilt", "vendor", "model", "rom"),
    "pelco-d": ("pan", "tilt", "zoom"),
    "vc0706": ("version",),
}
"""What can be read of a camera of each protocol."""
TEXTS = frozenset(("power", "focus_mode", "vendor", "model", "rom", "version"))


class CameraOptions(SerialLine, frozen=True, kw_only=True):
    """The keys of a camera `[[link]]`. `timeout_s` is how long an answer may take, in seconds."""

    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=60)] = 1.0


class CameraPoint(Point, frozen=True, kw_only=True):
    """One thing that a camera tells; `reads` is its name in the protocol, the point's own name where it is missing."""

    reads: str = ""

    @property
    def source(self) -> str:
        """What is read for it."""
        return self.reads or self.name

    @property
    def wire_type(self) -> WireType:
        if self.source in TEXTS or self.enum:
            return "string"
        return "f64" if self.scale != 1.0 or self.offset != 0.0 or self.decimals else "i64"


class CameraProfile(Profile, frozen=True, kw_only=True):
    """A model of camera: how it speaks, and what is read of it.

    `pictures`: it gives still pictures. `chunk_bytes`: how many bytes of a picture are asked for at once, a multiple
    of 8. `pause_s`: how long it needs between two requests of a picture, in seconds.
    """

    protocol: Protocol
    pictures: bool = False
    chunk_bytes: Annotated[int, msgspec.Meta(ge=8, le=8192, multiple_of=8)] = 1024
    pause_s: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0


def check_profile(profile: CameraProfile, section: Section) -> None:
    """Report points that the protocol cannot read."""
    known = READS[profile.protocol]
    for point, place in zip(profile.point, section.children("point"), strict=True):
        if point.source not in known:
            key = "reads" if point.reads else "name"
            place.problem(
                key, f'"{point.source}" cannot be read over {profile.protocol}', f"one of: {', '.join(known)}"
            )
        elif profile.protocol == "pelco-d" and point.source != "zoom" and not point.decimals:
            place.problem("decimals", "is missing: positions come in hundredths of a degree", "add `decimals = 2`")
    if profile.pictures and profile.protocol != "vc0706":
        section.problem("pictures", f"{profile.protocol} has no pictures", "remove it")


def parse_link(section: Section) -> CameraOptions | None:
    """The keys of one `[[link]]`, or None when problems were reported."""
    return parse_line(section, CameraOptions)


def check_device(_options: CameraOptions, profile: CameraProfile, unit: int | None, section: Section) -> None:
    """Report a unit that is missing or impossible."""
    units = UNITS[profile.protocol]
    if unit is None and profile.protocol != "vc0706":
        fix = "add `unit = 1`: the place on the VISCA chain, or the address that is set in the camera"
        section.problem("unit", "is missing: which camera of the line?", fix)
    elif unit is not None and unit not in units:
        section.problem(
            "unit",
            f"{unit} is impossible for {profile.protocol}",
            f"write a number from {units.start} to {units.stop - 1}",
        )
