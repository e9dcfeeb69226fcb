"""The helpers beside this file. Everything that the agent publishes here is checked."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from contract_check import faults_of

from agent.clock import SystemClock
from agent.uplink.mqtt import MqttSession

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def wall_ms() -> Callable[[], int]:
    """The wall clock, in milliseconds since 1970."""
    return SystemClock().wall_ms


@pytest.fixture(autouse=True)
def published(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The topics of all that the agent publishes; a message that the contract forbids fails the test.

    A recorder beside the broker would be a subscriber, and change the PUBACKs of tests that have none.
    """
    topics: list[str] = []
    faults: list[str] = []
    send = MqttSession.send

    def checked(
        self: MqttSession, topic: str, payload: bytes, *, qos: Any = 1, retain: bool = False, **more: Any
    ) -> Any:
        topics.append(topic)
        faults.extend(faults_of(topic, payload, qos, retain=retain))
        return send(self, topic, payload, qos=qos, retain=retain, **more)

    monkeypatch.setattr(MqttSession, "send", checked)
    yield topics
    assert faults == []
