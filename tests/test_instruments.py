"""Many instruments of different kinds in one agent, on lines that lose, double and delay bytes, and are unplugged.

No wrong value, no stall, memory flat; pictures arrive bit for bit, also across an outage of the broker.
"""

import hashlib
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from processes import python_module, started, stop, wait_until

from simulators.endpoints import free_port
from simulators.testing import Bench, BenchBroker, BenchIoc, SiteProcess

HEAD = """\
[gateway]
id = "dng-hc-01"
data_dir = "{folder}/data"
runtime_dir = "{runtime}"
[site]
oc = "oc-haichau"
[uplink]
host = "127.0.0.1"
port = {mqtt}
tls = false
[clock]
hold_unsynced_s = 0
"""
SERIAL = [
    "nmea/weather-station", "gill/windsonic", "campbell/sr50a", "maxbotix/hrxl-maxsonar-wr", "maxbotix/xl-maxsonar-wr",
    "dfrobot/a01nyub", "dfrobot/a02yyuw", "plantower/pms5003", "plantower/pms3003", "plantower/pms5003t",
    "nova/sds011", "nova/sds198", "vaisala/wxt530", "davis/vantage-pro2", "hydreon/rg-15", "jsn/jsn-sr04t",
    "jsn/aj-sr04m", "winsen/mh-z19b", "winsen/ze07-ch2o", "honeywell/hpma115s0", "honeywell/hpma115c0",
    "sensirion/sps30", "telaire/t6615", "sdi-12/values-crc", "sdi-12/values",
]  # fmt: skip
CAMERAS = ["sony/visca", "pelco/pelco-d", "vimicro/vc0706"]
WITH_ADDRESS = {"vaisala/wxt530", "sdi-12/values-crc", "sdi-12/values", "sony/visca", "pelco/pelco-d"}
FAULTS = "lost=0.01,doubled=0.01,late=0.005,torn=0.005,unplug=45"
ServedBy = dict[tuple[str, str], list[tuple[int, Any]]]
"""Time and value of all that was served, by device and point."""
LATEST_S = 12.0
"""A message may wait behind others that are late; a value that is older than this is not the one that was served."""


def name_of(profile: str) -> str:
    return profile.replace("/", "-")


def configuration(folder: Path, runtime: Path, mqtt: int) -> str:
    """Each instrument on a line of its own, in turn a pty and a serial server."""
    text = HEAD.format(folder=folder, runtime=runtime, mqtt=mqtt)
    for number, profile in enumerate([*SERIAL, *CAMERAS]):
        name = name_of(profile)
        kind = "camera" if profile in CAMERAS else "serial"
        there = (
            f'port = "{folder}/{name}"\nbaud = 115200'
            if number % 2
            else f'host = "127.0.0.1"\ntcp_port = {free_port()}'
        )
        warm = "warm_up_s = 0\n" if kind == "serial" else ""
        text += f'[[link]]\nname = "{name}"\nkind = "{kind}"\n{there}\n{warm}timeout_s = {2.5 if kind == "serial" else 0.5}\n'
        text += f'[[device]]\nname = "{name}"\nlink = "{name}"\nprofile = "{profile}"\ninterval_s = 1.0\n'
        text += "unit = 1\n" if profile in WITH_ADDRESS else ""
        if profile == "vimicro/vc0706":
            text += 'picture = { purpose = "flood-verification", class = "possible", keep_days = 7, interval_s = 5 }\n'
    return text


@pytest.fixture
def runtime_dir() -> Iterator[Path]:
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shm if shm.is_dir() else None) as folder:
        yield Path(folder)


