"""What a profile says of a device model. One model, one file, no code (`drivers.catalogue` reads the files).

What is common to all kinds stands here; each kind adds its own keys by a subclass (`DriverSpec.profile_type`,
`DriverSpec.point_type`).
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec

Language = Literal["vi", "en"]
WireType = Literal["f64", "i64", "bool", "string"]
PositiveSeconds = Annotated[float, msgspec.Meta(gt=0, le=86_400, examples=[10.0])]
PointName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z][a-z0-9_]{0,62}$",
        description="a-z 0-9 _ without accents and blanks, at most 63, a letter first",
        examples=["voltage"],
    ),
]


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a profile: one quantity that the device can tell.

    value = raw * `scale` + `offset`, rounded to `decimals`, in the UCUM unit `unit`. Outside `range` the quality
    is `rng`. `enum` gives names to raw numbers. `optional` points are silent until the device first sends them.
    """

    name: PointName
    unit: str = "1"
    scale: float = 1.0
    offset: float = 0.0
    decimals: Annotated[int, msgspec.Meta(ge=0, le=12)] | None = None
    range: tuple[float, float] | None = None
    enum: dict[str, str] = {}
    interval_s: PositiveSeconds | None = None
    optional: bool = False
    label: dict[Language, str] = {}

    @property
    def wraps_at(self) -> float | None:
        """The value, in its unit, at which a counter begins anew at 0; None where it is no counter."""
        return None

    @property
    def wire_type(self) -> WireType:
        """The type of its values in the MQTT contract."""
        return "string" if self.enum else "f64"


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """A device model: what it is, where its map comes from, and its points."""

    vendor: str
    model: str
    kind: str
    source: str
    label: dict[Language, str] = {}
    caveats: tuple[str, ...] = ()
    point: tuple[Any, ...] = ()
    """The points, of the kind's own `point_type`."""

    def select(self, names: Sequence[str] | None) -> tuple[Any, ...]:
        """The points called `names` in profile order; all of them where `names` is None."""
        return self.point if names is None else tuple(p for p in self.point if p.name in names)
