"""Write docs/capacity.md: what one gateway can carry on RS-485, on TCP and over 4G.

The lines are what `oc-agent check` forecasts; the other figures were measured, and stand here with where they are from.
Run it after a change of the forecast: `python docs/make_capacity.py`. A test compares.
"""

import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from agent.configuration import forecast, load_configuration
from agent.configuration.warnings import LOAD_WARNING

FILE: Final = Path(__file__).with_name("capacity.md")
BAUDS: Final = (1_200, 2_400, 4_800, 9_600, 19_200, 38_400, 57_600, 115_200)
REGISTERS: Final = (10, 40, 100)
INTERVALS_S: Final = (1, 10, 60)
UNITS_MAX: Final = 247
MONTH_S: Final = 30 * 86_400


class Carried(NamedTuple):
    """Measured: devices with so many registers each on one line, each read once a second, answers after 10 ms."""

    baud: int
    devices: int
    registers: int
    poll_ms: float
    load: float


MEASURED: Final = (Carried(9_600, 13, 10, 55.0, 0.715), Carried(115_200, 21, 100, 33.3, 0.701))


class Core(NamedTuple):
    """Measured: registers/s that a gateway with so much of a core of the bench's machine carries."""

    name: str
    share: float
    registers_per_s: int

    @property
    def devices(self) -> int:
        """With 100 registers each second, at half of what it carries: the rest is for outages and bad days."""
        return self.registers_per_s // 2 // 100


CORES: Final = (
    Core("x86-64, the bench's", 1.0, 250_000),
    Core("Raspberry Pi 4B", 0.135, 26_000),
    Core("Raspberry Pi 3B+", 0.099, 22_000),
    Core("Raspberry Pi Zero 2 W", 0.071, 16_000),
)
"""`make bench QUICK=1 PI="zero2 3 4" SCENES=ramp`, 2026-11-27; the rates are found to 20 %."""


class Mobile(NamedTuple):
    """What goes over the network, fitted to `MEASURED_MB` within 10 %."""

    message_bytes: int
    reading_bytes: float
    idle_bytes_per_s: int


MOBILE: Final = Mobile(message_bytes=730, reading_bytes=2.5, idle_bytes_per_s=7)
MEASURED_MB: Final[dict[tuple[int, int], tuple[int, int | None]]] = {
    (10, 10): (206, 59), (100, 10): (294, 119), (1_000, 10): (846, 642),
    (10, 60): (49, None), (100, 60): (64, None), (1_000, 60): (157, None),
}  # fmt: skip
"""By points and seconds, with batches of 1 s and of 60 s, scaled to 30 days; 60 s of both are one message a minute."""


def text() -> str:
    """The whole page."""
    polls_s = poll_times_s()
    return _HEAD.format(
        lines="".join(_lines(polls_s)),
        warning=LOAD_WARNING,
        measured="".join(_measured(polls_s)),
        volumes="".join(_volumes()),
        cores="".join(_cores()),
        idle_mb=MOBILE.idle_bytes_per_s * MONTH_S / 1e6,
        **MOBILE._asdict(),
    )


def poll_times_s() -> dict[tuple[int, int], float]:
    """How long a poll takes the line, by baud and registers, as `oc-agent check` forecasts it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "agent.toml"
        file.write_text(_configuration(Path(folder)), encoding="utf-8")
        settings = load_configuration(file).settings
    loads = {link.name: forecast(link, settings.on_link(link.name)).load for link in settings.links}
    return {(baud, count): 60 * loads[f"b{baud}-r{count}"] for baud in BAUDS for count in REGISTERS}


def devices_at_most(poll_s: float, interval_s: float) -> int:
    """How many devices keep the line below what `oc-agent check` warns of; a line has 247 unit ids."""
    return min(UNITS_MAX, math.floor(LOAD_WARNING * interval_s / poll_s + 1e-9))


def _configuration(folder: Path) -> str:
    """A line for each baud and number of registers, each with one device that is read once a minute."""
    for count in REGISTERS:
        points = (f'[[point]]\nname = "r{n}"\ntable = "holding"\naddress = {n}\ntype = "u16"\n' for n in range(count))
        head = 'vendor = "-"\nmodel = "-"\nkind = "modbus"\nsource = "-"\n'
        (folder / f"r{count}.toml").write_text(head + "".join(points), encoding="utf-8")
    tables = ['[gateway]\nid = "gw"\n[site]\noc = "oc"\n[uplink]\nhost = "ioc.example.vn"\n']
    for baud in BAUDS:
        for count in REGISTERS:
            name = f"b{baud}-r{count}"
            tables.append(f'[[link]]\nname = "{name}"\nkind = "modbus"\ntransport = "rtu"\nport = "/dev/{name}"\n')
            tables.append(f'baud = {baud}\n[[device]]\nname = "{name}"\nlink = "{name}"\nunit = 1\n')
            tables.append(f'profile = "./r{count}.toml"\ninterval_s = 60\n')
    return "".join(tables)


def _lines(polls_s: dict[tuple[int, int], float]) -> Iterator[str]:
    for (baud, count), poll_s in polls_s.items():
        most = " | ".join(str(devices_at_most(poll_s, interval_s) or "-") for interval_s in INTERVALS_S)
        yield f"| {baud} | {count} | {1000 * poll_s:.0f} | {most} |\n"


def _measured(polls_s: dict[tuple[int, int], float]) -> Iterator[str]:
    for baud, devices, registers, poll_ms, load in MEASURED:
        poll_s = polls_s[baud, registers]
        yield (
            f"| {baud} | {devices} | {registers} | {1000 * poll_s:.1f} | {poll_ms:.1f} "
            f"| {devices * poll_s:.1%} | {load:.1%} |\n"
        )


def _cores() -> Iterator[str]:
    for core in CORES:
        yield f"| {core.name} | {core.share:.3g} | {core.registers_per_s:,} | {core.devices:,} |\n"


def month_mb(points: int, interval_s: float, batch_s: float) -> float:
    """What a gateway sends and receives in 30 days, in MB of 10^6 bytes, with the headers of TCP and IP."""
    messages = 1 / max(interval_s, batch_s)
    a_second = messages * MOBILE.message_bytes + points / interval_s * MOBILE.reading_bytes + MOBILE.idle_bytes_per_s
    return a_second * MONTH_S / 1e6


def _volumes() -> Iterator[str]:
    for (points, interval_s), measured in MEASURED_MB.items():
        cells = (
            f"{month_mb(points, interval_s, batch_s):.0f} | {measured_mb or '-'}"
            for batch_s, measured_mb in zip((1, 60), measured, strict=True)
        )
        yield f"| {points} | {interval_s} | {' | '.join(cells)} |\n"


_HEAD = """# What one gateway can carry

