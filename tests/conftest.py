"""What all tests share: their options, and the plugin's fixtures as this project wants them."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from contract_check import faults_of
from hypothesis import HealthCheck, settings

import agent
from agent.event_loop import VARIABLE, loop_factory
from simulators.testing import BenchBroker, ScriptedBroker

ROOT = Path(__file__).resolve().parent.parent
UMASK = 0o022
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="run the long tests")
    parser.addoption("--soak-seconds", type=float, default=600.0, help="how long the soak of the whole agent takes")
    parser.addoption("--soak-seed", type=int, help="the seed that a soak has printed; default: another each time")
    parser.addoption("--uvloop", action="store_true", help="run tests and their agents on uvloop")


def pytest_configure(config: pytest.Config) -> None:
    if "OC_TEST_INSTALLED" in os.environ and Path(agent.__file__).is_relative_to(ROOT / "agent"):
        raise pytest.UsageError(f"the installed wheel is to be tested, but agent is {agent.__file__}")
    if config.getoption("--uvloop"):
        os.environ[VARIABLE] = "uvloop"
        config.pluginmanager.register(OnUvloop())


class OnUvloop:
    """The loop of each asynchronous test."""

    def pytest_asyncio_loop_factories(self) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
        factory = loop_factory()
        assert factory, "uvloop is not installed: pip install uvloop"
        return {"uvloop": factory}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--soak"):
        for item in items:
            if item.get_closest_marker("soak"):
                item.add_marker(pytest.mark.skip(reason="long: run `make soak`"))


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    """Each test begins with the umask of the first: make-certs sets that of its process, and some tests are its process."""
    yield
    os.umask(UMASK)


@pytest.fixture
def broker(broker: BenchBroker) -> BenchBroker:
    """A mosquitto that runs; the embedded broker knows too little for these tests."""
    assert broker.name == "mosquitto", "mosquitto is not installed: apt-get install mosquitto"
    return broker


@pytest.fixture
def oc_agent() -> list[str]:
    """The command line of the agent under test."""
    return [sys.executable, "-m", "agent"]


@pytest.fixture
def scripted_broker(scripted_broker: ScriptedBroker) -> ScriptedBroker:
    """A broker that the test plays; what the client does that the contract forbids fails the test too."""
    scripted_broker.check = faults_of
    return scripted_broker
