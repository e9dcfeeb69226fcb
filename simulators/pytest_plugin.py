"""Fixtures for tests of gateways: simulated devices, a broker, an IOC, and what goes wrong with them.

Comes with `pip install "oc-agent[sim]"`; nothing is to be imported. One bench a test: what a fixture has started ends
with the test, and what has failed in a simulator fails the test. `--sim-seed N` gives other values and other draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # what is here is loaded in every run of pytest beside this package: nothing that takes time
    from simulators.testing import (
        Bench,
        BenchBroker,
        BenchIoc,
        FaultBoard,
        MakeModbusDevice,
        MakeSerialDevice,
        RawLine,
        ScriptedBroker,
        SimulatedSite,
        SiteProcess,
    )


def pytest_addoption(parser: pytest.Parser) -> None:
    """The seed is asked for by name, so that a run that failed can be had again."""
    group = parser.getgroup("oc-sim", "simulated devices, broker and IOC")
    group.addoption("--sim-seed", type=int, default=0, metavar="N", help="the seed of simulated values and faults")


@pytest.fixture
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Everything that a gateway needs around it; the other fixtures put things on it."""
    from simulators.testing import Bench

    with Bench(tmp_path / "bench", request.config.getoption("--sim-seed")) as one:
        yield one


@pytest.fixture(scope="session")
def session_bench(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A bench for the whole run, to make fixtures of a wider scope of it: a broker that all tests of a module share."""
    from simulators.testing import Bench

    with Bench(tmp_path_factory.mktemp("bench"), request.config.getoption("--sim-seed")) as one:
        yield one


@pytest.fixture
def modbus_device(bench: Bench) -> MakeModbusDevice:
    """Make Modbus devices: `modbus_device("eastron/sdm120")`, `modbus_device(holding={0: [230, 5]})`."""
    return bench.modbus_device


@pytest.fixture
def serial_device(bench: Bench) -> MakeSerialDevice:
    """Make serial instruments: `serial_device("nmea/weather-station")`."""
    return bench.serial_device


@pytest.fixture
def serial_line(bench: Bench) -> Callable[..., RawLine]:
    """Make serial lines on which the test itself speaks: `serial_line().say(b"...")`."""
    return bench.serial_line


@pytest.fixture
def camera_device(bench: Bench) -> MakeSerialDevice:
    """Make serial cameras: `camera_device("vimicro/vc0706")`."""
    return bench.camera_device


@pytest.fixture
def site(bench: Bench) -> Callable[[Path], SimulatedSite]:
    """Make a device for each device of an agent's configuration: `site(tmp_path / "agent.toml")`."""
    return bench.site


@pytest.fixture
def site_process(bench: Bench) -> Callable[..., SiteProcess]:
    """The same as a process of its own, which can be killed: `site_process(tmp_path / "agent.toml")`."""
    return bench.site_process


@pytest.fixture
def broker(bench: Bench) -> BenchBroker:
    """A real broker on a free port of loopback."""
    return bench.broker()


@pytest.fixture
def ioc(bench: Bench, broker: BenchBroker) -> BenchIoc:
    """The reference IOC behind `broker`."""
    return bench.ioc(broker)


@pytest.fixture
def scripted_broker(bench: Bench) -> Iterator[ScriptedBroker]:
    """A broker that the test plays, packet by packet; what the client does that no client may fails the test."""
    one = bench.scripted_broker()
    yield one
    assert one.errors == []


@pytest.fixture
def faults(bench: Bench) -> FaultBoard:
    """What is wrong with the devices of this test: `faults.add("no_reply on=device-1 for=5")`."""
    return bench.faults
