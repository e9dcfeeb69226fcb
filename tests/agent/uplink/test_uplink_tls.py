"""TLS of the uplink against real brokers: every fault has its name, and each is a way to nowhere."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from tls_lab import GATEWAY, Faults, TlsLab

from agent.uplink.errors import NotTheTime, UplinkDown, UplinkRefused
from agent.uplink.faults import FAULTS
from agent.uplink.mqtt import MqttOptions, Will, connect
from simulators.testing import Bench

WILL = Will(f"ocg/v1/{GATEWAY}/up/status", b'{"online":false}')


@pytest.fixture
def lab(bench: Bench, tmp_path: Path) -> TlsLab:
    return TlsLab(bench, tmp_path)


def nothing(topic: str, payload: bytes) -> None:
    pass


def options(**uplink: object) -> MqttOptions:
    given: dict[str, object] = {"client_id": GATEWAY, "will": WILL, "connect_timeout_s": 3.0, **uplink}
    return MqttOptions(**given)  # type: ignore[arg-type]


async def failure(given: MqttOptions) -> UplinkDown:
    with pytest.raises(UplinkDown) as caught:
        async with connect(given, nothing):
            pass
    return caught.value


@pytest.mark.parametrize("name", Faults.names())
async def test_each_fault_is_refused_and_said_by_its_name(lab: TlsLab, name: str) -> None:
    with ExitStack() as stack:
        uplink = getattr(Faults(lab, stack), name)()
        down = await failure(options(**uplink))
    assert down.fault, down.reason
    assert down.fault.code == name.partition("__")[0], down.reason
    named = FAULTS[down.fault.code].what
    assert (str(lab.folder) if "{file}" in named else f"//{uplink['host']}:{uplink['port']}") in down.reason
    assert "…" not in down.reason.replace("clock of this gateway says …", "")
    assert isinstance(down, NotTheTime) is (down.fault.code in {"expired", "not_yet_valid"})
    assert isinstance(down, UplinkRefused) is ("refuses us" in FAULTS[down.fault.code].what)


def test_every_fault_that_has_a_name_is_made_here() -> None:
    assert {name.partition("__")[0] for name in Faults.names()} == FAULTS.keys()
