"""A fault that can happen on nothing of a site is refused, with what to write."""

from pathlib import Path

import pytest

from simulators.faults.fault import BadFault, make_fault, parse_fault
from simulators.site.faults import check_on_site
from simulators.site.reading import Site, load_site

SITE = """
[[link]]
name = "bus"
kind = "modbus"
transport = "rtu"
port = "/tmp/bus"
[[link]]
name = "ups"
kind = "modbus"
transport = "tcp"
host = "127.0.0.1"
tcp_port = 1502
[[link]]
name = "weather"
kind = "serial"
port = "/tmp/weather"
[[device]]
name = "meter-1"
link = "bus"
unit = 1
profile = "eastron/sdm120"
[[device]]
name = "meter-2"
link = "bus"
unit = 2
profile = "eastron/sdm120"
[[device]]
name = "ups-1"
link = "ups"
unit = 1
profile = "apc/smart-ups"
[[device]]
name = "station"
link = "weather"
profile = "nmea/weather-station"
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    file = tmp_path / "agent.toml"
    file.write_text(SITE, encoding="utf-8")
    return load_site(file)


@pytest.mark.parametrize(
    "text",
    [
        "no_reply on=meter-1", "no_reply on=bus", "no_reply", "wrong_crc on=weather", "wrong_crc on=bus", "exception",
        "unplug on=bus", "unplug on=station", "unplug on=ups-1", "reset on=ups-1", "reset", "frozen on=station",
        "babble on=bus", "slow on=bus",
    ],
)  # fmt: skip
def test_what_can_happen_is_taken(site: Site, text: str) -> None:
    check_on_site(parse_fault(text), site)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("no_reply on=meter-3", 'no device or link "meter-3".*meter-'),
        ("unplug on=meter-1", 'the whole line, and meter-2 is on it too: write on = "bus"'),
        ("exception on=station", "weather, which speaks bytes: it needs one of ascii, rtu, tcp"),
        ("wrong_crc on=ups-1", "ups, which speaks tcp"),
        ("reset on=bus", "bus, which is a serial port: it needs a TCP port"),
        ("one_connection on=weather", "it needs a TCP port"),
        ("disk_full on=meter-1", "cannot happen on"),
        ("nack", "cannot happen on"),
    ],
)
def test_what_cannot_happen_is_refused_with_what_to_write(site: Site, text: str, says: str) -> None:
    with pytest.raises(BadFault, match=says):
        check_on_site(parse_fault(text), site)


def test_a_share_is_of_messages_only() -> None:
    assert parse_fault("nack=0.1").share == 0.1
    assert parse_fault("puback_lost=0.1").share == 0.1
    assert parse_fault("babble=30").every_s == 30
    with pytest.raises(BadFault, match="happens to no messages"):
        make_fault({"name": "unplug", "share": 0.5})


def test_a_device_that_reboots_comes_up_again() -> None:
    assert parse_fault("reboot on=a").for_s == 3.0
    assert parse_fault("reboot on=a for=9").for_s == 9.0
