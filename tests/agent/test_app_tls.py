"""The agent as a process of its own, over mutual TLS, with a certificate that ends soon."""

import json
import subprocess
import zlib
from pathlib import Path
from typing import Any

import pytest
from agent_config import METER
from processes import python_module, started, stop, wait_until
from tls_lab import GATEWAY, TlsLab, Uplink

from agent.uplink.mqtt.tls.certificate import certificate_in
from simulators.testing import Bench, BenchBroker, Message, Pair

CONFIG = (
    """\
[gateway]
id = "dng-hc-01"
data_dir = "data"
runtime_dir = "run"
[site]
oc = "oc-haichau"
[clock]
hold_unsynced_s = 0
[outbox]
batch_interval_s = 0.1
"""
    + METER
    + """\
interval_s = 0.5
points = ["voltage"]
[uplink]
ack = "broker"
drain_s = 0.5
"""
)


class Gateway:
    """A folder with a configuration, and the verbs of the command line on it."""

    def __init__(self, folder: Path, uplink: Uplink) -> None:
        self.folder = folder
        self.command = python_module("agent", "--lang", "en", "--config", folder / "agent.toml")
        lines = (f"{key} = {json.dumps(value)}\n" for key, value in uplink.items())
        (folder / "agent.toml").write_text(CONFIG + "".join(lines), encoding="utf-8")

    def asked(self, *verb: str) -> tuple[int, Any]:
        done = subprocess.run([*self.command, *verb, "--json"], capture_output=True, text=True, check=False)
        return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


@pytest.fixture
def lab(bench: Bench, tmp_path: Path) -> TlsLab:
    return TlsLab(bench, tmp_path)


@pytest.fixture
def heard(lab: TlsLab) -> tuple[BenchBroker, list[Message]]:
    """A broker with mutual TLS, and what is said on its plain port."""
    broker = lab.broker(lab.server, mutual=True)
    return broker, broker.client("ocg/v1/#").messages


def _expiring(messages: list[Message]) -> list[dict[str, Any]]:
    """Each event once: a batch may be sent again."""
    events = [_said(one.payload)["event"] for one in messages if one.topic.endswith("/up/event")]
    return [*{event["id"]: event for event in events if event["type"] == "certificate.expiring"}.values()]


def test_the_end_of_a_certificate_is_told_once_shown_and_examined(
    lab: TlsLab, heard: tuple[BenchBroker, list[Message]]
) -> None:
    broker, messages = heard
    own: Pair = lab.city.issue(GATEWAY, days=12)
    expires_ms = certificate_in(own.certificate).expires_ms
    gateway = Gateway(lab.folder, lab.trusting(broker.port) | lab.presenting(own))
    with started([*gateway.command, "run"], lab.folder / "agent.log") as process:
        status = wait_until(lambda: _connected(gateway), 20, "the agent is connected")
        wait_until(lambda: _expiring(messages), 10, "the end of the certificate is told")
        assert status["certificate"] == {"file": str(own.certificate), "expires_ms": expires_ms}
        code, examined = gateway.asked("doctor", "--only", "configuration", "--only", "broker")
        states = {finding["check"]: finding["state"] for finding in examined["findings"]}
        assert code == 0
        assert (states["own_certificate"], states["tls"], states["login"]) == ("warn", "ok", "ok")
        assert _connected(gateway)["uplink"]["connection"] == 1, "the doctor has cut the connection"
        stop(process)
    with started([*gateway.command, "run"], lab.folder / "agent.log") as process:
        wait_until(lambda: len(_healths(messages)) == 2, 20, "the agent has come back")
        stop(process)
    assert _healths(messages)[1]["certificate"]["expires_ms"] == expires_ms
    (event,) = _expiring(messages)
    assert event["severity"] == "minor"
    assert str(own.certificate) in event["message"]["vi"]


def test_what_is_wrong_with_the_broker_stands_in_status_by_name_and_in_the_log(lab: TlsLab) -> None:
    broker = lab.broker(lab.expired("broker", "IP:127.0.0.1"))
    gateway = Gateway(lab.folder, lab.trusting(broker.port))
    with started([*gateway.command, "run"], lab.folder / "agent.log") as process:
        status = wait_until(lambda: _faulty(gateway), 20, "the fault is in status")
        assert status["uplink"]["fault"]["code"] == "expired"
        vietnamese = subprocess.run(
            [*python_module("agent", "--lang", "vi", "--config", lab.folder / "agent.toml"), "status"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert "đã hết hạn; đồng hồ của gateway là 20" in vietnamese.stdout
        code, examined = gateway.asked("doctor", "--only", "configuration", "--only", "broker")
        assert code == 1
        assert {finding["code"] for finding in examined["findings"] if finding["code"]} == {"expired"}
        stop(process)
    assert "certificate has expired; the clock of this gateway says 20" in (lab.folder / "agent.log").read_text()


def _healths(messages: list[Message]) -> list[dict[str, Any]]:
    return [_said(one.payload) for one in messages if one.topic.endswith("/up/health")]


def _said(payload: bytes) -> dict[str, Any]:
    return dict(json.loads(zlib.decompress(payload) if payload[:1] == b"\x78" else payload))


def _connected(gateway: Gateway) -> Any:
    code, status = gateway.asked("status")
    return status if code == 0 and status["uplink"]["connected"] else None


def _faulty(gateway: Gateway) -> Any:
    code, status = gateway.asked("status")
    return status if code == 0 and status["uplink"]["fault"] else None
