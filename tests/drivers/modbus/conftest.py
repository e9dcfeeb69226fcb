"""Devices of the bench for the tests of the Modbus kind."""

import pytest
from numbered import MakeNumbered, maker

from simulators.testing import MakeModbusDevice


@pytest.fixture
def numbered(modbus_device: MakeModbusDevice) -> MakeNumbered:
    """Make devices in which every register says where it stands."""
    return maker(modbus_device)
