"""The end of the gateway's certificate is told in time, once."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fake_clock import FakeClock
from uplink_helpers import settings

from agent.clock import ClockState
from agent.model import Event
from agent.settings import Settings
from agent.uplink.expiry import DAY_MS, FILE_NAME, ExpiryWatch, Told, due
from agent.uplink.mqtt.tls.certificate import Certificate, certificate_in
from simulators.brokers.certificates import Authority

CERTIFICATE = Certificate(name="a", issuer="b", begins_ms=0, expires_ms=100 * DAY_MS, fingerprint="f")


@pytest.fixture
def given(tmp_path: Path) -> Settings:
    clock = FakeClock()
    end = datetime.fromtimestamp(clock.wall_ms() / 1000, UTC) + timedelta(days=40)
    own = Authority(tmp_path / "city").issue("dng-hc-01", valid=(datetime(2020, 1, 1, tzinfo=UTC), end))
    return settings(1, tmp_path, tls=True, cert_file=str(own.certificate), key_file=str(own.key))


async def _days(given: Settings, clock: FakeClock, days: int, watch: ExpiryWatch) -> None:
    for _ in range(days):
        clock.advance(86_400)
        await watch.look()


async def test_each_day_that_matters_is_told_once_with_file_date_and_days(given: Settings) -> None:
    clock, events = FakeClock(), list[Event]()
    watch = ExpiryWatch(given, clock, events.append)
    await _days(given, clock, 45, watch)
    assert [(event.type, event.severity) for event in events] == [
        ("certificate.expiring", severity) for severity in ("minor", "minor", "major", "critical")
    ]
    date = f"{datetime.fromtimestamp(certificate_in(Path(watch.file)).expires_ms / 1000, UTC):%Y-%m-%d}"
    for event, left in zip(events, (30, 14, 7, 1), strict=True):
        for text in event.message.values():
            assert watch.file in text
            assert date in text
            assert f"còn {left} ngày" in text or f"days left: {left})" in text
    assert watch.certificate == certificate_in(Path(watch.file))


async def test_what_was_told_before_a_restart_is_not_told_again(given: Settings) -> None:
    clock, events = FakeClock(), list[Event]()
    for _ in range(45):
        watch = ExpiryWatch(given, clock, events.append)
        await _days(given, clock, 1, watch)
    assert len(events) == 4


async def test_a_gateway_that_looks_late_tells_the_nearest_day_only_and_a_renewed_certificate_anew(
    given: Settings, tmp_path: Path
) -> None:
    clock, events = FakeClock(), list[Event]()
    watch = ExpiryWatch(given, clock, events.append)
    clock.advance(41 * 86_400)
    await watch.look()
    await watch.look()
    assert [event.severity for event in events] == ["critical"]
    assert "has expired on" in events[0].message["en"]
    end = datetime.fromtimestamp(clock.wall_ms() / 1000, UTC) + timedelta(days=10)
    new = Authority(tmp_path / "new").issue("dng-hc-01", valid=(datetime(2020, 1, 1, tzinfo=UTC), end))
    Path(watch.file).write_bytes(new.certificate.read_bytes())
    await watch.look()
    assert [event.severity for event in events] == ["critical", "minor"]


async def test_a_clock_that_was_never_set_is_believed_only_when_its_time_to_be_set_is_over(given: Settings) -> None:
    clock, events = FakeClock(), list[Event]()
    clock.clock_state = ClockState.UNSYNC
    watch = ExpiryWatch(given, clock, events.append)
    clock.wall_at_zero_ms += 20 * DAY_MS
    await watch.look()
    assert not events
    clock.advance(given.clock.hold_unsynced_s)
    await watch.look()
    assert len(events) == 1


async def test_a_certificate_that_cannot_be_read_stops_nothing(given: Settings, tmp_path: Path) -> None:
    watch = ExpiryWatch(given, FakeClock(), lambda event: None)
    await watch.look()
    assert watch.certificate
    Path(watch.file).write_text("spoiled")
    await watch.look()
    assert watch.certificate is None


@pytest.mark.parametrize("spoil", [lambda file: file.write_bytes(b"{"), lambda file: file.mkdir()])
async def test_a_broken_file_of_what_was_told_costs_one_event_and_no_more(
    given: Settings, spoil: Callable[[Path], None], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    spoil(tmp_path / FILE_NAME)
    clock, events = FakeClock(), list[Event]()
    clock.advance(35 * 86_400)
    watch = ExpiryWatch(given, clock, events.append)
    await watch.look()
    await watch.look()
    assert len(events) == 1
    assert {r.levelno for r in caplog.records if "told once more" in r.message} == {logging.WARNING}


def test_days_count_from_the_nearest() -> None:
    now = {days: (100 - days) * DAY_MS for days in (31, 30, 14, 8, 7, 1, 0, -5)}
    assert {days: due(CERTIFICATE, now_ms, None) for days, now_ms in now.items()} == {
        31: None, 30: 30, 14: 14, 8: 14, 7: 7, 1: 1, 0: 1, -5: 1,
    }  # fmt: skip
    assert due(CERTIFICATE, now[7], Told("f", 7)) is None
    assert due(CERTIFICATE, now[7], Told("f", 14)) == 7
    assert due(CERTIFICATE, now[7], Told("another", 1)) == 7
