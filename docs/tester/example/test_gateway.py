"""The gateway beside a simulated meter and a real broker. The fixtures come with oc-agent[sim]."""

import subprocess
import sys

import pytest


@pytest.fixture
def meter(modbus_device):
    meter = modbus_device("eastron/sdm120", name="meter-1")
    meter.set("voltage", 230)
    meter.set("current", 5)
    return meter


@pytest.fixture
def published(meter, broker):
    """What the gateway publishes: topic and value."""
    heard = broker.subscribe("meters/#")
    command = [sys.executable, "gateway.py", f"{meter.host}:{meter.tcp_port}", f"{broker.host}:{broker.port}"]
    with subprocess.Popen(command) as gateway:
        yield heard
        gateway.terminate()


def test_a_voltage_arrives(published):
    assert published.wait_for(1)[0].json()["value"] == 230


def test_a_late_answer_is_not_taken_for_another(meter, published):
    published.wait_for(3)
    meter.fault("late min_s=0.6 max_s=0.8 for=1")
    asked = len(meter.requests)
    meter.wait_for_requests(asked + 9)
    currents = {one.json()["value"] for one in published.messages if one.topic == "meters/meter-1/current"}
    assert currents == {5.0}
