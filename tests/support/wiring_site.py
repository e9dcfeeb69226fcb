"""Sites on which one fault of the wiring can be simulated, for `oc-agent doctor`."""

from collections.abc import Callable
from pathlib import Path

from agent_config import HEAD

from drivers.tomltext import toml_text
from simulators.faults.catalogue import FAULTS
from simulators.testing import Bench, SimulatedDevice

TIMEOUT_S = 0.2
METER = "renke/rs-ws-n01"
"""Two values, and no wish for a longer timeout."""
Devices = list[SimulatedDevice]


def bus(bench: Bench, name: str) -> Devices:
    """Three sensors on one RS-485 bus."""
    first = bench.modbus_device(METER, name=f"{name}-1", unit=1, transport="rtu")
    return [first, *(bench.modbus_device(METER, name=f"{name}-{n}", unit=n, on=first) for n in (2, 3))]


def tcp(bench: Bench, name: str) -> Devices:
    """One sensor with an address of its own."""
    return [bench.modbus_device(METER, name=name, unit=2)]


def ascii_line(bench: Bench, name: str) -> Devices:
    """One sensor that speaks Modbus ASCII."""
    return [bench.modbus_device(METER, name=name, unit=2, transport="ascii")]


def instrument(bench: Bench, name: str) -> Devices:
    """A weather station that sends by itself."""
    return [bench.serial_device("nmea/weather-station", name=name)]


def dust_sensor(bench: Bench, name: str) -> Devices:
    """A sensor that sends by itself, with a checksum."""
    return [bench.serial_device("plantower/pms5003", name=name)]


def camera(bench: Bench, name: str) -> Devices:
    """A camera on a serial line of its own."""
    return [bench.camera_device("vimicro/vc0706", name=name)]


SITES: dict[str, Callable[[Bench, str], Devices]] = {
    "one unit": bus, "bus": bus, "TCP": tcp, "ASCII": ascii_line, "instrument": instrument,
    "dust sensor": dust_sensor, "camera": camera,
}  # fmt: skip

LINK: dict[str, dict[str, float]] = {key: {"timeout_s": 2.5} for key in ("instrument", "dust sensor")}
"""Keys of its link, where they matter."""

ROWS = [
    ("no_reply", "one unit", "unit_silent"),
    ("no_reply", "bus", "line_silent"),
    ("no_reply", "TCP", "tcp_mute"),
    ("exception code=2", "one unit", "registers_refused"),
    ("exception code=4", "one unit", "device_failure"),
    ("exception code=6", "one unit", "device_busy"),
    ("exception code=10", "TCP", "gateway_path"),
    ("exception code=11", "TCP", "gateway_target"),
    ("exception code=2 register=0", "one unit", "points_refused"),
    ("wrong_crc", "one unit", "reply_damaged"),
    ("wrong_crc", "bus", "line_damaged"),
    ("wrong_crc", "ASCII", "reply_damaged"),
    ("wrong_unit", "one unit", "other_unit"),
    ("wrong_unit", "TCP", "other_unit"),
    ("wrong_count", "one unit", "other_count"),
    ("wrong_count", "TCP", "other_count"),
    ("lost", "one unit", "reply_short"),
    ("truncated", "one unit", "reply_short"),
    ("doubled", "one unit", "reply_long"),
    ("echo", "bus", "echo"),
    ("noise_before", "one unit", "noise_around"),
    ("noise_after", "one unit", "noise_around"),
    ("late min_s=0.6 max_s=0.7", "one unit", "late"),
    ("late min_s=0.7 max_s=0.75", "TCP", "late"),
    ("torn min_s=0.1 max_s=0.12", "one unit", "reply_slow"),
    ("split gap_s=0.02", "one unit", "reply_slow"),
    ("reboot for=60", "one unit", "unit_silent"),
    ("babble", "bus", "babble"),
    ("baud baud=300", "bus", "reply_slow"),
    ("unplug for=60", "bus", "port_missing"),
    ("unplug for=60", "TCP", "tcp_mute"),
    ("refuse", "TCP", "tcp_refused"),
    ("blackhole", "TCP", "tcp_mute"),
    ("slow bytes_per_s=100", "TCP", "reply_slow"),
    ("no_reply", "instrument", "instrument_silent"),
    ("wrong_crc", "dust sensor", "no_frame"),
    ("no_reply", "camera", "instrument_silent"),
    ("exception code=2", "TCP", "registers_refused"),
    ("stuck_picture", "camera", ""),
    ("frozen", "one unit", ""),
    ("reset", "TCP", ""),
    ("half_open", "TCP", ""),
    ("cut", "TCP", ""),
]
"""A fault as the simulators know it, where it happens, and the code by which doctor names it; "" for nothing."""


def spoil(devices: Devices, fault: str, place: str) -> None:
    """Let it happen to their line where it is a fault of lines, to all of them on a whole `bus`, else to one."""
    if "line" in FAULTS[fault.split()[0]].places:
        devices[0].line.fault(fault)
        return
    for device in devices if place == "bus" else devices[1:2] or devices:
        device.fault(fault)


def config(folder: Path, devices: Devices, head: str = HEAD, **link: object) -> Path:
    """An `agent.toml` with all of them on their one link."""
    keys = {
        "link": [{**devices[0].link, "timeout_s": TIMEOUT_S, **link}],
        "device": [d.keys() for d in devices],
    }
    path = folder / "agent.toml"
    path.write_text(f"{head}\n{toml_text(keys)}", encoding="utf-8")
    return path
