"""Births, status and health: valid by the contract's schema, and what they say."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from contract_check import valid
from uplink_helpers import EPOCH, GATEWAY, said, settings

from agent.health import Hardware
from agent.model import Batch
from agent.packing import packed
from agent.settings import DeviceSettings, LinkSettings, PolledPoint, Settings, SiteSettings
from agent.uplink.formats import Moment
from agent.uplink.formats.ocg1 import Ocg1, config_hash
from drivers.profile import Point, Profile


class Spec:
    kind = "modbus"


class Options:
    transport = "rtu"


def site(folder: Path) -> Settings:
    """One meter on an RS-485 bus, one weather mast on a serial port."""
    voltage = Point(name="voltage", unit="V", range=(0.0, 300.0))
    relay = Point(name="relay", enum={"0": "off", "1": "on"})
    profile = Profile(
        vendor="E", model="M", kind="modbus", source="a manual", label={"en": "Meter"}, point=(voltage, relay)
    )
    meter = DeviceSettings(
        name="meter-1", link="bus-1", profile_name="e/m", profile=profile, unit=1,
        points=(PolledPoint(voltage, 10.0, 0.5, 60.0), PolledPoint(relay, 0.05)),
        label={"vi": "Điện kế tủ 1"}, station="DNG-01", location=(108.2, 16.1),
    )  # fmt: skip
    mast = msgspec.structs.replace(meter, name="mast-1", link="mast", label={}, station="", location=None)
    link: Any = Spec()
    stream: Any = type("Stream", (), {"kind": "serial"})()
    return msgspec.structs.replace(
        settings(1883, folder),
        site=SiteSettings(oc="oc-haichau", name={"vi": "OC quận Hải Châu"}, location=(108.2208, 16.0678)),
        links=(LinkSettings("bus-1", link, Options()), LinkSettings("mast", stream, object())),
        devices=(meter, mast),
    )


NOW = Moment(EPOCH, boot=3, connection=1, time_ms=1_795_432_800_000)


@pytest.fixture
def ocg1(tmp_path: Path) -> Ocg1:
    return Ocg1(site(tmp_path))


def test_births_are_valid_and_say_what_is_configured(ocg1: Ocg1) -> None:
    hardware = Hardware(model="Raspberry Pi 4 Model B Rev 1.5", serial="10000000abcdef01")
    gateway, meter, mast, gone = ocg1.births(NOW, hardware, {"old-1"})
    birth = valid("birth", gateway.payload)
    assert birth["devices"] == ["meter-1", "mast-1"]
    assert birth["capabilities"] == {"encodings": ["json", "deflate", "rows"], "commands": []}
    device = valid("device_birth", meter.payload)
    assert (device["link"], device["name"], device["station"]) == ("modbus-rtu", {"vi": "Điện kế tủ 1"}, "DNG-01")
    assert device["points"] == [
        {"name": "voltage", "type": "f64", "unit": "V", "min": 0.0, "max": 300.0, "interval_ms": 10_000,
         "deadband": 0.5, "heartbeat_ms": 60_000},
        {"name": "relay", "type": "string", "unit": "1", "interval_ms": 50},
    ]  # fmt: skip
    other = valid("device_birth", mast.payload)
    assert (other["link"], other["name"]) == ("serial", {"en": "Meter"})
    assert not {"station", "location"} & other.keys()
    assert (gone.topic, gone.payload, gone.retain) == (f"ocg/v1/{GATEWAY}/up/birth/old-1", b"", True)


def test_a_machine_that_tells_nothing_of_itself_has_no_hardware_in_its_birth(ocg1: Ocg1) -> None:
    assert "hardware" not in valid("birth", next(ocg1.births(NOW, Hardware(), ())).payload)


@pytest.mark.parametrize(("why", "online"), [("connect", True), ("will", False), ("stop", False)])
def test_status_is_valid_and_online_only_when_connected(ocg1: Ocg1, why: Any, online: bool) -> None:
    assert valid("status", ocg1.status(NOW, why).payload)["online"] is online


def test_health_is_valid(ocg1: Ocg1) -> None:
    figures = {
        "uptime_s": 5,
        "clock": {"state": "sync"},
        "outbox": {"undelivered": 1, "low": 1, "high": 1, "oldest_s": 0.1, "bytes": 1, "dead": 0, "dropped": 0},
        "system": {"cpu_pct": 1.0, "memory_pct": 2.0, "disk_free_bytes": 3, "rss_bytes": 4},
        "links": [{"link": "bus-1", "up": True, "requests": 1, "late": 0, "load_pct": 3.5}],
    }
    message = ocg1.health(NOW, figures)
    valid("health", message.payload)
    assert not message.retain


def test_the_config_hash_is_the_same_for_the_same_births_and_another_for_others(tmp_path: Path) -> None:
    first = site(tmp_path)
    assert config_hash(first) == config_hash(site(tmp_path))
    assert len(config_hash(first)) == 8
    meter = first.devices[0]
    changed = [
        msgspec.structs.replace(first, devices=(meter,)),
        msgspec.structs.replace(first, devices=(msgspec.structs.replace(meter, station="X"), first.devices[1])),
        msgspec.structs.replace(first, site=SiteSettings(oc="oc-lienchieu")),
    ]
    assert len({config_hash(other) for other in (first, *changed)}) == 4


def test_the_config_hash_does_not_depend_on_how_the_broker_is_reached(tmp_path: Path) -> None:
    first = site(tmp_path)
    uplink = msgspec.structs.replace(first.uplink, port=1, keepalive_s=5)
    assert config_hash(msgspec.structs.replace(first, uplink=uplink)) == config_hash(first)


@pytest.mark.parametrize(
    ("kind", "live", "late"),
    [
        ("data", "data", "backfill"), ("event", "event", "event"), ("snapshot", "snapshot", "snapshot"),
        ("result", "result", "result"),
    ],
)  # fmt: skip
def test_a_batch_has_the_same_bytes_on_both_lanes(kind: Any, live: str, late: str, tmp_path: Path) -> None:
    encoder = Ocg1(settings(1883, tmp_path))
    batch = Batch(seq=1, kind=kind, payload=b"{}", readings=0, sealed_ms=0)
    assert encoder.encode(batch, "live") == (f"ocg/v1/{GATEWAY}/up/{live}", b"{}", 604_800, False)
    assert encoder.encode(batch, "backfill") == (f"ocg/v1/{GATEWAY}/up/{late}", b"{}", 604_800, False)


def test_only_long_payloads_are_packed() -> None:
    short, long = b'{"a":1}', b'{"a":"' + b"x" * 600 + b'"}'
    assert packed(short) == short
    assert packed(long)[:1] == b"\x78"
    assert said(packed(long)) == {"a": "x" * 600}


def test_the_birth_says_which_commands_there_are(tmp_path: Path) -> None:
    birth = valid("birth", next(Ocg1(site(tmp_path), ["snapshot"]).births(NOW, Hardware(), set())).payload)
    assert birth["capabilities"]["commands"] == ["snapshot"]
