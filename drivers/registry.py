"""Which driver kinds there are: ours by name, others through the entry-point group `oc_agent.drivers`."""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points

from drivers.api import DriverSpec

ENTRY_POINT_GROUP = "oc_agent.drivers"


@cache
def driver_specs() -> Mapping[str, DriverSpec]:
    """Every kind by name. A third party may add kinds; it may not replace ours."""
    from drivers.camera import driver as camera
    from drivers.modbus import driver as modbus
    from drivers.serial import driver as serial

    ours = {spec.kind: spec for spec in (modbus.SPEC, serial.SPEC, camera.SPEC)}
    others = {entry.name: entry.load() for entry in entry_points(group=ENTRY_POINT_GROUP)}
    return others | ours
