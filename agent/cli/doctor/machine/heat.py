"""Temperature and power of the board.

Sources: /sys/class/thermal is in Documentation/ABI/testing/sysfs-class-thermal (thousandths of a degree). The bits of
`get_throttled`: raspberrypi.com, documentation, "vcgencmd get_throttled"; a Raspberry Pi slows down from 80 °C on, and
more at 85. Newer kernels tell only of the voltage: hwmon `rpi_volt`, `in0_lcrit_alarm` (raspberrypi-hwmon.c).
"""

from collections.abc import Iterator
from typing import Final

from agent.cli.doctor.finding import Finding, fail, ok, warn
from agent.cli.doctor.machine.roots import Roots, line_of
from agent.cli.messages import tr

WARM_C, HOT_C = 75.0, 85.0
THROTTLED: Final = "devices/platform/soc/soc:firmware/get_throttled"
UNDER_VOLTAGE, CAPPED, THROTTLES, WARM = 1 << 0, 1 << 1, 1 << 2, 1 << 3
SINCE_START: Final = 16
"""The same bits, so many places higher: it has happened since the start."""


def examined(roots: Roots) -> Iterator[Finding]:
    """The hottest zone, then the power supply."""
    zones = [line_of(zone / "temp") for zone in sorted((roots.sys / "class/thermal").glob("thermal_zone*"))]
    degrees = [int(zone) / 1000 for zone in zones if zone.lstrip("-").isdigit()]
    if degrees:
        yield _temperature(max(degrees))
    told = line_of(roots.sys / THROTTLED)
    if told:
        yield from throttled(int(told, 16))
    else:
        yield from _voltage(roots)


def throttled(bits: int) -> Iterator[Finding]:
    """What the firmware of a Raspberry Pi has seen now, and since the start."""
    if bits & UNDER_VOLTAGE:
        yield _too_little_power()
    elif bits >> SINCE_START & UNDER_VOLTAGE:
        text = tr("the supply voltage was too low since the start")
        yield warn("power", text, _power_advice(), code="under_voltage_before")
    if bits & (CAPPED | THROTTLES | WARM):
        text = tr("the processor is slowed down now: too hot, or too little voltage")
        yield warn("throttling", text, _heat_advice(), code="throttled")
    elif bits >> SINCE_START & (CAPPED | THROTTLES | WARM):
        text = tr("the processor was slowed down since the start: too hot, or too little voltage")
        yield warn("throttling", text, _heat_advice(), code="throttled_before")
    if not bits:
        yield ok("power", tr("the supply voltage was good since the start"))


def _temperature(degrees: float) -> Finding:
    text = tr("the board has {degrees} °C", degrees=f"{degrees:.0f}")
    if degrees >= HOT_C:
        return fail("temperature", text, _heat_advice(), code="too_hot")
    return warn("temperature", text, _heat_advice(), code="hot") if degrees >= WARM_C else ok("temperature", text)


def _voltage(roots: Roots) -> Iterator[Finding]:
    for chip in sorted((roots.sys / "class/hwmon").glob("hwmon*")):
        if line_of(chip / "name") == "rpi_volt":
            if line_of(chip / "in0_lcrit_alarm") == "1":
                yield _too_little_power()
            else:
                yield ok("power", tr("the supply voltage is good"))


def _too_little_power() -> Finding:
    return fail("power", tr("the supply voltage is too low now"), _power_advice(), code="under_voltage")


def _power_advice() -> str:
    return tr("a better power supply (5.1 V), a short thick cable; cards break like this")


def _heat_advice() -> str:
    return tr("air or a heat sink for the board, shade for the cabinet; look at the power supply")
