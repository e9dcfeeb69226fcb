"""Does a device look like its profile? Pure: what was told goes in, what does not fit comes out.

Source of the object numbers: Modbus Application Protocol V1.1b3, 6.21, table of basic and regular objects.
"""

from collections.abc import Iterable, Mapping, Sequence

from drivers.api import Reading
from drivers.modbus.profile import Identification, ModbusProfile

OBJECTS = {"vendor": 0, "product": 1, "revision": 2}
_TOLD_CHARS = 120


def told_by(objects: Iterable[tuple[int, bytes]]) -> dict[int, str]:
    """The objects as printable text, by number."""
    texts = {number: raw.decode("utf-8", "replace").strip() for number, raw in objects}
    return {number: "".join(c if c.isprintable() else "?" for c in text) for number, text in texts.items()}


def in_words(told: Mapping[int, str]) -> str:
    """Vendor, product and revision in one line."""
    return " ".join(told[number] for number in sorted(OBJECTS.values()) if told.get(number))[:_TOLD_CHARS]


def object_mismatch(wanted: Identification, told: Mapping[int, str]) -> str:
    """What a device told of itself that its profile does not expect; "" where all fits."""
    for name, number in OBJECTS.items():
        expected: str = getattr(wanted, name)
        if not told.get(number, "").casefold().startswith(expected.casefold()):
            return f'its {name} is "{told.get(number, "")}", the profile expects "{expected}"'
    return ""


def probe_mismatch(profile: ModbusProfile, readings: Sequence[Reading]) -> str:
    """Which probed point has a value that the profile does not expect; "" where all fit."""
    values = {reading.point: reading.value for reading in readings}
    for probe in profile.probe:
        value = values.get(probe.point)
        if not any(_fits(value, expected) for expected in probe.expect):
            expected = " or ".join(repr(one) for one in probe.expect)
            return f"its {probe.point} is {value!r}, the profile expects {expected}"
    return ""


def _fits(value: object, expected: str | float) -> bool:
    if isinstance(expected, str):
        return isinstance(value, str) and value.casefold().startswith(expected.casefold())
    return not isinstance(value, str) and value == expected
