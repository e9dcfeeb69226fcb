from typing import Any

import pytest

from agent.cli.messages import set_language
from agent.cli.status import _show

REPORT: dict[str, Any] = {
    "gateway": "dng-hc-01",
    "version": "1.0.0",
    "clock": "sync",
    "hold_unsynced_s": 900.0,
    "uplink": {"connected": False, "broker": "mqtts://ioc:8883", "error": "certificate has expired", "ack": "ioc"},
    "outbox": {"undelivered": 7, "oldest_s": 42.0, "bytes": 1_000},
    "account": {
        "accepted": 1_000,
        "delivered": 900,
        "stored": 88,
        "waiting": 12,
        "lost": {"damaged": 5, "forgotten": 7},
    },
    "links": [
        {
            "link": "bus-1",
            "endpoint": "/dev/ttyUSB0",
            "up": True,
            "error": None,
            "devices": [
                {
                    "device": "meter-1",
                    "error": None,
                    "points": [{"point": "voltage", "value": 230.2, "unit": "V", "quality": "", "age_s": 0.4}],
                },
                {
                    "device": "room-1",
                    "error": "no reply within 0.5 s",
                    "points": [{"point": "temperature", "value": None, "unit": "Cel", "quality": "com", "age_s": 9.0}],
                },
                {"device": "room-2", "error": None, "points": []},
            ],
        },
        {"link": "bus-2", "endpoint": "/dev/ttyUSB1", "up": False, "error": "no such port", "devices": []},
    ],
}


def _text(capsys: pytest.CaptureFixture[str], language: str = "en", **changes: Any) -> str:
    set_language(language)
    _show({**REPORT, **changes})
    set_language("en")
    return capsys.readouterr().out


def test_values_stand_with_unit_quality_and_age(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line.split() for line in _text(capsys).splitlines()]
    assert ["meter-1", "voltage", "230.2", "V", "good", "0.4", "s"] in lines
    assert ["room-1", "temperature", "—", "Cel", "com", "9", "s"] in lines


def test_what_is_wrong_is_said_in_its_own_words(capsys: pytest.CaptureFixture[str]) -> None:
    text = _text(capsys)
    for words in ("certificate has expired", "no reply within 0.5 s", "DOWN: no such port", "not read yet"):
        assert words in text


def test_how_busy_a_line_is_and_who_has_it_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    link = REPORT["links"][0] | {"busy_pct": 36.4, "answered_pct": 99.8}
    assert "(/dev/ttyUSB0): up; line busy 36.4 %, answered 99.8 %" in _text(capsys, links=[link])
    lent = {"pid": 4711, "uid": 0, "purpose": "scan", "for_s": 12.3}
    text = _text(capsys, links=[link | {"up": False, "error": "lent", "lent": lent, "answered_pct": None}])
    assert "(/dev/ttyUSB0): lent to scan, pid 4711, for 12 s\n" in text


def test_a_loop_that_is_not_pythons_own_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert "clock sync, uvloop\n" in _text(capsys, loop="uvloop")
    assert "clock sync\n" in _text(capsys, loop="asyncio")
    assert "clock sync\n" in _text(capsys)  # of an agent before 0.1


def test_the_account_is_on_the_first_screen(capsys: pytest.CaptureFixture[str]) -> None:
    assert "1000 readings = 900 delivered + 88 waiting + 12 lost" in _text(capsys)


def test_readings_that_wait_for_the_clock_are_said_on_the_first_screen(capsys: pytest.CaptureFixture[str]) -> None:
    assert "wait for it" not in _text(capsys)
    assert "12 readings wait for it, at most 900 s" in _text(capsys, clock="unsync")
    assert "đồng hồ chưa được chỉnh" in _text(capsys, "vi", clock="unsync")
    assert "wait for it" not in _text(capsys, clock="unsync", hold_unsynced_s=0.0)


def test_pictures_are_counted_where_a_camera_takes_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert "pictures" not in _text(capsys)
    camera = {"device": "cam-01", "error": None, "points": [], "pictures": 5, "pictures_failed": 1}
    link = {"link": "cam", "endpoint": "/dev/ttyUSB2", "up": True, "error": None, "devices": [camera]}
    shown = _text(capsys, links=[link], pictures={"waiting": 2, "bytes": 90_000})
    assert "5 taken, 1 failed; 2 wait to be sent; 90000 bytes on disk" in shown
