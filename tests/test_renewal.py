"""The whole chain over mutual TLS while all certificates are replaced: devices, agent, broker, reference IOC."""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import python_module, started, stop, wait_until
from tls_lab import GATEWAY, TlsLab

from simulators.endpoints import free_port
from simulators.testing import Bench, BenchIoc, Pair

CONFIG = """\
[gateway]
id = "dng-hc-01"
data_dir = "{folder}/data"
runtime_dir = "{runtime}"
[site]
oc = "oc-haichau"
[uplink]
host = "127.0.0.1"
port = {port}
ca_file = "ca.pem"
cert_file = "gw.pem"
key_file = "gw.key"
[outbox]
batch_interval_s = 0.2
[clock]
hold_unsynced_s = 0
[[link]]
name = "ups"
kind = "modbus"
transport = "tcp"
host = "127.0.0.1"
tcp_port = {tcp}
[[device]]
name = "ups-1"
link = "ups"
profile = "apc/smart-ups"
unit = 1
interval_s = 0.2
"""


@pytest.fixture
def runtime_dir() -> Iterator[Path]:
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shm if os.access(shm, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.mark.soak
def test_a_gateway_outlives_its_certificates_and_its_authority(tmp_path: Path, runtime_dir: Path, bench: Bench) -> None:
    lab, log = TlsLab(bench, tmp_path), tmp_path / "agent.log"
    both = lab.text("both.pem", lab.city.certificate.read_bytes() + lab.stranger.certificate.read_bytes())
    put(tmp_path / "ca.pem", lab.city.certificate)
    put_pair(tmp_path, lab.own)
    config = tmp_path / "agent.toml"
    broker = lab.broker(lab.server, client_ca=both)
    text = CONFIG.format(folder=tmp_path, runtime=runtime_dir, port=broker.port, tcp=free_port())
    config.write_text(text, encoding="utf-8")
    ioc = bench.ioc(broker)
    bench.site(config)
    with started(python_module("agent", "--config", config, "run"), log) as agent:
        wait_until(lambda: readings(ioc) > 20, 30, "readings at the IOC")
        put_pair(tmp_path, lab.city.issue(GATEWAY, file="second"))
        connected(config, 2)
        put(tmp_path / "ca.pem", both)
        connected(config, 3)
        put_pair(tmp_path, lab.stranger.issue(GATEWAY))
        connected(config, 4)
        before = readings(ioc)
        wait_until(lambda: readings(ioc) > before + 20, 30, "readings go on")
        account = json.loads(stop(agent))
        wait_until(lambda: readings(ioc) >= account["accepted"], 15, "the IOC has everything")
        ioc.stop()
    assert account["lost"] == {}
    assert account["accepted"] == account["delivered"] == readings(ioc)
    print(account, log.read_text().count("connected to"))


def put(path: Path, source: Path) -> None:
    """By renaming, as tools do it."""
    new = path.with_suffix(".new")
    new.write_bytes(source.read_bytes())
    new.chmod(0o600)
    new.replace(path)


def put_pair(folder: Path, pair: Pair) -> None:
    put(folder / "gw.key", pair.key)
    put(folder / "gw.pem", pair.certificate)


def readings(ioc: BenchIoc) -> int:
    rows = ioc.query("SELECT COUNT(*) FROM reading")
    return int(rows[0][0]) if rows else 0


def connected(config: Path, connection: int) -> None:
    def is_it() -> Any:
        with started(
            python_module("agent", "--config", config, "status", "--json"), config.parent / "status.log"
        ) as asked:
            out, _ = asked.communicate(timeout=20)
        uplink = json.loads(out)["uplink"]
        return uplink["connected"] and uplink["connection"] == connection

    wait_until(is_it, 90, f"connection {connection}")
