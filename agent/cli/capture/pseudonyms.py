"""What of a device could tell whose it is, and what stands in the place of it. Pure."""

import re
from collections.abc import Hashable

from drivers.modbus.profile import ModbusPoint
from drivers.profile import Point, Profile

_TELLING = frozenset(
    {
        *("serial", "sn", "name", "id", "uid", "uuid", "mac", "ip", "address", "host", "hostname", "imei", "imsi"),
        *("iccid", "ssid", "phone", "password", "key", "latitude", "longitude", "lat", "lon", "location", "site"),
        *("owner", "customer", "user", "asset", "tag"),
    }
)
_HARMLESS = frozenset(
    {
        *("model", "manufacturer", "vendor", "maker", "product", "version", "firmware", "software", "hardware"),
        *("revision", "status", "state", "error", "alarm", "mode", "type", "code", "time", "date", "reason", "result"),
    }
)
COORDINATES = re.compile(rb"\d{4,5}\.\d+(?=,[NSEW])")
"""A latitude or longitude in a sentence of NMEA 0183, also one of which the profile has no point."""


def identifies(point: Point, profile: Profile) -> bool:
    """May its value tell whose device this is? A text does unless its name says that it cannot."""
    words = set(point.name.split("_"))
    probed = {probe.point for probe in getattr(profile, "probe", ())}
    if point.name in probed and not words & _TELLING:
        return False
    if words & _TELLING:
        return True
    is_text = getattr(point, "type", "") in ("string", "hex") and not point.enum
    return is_text and not words & _HARMLESS


class Pseudonyms:
    """The same original has the same name everywhere in one file; a name tells nothing of its original."""

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}

    def number(self, original: Hashable) -> int:
        """1 for the first, 2 for the next other one."""
        return self._numbers.setdefault(original, len(self._numbers) + 1)

    def value(self, point: ModbusPoint, original: Hashable) -> str | int:
        """What to write in the place of it."""
        number = self.number(original)
        return f"X{number}" if point.type == "string" else number
