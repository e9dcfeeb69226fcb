"""What all tests share: the machine's tools and fake time."""

import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from scripted_broker import ScriptedBroker

import agent

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="run the long tests")
    parser.addoption("--soak-seconds", type=float, default=600.0, help="how long the soak of the whole agent takes")
    parser.addoption("--soak-seed", type=int, help="the seed that a soak has printed; default: another each time")


def pytest_configure(config: pytest.Config) -> None:
    if "OC_TEST_INSTALLED" in os.environ and Path(agent.__file__).is_relative_to(ROOT / "agent"):
        raise pytest.UsageError(f"the installed wheel is to be tested, but agent is {agent.__file__}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--soak"):
        for item in items:
            if item.get_closest_marker("soak"):
                item.add_marker(pytest.mark.skip(reason="long: run `make soak`"))


@pytest.fixture(scope="session")
def mosquitto() -> str:
    """The path of a real broker; a machine without one cannot run these tests."""
    path = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    assert path, "mosquitto is not installed: apt-get install mosquitto"
    return path


@pytest.fixture
def oc_agent() -> list[str]:
    """The command line of the agent under test."""
    return [sys.executable, "-m", "agent"]


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedBroker]:
    """A broker that the test plays; what the client does that the standard or the contract forbids fails the test."""
    async with ScriptedBroker() as broker:
        yield broker
    assert broker.errors == []