Made by `docs/make_capacity.py`. `oc-agent check` says the same of a real configuration, and `oc-agent status` how busy
each line was in the last minute (`busy_pct`).

Bảng này cho biết một gateway đọc được bao nhiêu thiết bị: trên mỗi đường RS-485 theo tốc độ baud, qua TCP, và tốn bao
nhiêu dung lượng 4G mỗi tháng. Với cấu hình thật, hãy chạy `oc-agent check`.

## A line of RS-485 (Modbus RTU)

Devices that one line carries, by how often each is read, so that at most {warning:.0%} of its time is taken: from there
on `oc-agent check` warns, for a device that is dead or slow needs the rest. At 8N1, with the registers of a device in
one block, and 10 ms until it answers; many take longer, and each block is a request of its own. `-`: not one. A line
has 247 unit ids, and without a repeater 32 devices of one unit load each. Lines do not wait for each other.

| Baud | Registers | A poll, ms | Devices each 1 s | each 10 s | each 60 s |
|---|---|---|---|---|---|
{lines}
A poll is (13 + 2 x registers) characters, two silences of 3.5 characters of 11 bits (1.75 ms above 19200 baud), and the
time to answer.

Two rows were measured for 30 s on the line of the bench (`bench/gateways/native/rtu_line.c`), which takes as long as a
wire, with answers after 10 ms and each device read once a second. No poll was missed, and no request came into a
silence. The forecast is without what the gateway needs: 1.3 ms a poll more were taken at 115200 baud and 2.6 at 9600.
x86-64, two cores that others used too (load average 3 to 4), 2026-11-27:

| Baud | Devices | Registers | A poll, ms: forecast | measured | Time of the line: forecast | measured |
|---|---|---|---|---|---|---|
{measured}
Adapters cost more: FTDI's hand on what came each 16 ms unless `latency_timer` is 1, which our udev rules see to.

## TCP

Not the wire is the limit, but the processor. With 100 registers a request the gateway carries, on one core, 97% of what
was asked read and nothing lost or wrong (2026-11-27, found to 20 %, so rather too low); devices
are those with 100 registers each second that take half of it:

| | Of a core of the bench's machine | Registers/s at most | Devices |
|---|---|---|---|
{cores}
No board was measured: the gateway had the share of a core that a board has of it in a benchmark of Python, which says
nothing of its caches, its memory and its card. How, and how far to trust it:
[bench/README.md](../bench/README.md#with-the-core-of-a-raspberry-pi). Yours says it itself:
`make bench ONLY=oc-agent SCENES=ramp`.

## 4G

Bytes in 30 days, both ways, with TLS and the headers of TCP and IP:

    2,592,000 x ({message_bytes} x messages/s + {reading_bytes} x readings/s + {idle_bytes_per_s})

* A message goes out each `batch_interval_s` or `interval_s`, whichever is longer, or a little later. Of its
  {message_bytes} bytes about 240 are envelope and names of points, 105 are MQTT and TLS, and 385 are the
  acknowledgements of the broker and the IOC and the headers of TCP and IP. How many segments carry nothing but
  TCP's own acknowledgement differs from line to line: an earlier run counted some 250 bytes a message more.
* A reading takes {reading_bytes} bytes where the IOC reads rows ([contract](contract/README.md#payloads)) and scans
  of alike devices, or several of one, share a batch; else 4.3, for names come with each. At three or four digits that
  change each time; the numbers of the bench are worse to pack and take 2.8 ([bench/NOTES.md](../bench/NOTES.md)).
* {idle_bytes_per_s} bytes/s are health, once a minute, and the keep-alive: {idle_mb:.0f} MB with nothing to tell.

MB (10^6 bytes) in 30 days by points in all and how often they are read, with batches of 1 s (the default) and of 60 s
(`batch_interval_s = 60`); up to 100 points are one device, 1,000 are ten. Measured for eight minutes with mosquitto,
TLS and the reference IOC, which reads rows, as the kernel counts bytes and segments of a connection (`ss -ti`, 52
bytes of headers a segment). Beside them to an IOC that does not (`oc-sim ioc --no-rows`), in the order of the table:
100 points each 10 s 295 and 163 MB, 1,000 points 1,322 MB with batches of 1 s.

| Points | Each, s | Batches of 1 s | measured | Batches of 60 s | measured |
|---|---|---|---|---|---|
{volumes}
Not in it: a new connection with its handshake, what the network sends again, how the operator rounds, pictures.
"""

if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
