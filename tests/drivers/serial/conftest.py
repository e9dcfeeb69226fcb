"""Shipped profiles and a real pty for the tests of the serial kind."""

from collections.abc import Callable

import pytest
from serial_profiles import shipped

from drivers.serial.profile import SerialProfile
from simulators.testing import RawLine


@pytest.fixture(scope="session")
def nmea() -> SerialProfile:
    return shipped("nmea/weather-station")


@pytest.fixture(scope="session")
def pms() -> SerialProfile:
    return shipped("plantower/pms5003")


@pytest.fixture
def line(serial_line: Callable[..., RawLine]) -> RawLine:
    """Where the instrument is plugged in; the test says what it says."""
    return serial_line()
