"""Which groups of checks there are, and what each may take. Loaded by nobody but `doctor` itself."""

from collections.abc import Mapping
from typing import Final

from agent.cli.doctor import broker, bus, clock, devices, machine, ports, service, settings
from agent.cli.doctor.finding import Group

GROUPS: Final[Mapping[str, Group]] = {
    "configuration": settings.examine,
    "service": service.examine,
    "machine": machine.examine,
    "clock": clock.examine,
    "ports": ports.examine,
    "devices": devices.examine,
    "bus": bus.examine,
    "broker": broker.examine,
}
LIMITS_S: Final[Mapping[str, float]] = {"devices": devices.BUDGET_S + 30.0, "broker": 120.0}
"""In seconds; the others have `examination.LIMIT_S`."""
