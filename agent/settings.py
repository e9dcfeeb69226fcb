"""What the files say: `agent.toml` and `conf.d/*.toml`, as typed settings; read at the start, and for a reload.

Defaults stand here and nowhere else; `config/agent.example.toml` shows them. How files become settings, and
every check that needs more than one key, is in `agent.configuration`.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from drivers.api import DriverSpec
from drivers.profile import Language, Point, Profile

Name = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$",
        description="A-Z a-z 0-9 _ . - without accents and blanks, at most 64, a letter or digit first",
        examples=["meter-1"],
    ),
]
GatewayId = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z0-9][a-z0-9-]{0,62}$",
        description="a-z 0-9 - without accents and blanks, at most 63, a letter or digit first",
        examples=["dng-hc-01"],
    ),
]
Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
Longitude = Annotated[float, msgspec.Meta(ge=-180, le=180)]
Latitude = Annotated[float, msgspec.Meta(ge=-90, le=90)]
Location = tuple[Longitude, Latitude]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
Interval = Annotated[float, msgspec.Meta(ge=0.05, le=86_400, examples=[10.0])]
SecondsOrZero = Annotated[float, msgspec.Meta(ge=0, le=86_400)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Unit = Annotated[int, msgspec.Meta(ge=0, le=255, examples=[1])]
LOCATION_EXAMPLE = msgspec.Meta(examples=[[108.2208, 16.0678]])


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """Who this gateway is and where it keeps its files."""

    id: GatewayId
    data_dir: str = "/var/lib/oc-agent"
    runtime_dir: str = "/run/oc-agent"


class SiteSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Which operations centre this is; `location` is longitude, latitude (WGS 84)."""

    oc: Annotated[str, msgspec.Meta(min_length=1, examples=["oc-haichau"])]
    name: dict[Language, str] = {}
    location: Annotated[Location | None, LOCATION_EXAMPLE] = None


class UplinkSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The way to the IOC's broker."""

    host: Annotated[str, msgspec.Meta(min_length=1, examples=["ioc.example.vn"])]
    port: Port = 8883
    protocol: Literal["5", "3.1.1"] = "5"
    transport: Literal["tcp", "websockets"] = "tcp"
    path: Annotated[str, msgspec.Meta(pattern=r"^/[!-~]*$", description="a path like /mqtt", examples=["/mqtt"])] = (
        "/mqtt"
    )
    tls: bool = True
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    username: str = ""
    password_file: str = ""
    ack: Literal["auto", "ioc", "broker"] = "auto"
    keepalive_s: Annotated[int, msgspec.Meta(ge=5, le=1_200)] = 60
    connect_timeout_s: Seconds = 10.0
    drain_s: SecondsOrZero = 5.0
    resend_s: Seconds = 60.0
    backfill_readings_per_s: Annotated[int, msgspec.Meta(ge=1)] = 150_000


class OutboxSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How long readings may wait where, and how much room they may take."""

    commit_interval_s: SecondsOrZero = 3.0
    batch_interval_s: SecondsOrZero = 1.0
    archive_interval_s: Seconds = 60.0
    max_bytes: Annotated[int, msgspec.Meta(ge=10_000_000)] = 2_000_000_000
    retention_days: Annotated[float, msgspec.Meta(ge=0, le=3_660)] = 60.0
    when_full: Literal["drop_oldest", "stop_polling"] = "drop_oldest"
    picture_max_bytes: Annotated[int, msgspec.Meta(ge=1_000_000)] = 200_000_000


class ClockSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How long readings wait for the first synchronisation after a boot."""

    hold_unsynced_s: Annotated[float, msgspec.Meta(ge=0, le=7 * 86_400)] = 900.0


class LogSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What goes to the journal of systemd, or to stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"


class LinkKeys(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of a `[[link]]` that every kind has; the others belong to the driver."""

    name: Name
    kind: str


class PictureKeys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`picture = { ... }` of a camera: without it there are no pictures, and without a purpose there is no `picture`.

    `class_`: may persons be seen. `interval_s`: 0 for pictures only when the IOC asks. `keep_days`: then they are
    deleted, here and at the IOC.
    """

    purpose: Annotated[str, msgspec.Meta(min_length=3, max_length=200, examples=["flood-verification"])]
    class_: Annotated[Literal["none", "possible", "certain"], msgspec.Meta(examples=["possible"])] = msgspec.field(
        name="class"
    )
    keep_days: Annotated[int, msgspec.Meta(ge=1, le=3_650, examples=[7])]
    interval_s: Annotated[float, msgspec.Meta(ge=0, le=86_400, examples=[600.0])] = 0.0


PICTURE_EXAMPLE = msgspec.Meta(examples=[{"purpose": "flood-verification", "class": "possible", "keep_days": 7}])


class DeviceKeys(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of a `[[device]]`, as they are written."""

    name: Name
    link: Annotated[str, msgspec.Meta(examples=["bus-1"])]
    profile: Annotated[str, msgspec.Meta(min_length=1, examples=["eastron/sdm120"])]
    unit: Unit | None = None
    interval_s: Interval = 10.0
    label: dict[Language, str] = {}
    station: str = ""
    location: Annotated[Location | None, LOCATION_EXAMPLE] = None
    enabled: bool = True
    points: tuple[str, ...] | None = None
    deadband: dict[str, NotNegative | str] = {}
    heartbeat_s: dict[str, Seconds] = {}
    picture: Annotated[PictureKeys | None, PICTURE_EXAMPLE] = None


class PolledPoint(msgspec.Struct, frozen=True):
    """A point of one device with what the configuration says of it. No deadband: every reading is sent.

    `deadband` is in the point's unit, `deadband_pct` in percent of the value that was sent last.
    """

    point: Point
    interval_s: float
    deadband: float | None = None
    heartbeat_s: float | None = None
    deadband_pct: float | None = None


class LinkSettings(msgspec.Struct, frozen=True):
    """One physical path, its driver and the driver's own options."""

    name: str
    spec: DriverSpec
    options: Any


class DeviceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument, ready to poll. `unit` is the Modbus unit id, None where the link has only one device."""

    name: str
    link: str
    profile_name: str
    profile: Profile
    unit: int | None
    points: tuple[PolledPoint, ...]
    label: dict[Language, str]
    station: str
    location: Location | None
    picture: PictureKeys | None = None


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the agent was told, checked. Disabled devices are not in `devices`."""

    gateway: GatewaySettings
    site: SiteSettings
    uplink: UplinkSettings
    outbox: OutboxSettings
    clock: ClockSettings
    log: LogSettings
    links: tuple[LinkSettings, ...]
    devices: tuple[DeviceSettings, ...]
    file: Path

    def on_link(self, link: str) -> tuple[DeviceSettings, ...]:
        """The devices of one link, in the order of the file."""
        return tuple(device for device in self.devices if device.link == link)