@pytest.mark.parametrize("seconds", [20, pytest.param(600, marks=pytest.mark.soak)])
def test_many_instruments_with_random_faults_give_no_wrong_value_and_never_stall(
    seconds: int, tmp_path: Path, runtime_dir: Path, bench: Bench, broker: BenchBroker, ioc: BenchIoc
) -> None:
    config, log = tmp_path / "agent.toml", tmp_path / "log.txt"
    config.write_text(configuration(tmp_path, runtime_dir, broker.port), encoding="utf-8")
    site = bench.site_process(config, "--seed", str(seconds), "--faults", FAULTS)
    rss: list[int] = []
    in_outage: set[str] = set()
    with started(python_module("agent", "--config", config, "run"), log) as agent:
        process = psutil.Process(agent.pid)
        began = time.monotonic()
        while (passed := time.monotonic() - began) < seconds:
            time.sleep(1)
            rss.append(process.memory_info().rss)
            if passed > seconds * 0.3 and not (tmp_path / "cut").exists():
                (tmp_path / "cut").touch()
                broker.kill()
                time.sleep(min(seconds * 0.1, 60))
                wait_until(lambda: waiting_pictures(tmp_path), 60, "a picture waits for the broker")
                in_outage = waiting_pictures(tmp_path)
                broker.start()
        wait_until(lambda: in_outage <= pictures_at(ioc), 40, "those of the outage are at the IOC")
        account = json.loads(stop(agent).splitlines()[-1])
        wait_until(lambda: arrived(ioc) >= account["accepted"], 30, "the IOC has everything")
        time.sleep(1)
        ioc.stop()
        site.stop()
    assert in_outage
    assert account["accepted"] == account["delivered"]
    served = served_of(site)
    check_values(served, ioc, seconds)
    check_pictures(served, ioc, seconds)
    settled = rss[len(rss) // 3 :]
    assert settled[-1] - settled[0] < 6_000_000, f"memory grows: {settled[0]} to {settled[-1]}"


def waiting_pictures(folder: Path) -> set[str]:
    """The ids of pictures that the agent has and could not send yet."""
    return {file.stem.split("-")[2] for file in (folder / "data" / "pictures" / "waiting").glob("*.jpg")}


def pictures_at(ioc: BenchIoc) -> set[str]:
    return {file.stem.split("-")[-1] for file in (ioc.pictures / "dng-hc-01").glob("*/*.jpg")}


def arrived(ioc: BenchIoc) -> int:
    rows = ioc.query("SELECT count(*) FROM reading")
    return int(rows[0][0]) if rows else 0


def served_of(site: SiteProcess) -> ServedBy:
    found: ServedBy = {}
    for one in site.served():
        found.setdefault((one.device, one.point), []).append((one.time_ms, one.value))
    return found


def check_values(served: ServedBy, ioc: BenchIoc, seconds: int) -> None:
    """Each value was served shortly before; every instrument was heard, in the first and in the last third."""
    times: dict[str, list[int]] = {}
    for device, point, time_ms, value, quality in ioc.query(
        "SELECT device, point, time_ms, value, quality FROM reading"
    ):
        if value is None or json.loads(value) is None or quality in ("com", "flt"):
            continue
        times.setdefault(device, []).append(time_ms)
        near = [v for at, v in served.get((device, point), []) if -1_500 <= time_ms - at <= LATEST_S * 1_000]
        assert json.loads(value) in near, f"{device} {point} at {time_ms}: {value} was never served"
    assert times.keys() == {name_of(profile) for profile in [*SERIAL, *CAMERAS]}
    first = min(min(of) for of in times.values())
    for device, of in times.items():
        assert max(of) > first + seconds * 600, f"{device} was last heard {max(of) - first} ms after the start"
        assert len(of) > seconds / 6, f"{device} gave {len(of)} values in {seconds} s"


def check_pictures(served: ServedBy, ioc: BenchIoc, seconds: int) -> None:
    """What the IOC has was taken by the camera, bit for bit."""
    taken = {value for _, value in served["vimicro-vc0706", "picture"]}
    files = list(ioc.pictures.glob("dng-hc-01/*/*.jpg"))
    assert len(files) >= max(1, seconds // 60)
    assert {hashlib.sha256(file.read_bytes()).hexdigest() for file in files} <= taken
